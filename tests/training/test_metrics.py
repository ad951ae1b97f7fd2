"""Metrics against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minirnn.errors import ArgumentError, ShapeError
from minirnn.training.metrics import METRICS, accuracy, mae, mse, r2, resolve_metrics, rmse

P = np.array([[1.0], [2.0], [6.0]], np.float32)
T = np.array([[1.0], [4.0], [1.0]], np.float32)


def test_errors_are_measured() -> None:
    assert mse(P, T) == pytest.approx(29 / 3)
    assert rmse(P, T) == pytest.approx(math.sqrt(29 / 3))
    assert mae(P, T) == pytest.approx(7 / 3)
    assert r2(P, T) == pytest.approx(1 - 29 / 6)


def test_r2_is_one_when_perfect_zero_for_the_mean_and_unknown_for_constant_targets() -> None:
    assert r2(T, T) == 1.0
    assert r2(np.full_like(T, 2.0), T) == pytest.approx(0.0)
    assert math.isnan(r2(P, np.ones_like(P)))


def test_accuracy_of_logits_and_of_binary_answers() -> None:
    logits = np.array([[0.1, 0.9], [2.0, -1.0], [0.0, 1.0]])
    assert accuracy(logits, np.array([1, 0, 0])) == pytest.approx(2 / 3)
    assert accuracy(np.array([[3.0], [-1.0]]), np.array([[1.0], [1.0]])) == 0.5


@pytest.mark.parametrize("name", METRICS)
def test_metrics_never_broadcast(name: str) -> None:
    with pytest.raises(ShapeError, match="prediction"):
        METRICS[name](P, T[:, 0])


def test_accuracy_refuses_labels_of_other_rows() -> None:
    with pytest.raises(ShapeError):
        accuracy(P, np.array([[0], [0], [0]]))


def test_metrics_are_found_by_name_or_are_callables() -> None:
    def largest_error(prediction: np.ndarray, target: np.ndarray) -> float:
        return float(np.abs(prediction - target).max())

    found = resolve_metrics(["rmse", largest_error])
    assert list(found) == ["rmse", "largest_error"]
    assert list(resolve_metrics("mae")) == ["mae"]


def loss(prediction: np.ndarray, target: np.ndarray) -> float:
    return 0.0


@pytest.mark.parametrize("metrics", [["f1"], ["rmse", "rmse"], [3], [loss]])
def test_bad_metrics_are_named(metrics: list) -> None:
    with pytest.raises(ArgumentError, match="metrics: got"):
        resolve_metrics(metrics)
