"""Which steps belong to a sequence, and what came before each, in either direction.

Masks and distances are made where `lengths` lies, on either device, unless it says otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import array_namespace

Array = Any


def valid(T: int, lengths: Array) -> Array:
    """(T, B) bool: step t belongs to sequence b, which is t < lengths[b]."""
    return array_namespace(lengths).arange(T)[:, None] < lengths[None, :]


def rows(array: Array, lengths: np.ndarray[Any, Any]) -> Array:
    """(N, F): the rows of `array` (T, B, F) at all valid steps; `lengths` are the host's."""
    T = len(array)
    if (lengths == T).all():
        return array.reshape(-1, array.shape[2])
    return array[valid(T, array_namespace(array).asarray(lengths))]


def at_step(array: Array, t: int, lengths: np.ndarray[Any, Any]) -> Array:
    """(N, F): step t of `array` (T, B, F), for the sequences that have it; `lengths` the host's."""
    has = lengths > t
    if has.all():
        return array[t]
    return array[t, array_namespace(array).asarray(np.flatnonzero(has))]


def distance(T: int, lengths: Array, reverse: bool) -> Array:
    """(T, B) steps from t to the last step that the sequence takes in its direction.

    That is step lengths - 1 going forward and step 0 in reverse; -1 where t is no step of it.
    """
    xp = array_namespace(lengths)
    t = xp.arange(T)[:, None]
    steps = xp.broadcast_to(t, (T, len(lengths))) if reverse else lengths[None, :] - 1 - t
    return xp.where(valid(T, lengths), steps, -1)


def previous(states: Array, initial: Array, lengths: Array, reverse: bool) -> Array:
    """(T, B, H) the state before each step, zero where t is no step of the sequence.

    Going forward the predecessor of t is t-1, in reverse t+1; before its first step a sequence has
    its initial state (B, H).
    """
    xp = array_namespace(states)
    T = states.shape[0]
    before = xp.zeros_like(states)
    if T == 0:
        return before
    if reverse:
        before[:-1] = states[1:]
        taken = xp.flatnonzero(lengths > 0)
        before[lengths[taken] - 1, taken] = initial[taken]
    else:
        before[1:] = states[:-1]
        before[0] = initial
    before[~valid(T, lengths)] = 0
    return before


def previous_at(t: int, states: Array, initial: Array, lengths: Array, reverse: bool) -> Array:
    """(B, H): step t of `previous`, alone; anything where t is no step of the sequence."""
    T = states.shape[0]
    if not reverse:
        return initial if t == 0 else states[t - 1]
    if t == T - 1:
        return initial
    return array_namespace(states).where((lengths == t + 1)[:, None], initial, states[t + 1])
