"""Arrays and devices: what a tensor may hold, where it lives, and whose functions work on it.

The tape and the functions above it never name NumPy's own functions on a caller's array; they ask
`array_namespace` for the module, so that CuPy arrays run through the same code.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from minirnn.errors import DeviceError, DTypeError, ShapeError

Array = Any  # a NumPy array, or the array of another device with the same interface

FLOATS = frozenset(map(np.dtype, ("float32", "float64")))
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_LARGEST = float(np.finfo(np.float32).max)
_SUPPORTED = FLOATS | frozenset(map(np.dtype, ("bool", *_INTEGERS)))

AVAILABLE = ("cpu",)
_NUMPY = (np.ndarray, np.generic)


def check_device(name: object) -> str:
    """Return `name` if it is a device that layers can be built on.

    Raises: DeviceError, which lists the devices that are available.
    """
    if not isinstance(name, str) or name not in AVAILABLE:
        raise DeviceError("device", repr(name), f"one of {', '.join(map(repr, AVAILABLE))}")
    return name


def _is_cupy(array: object) -> bool:
    return type(array).__module__.partition(".")[0] == "cupy"


def device_of(array: Array) -> str:
    """The name of the device that holds `array`: "cpu" or "cuda"."""
    return "cuda" if _is_cupy(array) else "cpu"


def array_namespace(array: Array) -> ModuleType:
    """The module whose functions work on `array`: `numpy`, or `cupy` for an array on a GPU.

    Raises: DeviceError if it is no array of a known library.
    """
    if isinstance(array, _NUMPY):
        return np
    if _is_cupy(array):
        return sys.modules["cupy"]  # loaded, since one of its arrays exists
    raise DeviceError("array", f"a {type(array).__name__}", "a NumPy array")


def to_array(value: Any, dtype: np.dtype[Any] | None, argument: str) -> Array:
    """The array in `value`, which is of a supported dtype, and of `dtype` if that is given.

    An array is returned as it is, not copied. Python numbers and lists of them adopt `dtype`;
    without one, floats become float32. NumPy scalars, alone or in lists, keep the dtype they have.

    Raises: DTypeError or ShapeError that names `argument`.
    """
    if type(value) in (float, int) and dtype in FLOATS and -_LARGEST <= value <= _LARGEST:
        return np.array(value, dtype)  # the common case of a constant in a formula, in a hurry
    if type(value) is np.ndarray or _is_cupy(value):
        array = value
    elif isinstance(value, np.ma.MaskedArray):
        raise DTypeError(argument, "a masked array", "a plain array", "Its mask would be lost")
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
