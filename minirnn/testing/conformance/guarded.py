"""Arrays with guards around them: NaN that a stray read brings into the results, bits that a stray
write disturbs, and memory that is full of NaN when it is given out again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.kernels.contract import Array

# Numbers on either side: more than a vector or a tile's edge reads or writes past an end.
GUARD = 64


@dataclass(frozen=True)
class Guarded:
    """An array within a longer buffer whose other numbers are NaN.

    `array` is what an implementation gets; `buffer` holds it and its guards; `before` is a copy of
    the buffer's bytes as they were.
    """

    array: Array
    buffer: Array
    before: bytes

    def changed(self) -> str | None:
        """What was written to: "the array", "around the array", or None."""
        if self.buffer.tobytes() == self.before:
            return None
        inside = np.zeros(self.buffer.shape, bool)
        # The same view of a mask as the array is of the buffer.
        offset = (self.array.ctypes.data - self.buffer.ctypes.data) // self.buffer.itemsize
        strides = [s // self.buffer.itemsize for s in self.array.strides]
        view = np.lib.stride_tricks.as_strided(inside[offset:], self.array.shape, strides)
        view[...] = True
        was = np.frombuffer(self.before, np.uint8).reshape(self.buffer.size, -1)
        differs = (self.buffer.view(np.uint8).reshape(was.shape) != was).any(axis=1)
        return "the array" if (differs & inside).any() else "around the array"


def guarded(array: Array, *, strided: bool = False, guard: float = np.nan) -> Guarded:
    """A copy of an array within guards; with strides, its last axis takes every other number.

    guard  what stands around an array of floats; around integers their most negative number does
    """
    filling: Any = guard if array.dtype.kind == "f" else np.iinfo(array.dtype).min
    step = 2 if strided and array.ndim else 1
    shape = (*array.shape[:-1], array.shape[-1] * step) if array.ndim else array.shape
    size = int(np.prod(shape))
    buffer = np.full(size + 2 * GUARD, filling, array.dtype)
    view = buffer[GUARD : GUARD + size].reshape(shape)[..., ::step]
    view[...] = array
    return Guarded(view, buffer, buffer.tobytes())


def poison_memory(sizes: list[int], poison: float = np.nan) -> None:
    """Fill memory with a number and give it back: who asks for as much next finds it there.

    sizes  in bytes. NumPy keeps small blocks and the C library larger ones for the next request of
           that size: an array from `np.empty` or malloc that is read before it is written then
           holds the poison. No allocator promises this, so what is found is wrong for certain, and
           what is not found may yet be.
    """
    held = [np.full(max(1, size // 8), poison) for size in sizes for _ in range(4)]
    held += [np.full(max(1, size // 4), poison, np.float32) for size in sizes for _ in range(2)]
    del held
