"""Device memory: blocks, the pool that hands them out, and pointers into them.

A block is aligned as CuPy aligns it, so that vector loads behave; it comes poisoned and is poisoned
again when it is freed, so that a kernel that reads what nobody wrote gives NaN or nonsense; and a
margin on either side tells whether a kernel wrote past an end.
"""

from __future__ import annotations

import contextlib
import threading
import types

import numpy as np

from . import properties, transfers

ALIGNMENT = 512  # bytes, as cupy.cuda.memory's allocation unit
_MARGIN = 512
_CANARY = 0xC5


class OutOfMemoryError(MemoryError):
    """Out-of-memory error."""

    def __init__(self, size: int, total: int, limit: int = 0):
        self._size, self._total, self._limit = size, total, limit
        message = f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes"
        message += f", limit set to: {limit:,} bytes)." if limit else ")."
        super().__init__(message)


OutOfMemoryError.__module__ = "cupy.cuda.memory"


def rounded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class Memory:
    """One block of device memory, of which `ptr` is the first byte and `size` the bytes."""

    def __init__(self, size: int):
        self.size = size
        self.device_id = 0
        self._pool = None
        if size == 0:
            self.ptr = 0
            self._whole = self.bytes = np.empty(0, np.uint8)
            return
        whole = np.empty(size + 2 * _MARGIN + ALIGNMENT, np.uint8)
        start = _MARGIN + (-(whole.ctypes.data + _MARGIN)) % ALIGNMENT
        self._before = whole[start - _MARGIN : start]
        self._after = whole[start + size : start + size + _MARGIN]
        self._before[:] = _CANARY
        self._after[:] = _CANARY
        self.bytes = whole[start : start + size]
        self.ptr = self.bytes.ctypes.data

    @property
    def device(self):
        from .device import Device

        return Device(self.device_id)

    def intact(self) -> bool:
        """Whether nothing has been written past either end of the block."""
        if self.size == 0:
            return True
        return bool((self._before == _CANARY).all() and (self._after == _CANARY).all())

    def __del__(self):
        if getattr(self, "_pool", None) is not None:
            self.bytes[:] = 0xFF
            self._pool._release(rounded(self.size))


Memory.__module__ = "cupy.cuda.memory"


class UnownedMemory(Memory):
    """Memory that another library owns: kept alive through `owner`, never poisoned or counted."""

    def __init__(self, host: np.ndarray, owner: object):
        self.size = host.nbytes
        self.device_id = 0
        self._pool = None
        self._owner = owner
        low, high = np.lib.array_utils.byte_bounds(host)
        self.ptr = low
        self.bytes = _bytes_at(low, high - low, host)

    def intact(self) -> bool:
        return True


class _Window:
    """Memory by its address, as NumPy's array interface tells it."""

    def __init__(self, described: dict[str, object], owner: object):
        self.__array_interface__ = described
        self.owner = owner


def array_at(
    address: int,
    shape: tuple[int, ...],
    dtype: np.dtype,
    strides: tuple[int, ...] | None = None,
    owner: object = None,
) -> np.ndarray:
    """A NumPy array on memory that somebody else keeps."""
    described = {
        "data": (int(address), False), "shape": shape, "typestr": dtype.str, "strides": strides,
        "version": 3,
    }  # fmt: skip
    return np.asarray(_Window(described, owner))


def _bytes_at(address: int, count: int, owner: object = None) -> np.ndarray:
    return array_at(address, (count,), np.dtype(np.uint8), None, owner)


class MemoryPointer:
    """An address on the device, and the block that it points into."""

    def __init__(self, mem: Memory, offset: int):
        self.mem = mem
        self._offset = offset
        self.ptr = mem.ptr + offset

    @property
    def device(self):
        return self.mem.device

    @property
    def device_id(self) -> int:
        return self.mem.device_id

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self._offset + offset)

    def __sub__(self, offset: int) -> MemoryPointer:
        return self + -offset

    def _part(self, size: int) -> np.ndarray:
        if self._offset < 0 or self._offset + size > self.mem.size:
            raise RuntimeError("cudaErrorInvalidValue: invalid argument")
        return self.mem.bytes[self._offset : self._offset + size]

    def memset(self, value: int, size: int) -> None:
        self._part(size)[:] = value

    def memset_async(self, value: int, size: int, stream: object = None) -> None:
        self.memset(value, size)

    def copy_from_device(self, src: MemoryPointer, size: int) -> None:
        self._part(size)[:] = src._part(size)

    def copy_from_device_async(self, src, size: int, stream: object = None) -> None:
        self.copy_from_device(src, size)

    def copy_from_host(self, mem: int, size: int) -> None:
        self._part(size)[:] = _bytes_at(mem, size)
        transfers.record(transfers.TO_DEVICE, (size,), size, "copy_from_host")

    def copy_to_host(self, mem: int, size: int) -> None:
        _bytes_at(mem, size)[:] = self._part(size)
        transfers.record(transfers.TO_HOST, (size,), size, "copy_to_host")


