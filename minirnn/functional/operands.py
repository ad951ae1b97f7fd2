"""What the functions share: operands at the door, and the gradient of broadcasting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minirnn.device import FLOATS, Array, beside, check_beside, has_no_device, wrong_dtype
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.tensor import Axis, Operand, Tensor, as_tensor, constant


def floating(x: Operand, argument: str = "x") -> Tensor:
    """`x` as a tensor of float32 or float64. Raises: DTypeError."""
    tensor = x if isinstance(x, Tensor) else as_tensor(x, None, argument)
    if tensor.data.dtype not in FLOATS:
        hint = "Convert it with .astype(...)"
        raise DTypeError(argument, tensor.data.dtype.name, "float32 or float64", hint)
    return tensor


def pair(a: Operand, b: Operand, names: tuple[str, str] = ("a", "b")) -> tuple[Tensor, Tensor]:
    """Two operands as tensors of one dtype on one device; a Python number adopts the other's.

    Raises: DTypeError if their dtypes differ, DeviceError if their devices do.
    """
    if isinstance(a, Tensor):
        if not isinstance(b, Tensor):
            return a, as_tensor(b, a.data.dtype, names[1], a.data)
    elif isinstance(b, Tensor) or type(a) in (float, int, bool):
        b = as_tensor(b, None, names[1])
        return as_tensor(a, b.data.dtype, names[0], b.data), b
    else:
        first = as_tensor(a, None, names[0])
        second = as_tensor(b, first.data.dtype, names[1], None if has_no_device(a) else first.data)
        if type(first.data) is not type(second.data):  # numbers, which go to where the array is
            first = constant(beside(first.data, second.data))
        return first, second
    if b.data.dtype is not a.data.dtype and b.data.dtype != a.data.dtype:
        raise wrong_dtype(names[1], b.data.dtype, a.data.dtype)
    if type(b.data) is not type(a.data):
        check_beside(b.data, a.data, names[1])
    return a, b


def numbers(a: Operand, b: Operand) -> tuple[Tensor, Tensor]:
    """As `pair`, for arithmetic: booleans are refused. Raises: DTypeError."""
    a, b = pair(a, b)
    if a.data.dtype == np.bool_:
        raise DTypeError("a", "bool", "numbers", "Convert it with .astype(...)")
    return a, b


def elementwise(function: Callable[[Array, Array], Array], x: Array, y: Array) -> Array:
    """`function(x, y)` with broadcasting, as IEEE 754 has it: no warning for an inf or a NaN.

    Raises: ShapeError if the shapes do not broadcast together.
    """
    try:
        with np.errstate(all="ignore"):
            return function(x, y)
    except ValueError:
        wanted = f"a shape that broadcasts with {x.shape}"
        raise ShapeError("b", f"shape {y.shape}", wanted) from None


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an array of `shape` that was broadcast to `gradient`'s shape.

    Every copy that broadcasting made sends its gradient back, so the copies are summed.
    """
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    stretched = tuple(
        extra + axis
        for axis, size in enumerate(shape)
        if size == 1 and gradient.shape[extra + axis] != 1
    )
    return gradient.sum(tuple(range(extra)) + stretched).reshape(shape)


def normal_axis(axis: int, ndim: int, argument: str = "axis") -> int:
    """`axis` counted from the front. Raises: ArgumentError if there is no such axis."""
    if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
        raise ArgumentError(argument, repr(axis), "an integer")
    if not -ndim <= axis < ndim:
        raise ArgumentError(argument, axis, f"an axis of {ndim} dimension(s)")
    return int(axis) % ndim


def normal_axes(axis: Axis, ndim: int, argument: str = "axis") -> tuple[int, ...]:
    """`axis` (None: all) as a tuple counted from the front.

    Raises: ArgumentError if an axis does not exist or is named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, tuple | list):
        return (normal_axis(axis, ndim, argument),)
    axes = tuple(normal_axis(one, ndim, argument) for one in axis)
    if len(set(axes)) != len(axes):
        raise ArgumentError(argument, axis, "each axis once")
    return axes
