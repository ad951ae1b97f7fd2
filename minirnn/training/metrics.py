"""Measures of a prediction beside the loss, on plain arrays, of NumPy or CuPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minirnn.device import Array
from minirnn.errors import ArgumentError, ShapeError
from minirnn.training.history import COLUMNS

Metric = Callable[[Array, Array], Any]
"""metric(prediction, target) -> a number; arrays of the data's rows, padding left out.

They are where the model is; on the GPU, CuPy's.
"""


def rmse(prediction: Array, target: Array) -> float:
    """Root of the mean squared error, in the units of the target; equal shapes."""
    return math.sqrt(mse(prediction, target))


def mse(prediction: Array, target: Array) -> float:
    """Mean squared error; equal shapes."""
    return float((_error(prediction, target) ** 2).mean())


def mae(prediction: Array, target: Array) -> float:
    """Mean absolute error, in the units of the target; equal shapes."""
    return float(abs(_error(prediction, target)).mean())


def r2(prediction: Array, target: Array) -> float:
    """1 - (squared error) / (squared deviation of the target from its mean); equal shapes.

    1 is perfect, 0 is what the mean of these targets scores, and a missed level can make it very
    negative. NaN where the targets do not vary.
    """
    error = _error(prediction, target)
    wide = target.astype(np.float64)
    deviation = float(((wide - wide.mean(axis=0)) ** 2).sum())
    return 1.0 - float((error**2).sum()) / deviation if deviation > 0 else float("nan")


def accuracy(prediction: Array, target: Array) -> float:
    """Share of right answers.

    For integer labels (...,) the prediction holds logits (..., C), and the largest is the answer;
    for targets of 0 and 1 it holds one logit each, in the same shape, and above 0 means 1.
    """
    if target.dtype.kind in "iu":
        if prediction.shape[:-1] != target.shape:
            raise ShapeError("prediction", f"shape {prediction.shape}", f"{target.shape} + (C,)")
        return float((prediction.argmax(axis=-1) == target).mean())
    _error(prediction, target)
    return float(((prediction > 0) == (target > 0.5)).mean())


METRICS: dict[str, Metric] = {
    "rmse": rmse,
    "mse": mse,
    "mae": mae,
    "l1": mae,
    "r2": r2,
    "accuracy": accuracy,
}


def resolve_metrics(metrics: Iterable[str | Metric]) -> dict[str, Metric]:
    """Metrics by name; a callable goes by its `__name__`.

    Raises: ArgumentError for an unknown name, what is no metric, or a name already in use.
    """
    if isinstance(metrics, str) or callable(metrics):
        metrics = (metrics,)
    if not isinstance(metrics, Iterable):
        wanted = f"a list of {', '.join(METRICS)}, or of callables; () for none"
        raise ArgumentError("metrics", repr(metrics), wanted)
    found: dict[str, Metric] = {}
    for metric in metrics:
        if isinstance(metric, str) and metric in METRICS:
            name, function = metric, METRICS[metric]
        elif callable(metric):
            name, function = getattr(metric, "__name__", type(metric).__name__), metric
        else:
            raise ArgumentError("metrics", repr(metric), f"{', '.join(METRICS)}, or a callable")
        if name in found or name in COLUMNS:
            raise ArgumentError("metrics", repr(name), "names not in use already")
        found[name] = function
    return found


def metric_value(name: str, value: Any) -> float:
    """What a metric returned, as a float. Raises: ArgumentError, unless it is one number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        shape = getattr(value, "shape", None)
        came = repr(value) if shape is None else f"an array of shape {tuple(shape)}"
        raise ArgumentError("metrics", f"{name!r}, which returns {came}", "one number") from None


def _error(prediction: Array, target: Array) -> Array:
    if prediction.shape != target.shape:
        raise ShapeError("prediction", f"shape {prediction.shape}", f"{target.shape}, the target's")
    return prediction.astype(np.float64) - target.astype(np.float64)
