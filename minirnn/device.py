"""Arrays and devices: what a tensor may hold, where it lives, and whose functions work on it.

There are two devices: "cpu", whose arrays are NumPy's, and "cuda", the GPU that is CuPy's current
device when an array is made, whose arrays are CuPy's. Work on them runs on CuPy's current stream.
The tape and the functions above it never name NumPy's own functions on a caller's array; they ask
`array_namespace` for the module, so that both kinds run through the same code. CuPy is imported
when something is first put on "cuda", not before.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from minirnn.errors import DeviceError, DTypeError, ShapeError
from minirnn.exchange import share
from minirnn.gpu import cupy_array, gpu_library, memory_error

Array = Any  # a NumPy array, or the array of another device with the same interface

FLOATS = frozenset(map(np.dtype, ("float32", "float64")))
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_LARGEST = float(np.finfo(np.float32).max)
_SUPPORTED = FLOATS | frozenset(map(np.dtype, ("bool", *_INTEGERS)))

AVAILABLE = ("cpu", "cuda")
_NUMPY = (np.ndarray, np.generic)


def check_device(name: object) -> str:
    """Return `name` if it is a device of this machine: "cpu", or "cuda" with CuPy and a GPU.

    Raises: DeviceError, which lists the devices, or says what "cuda" lacks and how to get it.
    """
    if isinstance(name, str) and name in AVAILABLE:
        if name == "cuda":
            gpu_library()
        return name
    hint = ""
    if isinstance(name, str) and name.startswith("cuda:"):
        hint = "It is CuPy's current GPU: choose another with cupy.cuda.Device(n).use()"
    raise DeviceError("device", repr(name), " or ".join(map(repr, AVAILABLE)), hint)


def device_of(array: Array) -> str:
    """The name of the device that holds `array`: "cpu" or "cuda"."""
    return "cpu" if isinstance(array, _NUMPY) or not cupy_array(array) else "cuda"


def array_namespace(array: Array) -> ModuleType:
    """The module whose functions work on `array`: `numpy`, or `cupy` for an array on a GPU.

    Raises: DeviceError if it is no array of a known library.
    """
    if isinstance(array, _NUMPY):
        return np
    if cupy_array(array):
        return sys.modules["cupy"]  # loaded, since one of its arrays exists
    raise DeviceError("array", f"a {type(array).__name__}", "a NumPy or CuPy array")


def to_device(array: Array, device: str, argument: str = "array") -> Array:
    """`array` on `device`: itself if it is there already, else a copy.

    A copy to the GPU is ordered on CuPy's current stream; a copy to the CPU waits for it.

    Raises: DeviceError, also for too little memory on the GPU.
    """
    if device == "cpu":
        return array if isinstance(array, _NUMPY) else array.get()
    if cupy_array(array):
        return array
    library = gpu_library(argument)
    try:
        return library.asarray(array)
    except MemoryError as error:
        raise memory_error(error) from None


def beside(array: Array, other: Array) -> Array:
    """`array` on the device of `other`; for what this library made itself, where it is at hand."""
    return array if type(array) is type(other) else to_device(array, device_of(other))


def check_beside(array: Array, other: Array, argument: str) -> None:
    """Check that `array`, the caller's, lies on the same device as `other`.

    Where speed counts, callers compare the two types first, and ask here only if they differ.

    Raises: DeviceError that names `argument`, for a copy between devices is never made unasked.
    """
    came, wanted = device_of(array), device_of(other)
    if came != wanted:
        hint = (
            "Move it to the GPU once, with cupy.asarray(x) or Tensor(x).to('cuda')"
            if wanted == "cuda"
            else "Move it with Tensor.to('cpu') or .numpy(); or move the model or the other "
            "operand with .to('cuda')"
        )
        raise DeviceError(argument, f"an array on {came!r}", f"one on {wanted!r}", hint)


def to_array(value: Any, dtype: np.dtype[Any] | None, argument: str) -> Array:
    """The array in `value`, which is of a supported dtype, and of `dtype` if that is given.

    An array is returned as it is, not copied; so is the memory of another library's array that
    offers DLPack, `__array__` or `__cuda_array_interface__`. Python numbers and lists of them adopt
    `dtype`; without one, floats become float32. NumPy scalars, alone or in lists, keep the dtype
    they have.

    Raises: DTypeError, ShapeError, DeviceError or ArgumentError that names `argument`.
    """
    if type(value) in (float, int) and dtype in FLOATS and -_LARGEST <= value <= _LARGEST:
        return np.array(value, dtype)  # the common case of a constant in a formula, in a hurry
    if type(value) is np.ndarray or cupy_array(value):
        array = value
    elif isinstance(value, np.ma.MaskedArray):
        raise DTypeError(argument, "a masked array", "a plain array", "Its mask would be lost")
    elif (shared := share(value, argument)) is not None:
        array = shared
    else:
        try:
            array = np.asarray(value)
        except (ValueError, TypeError, RuntimeError, OverflowError) as error:
            raise ShapeError(argument, f"a {type(value).__name__} ({error})", "an array") from None
        if _is_python_number(value):
            target = dtype or (np.dtype(np.float32) if array.dtype.kind == "f" else array.dtype)
            array = _adopt(array, target, argument)
    if array.dtype not in _SUPPORTED:
        came = array.dtype.name if array.dtype.isnative else f"{array.dtype.name} (byte-swapped)"
        if array.dtype.kind in "OUSV":
            came += f" (from a {type(value).__name__})"
        raise DTypeError(argument, came, "float32 or float64 (or integers, without gradient)")
    if dtype is not None and array.dtype != dtype:
        raise wrong_dtype(argument, array.dtype, dtype)
    return array


def has_no_device(value: Any) -> bool:
    """Whether it is numbers, not an array: Python's, NumPy's scalars, and lists of them.

    Such a value goes to the device of what it meets, as it adopts its dtype; an array does not.
    """
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return isinstance(value, bool | int | float | np.generic | list | tuple)


def _is_python_number(value: Any) -> bool:
    """Whether it is a Python number, or lists of them: what has no dtype of its own yet."""
    while isinstance(value, list | tuple):
        if not value:
            return True
        value = value[0]
    return isinstance(value, bool | int | float) and not isinstance(value, np.generic)


def _adopt(array: Array, dtype: np.dtype[Any], argument: str) -> Array:
    """Python numbers as `dtype`. Raises: DTypeError if their value would not survive it."""
    if array.dtype == dtype or array.dtype.kind not in "fiub":
        return array
    with np.errstate(all="ignore"):
        adopted = array.astype(dtype)
    if dtype.kind == "f":
        kept = not (np.isinf(adopted) & np.isfinite(array)).any()
    else:
        kept = array.dtype.kind in "iub" and bool((adopted == array).all())
    if not kept:
        raise DTypeError(argument, f"{array}", f"a number that {dtype.name} can hold")
    return adopted


def wrong_dtype(argument: str, came: np.dtype[Any], wanted: np.dtype[Any]) -> DTypeError:
    """The error for an array of one supported dtype where another was wanted."""
    return DTypeError(argument, came.name, wanted.name, f"Convert it with .astype({wanted.name!r})")
