"""Reductions over axes. `axis`: an integer, several, or None for all; `keepdims` leaves size 1."""

from __future__ import annotations

import numpy as np

from minirnn.device import Array, array_namespace
from minirnn.errors import ArgumentError, ShapeError
from minirnn.functional.operands import floating, normal_axes
from minirnn.tensor import Axis, Operand, Tensor, apply, as_tensor


def sum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum; of booleans and integers it is an integer. Raises: DTypeError, ArgumentError."""
    x = as_tensor(x, None, "x")
    data = x.data
    axes = normal_axes(axis, data.ndim)
    shape = data.shape
    with np.errstate(all="ignore"):
        out = data.sum(axes, keepdims=keepdims)
    return apply("sum", (x,), (out,), lambda g: (_spread(g, shape, axes),))[0]


def mean(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean. Raises: DTypeError, ArgumentError; ShapeError if there is nothing to average."""
    x = floating(x)
    data = x.data
    axes = normal_axes(axis, data.ndim)
    shape = data.shape
    count = _count(shape, axes)
    with np.errstate(all="ignore"):
        out = data.sum(axes, keepdims=keepdims) / count
    return apply("mean", (x,), (out,), lambda g: (_spread(g / count, shape, axes),))[0]


def var(x: Operand, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Tensor:
    """The variance, sum((x - mean)**2) / (count - correction); correction 1 is the unbiased one.

    Raises: DTypeError, ArgumentError; ShapeError if count - correction is not positive.
    """
    x = floating(x)
    data = x.data
    axes = normal_axes(axis, data.ndim)
    shape = data.shape
    if isinstance(correction, bool) or not isinstance(correction, int) or correction < 0:
        raise ArgumentError("correction", repr(correction), "an integer of at least 0")
    count = _count(shape, axes, more_than=correction)
    with np.errstate(all="ignore"):
        centred = data - data.sum(axes, keepdims=True) / count
        out = (centred * centred).sum(axes, keepdims=keepdims) / (count - correction)

    def backward(g: Array) -> tuple[Array]:
        # The mean's own dependence on x drops out, since the centred values sum to 0.
        return (_kept(g, shape, axes) * (2 / (count - correction)) * centred,)

    return apply("var", (x,), (out,), backward)[0]


def max(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element; NaN if any is. Elements that tie share the gradient evenly.

    Raises: DTypeError, ArgumentError; ShapeError if there is no element.
    """
    return _extremum("max", x, axis, keepdims)


def min(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element; NaN if any is. Elements that tie share the gradient evenly.

    Raises: DTypeError, ArgumentError; ShapeError if there is no element.
    """
    return _extremum("min", x, axis, keepdims)


def _extremum(name: str, x: Operand, axis: Axis, keepdims: bool) -> Tensor:
    x = as_tensor(x, None, "x")
    data = x.data
    axes = normal_axes(axis, data.ndim)
    shape = data.shape
    _count(shape, axes)
    with np.errstate(all="ignore"):
        out = getattr(data, name)(axes, keepdims=keepdims)

    def backward(g: Array) -> tuple[Array]:
        chosen = (data == _kept(out, shape, axes)).astype(data.dtype)
        # Where a NaN won nothing is chosen, and 0 / 0 sends NaN back.
        return (_kept(g, shape, axes) * chosen / chosen.sum(axes, keepdims=True),)

    return apply(name, (x,), (out,), backward)[0]


def _kept(reduced: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """`reduced` with the reduced axes back as size 1, so that it broadcasts to `shape`."""
    if reduced.ndim == 0:
        return reduced  # broadcasts as it is
    return reduced.reshape([1 if axis in axes else size for axis, size in enumerate(shape)])


def _spread(reduced: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """`reduced` repeated along the reduced axes."""
    repeated = array_namespace(reduced).empty(shape, reduced.dtype)
    repeated[...] = _kept(reduced, shape, axes)
    return repeated


def _count(shape: tuple[int, ...], axes: tuple[int, ...], more_than: int = 0) -> int:
    """How many elements are reduced to one."""
    count = 1
    for axis in axes:
        count *= shape[axis]
    if count <= more_than:
        wanted = f"more than {more_than} element(s) along the reduced axes"
        raise ShapeError("x", f"shape {shape}", wanted)
    return count
