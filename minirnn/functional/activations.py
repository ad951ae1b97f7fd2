"""Activations and normalised exponentials.

Each is right for any finite input, and has an exact derivative in terms of its own output, which is
all that its backward keeps.
"""

from __future__ import annotations

import numpy as np

from minirnn.device import Array, array_namespace
from minirnn.errors import ShapeError
from minirnn.functional.operands import floating, normal_axes, normal_axis
from minirnn.tensor import Axis, Operand, Tensor, apply


def sigmoid(x: Operand) -> Tensor:
    """1 / (1 + e**-x). Raises: DTypeError."""
    x = floating(x)
    out = sigmoid_of(x.data)
    return apply("sigmoid", (x,), (out,), lambda g: (g * out * (1 - out),))[0]


def tanh(x: Operand) -> Tensor:
    """The hyperbolic tangent. Raises: DTypeError."""
    x = floating(x)
    out = array_namespace(x.data).tanh(x.data)
    return apply("tanh", (x,), (out,), lambda g: (g * (1 - out * out),))[0]


def relu(x: Operand) -> Tensor:
    """max(x, 0), NaN for NaN; the gradient at 0 is 0. Raises: DTypeError."""
    x = floating(x)
    xp = array_namespace(x.data)
    out = xp.maximum(x.data, 0)
    # Chosen, not multiplied by 0 or 1, so that an infinite gradient is stopped too.
    return apply("relu", (x,), (out,), lambda g: (xp.where(out == 0, 0, g),))[0]


def softmax(x: Operand, axis: int = -1) -> Tensor:
    """e**x / sum(e**x) along `axis`.

    -inf gets weight 0; where all are -inf, or one is inf or NaN, the whole row is NaN.

    Raises: DTypeError, ArgumentError; ShapeError if there is no element along the axis.
    """
    x = floating(x)
    axis = normal_axis(axis, x.data.ndim)
    _, out = log_normaliser(x.data, (axis,))

    def backward(g: Array) -> tuple[Array]:
        weighted = g * out
        return (weighted - out * weighted.sum(axis, keepdims=True),)

    return apply("softmax", (x,), (out,), backward)[0]


def log_softmax(x: Operand, axis: int = -1) -> Tensor:
    """x - log(sum(e**x)) along `axis`; exact where the softmax itself would round to 0.

    Special values as in `softmax`, but -inf beside finite values gives -inf.

    Raises: DTypeError, ArgumentError; ShapeError if there is no element along the axis.
    """
    x = floating(x)
    axis = normal_axis(axis, x.data.ndim)
    normaliser, weights = log_normaliser(x.data, (axis,))
    with np.errstate(all="ignore"):
        out = x.data - normaliser

    def backward(g: Array) -> tuple[Array]:
        return (g - weights * g.sum(axis, keepdims=True),)

    return apply("log_softmax", (x,), (out,), backward)[0]


def logsumexp(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(e**x)) along `axis`; -inf (with a NaN gradient) where all are -inf.

    Raises: DTypeError, ArgumentError; ShapeError if there is no element along the axis.
    """
    x = floating(x)
    axes = normal_axes(axis, x.data.ndim)
    normaliser, weights = log_normaliser(x.data, axes)
    shape = normaliser.shape
    kept = [size for i, size in enumerate(shape) if keepdims or i not in axes]
    out = normaliser.reshape(kept)
    return apply("logsumexp", (x,), (out,), lambda g: (g.reshape(shape) * weights,))[0]


def log_normaliser(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """log(sum(e**x)) with the axes kept, and e**x / sum(e**x).

    The largest element is subtracted first, so that no power overflows and not all underflow.
    """
    if any(x.shape[axis] == 0 for axis in axes):
        raise ShapeError("x", f"shape {x.shape}", "at least one element along the axis")
    xp = array_namespace(x)
    with np.errstate(all="ignore"):
        highest = x.max(axes, keepdims=True)
        # A row of -inf has sum 0 and logarithm -inf; with -inf subtracted it would be NaN.
        shift = xp.where(xp.isfinite(highest), highest, 0)
        powers = xp.exp(x - shift)
        total = powers.sum(axes, keepdims=True)
        return xp.log(total) + shift, powers / total


def sigmoid_of(x: Array) -> Array:
    """1 / (1 + e**-x) of an array.

    Far below 0 the power overflows to inf, and 1 / inf = 0 is right: what is lost is only what the
    dtype holds as subnormal numbers (below 1e-38 in float32).
    """
    with np.errstate(all="ignore"):
        return 1 / (1 + array_namespace(x).exp(-x))
