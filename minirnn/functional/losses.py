"""Losses. `reduction`: "mean" over all elements, "sum", or "none" for one loss per element.

The shapes of prediction and target must be equal: (N,) against (N, 1) would broadcast to (N, N) and
train a model towards the mean of the targets without a word. So nothing broadcasts here.

On the GPU a label or a target out of range cannot raise an error without making every call wait
for the GPU; there its loss and its gradient become NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from minirnn.device import Array, array_namespace
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.functional.activations import log_normaliser, sigmoid_of
from minirnn.functional.indexing import check_indices
from minirnn.functional.operands import floating
from minirnn.real import is_real
from minirnn.tensor import Operand, Tensor, apply, as_tensor

Reduction = Literal["mean", "sum", "none"]
Spread = Callable[[Array], Array]


def mse_loss(prediction: Operand, target: Operand, *, reduction: Reduction = "mean") -> Tensor:
    """(prediction - target)**2. Raises: ShapeError, DTypeError, DeviceError, ArgumentError."""
    prediction, target = _same_shape(prediction, target)
    with np.errstate(all="ignore"):
        error = prediction.data - target.data
        out, spread = _reduce(error * error, reduction)
    return _difference_loss("mse_loss", prediction, target, out, lambda g: spread(g) * (2 * error))


def l1_loss(prediction: Operand, target: Operand, *, reduction: Reduction = "mean") -> Tensor:
    """|prediction - target|; the gradient at 0 is 0.

    Raises: ShapeError, DTypeError, DeviceError, ArgumentError.
    """
    prediction, target = _same_shape(prediction, target)
    xp = array_namespace(prediction.data)
    with np.errstate(all="ignore"):
        error = prediction.data - target.data
        out, spread = _reduce(xp.abs(error), reduction)
    slope = xp.sign(error)
    return _difference_loss("l1_loss", prediction, target, out, lambda g: spread(g) * slope)


def huber_loss(
    prediction: Operand, target: Operand, *, delta: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """error**2 / 2 up to |error| = delta, and from there the line delta * (|error| - delta / 2).

    Source: Huber, "Robust Estimation of a Location Parameter", Ann. Math. Statist. 35 (1964).

    Raises: ShapeError, DTypeError, DeviceError; ArgumentError if delta is not positive.
    """
    if not is_real(delta) or not 0 < delta < np.inf:
        raise ArgumentError("delta", repr(delta), "a positive number")
    delta = float(delta)
    prediction, target = _same_shape(prediction, target)
    xp = array_namespace(prediction.data)
    with np.errstate(all="ignore"):
        error = prediction.data - target.data
        slope = xp.clip(error, -delta, delta)
        # slope * (error - slope/2) is both pieces: error**2/2 inside, the line outside.
        out, spread = _reduce(slope * (error - slope / 2), reduction)
    return _difference_loss("huber_loss", prediction, target, out, lambda g: spread(g) * slope)


def binary_cross_entropy_with_logits(
    logits: Operand, target: Operand, *, reduction: Reduction = "mean"
) -> Tensor:
    """-[y log p + (1 - y) log(1 - p)] with p = sigmoid(logit) and y the target, 0 <= y <= 1.

    Computed as max(z, 0) - z y + log(1 + e**-|z|), which neither overflows nor takes log(0).

    Raises: ShapeError, DTypeError, DeviceError; ArgumentError (on the CPU) if a target lies outside
    0 to 1.
    """
    logits, target = _same_shape(logits, target, "logits")
    z, y = logits.data, target.data
    xp = array_namespace(z)
    outside = (y < 0) | (y > 1)
    if xp is not np:
        y = xp.where(outside, np.nan, y)
    elif outside.any():
        raise ArgumentError("target", f"values from {y.min():g} to {y.max():g}", "0 <= target <= 1")
    with np.errstate(all="ignore"):
        values = xp.maximum(z, 0) - z * y + xp.log1p(xp.exp(-xp.abs(z)))
        out, spread = _reduce(values, reduction, "logits")
    need_z, need_y = logits._requires_grad, target._requires_grad

    def backward(g: Array) -> tuple[Array | None, Array | None]:
        g = spread(g)
        return g * (sigmoid_of(z) - y) if need_z else None, -g * z if need_y else None

    return apply("binary_cross_entropy_with_logits", (logits, target), (out,), backward)[0]


def cross_entropy(logits: Operand, labels: Operand, *, reduction: Reduction = "mean") -> Tensor:
    """-log softmax(logits)[label]: logits (..., C), integer labels (...) in 0 <= label < C.

    Raises: ShapeError, DTypeError (labels that are no integers), DeviceError; ArgumentError (on the
    CPU, a label outside).
    """
    logits = floating(logits, "logits")
    z = logits.data
    target = as_tensor(labels, None, "labels", z)
    if z.ndim == 0 or target.data.shape != z.shape[:-1]:
        came = f"logits of shape {z.shape} and labels of shape {target.data.shape}"
        raise ShapeError("labels", came, "logits (..., C) and labels (...)")
    if target.data.dtype.kind not in "iu":
        raise DTypeError("labels", target.data.dtype.name, "integers, the number of each class")
    xp = array_namespace(z)
    classes = z.shape[-1]
    if xp is np:
        check_indices(target.data, classes, "labels")
    index = target.data.astype(np.intp)[..., None]
    normaliser, weights = log_normaliser(z, (z.ndim - 1,))
    if xp is not np:
        outside = (index < 0) | (index >= classes)
        normaliser = xp.where(outside, np.nan, normaliser)
        weights = xp.where(outside, np.nan, weights)
    with np.errstate(all="ignore"):
        values = (normaliser - xp.take_along_axis(z, index, -1))[..., 0]
        out, spread = _reduce(values, reduction, "logits")

    def backward(g: Array) -> tuple[Array]:
        # d/dz (log sum e**z - z[label]) = softmax(z) - onehot(label)
        slope = weights  # in place: a backward runs once
        if xp is np:
            np.put_along_axis(slope, index, np.take_along_axis(slope, index, -1) - 1, -1)
        else:  # one pass, where writing to places is several
            slope -= index == xp.arange(classes)
        slope *= spread(g)[..., None]
        return (slope,)

    return apply("cross_entropy", (logits,), (out,), backward)[0]


def _same_shape(
    prediction: Operand, target: Operand, name: str = "prediction"
) -> tuple[Tensor, Tensor]:
    prediction = floating(prediction, name)
    target = as_tensor(target, prediction.data.dtype, "target", prediction.data)
    if prediction.data.shape != target.data.shape:
        raise ShapeError(
            "target",
            f"{name} of shape {prediction.data.shape} and target of shape {target.data.shape}",
            "equal shapes",
            "A loss never broadcasts; reshape one of them",
        )
    return prediction, target


def _reduce(
    values: Array, reduction: Reduction, argument: str = "prediction"
) -> tuple[Array, Spread]:
    """The reduced loss; and what turns its gradient into one that broadcasts over the values."""
    if not isinstance(reduction, str) or reduction not in ("mean", "sum", "none"):
        raise ArgumentError("reduction", repr(reduction), "'mean', 'sum' or 'none'")
    if reduction == "none":
        return values, lambda g: g
    if reduction == "sum":
        return values.sum(), lambda g: g
    count = values.size
    if count == 0:
        raise ShapeError(argument, f"shape {values.shape}", "at least one element to average")
    return values.sum() / count, lambda g: g / count


def _difference_loss(
    name: str, prediction: Tensor, target: Tensor, out: Array, slope: Callable[[Array], Array]
) -> Tensor:
    """A loss of prediction - target: what is the gradient of one is minus that of the other."""
    need_prediction, need_target = prediction._requires_grad, target._requires_grad

    def backward(g: Array) -> tuple[Array | None, Array | None]:
        gradient = slope(g)
        return gradient if need_prediction else None, -gradient if need_target else None

    return apply(name, (prediction, target), (out,), backward)[0]
