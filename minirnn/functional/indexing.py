"""Indexing: `x[...]`, and rows of a table by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import (
    Array,
    array_namespace,
    beside,
    check_beside,
    has_no_device,
)
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.functional.operands import floating
from minirnn.tensor import Operand, Tensor, apply, as_tensor


def getitem(x: Operand, index: Any) -> Tensor:
    """x[index], as NumPy has it: integers, slices, None, ..., integer arrays, boolean masks.

    Basic indexes give a view. An element that an integer array takes several times gets the sum of
    the gradients; on the GPU its terms are added in any order, so its last bits may vary from run
    to run. There an array of indexes has to be on the GPU too, and is waited for, to be checked.

    Raises: ArgumentError if the index is out of range or does not fit, DTypeError if it is an array
    of neither integers nor booleans, DeviceError if it is an array on another device.
    """
    x = as_tensor(x, None, "x")
    data = x.data
    if isinstance(index, tuple):
        key: Any = tuple(_plain(one, data) for one in index)
    else:
        key = _plain(index, data)
    if array_namespace(data) is not np:
        _check_range(key, data.shape)
    return take(x, key)


def take(x: Tensor, key: Any, *, distinct: bool = False) -> Tensor:
    """x[key], for a key whose arrays lie on x's device, with indexes known to be in range.

    distinct: they are known to take no element twice, so that backward has nothing to add up.
    """
    data = x.data
    try:
        out = data[key]
    except (IndexError, ValueError, TypeError) as error:
        raise ArgumentError("index", f"{key!r} ({error})", f"an index of {data.shape}") from None
    shape, dtype = data.shape, data.dtype
    xp = array_namespace(data)
    repeats = not distinct and _may_repeat(key)

    def backward(g: Array) -> tuple[Array]:
        total = xp.zeros(shape, dtype)
        if repeats:
            xp.add.at(total, key, g)
        else:
            total[key] = g
        return (total,)

    return apply("getitem", (x,), (out,), backward)[0]


def embedding(weight: Operand, indices: Operand) -> Tensor:
    """Rows of `weight (N, E)` by number: `indices` of any shape (...) give (..., E).

    On the GPU the indices are waited for, to be checked; and as in `getitem`, the gradients of a
    row that is taken several times are added in any order.

    Raises: ShapeError if weight is no table; DTypeError if the indices are no integers;
    ArgumentError if one is not in 0 <= index < N; DeviceError if they are on another device.
    """
    weight = floating(weight, "weight")
    if weight.data.ndim != 2:
        raise ShapeError("weight", f"shape {weight.data.shape}", "two dimensions (N, E)")
    rows = as_tensor(indices, None, "indices", weight.data).data
    check_indices(rows, weight.data.shape[0], "indices")
    return take(weight, rows)


def check_indices(indices: Array, count: int, argument: str) -> None:
    """Check that `indices` are integers with 0 <= index < count.

    Raises: DTypeError or ArgumentError that names `argument`.
    """
    if indices.dtype.kind not in "iu":
        raise DTypeError(argument, indices.dtype.name, "integers")
    outside = stray(indices, 0, count)
    if outside is not None:
        raise ArgumentError(argument, f"a value of {outside}", f"0 <= value < {count}")


def stray(indices: Array, lowest: int, end: int) -> int | None:
    """One of the integers that is not in lowest <= index < end, or None. Of a GPU's it waits."""
    if not indices.size:
        return None
    if not isinstance(indices, np.ndarray):
        # int64: a narrow type may not hold the bounds. One number comes back, most often the only.
        wide = indices.astype(np.int64)
        if not bool(((wide < lowest) | (wide >= end)).any()):
            return None
    least, most = int(indices.min()), int(indices.max())
    if least < lowest:
        return least
    return most if most >= end else None


def _plain(part: Any, data: Array) -> Any:
    """A part of an index of `data` without tensors and lists."""
    given = part
    if isinstance(part, Tensor):
        part = part.data
    elif isinstance(part, list):
        part = np.asarray(part, dtype=np.intp) if not part else np.asarray(part)
    kind = part.dtype.kind if hasattr(part, "dtype") else "i"
    if kind not in "iub":
        raise DTypeError("index", f"an array of {part.dtype.name}", "integers or booleans")
    if hasattr(part, "dtype") and type(part) is not type(data) and not isinstance(part, np.generic):
        if not has_no_device(given):
            check_beside(part, data, "index")
        part = beside(part, data)
    return part


def _check_range(key: Any, shape: tuple[int, ...]) -> None:
    """Check a key's arrays of integers, which CuPy would wrap around where NumPy raises.

    Raises: ArgumentError.
    """
    parts = key if isinstance(key, tuple) else (key,)
    widths = [_axes_of(part) for part in parts]
    axis = 0
    for part, width in zip(parts, widths, strict=True):
        if part is Ellipsis:
            axis += len(shape) - sum(widths)
        elif _is_integer_array(part) and axis < len(shape):
            size = shape[axis]
            outside = stray(part, -size, size)
            if outside is not None:
                wanted = f"-{size} <= index < {size} along axis {axis}"
                raise ArgumentError("index", f"an index of {outside}", wanted)
        axis += width


def _axes_of(part: Any) -> int:
    """How many axes a part of an index takes."""
    if part is None or part is Ellipsis:
        return 0
    is_mask = hasattr(part, "dtype") and part.dtype == np.bool_
    return int(part.ndim) if is_mask else 1


def _may_repeat(key: Any) -> bool:
    """Whether the index may take an element twice: only arrays of integers can."""
    parts = key if isinstance(key, tuple) else (key,)
    return any(_is_integer_array(part) for part in parts)


def _is_integer_array(part: Any) -> bool:
    return hasattr(part, "dtype") and not isinstance(part, np.generic) and part.dtype.kind in "iu"