MemoryPointer.__module__ = "cupy.cuda.memory"


class MemoryPool:
    """CuPy's pool, in so far as its figures can be read: blocks freed stay with the pool.

    The figures count bytes, not blocks: any free bytes serve any request, so nothing fragments.
    """

    def __init__(self, allocator: object = None):
        self._lock = threading.RLock()
        self._used = self._free = self._limit = 0

    def malloc(self, size: int) -> MemoryPointer:
        with self._lock:
            self._reserve(rounded(size))
            memory = Memory(size)
            if size:
                memory._pool = self
        return MemoryPointer(memory, 0)

    def _reserve(self, size: int) -> None:
        fresh = max(0, size - self._free)
        total = self._used + self._free
        if self._limit and total + fresh > self._limit:
            fresh = size
            self._free = 0  # CuPy, too, empties its pool and tries again
            if self._used + fresh > self._limit:
                raise OutOfMemoryError(size, self._used, self._limit)
        if total + fresh > properties.current["totalGlobalMem"]:
            self._free = 0
            if self._used + size > properties.current["totalGlobalMem"]:
                raise OutOfMemoryError(size, self._used)
        self._free = max(0, self._free - size)
        self._used += size

    def _release(self, size: int) -> None:
        with self._lock:
            self._used -= size
            self._free += size

    def free_all_blocks(self, stream: object = None) -> None:
        with self._lock:
            self._free = 0

    def n_free_blocks(self) -> int:
        return int(self._free > 0)

    def used_bytes(self) -> int:
        return self._used

    def free_bytes(self) -> int:
        return self._free

    def total_bytes(self) -> int:
        return self._used + self._free

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if (size is None) == (fraction is None):
            if size is None:
                size = 0
            else:
                raise ValueError("size and fraction cannot be specified at one time")
        if fraction is not None:
            if not 0 <= fraction <= 1:
                raise ValueError(f"memory limit fraction out of range: {fraction}")
            size = int(fraction * properties.current["totalGlobalMem"])
        if size < 0:
            raise ValueError(f"memory limit size out of range: {size}")
        self._limit = size

    def get_limit(self) -> int:
        return self._limit


MemoryPool.__module__ = "cupy.cuda.memory"

pool = MemoryPool()


_allocator = pool.malloc


def alloc(size: int) -> MemoryPointer:
    """Poisoned memory from the allocator that is set: the pool's, or one of the caller's."""
    pointer = _allocator(int(size))
    pointer.mem.bytes[:] = 0xFF  # NaN to every floating type
    return pointer


def get_allocator():
    return _allocator


def set_allocator(allocator=None) -> None:
    global _allocator
    _allocator = _without_pool if allocator is None else allocator


def _without_pool(size: int) -> MemoryPointer:
    return MemoryPointer(Memory(size), 0)


def memory_info() -> tuple[int, int]:
    """Free and total bytes of the device."""
    total = properties.current["totalGlobalMem"]
    return total - pool.total_bytes(), total


@contextlib.contextmanager
def limited(size: int):
    """A device with room for `size` bytes more than are in use."""
    pool.free_all_blocks()
    with properties.changed(totalGlobalMem=rounded(pool.used_bytes() + max(1, size))):
        yield


def module() -> types.ModuleType:
    """`cupy.cuda.memory`."""
    made = types.ModuleType("cupy.cuda.memory")
    for one in (OutOfMemoryError, Memory, MemoryPointer, MemoryPool, alloc):
        setattr(made, one.__name__, one)
    return made
