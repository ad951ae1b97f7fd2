"""Kernels from a compiled module, and everything that CUDA refuses about a launch.

The module is a shared library that the emulator's compiler made; `launch.Library` runs it.
"""

from __future__ import annotations

import itertools
import operator
import weakref

import numpy as np

from . import errors, memory, properties
from .array import ndarray
from .device import blocks_per_multiprocessor

_PLAIN_SHARED = 49152  # bytes of dynamic shared memory that need no asking
_handles = itertools.count(0x5000, 16)
_by_handle: weakref.WeakValueDictionary[int, RawKernel] = weakref.WeakValueDictionary()

# Registers for each thread: nothing here allocates any, so a typical number bounds occupancy.
REGISTERS = 64


class RawModule:
    """RawModule(*, path=..., enable_cooperative_groups=False)"""

    def __init__(
        self, code=None, *, path=None, options=(), backend="nvrtc", translate_cucomplex=False,
        enable_cooperative_groups=False, name_expressions=None, jitify=None,
    ):  # fmt: skip
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if code is not None:
            raise NotImplementedError("the emulator loads what its compiler made: give a path")
        from launch import Library

        self.file_path = path
        self.enable_cooperative_groups = bool(enable_cooperative_groups)
        self._library = Library(path)

    def get_function(self, name: str) -> RawKernel:
        return RawKernel._of(self._library, name, self.enable_cooperative_groups)


RawModule.__module__ = "cupy"


class _Function:
    """What `RawKernel.kernel` gives: the driver's handle."""

    def __init__(self, handle: int):
        self.ptr = handle


