"""What a layer hands to a recording: one layer and direction of one call."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from minirnn.inspect.host import fetch
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Tape, Weights

Array = Any


@dataclass(frozen=True, slots=True)
class CellNames:
    """What a file remembers of a cell of the user's own: its names, without its equations.

    The attributes are those of `Cell`; `activations` and `fingerprint` are what the functions of
    those names gave for the cell.
    """

    name: str
    options: dict[str, str]
    states: tuple[str, ...]
    slots: dict[str, str]
    stored_raw: frozenset[str]
    activations: dict[str, str]
    fingerprint: str
    second_slots: tuple[str, ...] = ()

    @property
    def input_slots(self) -> tuple[str, ...]:
        """The slots fed by x, in the order of weight_ih."""
        return tuple(slot for slot, feed in self.slots.items() if "x" in feed)

    @property
    def hidden_slots(self) -> tuple[str, ...]:
        """The slots fed by h, in the order of weight_hh."""
        return tuple(slot for slot, feed in self.slots.items() if "h" in feed)


def activations(cell: Cell | CellNames) -> dict[str, str]:
    """What each gate ends in: "sigmoid", "tanh", "relu", or the name of another operation."""
    if isinstance(cell, CellNames):
        return cell.activations
    return {name: cell.stored[name].operation for name in cell.gates}


def fingerprint(cell: Cell | CellNames) -> str:
    """A digest that is equal for cells that compute the same."""
    return cell.fingerprint if isinstance(cell, CellNames) else cell.fingerprint()


@dataclass(frozen=True, slots=True)
class TraceSource:
    """One layer and direction of one call, as the layer saw it.

    cell        the cell whose equations ran (its names only, in a trace read from a file)
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

    cell: Cell | CellNames
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
        as are the initial states. Cost: one read and one write of the arrays, and for
        a weight that is unchanged since its last copy (runs without training, both directions of
        one x, nested recordings) one comparison, the copy being shared. On a GPU the comparisons
        of one source wait for the device once.
        """
        given = (*self.state, *self.weights, self.x if self.copy_x else None)
        *copies, x = snapshots(given)
        states = len(self.state)
        return replace(
            self,
            x=self.x if x is None else x,
            state=tuple(copies[:states]),
            weights=Weights(*copies[states:]),
        )


# The last copy of each array, for as long as a trace keeps it. An identity may be used again by
# another array, which does no harm: a copy is shared only when it equals the array.
_copies: WeakValueDictionary[int, Array] = WeakValueDictionary()
_copies_lock = threading.Lock()


def snapshots(arrays: Sequence[Array | None]) -> list[Array | None]:
    """Read-only copies of arrays of one device; those made before that still equal them."""
    with _copies_lock:
        before = [None if array is None else _copies.get(id(array)) for array in arrays]
    return [
        copy if array is None or same else _copied(array)
        for array, copy, same in zip(arrays, before, _equal(arrays, before), strict=True)
    ]


def _equal(arrays: Sequence[Array | None], copies: Sequence[Array | None]) -> list[bool]:
    """Whether each array equals its copy, where there are both; from a device in one transfer."""
    equal: list[Any] = [
        array is not None
        and copy is not None
        and type(array) is type(copy)
        and copy.shape == array.shape
        and copy.dtype == array.dtype
        and (copy == array).all()
        for array, copy in zip(arrays, copies, strict=True)
    ]
    there = [k for k, each in enumerate(equal) if not isinstance(each, bool | np.bool_)]
    for k, value in zip(there, fetch(*[equal[k] for k in there]), strict=True):
        equal[k] = value != 0.0
    return list(map(bool, equal))


def _copied(array: Array) -> Array:
    copy = array.copy()
    if hasattr(copy, "setflags"):  # arrays of a device cannot be locked
        copy.setflags(write=False)
    with _copies_lock:
        _copies[id(array)] = copy
    return copy
