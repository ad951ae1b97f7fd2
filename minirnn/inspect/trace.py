"""Trace: one layer and direction of one recorded call, seen step by step.

Dimensions: T steps, B sequences, I inputs, H units, S = H times the number of states. All arrays
are time-major, in the layer's dtype, and indexed by the input's time in either direction.
Everything is zero outside `valid` and enters no norm. What is computed from a trace on a GPU is
computed there and stays there, small vectors like `gradient_norms` too; numbers are Python's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from minirnn.errors import ArgumentError, CheckpointError, TraceError
from minirnn.files.whole import as_path
from minirnn.inspect import equations, norms, steps, weight_gradients
from minirnn.inspect.compare import TraceComparison, compare
from minirnn.inspect.host import on_host
from minirnn.inspect.source import CellNames
from minirnn.inspect.values import TraceValues, state_name
from minirnn.kernels.cells.cell import Cell, LocalDerivative
from minirnn.kernels.contract import Weights
from minirnn.real import is_whole

Array = Any


class Trace(TraceValues):
    """What one layer computed in one direction of one call, and what follows from it.

    The stored values (gates, states, gradients) and attributes are told at `TraceValues`. What is
    computed here is computed at every access and not kept.
    """

    @property
    def preactivations(self) -> dict[str, Array]:
        """The argument of the activation which defines each gate, (T, B, H).

        Rebuilt from x, the states and the weights at every access, at the cost of a forward pass.
        LSTM and RNN: W_ih x + b_ih + W_hh h + b_hh. GRU's "new": W_in x + b_in + r q, or with the
        reset gate before the product W_in x + b_in + W_hn (r h) + b_hn.

        Raises: TraceError if the trace came from a file without its cell's equations.
        """
        cell = self._cell_with_equations("preactivations")
        before = {name: self._before(name) for name in cell.states}
        with np.errstate(over="ignore", invalid="ignore"):  # a network that diverged
            z = equations.slot_inputs(cell, self.inputs, self._taken(), self.weights)
            rebuilt = cell.evaluate(z, before).preactivations
        return {name: self._masked(array) for name, array in rebuilt.items()}

    def jacobian(self, t: int) -> Array:
        """d state_t / d state_{t-1}, (B, S, S), S = H; LSTM 2H, in the order (h, c).

        Row i holds the derivatives of state i. In a reverse direction the predecessor of t is t+1;
        at a sequence's first step it is the initial state; outside `valid`, where the state stays
        as it is, the identity. t counts from the end if negative. The new h and c are separate
        outputs here: what J carries back is (dL/dh_t, dL/dc_t without its part through h_t), while
        `grad_cell` is the total.

        Raises: ArgumentError if there is no step t; TraceError as `preactivations` does.
        """
        cell, at = self._cell_with_equations("jacobian"), self._step(t)
        with np.errstate(over="ignore", invalid="ignore"):
            local = self._local_derivative(cell, at)
            result = equations.state_jacobian(cell, local, self.weights.weight_hh)
        xp = self._xp
        ended = (self._lengths <= at)[:, None, None]
        return xp.where(ended, xp.eye(result.shape[1], dtype=result.dtype), result)

    def input_jacobian(self, t: int) -> Array:
        """d state_t / d x_t, (B, S, I), zero outside `valid`. Raises: as `jacobian`."""
        cell, at = self._cell_with_equations("input_jacobian"), self._step(t)
        with np.errstate(over="ignore", invalid="ignore"):
            local = self._local_derivative(cell, at)
            result = equations.input_jacobian(cell, local, self.weights)
        result[self._lengths <= at] = 0
        return result

    def carry_back(self, t: int, rows: dict[str, Array]) -> tuple[dict[str, Array], Array]:
        """Multiply N rows by both Jacobians of step t without building them: BPTT by one step.

        rows: {state: (B, N, H)}, the derivatives of N quantities with respect to state_t, for every
        state of the cell. Returns their derivatives with respect to the states before, likewise,
        and to x_t, (B, N, I). Outside `valid` the rows come back as they are, and those of x are 0.

        Raises: as `jacobian`.
        """
        cell, at = self._cell_with_equations("carry_back"), self._step(t)
        with np.errstate(over="ignore", invalid="ignore"):
            local = self._local_derivative(cell, at)
            before, into_x = equations.carry_back(cell, local, self.weights, rows)
        on, where = (self._lengths > at)[:, None, None], self._xp.where
        return (
            {name: where(on, before[name], rows[name]) for name in before},
            where(on, into_x, 0),
        )

    @property
    def grad_input(self) -> Array:
        """dL/dx_t of this layer and direction alone, (T, B, I). Raises: TraceError as above.

        Computed from `grad_slots` and weight_ih at every access.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return weight_gradients.grad_input(
                self.grad_slots, self.cell.input_slots, self.weights.weight_ih
            )

    # What is measured on them.

    def gradient_norms(self, state: str = "hidden") -> Array:
        """(T,) float64: Frobenius norm, over batch and units, of the total gradient at each step.

        state: "hidden", "cell", or the cell's own name of a state.

        Raises: TraceError before backward, or for a state that the cell does not have.
        """
        return norms.norm(self._grad_state(state), (1, 2))

    def gradient_decay(self, state: str = "hidden") -> Array:
        """(D,) float64: r_d, the gradient's norm d steps before the last, relative to the last.

        Distance is counted from the last step that each sequence takes in this direction, so that
        different lengths do not blur it; D is the longest length. r_d is the root mean square, over
        the sequences of more than d steps, of the norm over units, divided by that at d = 0. It
        speaks of what survives time only where the loss enters at the last step: `gradient_probe`.
        All NaN if no gradient enters at the last step; empty without any step.

        Raises: TraceError as `gradient_norms`.
        """
        measured = self._norms_by_distance(state)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return self._xp.where(measured[:1] > 0.0, measured / measured[:1], np.nan)

    def half_life(self, state: str = "hidden") -> float:
        """Steps in which the gradient's norm halves, going back from each sequence's last step.

        ln 2 / slope of -ln r_d against d, by least squares, r_d as in `gradient_decay`, over the
        steps whose norm is a normal number: zeros and subnormals have no usable logarithm. inf
        where the norm does not decay; 0 where only one step has a gradient at all; NaN with fewer
        than two steps, without gradient, or with one that is not finite.

        Raises: TraceError as `gradient_norms`.
        """
        return norms.half_life(self._norms_by_distance(state), float(np.finfo(self.dtype).tiny))

    def weight_gradient_norms(self, weight: str = "weight_hh") -> Array:
        """(T,) float64: Frobenius norm of step t's own share of a weight's gradient.

        weight: "weight_hh", "weight_ih", "bias_hh" or "bias_ih". The shares add up to the
        gradient. GRU's share of weight_hh uses dL/dq = r dL/dz_new for the rows of "new".

        Raises: ArgumentError for another name; TraceError before backward, or without that bias.
        """
        if not isinstance(weight, str) or weight not in Weights._fields:
            raise ArgumentError("weight", repr(weight), f"one of {', '.join(Weights._fields)}")
        gradients = self.grad_slots
        if getattr(self.weights, weight) is None:
            raise TraceError(f"{self.name} was made without biases")
        slots = self.cell.input_slots if weight.endswith("_ih") else self.cell.hidden_slots
        fed: dict[str, Array] | None = None
        if weight == "weight_ih":
            fed = dict.fromkeys(slots, self.inputs)
        elif weight == "weight_hh":
            fed = self._taken()
        return weight_gradients.share_norms(gradients, slots, fed)

    def compare(self, other: Trace) -> TraceComparison:
        """Where two traces differ most: gate, step, sequence, unit.

        Run against run, CPU against GPU. It is computed on this trace's device; where `other` is on
        another, its arrays come over one at a time.

        Raises: ArgumentError if the cells have other names, states or slots, or the directions
        differ; ShapeError if the shapes or lengths do.
        """
        return compare(self, other)

    # Into files and other forms.

    def numpy(self) -> dict[str, np.ndarray[Any, Any]]:
        """All that the trace holds, as NumPy arrays by path; from a GPU they are copied.

        The path of an array is its attribute, and its key after a dot: "gates.forget", "states.h",
        "grad_states.h" (= grad_hidden), "grad_slots.forget", "direct_grad_hidden", "inputs",
        "initial_state.h", "weights.weight_hh", "lengths". Gradients appear once backward has run.
        """
        groups: dict[str, dict[str, Array]] = {
            "gates": self.gates,
            "slots": self.slots,
            "states": self.states,
            "initial_state": self.initial_state,
            "weights": {k: v for k, v in self.weights._asdict().items() if v is not None},
        }
        single = {"inputs": self.inputs, "lengths": self.lengths}
        if self.has_gradients:
            groups |= {"grad_states": self.grad_states, "grad_slots": self.grad_slots}
            single["direct_grad_hidden"] = self.direct_grad_hidden
        flat = {
            f"{group}.{key}": a for group, arrays in groups.items() for key, a in arrays.items()
        }
        return {path: on_host(array) for path, array in {**flat, **single}.items()}

    def to_dict(self) -> dict[str, Any]:
        """A summary fit for JSON: what ran, on what shapes, the norms and half-lives."""
        from minirnn.inspect.summary import summary

        return summary(self)

    def save(self, path: str | Path) -> None:
        """Write the trace to a safetensors file (to a temporary name first, then renamed).

        Raises: CheckpointError if the file cannot be written.
        """
        from minirnn.inspect.storage import save

        save(self, as_path(path, error=CheckpointError))

    @classmethod
    def load(cls, path: str | Path, *, cell: Cell | None = None) -> Self:
        """Read a trace that `save` wrote. Nothing is unpickled.

        cell: a file holds a cell's names, not its equations. RNN, GRU and LSTM are found by name;
        for a cell of one's own give it here, or go without `preactivations` and `jacobian`.

        Raises: CheckpointError for anything that is not a whole file of a trace, or a `cell` other
        than the one that was saved.
        """
        from minirnn.inspect.storage import load

        return cls(*load(as_path(path, error=CheckpointError), cell))

    def save_html(self, path: str | Path) -> None:
        """Write one self-contained page of heat maps and norms (the extra `report`).

        Raises: MissingExtraError without the extra.
        """
        from minirnn.report import save_trace_html

        save_trace_html(self, path)

    def _norms_by_distance(self, state: str) -> Array:
        return norms.by_distance(self._grad_state(state), self.lengths, self.reverse)

    def _grad_state(self, state: str) -> Array:
        key = state_name(state)
        return self._of(self.grad_states, key, f"state {key!r}")

    def _taken(self) -> dict[str, Array]:
        """What each slot fed by h takes in its product with weight_hh, (T, B, H)."""
        h = self._before("h")
        taken = dict.fromkeys(self.cell.hidden_slots, h)
        if self.cell.second_slots:
            cell, record = self._cell_with_equations("weight_hh's operand"), self._forward()
            before = {name: self._before(name) for name in cell.states}
            operand = self._masked(cell.operand_of(record.gates, record.states, before))
            taken |= dict.fromkeys(cell.second_slots, operand)
        return taken

    def _step(self, t: int) -> int:
        T = self.shape[0]
        if not is_whole(t) or not -T <= t < T:
            raise ArgumentError("t", repr(t), f"a step from 0 to {T - 1}")
        return int(t) % T

    def _local_derivative(self, cell: Cell, t: int) -> LocalDerivative:
        record = self._forward()
        last = {
            name: steps.previous_at(t, array, self.initial_state[name], self._lengths, self.reverse)
            for name, array in record.states.items()
        }
        stored = {name: array[t] for name, array in record.gates.items()}
        return cell.local_derivative(stored, {n: a[t] for n, a in record.states.items()}, last)

    def _cell_with_equations(self, wanted: str) -> Cell:
        if isinstance(self.cell, CellNames):
            raise TraceError(
                f"{wanted} needs the equations of the cell {self.cell.name!r}, which a file does "
                "not hold: give it to Trace.load(path, cell=...)"
            )
        return self.cell
