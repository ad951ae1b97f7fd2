"""What a trace holds: the values that forward and backward left, step by step.

Dimensions: T steps, B sequences, I inputs, H units, S = H times the number of states. All arrays
are time-major, in the layer's dtype, and indexed by the input's time in either direction.
Everything is zero outside `valid` and enters no norm.

All of it lies on the device that the layer ran on, and so does all that is computed from it, but
for `lengths`, which are the host's like shapes are, and numbers, which are Python's.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minirnn.device import array_namespace, device_of
from minirnn.errors import ArgumentError, TraceError
from minirnn.inspect import steps
from minirnn.inspect.host import on_host
from minirnn.inspect.memory import buffer_sizes, read_only
from minirnn.inspect.source import CellNames, TraceSource
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Record, Tape, Weights

Array = Any

STATE_NAMES = {"hidden": "h", "cell": "c"}  # what a trace calls the states of the built-in cells


def state_name(name: str) -> str:
    """The cell's own name of a state. Raises: ArgumentError for what is no name."""
    if not isinstance(name, str):
        wanted = f"{', '.join(map(repr, STATE_NAMES))}, or the cell's own name of a state"
        raise ArgumentError("state", repr(name), wanted)
    return STATE_NAMES.get(name, name)


class TraceValues:
    """What one layer computed in one direction of one call, and after backward its gradients.

    Attributes:
        call, layer         numbers from 0, in the recording and in the stack of layers
        class_name          what the user calls the layer, like "LSTM"
        reverse             whether time ran from the last step to the first
        truncated           the initial state was cut off the tape (a chunk of truncated BPTT)
        cell                the cell whose equations ran
        initial_state       {state: (B, H)}
        weights             `Weights`, as they were when the layer ran
        lengths             (B,) int64, the steps of each sequence; a NumPy array on any device
    """

    def __init__(self, source: TraceSource, call: int) -> None:
        self.call = call
        self.layer = source.layer
        self.class_name = source.class_name
        self.reverse = source.reverse
        self.truncated = source.truncated
        self.cell: Cell | CellNames = source.cell
        self.initial_state: dict[str, Array] = dict(
            zip(source.cell.states, source.state, strict=True)
        )
        self.weights: Weights = source.weights
        T, B = source.x.shape[:2]
        lengths = np.full(B, T) if source.lengths is None else on_host(source.lengths)
        self.lengths: np.ndarray[Any, np.dtype[np.int64]] = np.array(lengths, dtype=np.int64)
        self._x: Array = source.x
        self._tape: Tape | None = source.tape
        self._record: Record | None = None
        self._lengths_there: Array | None = None

    # What the layer was given.

    @property
    def direction(self) -> Literal["forward", "reverse"]:
        """Which way time ran."""
        return "reverse" if self.reverse else "forward"

    @property
    def name(self) -> str:
        """The layer's class, number and direction, like "LSTM.l0" or "LSTM.l1_reverse"."""
        return f"{self.class_name}.l{self.layer}{'_reverse' if self.reverse else ''}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, B, H)."""
        T, B = self._x.shape[:2]
        return T, B, int(self.weights.weight_hh.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type of the layer, and of every array here that is not a norm."""
        dtype: np.dtype[Any] = self.weights.weight_hh.dtype
        return dtype

    @property
    def device(self) -> str:
        """The device that the layer ran on, "cpu" or "cuda"."""
        return device_of(self.weights.weight_hh)

    @property
    def valid(self) -> Array:
        """(T, B) bool: the steps that belong to a sequence."""
        return steps.valid(self.shape[0], self._lengths)

    @property
    def inputs(self) -> Array:
        """x, (T, B, I): what this layer and direction was fed, zero outside `valid`."""
        return self._masked(self._x)

    # What the layer computed.

    @property
    def gates(self) -> dict[str, Array]:
        """Activated gates by name, each (T, B, H).

        LSTM: input, forget, cell, output. GRU: reset, update, new. RNN: new.
        """
        raw = self.cell.stored_raw
        return {name: array for name, array in self._forward().gates.items() if name not in raw}

    @property
    def slots(self) -> dict[str, Array]:
        """The slots that the cell stores as they are, (T, B, H): GRU's recurrent_new, else none."""
        raw = self.cell.stored_raw
        return {name: array for name, array in self._forward().gates.items() if name in raw}

    @property
    def states(self) -> dict[str, Array]:
        """The states after each step, by the cell's own names ("h", "c"), each (T, B, H)."""
        return dict(self._forward().states)

    @property
    def hidden(self) -> Array:
        """h_t, (T, B, H)."""
        return self._forward().states["h"]

    def state(self, name: str) -> Array:
        """One state, (T, B, H): "hidden", "cell", or the cell's own name of it.

        Raises: TraceError if the cell has no such state.
        """
        key = state_name(name)
        return self._of(self._forward().states, key, f"state {key!r}")

    @property
    def cell_state(self) -> Array:
        """c_t, (T, B, H). Raises: TraceError if the cell has no state "c"."""
        return self.state("cell")

    @property
    def recurrent_new(self) -> Array:
        """GRU's q = W_hn h + b_hn, (T, B, H). Raises: TraceError for a cell without that slot."""
        return self._of(self.slots, "recurrent_new", "slot 'recurrent_new'")

    # What backward brought.

    @property
    def has_gradients(self) -> bool:
        """Whether backward has run through this call."""
        return self._read(gradients=True).grad_states is not None

    @property
    def grad_hidden(self) -> Array:
        """Total dL/dh_t, (T, B, H). Raises: TraceError before backward."""
        return self.grad_states["h"]

    @property
    def grad_cell(self) -> Array:
        """Total dL/dc_t, (T, B, H). Raises: TraceError before backward, or without a state "c"."""
        return self._of(self.grad_states, "c", "state 'c'")

    @property
    def grad_states(self) -> dict[str, Array]:
        """Total gradients of the states by the cell's own names. Raises: TraceError as above."""
        return dict(self._gradients().grad_states or {})

    @property
    def grad_gates(self) -> dict[str, Array]:
        """dL/dz of every gate's pre-activation, (T, B, H). Raises: TraceError before backward.

        GRU's "new" is with respect to the whole sum W_in x + b_in + r q.
        """
        raw = self.cell.stored_raw
        return {name: array for name, array in self.grad_slots.items() if name not in raw}

    @property
    def grad_slots(self) -> dict[str, Array]:
        """dL/dz of every slot, (T, B, H): `grad_gates`, and for a GRU recurrent_new, dL/dq."""
        return dict(self._gradients().grad_slots or {})

    @property
    def direct_grad_hidden(self) -> Array:
        """What enters dL/dh_t from outside the recurrence, (T, B, H).

        That is the gradient of the output y_t and, at the last step a sequence takes in this
        direction, of the final state h_n. Raises: TraceError before backward.
        """
        return self._gradients().grad_direct

    @property
    def nbytes(self) -> int:
        """Bytes that the trace keeps alive."""
        return sum(self.buffers().values())

    def buffers(self) -> dict[int, int]:
        """Bytes of each buffer that the trace keeps alive, by the buffer's identity."""
        given = [self._x, *self.initial_state.values(), *self.weights]
        return buffer_sizes(given, self._record, self._tape)

    def __repr__(self) -> str:
        T, B, H = self.shape
        cut = ", truncated" if self.truncated else ""
        gradients = "with gradients" if self.has_gradients else "no gradients yet"
        return (
            f"<Trace {self.name}, call {self.call}: T={T} B={B} I={self._x.shape[2]} H={H} "
            f"{self.dtype.name}, {gradients}{cut}>"
        )

    def _read(self, *, gradients: bool) -> Record:
        record, tape = self._record, self._tape
        if tape is not None and (record is None or (gradients and record.grad_states is None)):
            self._record = record = read_only(tape.record())
            if record.grad_states is not None:
                self._tape = None  # all of it is unpacked: the kernel's own buffers may go
        assert record is not None
        return record

    def _forward(self) -> Record:
        return self._read(gradients=False)

    def _gradients(self) -> Record:
        record = self._read(gradients=True)
        if record.grad_states is None:
            raise TraceError(
                f"{self.name} (call {self.call}) has no gradients yet: call loss.backward() first, "
                "on a loss that depends on this call. A call under no_grad never gets any"
            )
        return record

    def _before(self, state: str) -> Array:
        """(T, B, H): the state that entered each step."""
        after = self._forward().states[state]
        return steps.previous(after, self.initial_state[state], self._lengths, self.reverse)

    def _masked(self, array: Array) -> Array:
        if (self.lengths == self.shape[0]).all():
            return array
        return self._xp.where(self.valid[:, :, None], array, array.dtype.type(0))

    @property
    def _xp(self) -> Any:
        """The module whose functions work on the trace's arrays."""
        return array_namespace(self.weights.weight_hh)

    @property
    def _lengths(self) -> Array:
        """`lengths` where the arrays lie."""
        if self._lengths_there is None:
            self._lengths_there = self._xp.asarray(self.lengths)
        return self._lengths_there

    def _of(self, arrays: dict[str, Array], key: str, what: str) -> Array:
        if key not in arrays:
            raise TraceError(f"{self.name}: the cell {self.cell.name!r} has no {what}")
        return arrays[key]
