"""Matrix products."""

from __future__ import annotations

import math

import numpy as np

from minirnn.device import Array
from minirnn.errors import ShapeError
from minirnn.functional.operands import floating, pair, unbroadcast
from minirnn.tensor import Operand, Tensor, apply, as_tensor

Pair = tuple[Array | None, Array | None]


def matmul(a: Operand, b: Operand) -> Tensor:
    """a @ b: (..., N, K) @ (..., K, M) -> (..., N, M), where leading dimensions broadcast.

    A 1-D `a (K,)` counts as a row and a 1-D `b (K,)` as a column, which the result lacks.

    Raises: DTypeError; ShapeError if the inner sizes differ or an operand has no dimension.
    """
    a, b = pair(a, b)
    floating(a, "a")
    x, y = a.data, b.data
    if x.ndim == 0 or y.ndim == 0:
        name = "a" if x.ndim == 0 else "b"
        raise ShapeError(name, "shape ()", "at least one dimension", "Use * to scale")
    if x.ndim == 1 or y.ndim == 1:
        return _vector_matmul(a, b)
    if x.shape[-1] != y.shape[-2]:
        raise _inner_sizes_differ(x, y, y.shape[-2])
    try:
        with np.errstate(all="ignore"):
            out = _product(x, y)
    except ValueError:
        wanted = f"leading dimensions that broadcast with those of {x.shape}"
        raise ShapeError("b", f"shape {y.shape}", wanted) from None
    need_a, need_b = a._requires_grad, b._requires_grad

    def backward(g: Array) -> Pair:
        # out = x y:  dx = dout y^T,  dy = x^T dout
        dx = unbroadcast(_product(g, y.swapaxes(-1, -2)), x.shape) if need_a else None
        if not need_b:
            return dx, None
        if y.ndim == 2:  # sum over the leading dimensions inside one product, not after many
            return dx, _rows(x).T @ _rows(g)
        return dx, unbroadcast(x.swapaxes(-1, -2) @ g, y.shape)

    return apply("matmul", (a, b), (out,), backward)[0]


def linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Tensor:
    """x weight^T + bias: x (..., I), weight (O, I), bias (O,) or None give (..., O).

    One step on the tape for what `x @ weight.T + bias` does in three.

    Raises: DTypeError, ShapeError, DeviceError.
    """
    weight = floating(weight, "weight")
    x = as_tensor(x, weight.data.dtype, "x", weight.data)
    inputs, matrix = x.data, weight.data
    if matrix.ndim != 2:
        raise ShapeError("weight", f"shape {matrix.shape}", "two dimensions (O, I)")
    if inputs.ndim == 0 or inputs.shape[-1] != matrix.shape[1]:
        raise ShapeError("x", f"shape {inputs.shape}", f"(..., {matrix.shape[1]})")
    outputs = (*inputs.shape[:-1], matrix.shape[0])
    rows = _rows(inputs)
    with np.errstate(all="ignore"):
        out = rows @ matrix.T
        if bias is not None:
            bias = as_tensor(bias, matrix.dtype, "bias", matrix)
            if bias.data.shape != matrix.shape[:1]:
                raise ShapeError("bias", f"shape {bias.data.shape}", f"({matrix.shape[0]},)")
            out += bias.data
    tensors = (x, weight) if bias is None else (x, weight, bias)
    needs = [tensor._requires_grad for tensor in tensors]

    def backward(g: Array) -> list[Array | None]:
        g = _rows(g)
        gradients = [
            (g @ matrix).reshape(inputs.shape) if needs[0] else None,
            g.T @ rows if needs[1] else None,
        ]
        if bias is not None:
            gradients.append(g.sum(0) if needs[2] else None)
        return gradients

    return apply("linear", tensors, (out.reshape(outputs),), backward)[0]


def _vector_matmul(a: Tensor, b: Tensor) -> Tensor:
    """a @ b where at least one is 1-D."""
    x, y = a.data, b.data
    inner = y.shape[-2] if y.ndim > 1 else y.shape[0]
    if x.shape[-1] != inner:
        raise _inner_sizes_differ(x, y, inner)
    with np.errstate(all="ignore"):
        out = x @ y
    need_a, need_b = a._requires_grad, b._requires_grad
    row = x if x.ndim > 1 else x[None, :]
    column = y if y.ndim > 1 else y[:, None]
    leading = (x if x.ndim > 1 else y).shape[:-2]
    full = (*leading, row.shape[-2], column.shape[-1])

    def backward(g: Array) -> Pair:
        g = g.reshape(full)
        dx = g @ column.swapaxes(-1, -2) if need_a else None
        dy = row.swapaxes(-1, -2) @ g if need_b else None
        return (
            None if dx is None else unbroadcast(dx, row.shape).reshape(x.shape),
            None if dy is None else unbroadcast(dy, column.shape).reshape(y.shape),
        )

    return apply("matmul", (a, b), (out,), backward)[0]


def _product(x: Array, y: Array) -> Array:
    """x @ y; with a plain matrix on the right as one product, however many leading dimensions."""
    if y.ndim == 2 and x.ndim > 2:
        return (_rows(x) @ y).reshape((*x.shape[:-1], y.shape[1]))
    return x @ y


def _rows(x: Array) -> Array:
    """x (..., K) as a matrix (N, K)."""
    if x.ndim == 2:
        return x
    # Not -1: with an empty array the size could not be inferred.
    return x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def _inner_sizes_differ(x: Array, y: Array, inner: int) -> ShapeError:
    return ShapeError(
        "a @ b",
        f"shapes {x.shape} and {y.shape}",
        f"a's last size ({x.shape[-1]}) equal to {inner}",
    )
