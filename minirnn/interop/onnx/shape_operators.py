"""The operators that arrange: the same numbers in other shapes, parts of them, and shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minirnn import functional
from minirnn.device import to_device
from minirnn.errors import ArgumentError, ShapeError
from minirnn.interop.onnx.node import Node, Operator, Value, registrar
from minirnn.tensor import Tensor

MOST_ELEMENTS = 2**28  # of what a graph makes out of nothing but sizes

OPERATORS: dict[str, Operator] = {}
register = registrar(OPERATORS)


def take(x: Value, key: Any) -> Value:
    """x[key], with the key's arrays brought to x's device."""
    if not isinstance(x, Tensor):
        return np.asarray(x[key])
    parts = key if isinstance(key, tuple) else (key,)
    return functional.getitem(
        x, tuple(to_device(p, x.device) if isinstance(p, np.ndarray) else p for p in parts)
    )


@register("Identity")
def _identity(node: Node, x: Value) -> Value:
    return x


@register("Transpose")
def _transpose(node: Node, x: Value) -> Value:
    order = node.get("perm")
    return functional.transpose(x, order) if isinstance(x, Tensor) else np.transpose(x, order)


@register("Squeeze")
def _squeeze(node: Node, x: Value, given: Value | None = None) -> Value:
    axes = node.axes(given, 13)
    axis = None if axes is None else tuple(axes)
    return functional.squeeze(x, axis) if isinstance(x, Tensor) else np.squeeze(x, axis)


@register("Unsqueeze")
def _unsqueeze(node: Node, x: Value, given: Value | None = None) -> Value:
    axis = tuple(node.axes(given, 13) or ())
    return functional.expand_dims(x, axis) if isinstance(x, Tensor) else np.expand_dims(x, axis)


@register("Reshape")
def _reshape(node: Node, x: Value, shape: Value) -> Value:
    """Sizes of 0 stand for x's own, unless `allowzero`."""
    sizes = node.whole_numbers(shape, "shape")
    if not node.get("allowzero", 0):
        if any(size == 0 and at >= x.ndim for at, size in enumerate(sizes)):
            raise ShapeError(f"shape of {node.name!r}", sizes, f"0 for an axis of {x.shape} only")
        sizes = [x.shape[at] if size == 0 else size for at, size in enumerate(sizes)]
    return _reshaped(node, x, sizes)


@register("Flatten")
def _flatten(node: Node, x: Value) -> Value:
    axis = node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return _reshaped(node, x, [int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:]))])


def _reshaped(node: Node, x: Value, sizes: list[int]) -> Value:
    if isinstance(x, Tensor):
        return functional.reshape(x, sizes)
    try:
        return x.reshape(sizes)
    except ValueError as error:
        raise ShapeError(f"shape of {node.name!r}", sizes, f"one that fits ({error})") from None


@register("Shape")
def _shape(node: Node, x: Value) -> Value:
    return np.asarray(x.shape[slice(node.get("start", 0), node.get("end"))], np.int64)


@register("Size")
def _size(node: Node, x: Value) -> Value:
    return np.asarray(x.size, np.int64)


@register("Gather")
def _gather(node: Node, x: Value, indices: Value) -> Value:
    if isinstance(indices, Tensor):
        raise node.refuse("floating-point indices", "integers")
    axis = node.get("axis", 0)
    axis = axis + x.ndim if axis < 0 else axis
    key: Any = int(indices) if indices.ndim == 0 else indices
    try:
        return take(x, (*[slice(None)] * axis, key))
    except IndexError as error:
        raise ArgumentError(f"indices of {node.name!r}", str(error), "ones in range") from None


@register("Slice")
def _slice(node: Node, x: Value, *inputs: Value | None) -> Value:
    names = ("starts", "ends", "axes", "steps")
    if node.opset < 10:
        parts: list[Any] = [node.get(name) for name in names]
    else:
        given = (*inputs, None, None, None, None)
        parts = [
            None if value is None else node.whole_numbers(value, name)
            for name, value in zip(names, given, strict=False)
        ]
    starts, ends, axes, steps = parts
    axes = range(len(starts)) if axes is None else axes
    key: list[Any] = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts), strict=True):
        key[axis] = _bounds(start, end, step, x.shape[axis])
    return take(x, tuple(key))


