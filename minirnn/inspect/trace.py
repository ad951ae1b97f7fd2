"""Trace: one layer and direction of one recorded call, step by step.

Dimensions: T steps, B sequences, I inputs, H units, S = H times the number of states. All arrays
are time-major and indexed by the input's time, in either direction. Everything is zero outside
`valid` and enters no norm.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.errors import TraceError
from minirnn.inspect import steps
from minirnn.inspect.source import TraceSource
from minirnn.kernels.contract import Record, Tape, Weights

Array = Any


class Trace:
    """What one layer computed in one direction of one call, and after backward its gradients.

    Attributes:
        call, layer         numbers from 0, in the recording and in the stack of layers
        direction           "forward" or "reverse"; `reverse` says the same as a bool
        name                like "LSTM.l0" or "LSTM.l1_reverse"
        cell                the cell whose equations ran
        inputs              (T, B, I), what the layer was fed
        initial_state       {state: (B, H)}
        weights             `Weights` as they were when the layer ran
        lengths             (B,) int64 steps of each sequence
        truncated           the initial state was cut off the tape (a chunk of truncated BPTT)
    """

    def __init__(self, source: TraceSource, call: int) -> None:
        self.call = call
        self.layer = source.layer
        self.class_name = source.class_name
        self.reverse = source.reverse
        self.truncated = source.truncated
        self.cell = source.cell
        self.inputs: Array = source.x
        self.initial_state: dict[str, Array] = dict(
            zip(source.cell.states, source.state, strict=True)
        )
        self.weights: Weights = source.weights
        T, B = source.x.shape[:2]
        lengths = np.full(B, T) if source.lengths is None else np.asarray(source.lengths)
        self.lengths: np.ndarray[Any, np.dtype[np.int64]] = lengths.astype(np.int64)
        self._tape: Tape | None = source.tape
        self._record: Record | None = None

    # What the layer computed.

    @property
    def direction(self) -> str:
        """Which way time ran: "forward" or "reverse"."""
        return "reverse" if self.reverse else "forward"

    @property
    def name(self) -> str:
        """The layer's class, number and direction, like "LSTM.l0_reverse"."""
        return f"{self.class_name}.l{self.layer}{'_reverse' if self.reverse else ''}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, B, H)."""
        T, B = self.inputs.shape[:2]
        return T, B, int(self.weights.weight_hh.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type of every floating-point array of the trace."""
        return np.dtype(self.inputs.dtype)

    @property
    def valid(self) -> Array:
        """(T, B) bool: the steps that belong to a sequence."""
        return steps.valid(self.shape[0], self.lengths)

    @property
    def gates(self) -> dict[str, Array]:
        """Activated gates by name, each (T, B, H).

        LSTM: input, forget, cell, output. GRU: reset, update, new. RNN: new.
        """
        raw = self.cell.stored_raw
        return {name: array for name, array in self._forward().gates.items() if name not in raw}

    @property
    def states(self) -> dict[str, Array]:
        """The states after each step, by the cell's own names ("h", "c"), each (T, B, H)."""
        return dict(self._forward().states)

    @property
    def hidden(self) -> Array:
        """h_t, (T, B, H)."""
        return self._forward().states["h"]

    @property
    def cell_state(self) -> Array:
        """c_t, (T, B, H). Raises: TraceError if the cell has no state "c"."""
        return self._of(self._forward().states, "c", "cell state")

    @property
    def recurrent_new(self) -> Array:
        """GRU's q = W_hn h + b_hn, (T, B, H). Raises: TraceError for another cell."""
        return self._of(self._forward().gates, "recurrent_new", "slot 'recurrent_new'")

    # What backward brought.

    @property
    def has_gradients(self) -> bool:
        """Whether backward has run through this call."""
        return self._read(gradients=True).grad_states is not None

    @property
    def grad_hidden(self) -> Array:
        """Total dL/dh_t, (T, B, H). Raises: TraceError before backward."""
        return self._gradients()[0]["h"]

    @property
    def grad_cell(self) -> Array:
        """Total dL/dc_t, (T, B, H). Raises: TraceError before backward, or without a state "c"."""
        return self._of(self._gradients()[0], "c", "cell state")

    @property
    def grad_states(self) -> dict[str, Array]:
        """Total gradients of the states by the cell's own names. Raises: TraceError as above."""
        return dict(self._gradients()[0])

    @property
    def grad_gates(self) -> dict[str, Array]:
        """dL/d preactivations[name] of every gate, (T, B, H). Raises: TraceError before backward.

        GRU's "new" is with respect to the whole sum W_in x + b_in + r q.
        """
        raw = self.cell.stored_raw
        return {name: array for name, array in self._gradients()[1].items() if name not in raw}

    @property
    def grad_recurrent_new(self) -> Array:
        """GRU's dL/dq = r dL/dz_new, (T, B, H). Raises: TraceError for another cell."""
        return self._of(self._gradients()[1], "recurrent_new", "slot 'recurrent_new'")

    @property
    def grad_slots(self) -> dict[str, Array]:
        """dL/d z of every slot of the cell, (T, B, H): `grad_gates` and what is stored raw."""
        return dict(self._gradients()[1])

    @property
    def direct_grad_hidden(self) -> Array:
        """What enters dL/dh_t from outside the recurrence, (T, B, H).

        That is the gradient of the output y_t and, at the last step a sequence takes in this
        direction, of the final state h_n. Raises: TraceError before backward.
        """
        return self._gradients()[2]

    def _gradients(self) -> tuple[dict[str, Array], dict[str, Array], Array]:
        record = self._read(gradients=True)
        if record.grad_states is None or record.grad_slots is None or record.grad_direct is None:
            raise TraceError(
                f"{self.name} (call {self.call}) has no gradients: they appear when "
                "loss.backward() runs through this call. Call loss.backward() first, and run the "
                "layer with gradients enabled (not under no_grad) on something that requires them"
            )
        return record.grad_states, record.grad_slots, record.grad_direct

    def _forward(self) -> Record:
        return self._read(gradients=False)

    def _read(self, *, gradients: bool) -> Record:
        record, tape = self._record, self._tape
        if record is None or (gradients and record.grad_states is None and tape is not None):
            assert tape is not None
            record = self._record = tape.record()
            if record.grad_states is not None:
                self._tape = None  # all of it is unpacked; let the kernel's buffers go
        return record

    def _of(self, arrays: dict[str, Array], key: str, what: str) -> Array:
        if key not in arrays:
            raise TraceError(f"{self.name}: the cell {self.cell.name!r} has no {what}")
        return arrays[key]

    def buffers(self) -> dict[int, int]:
        """Bytes of each buffer that the trace keeps alive, by the buffer's identity."""
        held: dict[int, int] = {}
        if self._tape is not None:
            held[id(self._tape)] = self._tape.nbytes
        elif self._record is not None:
            read = self._record
            groups = (read.gates, read.states, read.grad_states or {}, read.grad_slots or {})
            arrays = [array for group in groups for array in group.values()]
            held.update(_roots([*arrays, read.grad_direct]))
        held.update(_roots([self.inputs, *self.initial_state.values(), *self.weights]))
        return held

    @property
    def nbytes(self) -> int:
        """Bytes that the trace keeps alive."""
        return sum(self.buffers().values())

    def __repr__(self) -> str:
        T, B, H = self.shape
        extras = [
            f"call {self.call}",
            f"T={T} B={B} I={self.inputs.shape[2]} H={H}",
            self.dtype.name,
            "with gradients" if self.has_gradients else "no gradients yet",
        ]
        if self.truncated:
            extras.append("truncated")
        return f"<Trace {self.name}: {', '.join(extras)}>"


def _roots(arrays: list[Array]) -> dict[int, int]:
    """Bytes of the arrays that own the memory of the given ones, by identity."""
    held: dict[int, int] = {}
    for array in arrays:
        root = array
        while getattr(root, "base", None) is not None and hasattr(root.base, "nbytes"):
            root = root.base
        if root is not None:
            held[id(root)] = root.nbytes
    return held