class RawKernel:
    """A kernel: call it with a grid, a block, arguments, and the bytes of shared memory."""

    def __init__(self, code: str, name: str, *_args: object, **_options: object):
        raise NotImplementedError("the emulator loads what its compiler made: use RawModule(path=)")

    @classmethod
    def _of(cls, library, name: str, cooperative: bool) -> RawKernel:
        self = object.__new__(cls)
        self.name = self.__name__ = name
        self.enable_cooperative_groups = cooperative
        self._library = library
        try:
            self._parameters = library.parameters(name)
        except (KeyError, AttributeError):
            raise errors.CUDADriverError(errors.NOT_FOUND) from None
        self._most_dynamic = _PLAIN_SHARED - self.shared_size_bytes
        self.kernel = _Function(next(_handles))
        _by_handle[self.kernel.ptr] = self
        return self

    shared_size_bytes = property(lambda self: self._library.static_shared(self.name))
    num_regs = property(lambda self: REGISTERS)
    local_size_bytes = const_size_bytes = property(lambda self: 0)
    max_threads_per_block = property(lambda self: properties.current["maxThreadsPerBlock"])

    @property
    def binary_version(self) -> int:
        return 10 * properties.current["major"] + properties.current["minor"]

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._most_dynamic

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        most = properties.current["sharedMemPerBlockOptin"] - self.shared_size_bytes
        if not 0 <= size <= most:
            raise errors.CUDADriverError(errors.INVALID_VALUE)
        self._most_dynamic = size

    @property
    def attributes(self) -> dict[str, int]:
        names = "max_threads_per_block shared_size_bytes local_size_bytes num_regs binary_version"
        return {
            name: getattr(self, name) for name in [*names.split(), "max_dynamic_shared_size_bytes"]
        }

    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError("grid and block must be tuples")
        grid, block = _extents(grid), _extents(block)
        shared_mem = operator.index(shared_mem)
        self._check(grid, block, shared_mem)
        packed = self._pack(args)
        options = {"cooperative": self.enable_cooperative_groups}
        if getattr(self._library, "checked", False):
            blocks = [one._memory for one in args if isinstance(one, ndarray)]
            blocks += [one.mem for one in args if isinstance(one, memory.MemoryPointer)]
            options["regions"] = [(block.ptr, block.size) for block in blocks]
        self._library.launch(self.name, grid, block, packed, shared_mem, **options)
        for number, one in enumerate(args):
            if isinstance(one, ndarray) and not one._memory.intact():
                # On a GPU nobody would have told: the bytes belong to another array.
                raise AssertionError(
                    f"{self.name} wrote outside the memory of its argument {number}, "
                    f"an array of {one._memory.size} bytes"
                )

    def _check(self, grid, block, shared: int) -> None:
        one = properties.current
        threads = block[0] * block[1] * block[2]
        if (
            threads > one["maxThreadsPerBlock"]
            or any(n > most for n, most in zip(block, one["maxThreadsDim"], strict=True))
            or any(n > most for n, most in zip(grid, one["maxGridSize"], strict=True))
            or not 0 <= shared <= self._most_dynamic
        ):
            raise errors.CUDADriverError(errors.INVALID_VALUE)
        resident = self._resident(threads, shared)
        if resident == 0:
            raise errors.CUDADriverError(errors.OUT_OF_RESOURCES)
        if self.enable_cooperative_groups:
            if not one["cooperativeLaunch"]:
                raise errors.CUDADriverError(errors.NOT_SUPPORTED)
            if grid[0] * grid[1] * grid[2] > resident * one["multiProcessorCount"]:
                raise errors.CUDADriverError(errors.TOO_LARGE)

    def _resident(self, threads: int, shared: int) -> int:
        return blocks_per_multiprocessor(threads, self.num_regs, self.shared_size_bytes + shared)

    def _pack(self, args) -> list[bytes]:
        """The arguments as bytes. Raises: TypeError for what the kernel does not take."""
        if len(args) != len(self._parameters):
            raise TypeError(
                f"{self.name} takes {len(self._parameters)} arguments, {len(args)} were given"
            )
        packed = []
        for number, (one, parameter) in enumerate(zip(args, self._parameters, strict=True)):
            value, is_pointer = _value(one)
            if len(value) != parameter.size:
                raise TypeError(
                    f"argument {number} of {self.name} ({parameter.name}) is of {parameter.size} "
                    f"bytes, and {len(value)} were given, by a {type(one).__name__}"
                )
            null = isinstance(one, np.uintp)  # NumPy's way of writing a null pointer
            if parameter.is_pointer != is_pointer and not (parameter.is_pointer and null):
                kind = "pointer" if parameter.is_pointer else "number"
                raise TypeError(
                    f"argument {number} of {self.name} ({parameter.name}) is a {kind}, "
                    f"and a {type(one).__name__} was given"
                )
            packed.append(value)
        return packed


RawKernel.__module__ = "cupy"


def _extents(given: tuple) -> tuple[int, int, int]:
    # CuPy, too, makes 1 of 0.
    return tuple(max(1, operator.index(one)) for one in (*given, 1, 1)[:3])


def _value(one: object) -> tuple[bytes, bool]:
    """An argument's bytes as CuPy passes them, and whether it is a pointer."""
    if one is None:
        return bytes(8), True
    if isinstance(one, ndarray):
        return one.data.ptr.to_bytes(8, "little") if one.size else bytes(8), True
    if isinstance(one, memory.MemoryPointer):
        return one.ptr.to_bytes(8, "little"), True
    if isinstance(one, np.ndarray):
        raise TypeError("an array of the host was given to a kernel")
    if isinstance(one, np.bool_ | np.number):
        return one.tobytes(), False
    for kind, dtype in ((bool, "?"), (int, "q"), (float, "d"), (complex, "D")):
        if isinstance(one, kind):
            return np.array(one, dtype).tobytes(), False
    raise TypeError(f"Unsupported type {type(one)}")


def occupancy(func: int, block_size: int, dynamic_shared: int) -> int:
    """`cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor`"""
    kernel = _by_handle.get(func)
    if kernel is None:
        raise errors.CUDADriverError(errors.INVALID_HANDLE)
    if dynamic_shared > kernel._most_dynamic:
        return 0
    return kernel._resident(block_size, dynamic_shared)