def _bounds(start: int, end: int, step: int, size: int) -> slice:
    """ONNX's bounds are clamped to the axis; Python's reach before it means something else."""
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    end = min(max(end, -1), size - 1)
    return slice(min(max(start, 0), size - 1), None if end == -1 else end, step)


@register("Concat")
def _concat(node: Node, *values: Value) -> Value:
    axis = node.get("axis")
    if isinstance(values[0], Tensor):
        return functional.concatenate(values, axis)
    return np.concatenate(values, axis)


@register("Split")
def _split(node: Node, x: Value, given: Value | None = None) -> tuple[Value, ...]:
    axis, count = node.get("axis", 0), len(node.outputs)
    if node.opset < 13:
        sizes = node.get("split")
    else:
        sizes = None if given is None else node.whole_numbers(given, "split")
    length = x.shape[axis]
    if sizes is None:  # equal parts, the last one smaller if they do not come out even
        part = -(-length // count)
        sizes = [min(part, max(length - at * part, 0)) for at in range(count)]
    if sum(sizes) != length or min(sizes) < 0:
        raise ShapeError(f"split of {node.name!r}", list(sizes), f"sizes that add up to {length}")
    if isinstance(x, Tensor):
        return functional.split(x, sizes, axis)
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


@register("Expand")
def _expand(node: Node, x: Value, shape: Value) -> Value:
    sizes = tuple(node.whole_numbers(shape, "shape"))
    try:
        sizes = np.broadcast_shapes(x.shape, sizes)
    except ValueError:
        wanted = f"one that broadcasts with {x.shape}"
        raise ShapeError(f"shape of {node.name!r}", sizes, wanted) from None
    _check_size(node, list(sizes))
    return functional.broadcast_to(x, sizes) if isinstance(x, Tensor) else np.broadcast_to(x, sizes)


@register("Tile")
def _tile(node: Node, x: Value, repeats: Value) -> Value:
    counts = node.whole_numbers(repeats, "repeats")
    _check_size(node, [*x.shape, *counts])
    if not isinstance(x, Tensor):
        return np.tile(x, counts)
    for axis, count in enumerate(counts):
        x = functional.concatenate([x] * count, axis) if count != 1 else x
    return x


@register("Constant")
def _constant(node: Node) -> Value:
    known = ("value", "value_int", "value_ints", "value_float", "value_floats")
    if len(node.attributes) != 1 or not node.attributes.keys() <= set(known):
        came = ", ".join(node.attributes) or "no attribute"
        raise node.refuse(came, f"one of {', '.join(known)}")
    ((name, value),) = node.attributes.items()
    if name == "value":
        return np.asarray(value)
    return np.asarray(value, np.int64 if "int" in name else np.float32)


@register("ConstantOfShape")
def _constant_of_shape(node: Node, shape: Value) -> Value:
    value = node.get("value", np.zeros(1, np.float32))
    sizes = node.whole_numbers(shape, "shape")
    _check_size(node, sizes)
    return np.full(sizes, value.reshape(-1)[0], value.dtype)


def _check_size(node: Node, sizes: list[int]) -> None:
    """Before memory is taken: in a damaged file any number may be a size."""
    if min(sizes, default=0) < 0 or math.prod(sizes) > MOST_ELEMENTS:
        raise ShapeError(f"shape of {node.name!r}", sizes, f"at most {MOST_ELEMENTS} elements")


@register("Range")
def _range(node: Node, start: Value, limit: Value, delta: Value) -> Value:
    first, end, step = (each.item() for each in (start, limit, delta))
    _check_size(node, [max(int((end - first) / step), 0)])
    return np.arange(first, end, step, dtype=start.dtype)


@register("ReverseSequence")
def _reverse_sequence(node: Node, x: Value, sequence_lens: Value) -> Value:
    """The first `sequence_lens` steps of each sequence in reverse order; the rest stays."""
    time, batch = node.get("time_axis", 0), node.get("batch_axis", 1)
    if {time, batch} != {0, 1}:
        raise node.refuse(f"time_axis {time}, batch_axis {batch}", "0 and 1, or 1 and 0")
    lengths = np.asarray(node.whole_numbers(sequence_lens, "sequence_lens"))
    steps = np.arange(x.shape[time])[:, None]
    source = np.where(steps < lengths, lengths - 1 - steps, steps)  # (T, B)
    columns = np.broadcast_to(np.arange(x.shape[batch]), source.shape)
    key = (source, columns) if time == 0 else (columns.T, source.T)
    return take(x, key)
