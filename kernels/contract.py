"""What every kernel set offers, and the records it takes and gives.

A kernel set is a module with two functions,

    forward(cell, x, state, weights, *, lengths=None, keep="nothing", reverse=False)
        -> output, state, tape
    backward(cell, doutput, dstate, tape, *, needs)
        -> Gradients

and, if layers run on it (the reference has none), what makes streams, for steps one at a time,

    Stream(cell, state, weights)    .step(x (B, I)) -> h (B, H)   .state   .pack(weights)

Dimensions: T time steps, B batch (>= 1), I input size, H hidden size, S slots of the cell.

x        (T, B, I)   C-contiguous or not; float32 or float64, one dtype for every array
state    one (B, H) array per entry of `cell.states`, in that order
weights  `Weights`; weight_ih (Gi*H, I), weight_hh (Gh*H, H), biases (Gi*H,), (Gh*H,) or None, where
         Gi and Gh count the cell's slots fed by x and by h. The rows of `cell.second_slots` are
         multiplied with the cell's operand where the others are with h
lengths  (B,) int64, 0 <= lengths <= T, or None. A step at or past a sequence's length changes no
         state, gives zero output and takes no gradient, in either direction
keep     "nothing": tape is None. "tape": what BPTT needs, in the kernel set's own layout; backward
         may overwrite it, and it serves one backward. "checkpoints": a tape that keeps no gates if
         the kernel set can rebuild them in backward, for little memory; the same gradients.
         "record": also every activated gate and state, and after backward every gradient;
         `tape.record()` unpacks it
reverse  time runs from T-1 down to 0; time indexes of arrays still follow the input, so the
         predecessor of step t is t+1
output   (T, B, H), the state `h` after each step; do not write to it while the tape is in use
dstate   one (B, H) array per state, or None where no gradient arrives; doutput likewise may be None
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, Protocol

import numpy as np

from minirnn.errors import ArgumentError, DTypeError, ShapeError

if TYPE_CHECKING:
    from minirnn.kernels.cells.cell import Cell

Array = Any  # a NumPy array, or the array of another device with the same interface
Keep = Literal["nothing", "checkpoints", "tape", "record"]
KEEPS: tuple[Keep, ...] = ("nothing", "checkpoints", "tape", "record")


class Weights(NamedTuple):
    """The parameters of one layer in one direction."""

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array | None = None
    bias_hh: Array | None = None


class Needs(NamedTuple):
    """Which gradients backward shall compute; what is False is not computed."""

    x: bool = True
    state: bool = True
    weight_ih: bool = True
    weight_hh: bool = True
    bias_ih: bool = True
    bias_hh: bool = True


class Gradients(NamedTuple):
    """dL/d each argument of forward; None where `Needs` did not ask (or there is no bias)."""

    x: Array | None  # (T, B, I)
    state: tuple[Array, ...] | None  # one (B, H) per state
    weight_ih: Array | None
    weight_hh: Array | None
    bias_ih: Array | None
    bias_hh: Array | None


@dataclass
class Record:
    """Everything a recorded pass kept, unpacked; all arrays (T, B, H), zero past a sequence's end.

    `gates` maps every slot of the cell to what the cell stored for it: the activated gate, or the
    slot itself where the cell says so (GRU's `recurrent_new`). `states` maps each state to its
    value after the step. The gradients are None until backward has run: `grad_states` is the total
    dL/d state_t, `grad_slots` is dL/d z of each slot, `grad_direct` is what entered h_t from
    outside the recurrence (doutput, and dstate at a sequence's last step).
    """

    gates: dict[str, Array]
    states: dict[str, Array]
    grad_states: dict[str, Array] | None = None
    grad_slots: dict[str, Array] | None = None
    grad_direct: Array | None = None


class Tape(Protocol):
    """What forward hands to backward. Only `record` and `nbytes` are for others to use."""

    keep: Keep
    reverse: bool

    @property
    def nbytes(self) -> int:
        """Bytes that the tape keeps alive."""
        ...

    def record(self) -> Record:
        """Unpack; only of a tape kept as "record"."""
        ...


FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def check_call(
    cell: Cell,
    x: Array,
    state: Sequence[Array],
    weights: Weights,
    lengths: Array | None,
    keep: str,
    dtypes: tuple[np.dtype[Any], ...] = FLOATS,
) -> tuple[int, int, int, int]:
    """Check the arguments of forward at the door; returns (T, B, I, H).

    Raises: ShapeError, DTypeError or ArgumentError that names the argument.
    """
    if x.ndim != 3:
        raise ShapeError("x", f"shape {x.shape}", "three dimensions (T, B, I)")
    T, B, width = x.shape
    if B == 0:
        raise ShapeError("x", f"shape {x.shape}", "a batch of at least one sequence")
    dtype = x.dtype
    if dtype is not dtypes[0] and dtype not in dtypes:
        names = " or ".join(d.name for d in dtypes)
        raise DTypeError("x", dtype.name, names, "Convert it with .astype(...)")
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    gates_x, gates_h = len(cell.input_slots), len(cell.hidden_slots)
    H = weight_hh.shape[-1] if weight_hh.ndim else 0
    if weight_hh.shape != (gates_h * H, H) or H == 0:
        raise ShapeError("weight_hh", f"shape {weight_hh.shape}", f"({gates_h}*H, H) with H >= 1")
    if weight_ih.shape != (gates_x * H, width) or width == 0:
        if weight_ih.ndim != 2 or weight_ih.shape[0] != gates_x * H or weight_ih.shape[1] == 0:
            raise ShapeError("weight_ih", f"shape {weight_ih.shape}", f"({gates_x * H}, I)")
        raise ShapeError("x", f"shape {x.shape}", f"(T, B, {weight_ih.shape[1]})")
    if bias_ih is not None and bias_ih.shape != (gates_x * H,):
        raise ShapeError("bias_ih", f"shape {bias_ih.shape}", f"({gates_x * H},)")
    if bias_hh is not None and bias_hh.shape != (gates_h * H,):
        raise ShapeError("bias_hh", f"shape {bias_hh.shape}", f"({gates_h * H},)")
    for array in (*weights, *state):
        # Identity first: this runs at every call, and NumPy's own dtypes are single objects.
        if array is not None and array.dtype is not dtype and array.dtype != dtype:
            arguments = [*Weights._fields, *[f"state {s!r}" for s in cell.states]]
            at = next(i for i, a in enumerate((*weights, *state)) if a is array)
            raise DTypeError(arguments[at], array.dtype.name, f"{dtype.name}, the dtype of x")
    if len(state) != len(cell.states):
        names = ", ".join(cell.states)
        raise ArgumentError("state", f"{len(state)} array(s)", f"{len(cell.states)}: ({names})")
    rows = (B, H)
    for name, array in zip(cell.states, state, strict=True):
        if array.shape != rows:
            raise ShapeError(f"state {name!r}", f"shape {array.shape}", f"({B}, {H})")
    if lengths is not None:
        check_lengths(lengths, T, B)
    if keep not in KEEPS:
        raise ArgumentError("keep", repr(keep), f"one of {', '.join(KEEPS)}")
    return T, B, width, H


def check_lengths(lengths: Array, T: int, B: int) -> None:
    """Check `lengths (B,)`: integers between 0 and T.

    Raises: ShapeError, DTypeError or ArgumentError.
    """
    if lengths.shape != (B,):
        raise ShapeError("lengths", f"shape {lengths.shape}", f"({B},), one per sequence")
    if lengths.dtype.kind not in "iu":
        raise DTypeError("lengths", lengths.dtype.name, "integers")
    if B and (int(lengths.min()) < 0 or int(lengths.max()) > T):
        outside = lengths.min() if int(lengths.min()) < 0 else lengths.max()
        raise ArgumentError("lengths", f"a length of {int(outside)}", f"0 <= length <= T = {T}")


def check_gradients(
    cell: Cell,
    doutput: Array | None,
    dstates: tuple[Array | None, ...],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
) -> None:
    """Check the gradients that reach backward; `shape` is (T, B, H).

    Raises: ArgumentError, ShapeError or DTypeError that names the argument.
    """
    if len(dstates) != len(cell.states):
        raise ArgumentError("dstate", f"{len(dstates)} array(s)", f"{len(cell.states)}")
    if doutput is not None and (doutput.shape != shape or doutput.dtype != dtype):
        _refuse("doutput", doutput, shape, dtype)
    for name, gradient in zip(cell.states, dstates, strict=True):
        if gradient is not None and (gradient.shape != shape[1:] or gradient.dtype != dtype):
            _refuse(f"dstate {name!r}", gradient, shape[1:], dtype)


def _refuse(name: str, gradient: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NoReturn:
    if gradient.shape != shape:
        raise ShapeError(name, f"shape {gradient.shape}", f"{shape}")
    raise DTypeError(name, gradient.dtype.name, dtype.name)
