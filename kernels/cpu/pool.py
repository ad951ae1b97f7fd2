"""Buffers that are used again: a training step needs the same arrays as the one before.

Fresh memory costs a page fault for every 4 KB, which is more than a small network's arithmetic.
Buffers begin on a cache line, so that no vector straddles two.

The pool keeps the memory that it hands out. An array made from it, and every view of that, holds a
reference to the memory; so when the pool's own is the last one left, the memory is idle, whoever
had it, and serves the next array of about its size.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes of a cache line, and of the widest vector
SMALLEST = 1 << 15  # bytes; below, the system's allocator is quicker
MOST = 1 << 29  # bytes that are kept in all; what goes beyond belongs to its arrays alone

_Memory = tuple["np.ndarray[Any, Any]", int]  # bytes, and where in them a cache line begins

_lock = threading.Lock()
_kept: dict[int, list[_Memory]] = {}
_kept_bytes = 0


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """An array of that shape, its values arbitrary; unless small, from the start of a line."""
    size = dtype.itemsize
    for n in shape:  # a call of math.prod takes as long as the allocation
        size *= n
    if size < SMALLEST:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, *_take(size))


def aligned(count: int, dtype: np.dtype[Any]) -> Any:
    """So many elements, their values arbitrary, from the start of a cache line however few."""
    size = count * dtype.itemsize
    return np.ndarray((count,), dtype, *(_take(size) if size >= SMALLEST else _allocated(size)))


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """An array of zeros, as `empty`."""
    array = empty(shape, dtype)
    array.fill(0)
    return array


def idle_bytes() -> int:
    """Bytes that wait to be used again."""
    with _lock:
        return sum(size for size, kept in _kept.items() for memory in kept if _is_idle(memory))


def release() -> None:
    """Give the memory that lies idle back to the system."""
    with _lock:
        _drop_idle()


def _take(size: int) -> _Memory:
    global _kept_bytes
    # Eight sizes for each doubling, so that lengths that vary a little find one another's memory.
    step = 1 << max(12, size.bit_length() - 4)
    size = -(-size // step) * step
    # A signal's handler may run a kernel in a thread that is just here: it does without the pool.
    if not _lock.acquire(blocking=False):
        return _allocated(size)
    try:
        for kept in _kept.get(size, ()):
            if _is_idle(kept):
                # Not the tuple: while nobody else refers to the bytes, they are anybody's.
                return kept[0], kept[1]
        if _kept_bytes + size > MOST:
            _drop_idle()
        memory, start = _allocated(size)
        if _kept_bytes + size <= MOST:
            _kept.setdefault(size, []).append((memory, start))
            _kept_bytes += size
        return memory, start
    finally:
        _lock.release()


def _references(memory: _Memory) -> int:
    return sys.getrefcount(memory[0])


# What idle memory is referred to by: its tuple, and what this interpreter needs to count.
_WHEN_IDLE = _references((np.empty(1, np.uint8), 0))


def _is_idle(memory: _Memory) -> bool:
    return _references(memory) == _WHEN_IDLE


def _drop_idle() -> None:
    global _kept_bytes
    for size in list(_kept):
        _kept[size] = [memory for memory in _kept[size] if not _is_idle(memory)]
        if not _kept[size]:
            del _kept[size]
    _kept_bytes = sum(size * len(memories) for size, memories in _kept.items())


def _allocated(size: int) -> _Memory:
    memory = np.empty(size + ALIGNMENT, np.uint8)
    return memory, -memory.__array_interface__["data"][0] % ALIGNMENT


def _forget_lock() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
