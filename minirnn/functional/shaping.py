"""Shapes: the same numbers, arranged otherwise. Results share memory where NumPy's do."""

from __future__ import annotations

from collections.abc import Sequence

from minirnn.device import (
    Array,
    array_namespace,
    beside,
    check_beside,
    has_no_device,
    wrong_dtype,
)
from minirnn.errors import ArgumentError, ShapeError
from minirnn.functional.operands import normal_axes, normal_axis, unbroadcast
from minirnn.tensor import Axis, Operand, Tensor, apply, as_tensor, constant


def reshape(x: Operand, shape: int | Sequence[int]) -> Tensor:
    """x with `shape`; one size may be -1, which means "what is left".

    Raises: ShapeError if the number of elements differs.
    """
    x = as_tensor(x, None, "x")
    data = x.data
    before = data.shape
    try:
        out = data.reshape(shape)
    except (ValueError, TypeError):
        raise ShapeError("shape", f"{shape}", f"one of {data.size} elements, as x has") from None
    return apply("reshape", (x,), (out,), lambda g: (g.reshape(before),))[0]


def transpose(x: Operand, axes: Sequence[int] | None = None) -> Tensor:
    """x with its axes in the order `axes`; None reverses them. Raises: ArgumentError."""
    x = as_tensor(x, None, "x")
    ndim = x.data.ndim
    order = tuple(range(ndim))[::-1] if axes is None else normal_axes(tuple(axes), ndim, "axes")
    if len(order) != ndim:
        raise ArgumentError("axes", axes, f"all {ndim} axes")
    inverse = tuple(sorted(range(ndim), key=order.__getitem__))
    out = x.data.transpose(order)
    return apply("transpose", (x,), (out,), lambda g: (g.transpose(inverse),))[0]


def swapaxes(x: Operand, first: int, second: int) -> Tensor:
    """x with two axes exchanged. Raises: ArgumentError."""
    x = as_tensor(x, None, "x")
    first = normal_axis(first, x.data.ndim, "first")
    second = normal_axis(second, x.data.ndim, "second")
    out = x.data.swapaxes(first, second)
    return apply("swapaxes", (x,), (out,), lambda g: (g.swapaxes(first, second),))[0]


def squeeze(x: Operand, axis: Axis = None) -> Tensor:
    """x without axes of size 1: `axis`, or all of them.

    Raises: ShapeError if a named axis has another size, ArgumentError if it does not exist.
    """
    x = as_tensor(x, None, "x")
    before = x.data.shape
    axes = normal_axes(axis, len(before))
    if axis is not None and any(before[one] != 1 for one in axes):
        raise ShapeError("x", f"shape {before}", f"size 1 along axis {axis}")
    shape = [size for i, size in enumerate(before) if not (i in axes and size == 1)]
    out = x.data.reshape(shape)
    return apply("squeeze", (x,), (out,), lambda g: (g.reshape(before),))[0]


def expand_dims(x: Operand, axis: int | tuple[int, ...]) -> Tensor:
    """x with an axis of size 1 at each position `axis` of the result. Raises: ArgumentError."""
    x = as_tensor(x, None, "x")
    before = x.data.shape
    added = len(axis) if isinstance(axis, tuple | list) else 1
    axes = normal_axes(axis, len(before) + added)
    sizes = iter(before)
    shape = [1 if i in axes else next(sizes) for i in range(len(before) + added)]
    out = x.data.reshape(shape)
    return apply("expand_dims", (x,), (out,), lambda g: (g.reshape(before),))[0]


def broadcast_to(x: Operand, shape: Sequence[int]) -> Tensor:
    """x repeated along axes of size 1 and new leading axes, as a view. Raises: ShapeError."""
    x = as_tensor(x, None, "x")
    before = x.data.shape
    try:
        out = array_namespace(x.data).broadcast_to(x.data, tuple(shape))
    except (ValueError, TypeError):
        raise ShapeError("shape", f"{shape}", f"one that {before} broadcasts to") from None
    return apply("broadcast_to", (x,), (out,), lambda g: (unbroadcast(g, before),))[0]


def flip(x: Operand, axis: Axis = None) -> Tensor:
    """x in reverse order along `axis` (None: all). Raises: ArgumentError."""
    x = as_tensor(x, None, "x")
    axes = normal_axes(axis, x.data.ndim)
    xp = array_namespace(x.data)
    return apply("flip", (x,), (xp.flip(x.data, axes),), lambda g: (xp.flip(g, axes),))[0]


