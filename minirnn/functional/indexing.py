"""Indexing: `x[...]`, and rows of a table by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import Array, array_namespace
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.functional.operands import floating
from minirnn.tensor import Operand, Tensor, apply, as_tensor


def getitem(x: Operand, index: Any) -> Tensor:
    """x[index], as NumPy has it: integers, slices, None, ..., integer arrays, boolean masks.

    Basic indexes give a view. An element that an integer array takes several times gets the sum of
    the gradients.

    Raises: ArgumentError if the index is out of range or does not fit, DTypeError if it is an array
    of neither integers nor booleans.
    """
    x = as_tensor(x, None, "x")
    data = x.data
    key = tuple(_plain(one) for one in index) if isinstance(index, tuple) else _plain(index)
    try:
        out = data[key]
    except (IndexError, ValueError, TypeError) as error:
        raise ArgumentError("index", f"{index!r} ({error})", f"an index of {data.shape}") from None
    shape, dtype = data.shape, data.dtype
    xp = array_namespace(data)
    repeats = _may_repeat(key)

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

    Raises: ShapeError if weight is no table; DTypeError if the indices are no integers;
    ArgumentError if one is not in 0 <= index < N.
    """
    weight = floating(weight, "weight")
    if weight.data.ndim != 2:
        raise ShapeError("weight", f"shape {weight.data.shape}", "two dimensions (N, E)")
    rows = as_tensor(indices, None, "indices").data
    check_indices(rows, weight.data.shape[0], "indices")
    return getitem(weight, rows)


def check_indices(indices: Array, count: int, argument: str) -> None:
    """Check that `indices` are integers with 0 <= index < count.

    Raises: DTypeError or ArgumentError that names `argument`.
    """
    if indices.dtype.kind not in "iu":
        raise DTypeError(argument, indices.dtype.name, "integers")
    if indices.size:
        lowest, highest = int(indices.min()), int(indices.max())
        if lowest < 0 or highest >= count:
            outside = lowest if lowest < 0 else highest
            raise ArgumentError(argument, f"a value of {outside}", f"0 <= value < {count}")


def _plain(part: Any) -> Any:
    """A part of an index without tensors and lists."""
    if isinstance(part, Tensor):
        part = part.data
    elif isinstance(part, list):
        part = np.asarray(part, dtype=np.intp) if not part else np.asarray(part)
    kind = part.dtype.kind if hasattr(part, "dtype") else "i"
    if kind not in "iub":
        raise DTypeError("index", f"an array of {part.dtype.name}", "integers or booleans")
    return part


def _may_repeat(key: Any) -> bool:
    """Whether the index may take an element twice: only arrays of integers can."""
    parts = key if isinstance(key, tuple) else (key,)
    return any(isinstance(part, np.ndarray) and part.dtype.kind in "iu" for part in parts)
