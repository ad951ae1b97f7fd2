"""The forecasts that need no network."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn import datasets
from minirnn.errors import ArgumentError, DataError
from minirnn.training import persistence, seasonal_drift, split_index, training_mean


def test_persistence_repeats_the_value_a_horizon_before() -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    np.testing.assert_array_equal(persistence(values, 3), [4, 8])
    np.testing.assert_array_equal(persistence(values, 3, horizon=2), [2, 4])


def test_the_mean_is_the_training_parts() -> None:
    values = np.array([1.0, 2.0, np.nan, 6.0, 100.0, 100.0])
    np.testing.assert_array_equal(training_mean(values, 4), [3, 3])


def test_seasonal_drift_continues_a_cycle_on_a_slope_exactly() -> None:
    values = 5.0 + 0.25 * np.arange(400) + np.tile([0.0, 3.0, 1.0, -4.0], 100)
    np.testing.assert_allclose(seasonal_drift(values[:301], 99, period=4), values[301:], rtol=1e-12)


def test_seasonal_drift_takes_its_slope_from_the_last_periods() -> None:
    bent = np.concatenate([np.zeros(40), 2.0 * np.arange(1, 25)])
    np.testing.assert_allclose(seasonal_drift(bent, 5, 4, slope_periods=5), [50, 52, 54, 56, 58])
    assert seasonal_drift(bent, 1, 4, slope_periods=10)[0] < 50


def test_seasonal_drift_makes_do_with_two_periods() -> None:
    np.testing.assert_allclose(seasonal_drift(np.arange(6.0), 4, period=3), [6, 7, 8, 9])


def test_the_co2_baselines_are_the_known_ones() -> None:
    values = datasets.co2().values
    cut = split_index(len(values), 0.2)
    held_out = values[cut:]

    def rmse(forecast: np.ndarray) -> float:
        return float(np.sqrt(np.mean((forecast - held_out) ** 2)))

    assert rmse(persistence(values, cut)) == pytest.approx(0.513, abs=5e-4)
    assert rmse(training_mean(values, cut)) == pytest.approx(31.35, abs=5e-3)
    assert rmse(seasonal_drift(values[:cut], len(held_out), 52)) == pytest.approx(1.162, abs=5e-4)


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (ArgumentError, lambda: persistence([1.0, 2.0], 0)),
        (ArgumentError, lambda: persistence([1.0, 2.0], 1, horizon=2)),
        (ArgumentError, lambda: persistence([1.0, 2.0], 3)),
        (ArgumentError, lambda: training_mean([1.0, 2.0], 0)),
        (DataError, lambda: seasonal_drift([1.0, 2.0, 3.0], 5, 2)),
        (ArgumentError, lambda: seasonal_drift([1.0, 2.0, 3.0], 5, 0)),
    ],
)
def test_bad_arguments_are_typed_errors(error, call) -> None:
    with pytest.raises(error):
        call()