def concatenate(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """Joined end to end along `axis`; every other size must agree.

    Raises: ShapeError, DTypeError; ArgumentError if there is nothing to join.
    """
    parts = _same_kind(tensors)
    shapes = [part.data.shape for part in parts]
    axis = normal_axis(axis, len(shapes[0]))
    for index, shape in enumerate(shapes):
        others = shape[:axis] + shape[axis + 1 :]
        if len(shape) != len(shapes[0]) or others != shapes[0][:axis] + shapes[0][axis + 1 :]:
            text = f"{shapes[0]} except along axis {axis}, as tensors[0] has"
            raise ShapeError(f"tensors[{index}]", f"shape {shape}", text)
    out = array_namespace(parts[0].data).concatenate([part.data for part in parts], axis)
    sizes = [shape[axis] for shape in shapes]
    return apply("concatenate", parts, (out,), lambda g: _cut(g, sizes, axis))[0]


def stack(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """Joined along a new axis at position `axis` of the result; all shapes must be equal.

    Raises: ShapeError, DTypeError; ArgumentError if there is nothing to join.
    """
    parts = _same_kind(tensors)
    first = parts[0].data.shape
    axis = normal_axis(axis, len(first) + 1)
    for index, part in enumerate(parts):
        if part.data.shape != first:
            text = f"{first}, as tensors[0] has"
            raise ShapeError(f"tensors[{index}]", f"shape {part.data.shape}", text)
    xp = array_namespace(parts[0].data)
    out = xp.stack([part.data for part in parts], axis)

    def backward(g: Array) -> list[Array]:
        return list(xp.moveaxis(g, axis, 0))

    return apply("stack", parts, (out,), backward)[0]


def split(x: Operand, sizes: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """x cut along `axis` into parts of `sizes`; an integer cuts that many equal parts.

    Raises: ShapeError if the parts do not make up the whole, ArgumentError.
    """
    x = as_tensor(x, None, "x")
    data = x.data
    axis = normal_axis(axis, data.ndim)
    length = data.shape[axis]
    if isinstance(sizes, int):
        if sizes < 1 or length % sizes:
            raise ShapeError("sizes", f"{sizes} parts", f"a divisor of {length}, the axis's size")
        parts = [length // sizes] * sizes
    else:
        parts = [int(size) for size in sizes]
        if not parts or any(size < 0 for size in parts) or sum(parts) != length:
            raise ShapeError("sizes", f"{parts}", f"sizes that add up to {length}, the axis's size")
    outs = tuple(_cut(data, parts, axis))
    xp = array_namespace(data)
    shape, dtype = data.shape, data.dtype

    def backward(*gradients: Array | None) -> tuple[Array]:
        total = xp.zeros(shape, dtype)
        for view, g in zip(_cut(total, parts, axis), gradients, strict=True):
            if g is not None:
                view[...] = g
        return (total,)

    return apply("split", (x,), outs, backward)


def unbind(x: Operand, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of x along `axis`, without that axis.

    One step on the tape, where `[x[t] for t in ...]` would be as many, and would need a gradient
    the size of x for each of them; iterating over a tensor does this.

    Raises: ShapeError if x has no dimension, ArgumentError.
    """
    x = as_tensor(x, None, "x")
    data = x.data
    if data.ndim == 0:
        raise ShapeError("x", "shape ()", "at least one dimension")
    axis = normal_axis(axis, data.ndim)
    xp = array_namespace(data)
    shape, dtype = data.shape, data.dtype
    outs = tuple(xp.moveaxis(data, axis, 0))

    def backward(*gradients: Array | None) -> tuple[Array]:
        total = xp.zeros(shape, dtype)
        by_slice = xp.moveaxis(total, axis, 0)
        for index, g in enumerate(gradients):
            if g is not None:
                by_slice[index] = g
        return (total,)

    return apply("unbind", (x,), outs, backward)


def _same_kind(tensors: Sequence[Operand]) -> tuple[Tensor, ...]:
    if isinstance(tensors, Tensor) or not isinstance(tensors, list | tuple) or not tensors:
        came = "none" if isinstance(tensors, list | tuple) else f"a {type(tensors).__name__}"
        raise ArgumentError("tensors", came, "a list or tuple of at least one tensor")
    parts = [as_tensor(one, None, f"tensors[{i}]") for i, one in enumerate(tensors)]
    dtype = parts[0].data.dtype
    for index, part in enumerate(parts):
        if part.data.dtype != dtype:
            raise wrong_dtype(f"tensors[{index}]", part.data.dtype, dtype)
        if type(part.data) is not type(parts[0].data):
            return _on_one_device(tensors, parts)
    return tuple(parts)


def _on_one_device(tensors: Sequence[Operand], parts: list[Tensor]) -> tuple[Tensor, ...]:
    """The parts where the first of them is that is no mere list of numbers.

    Raises: DeviceError if another such one is elsewhere.
    """
    first = next(p for one, p in zip(tensors, parts, strict=True) if not has_no_device(one)).data
    for index, (one, part) in enumerate(zip(tensors, parts, strict=True)):
        if has_no_device(one):
            parts[index] = constant(beside(part.data, first))
        else:
            check_beside(part.data, first, f"tensors[{index}]")
    return tuple(parts)


def _cut(array: Array, sizes: Sequence[int], axis: int) -> list[Array]:
    """Views of `array`, of these sizes along `axis`."""
    before = (slice(None),) * axis
    parts, start = [], 0
    for size in sizes:
        parts.append(array[(*before, slice(start, start + size))])
        start += size
    return parts
