"""Buffers that are used again: a training step needs the same arrays as the one before.

Fresh memory costs a page fault for every 4 KB, which is more than a small network's arithmetic. A
buffer belongs to the arrays that look into it; when the last of them is gone it returns here by
itself, whoever held it. Buffers begin on a cache line, so that no vector straddles two.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes of a cache line, and of the widest vector
SMALLEST = 1 << 15  # bytes; below, the system's allocator is quicker
LARGEST_IDLE = 1 << 29  # bytes that may lie idle in all

_lock = threading.Lock()
_idle: dict[int, list[np.ndarray[Any, Any]]] = {}
_idle_bytes = 0


class _Lease:
    """Owns a buffer on behalf of the arrays made from it; gives it back when they are gone."""

    __slots__ = ("__array_interface__", "_memory")

    def __init__(self, memory: np.ndarray[Any, Any], shape: tuple[int, ...], kind: str) -> None:
        self._memory = memory
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": kind,
            "data": (_aligned(memory), False),
        }

    def __del__(self) -> None:
        _give_back(self._memory)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """An array of that shape, its values arbitrary; if it is not small, from the start of a line."""
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(_take(_rounded(size)), shape, dtype.str))


def aligned(count: int, dtype: np.dtype[Any]) -> Any:
    """So many elements, their values arbitrary, from the start of a cache line however few."""
    size = count * dtype.itemsize
    if size >= SMALLEST:
        return empty((count,), dtype)
    array = np.empty(count + ALIGNMENT // dtype.itemsize, dtype)
    start = -array.__array_interface__["data"][0] % ALIGNMENT // dtype.itemsize
    return array[start : start + count]


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """An array of zeros, as `empty`."""
    array = empty(shape, dtype)
    array.fill(0)
    return array


def idle_bytes() -> int:
    """Bytes that wait to be used again."""
    return _idle_bytes


def release() -> None:
    """Give the memory that lies idle back to the system."""
    global _idle_bytes
    with _lock:
        _idle.clear()
        _idle_bytes = 0


def _aligned(memory: np.ndarray[Any, Any]) -> int:
    start: int = memory.__array_interface__["data"][0]
    return start + -start % ALIGNMENT


def _rounded(size: int) -> int:
    """The size of the buffer for so many bytes: eight sizes for each doubling."""
    step = 1 << max(12, size.bit_length() - 4)
    return -(-size // step) * step


def _take(size: int) -> np.ndarray[Any, Any]:
    global _idle_bytes
    with _lock:
        waiting = _idle.get(size)
        if waiting:
            _idle_bytes -= size
            return waiting.pop()
    return np.empty(size + ALIGNMENT, np.uint8)


def _give_back(memory: np.ndarray[Any, Any]) -> None:
    # Garbage collection may run this in any thread at any moment, also in one that is inside here:
    # then the memory goes back to the system instead.
    global _idle_bytes
    size = memory.nbytes - ALIGNMENT
    if _lock is None or not _lock.acquire(blocking=False):
        return
    try:
        if _idle_bytes + size <= LARGEST_IDLE:
            _idle.setdefault(size, []).append(memory)
            _idle_bytes += size
    finally:
        _lock.release()
