"""The buffers that a trace keeps alive, and how they are protected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from minirnn.kernels.contract import Record, Tape

Array = Any


def read_only(record: Record) -> Record:
    """The record with views that cannot be written: backward may still need what they show."""
    return replace(
        record,
        gates={name: _view(array) for name, array in record.gates.items()},
        states={name: _view(array) for name, array in record.states.items()},
        grad_states=None
        if record.grad_states is None
        else {name: _view(array) for name, array in record.grad_states.items()},
        grad_slots=None
        if record.grad_slots is None
        else {name: _view(array) for name, array in record.grad_slots.items()},
        grad_direct=None if record.grad_direct is None else _view(record.grad_direct),
    )


def buffer_sizes(
    given: Iterable[Array], record: Record | None, tape: Tape | None
) -> dict[int, int]:
    """Bytes of each buffer behind the arrays, the record and the tape, by identity.

    While the tape is held, the record's states may be views of the tape's buffers, and count with
    it; gates are unpacked from it by copying.
    """
    arrays = list(given)
    sizes: dict[int, int] = {}
    if record is not None:
        arrays += record.gates.values()
    if tape is not None:
        sizes[id(tape)] = tape.nbytes
    elif record is not None:
        for group in (record.states, record.grad_states, record.grad_slots):
            arrays += (group or {}).values()
        arrays.append(record.grad_direct)
    for array in arrays:
        if array is not None:
            owner = array
            while isinstance(getattr(owner, "base", None), type(array)):
                owner = owner.base
            sizes[id(owner)] = owner.nbytes
    return sizes


def _view(array: Array) -> Array:
    view = array.view()
    if isinstance(view, np.ndarray):  # arrays of a device cannot be locked
        view.flags.writeable = False
    return view
