"""Forecasts that need no network: what a trained one must beat to be worth its training.

Source: Hyndman & Athanasopoulos, Forecasting: Principles and Practice (3rd ed.), section 5.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.errors import ArgumentError, DataError
from minirnn.training.windows import check_count, check_series

Floats = NDArray[np.float64]


def persistence(values: Any, cut: int, horizon: int = 1) -> Floats:
    """Predict each value from index `cut` on as the one `horizon` steps before it, `(n - cut,)`."""
    series, horizon = check_series(values, "values"), check_count("horizon", horizon)
    cut = _check_cut(cut, len(series), horizon)
    return series[cut - horizon : len(series) - horizon].copy()


def training_mean(values: Any, cut: int) -> Floats:
    """Predict each value from index `cut` on as the mean of those before it, `(n - cut,)`."""
    series = check_series(values, "values")
    cut = _check_cut(cut, len(series), 1)
    return np.full(len(series) - cut, np.nanmean(series[:cut]))


def seasonal_drift(past: Any, steps: int, period: int, slope_periods: int = 10) -> Floats:
    """Continue a series as its last period plus a slope, `(steps,)`: the free run to beat.

    The slope is that between the mean of the last period of `past (n,)` and the mean of the period
    `slope_periods` before it (or of the first whole one, if `past` does not reach so far): whole
    periods, so that the season does not bend it. For a yearly cycle: last year, plus a ten-year
    slope. NaN in the last period comes back in every period of the answer.

    Raises: DataError when `past` is shorter than two periods.
    """
    series = check_series(past, "past")
    steps, period = check_count("steps", steps, 0), check_count("period", period)
    slope_periods = check_count("slope_periods", slope_periods)
    n = len(series)
    if n < 2 * period:
        raise DataError("past", f"{n} values", f"two periods of {period} at least")
    back = min(slope_periods, n // period - 1) * period
    last, first = series[n - period :], series[n - period - back : n - back]
    slope = (np.nanmean(last) - np.nanmean(first)) / back
    k = np.arange(steps)
    return last[k % period] + slope * period * (k // period + 1)


def _check_cut(cut: int, n: int, least: int) -> int:
    cut = check_count("cut", cut, least)
    if cut > n:
        raise ArgumentError("cut", cut, f"at most {n}, the length of the series")
    return cut
