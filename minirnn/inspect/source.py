"""What a layer hands to a recording: one layer and direction of one call."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from minirnn.kernels.contract import Tape, Weights

if TYPE_CHECKING:
    from minirnn.kernels.cells.cell import Cell

Array = Any


@dataclass(frozen=True, slots=True)
class TraceSource:
    """One layer and direction of one call, as the layer saw it.

    cell        the cell whose equations ran
    tape        of a forward pass with keep="record"
    x           (T, B, I), what this layer and direction was fed
    state       the initial states, one (B, H) per state of the cell
    weights     the layer's parameters, as arrays
    lengths     (B,) or None when every sequence has T steps
    layer       0 for the layer next to the input
    class_name  what the user calls the layer: "LSTM", "GRU", ...
    truncated   the initial state was cut off the tape: a chunk of truncated BPTT
    copy_x      x belongs to the user, who may write into it later; a recording then keeps a copy
    """

    cell: Cell
    tape: Tape
    x: Array
    state: tuple[Array, ...]
    weights: Weights
    lengths: Array | None
    layer: int
    class_name: str
    truncated: bool = False
    copy_x: bool = True

    @property
    def reverse(self) -> bool:
        """Whether time ran from the last step to the first."""
        return self.tape.reverse

    def kept(self) -> TraceSource:
        """The same, with copies of all that others may write into.

        Optimisers update weights in place and users fill a batch buffer again, so both are copied,
        as are the initial states and lengths. Cost: one read and one write of the arrays, and for
        a weight that is unchanged since its last copy (runs without training, both directions of
        one x, nested recordings) one comparison, the copy being shared.
        """
        return replace(
            self,
            x=snapshot(self.x) if self.copy_x else self.x,
            state=tuple(snapshot(array) for array in self.state),
            weights=Weights(
                *(None if array is None else snapshot(array) for array in self.weights)
            ),
            lengths=None if self.lengths is None else self.lengths.copy(),
        )


# The last copy of each array, for as long as a trace keeps it. An identity may be used again by
# another array, which does no harm: a copy is shared only when it equals the array.
_copies: WeakValueDictionary[int, Array] = WeakValueDictionary()
_copies_lock = threading.Lock()


def snapshot(array: Array) -> Array:
    """A read-only copy of `array`; the one made before if that still equals it."""
    with _copies_lock:
        copy = _copies.get(id(array))
    if (
        copy is not None
        and copy.shape == array.shape
        and copy.dtype == array.dtype
        and bool((copy == array).all())
    ):
        return copy
    copy = array.copy()
    if hasattr(copy, "setflags"):  # arrays of a device cannot be locked
        copy.setflags(write=False)
    with _copies_lock:
        _copies[id(array)] = copy
    return copy
