"""Measures of a prediction beside the loss, on plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.errors import ArgumentError, ShapeError
from minirnn.training.history import COLUMNS

Metric = Callable[[NDArray[Any], NDArray[Any]], float]
"""metric(prediction, target) -> float; arrays of the data's rows, padding left out."""


def rmse(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    """Root of the mean squared error, in the units of the target; equal shapes."""
    return float(np.sqrt(np.mean(_error(prediction, target) ** 2)))


def mse(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    """Mean squared error; equal shapes."""
    return float(np.mean(_error(prediction, target) ** 2))


def mae(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    """Mean absolute error, in the units of the target; equal shapes."""
    return float(np.mean(np.abs(_error(prediction, target))))


def r2(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    """1 - (squared error) / (squared deviation of the target from its mean); equal shapes.

    1 is perfect, 0 is what the mean of these targets scores, and a missed level can make it very
    negative. NaN where the targets do not vary.
    """
    error = _error(prediction, target)
    wide = target.astype(np.float64)
    deviation = float(np.sum((wide - wide.mean(axis=0)) ** 2))
    return 1.0 - float(np.sum(error**2)) / deviation if deviation > 0 else float("nan")


def accuracy(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    """Share of right answers.

    For integer labels (...,) the prediction holds logits (..., C), and the largest is the answer;
    for targets of 0 and 1 it holds one logit each, in the same shape, and above 0 means 1.
    """
    if target.dtype.kind in "iu":
        if prediction.shape[:-1] != target.shape:
            raise ShapeError("prediction", f"shape {prediction.shape}", f"{target.shape} + (C,)")
        return float(np.mean(prediction.argmax(axis=-1) == target))
    _error(prediction, target)
    return float(np.mean((prediction > 0) == (target > 0.5)))


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


def _error(prediction: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    if prediction.shape != target.shape:
        raise ShapeError("prediction", f"shape {prediction.shape}", f"{target.shape}, the target's")
    return prediction.astype(np.float64) - target.astype(np.float64)
