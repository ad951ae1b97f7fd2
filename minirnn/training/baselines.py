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

    The slope is the least-squares line through the last `slope_periods` periods of `past (n,)` (or
    through all of it, where it is shorter). For a yearly cycle: last year, plus a ten-year slope.

    Raises: DataError when `past` is shorter than two periods.
    """
    series = check_series(past, "past")
    steps, period = check_count("steps", steps, 0), check_count("period", period)
    slope_periods = check_count("slope_periods", slope_periods)
    if len(series) < 2 * period:
        raise DataError("past", f"{len(series)} values", f"two periods of {period} at least")
    recent = series[-slope_periods * period :]
    known = np.flatnonzero(~np.isnan(recent))
    slope = np.polynomial.Polynomial.fit(known, recent[known], 1).deriv()(0.0)
    k = np.arange(steps)
    return series[len(series) - period + k % period] + slope * period * (k // period + 1)


def _check_cut(cut: int, n: int, least: int) -> int:
    cut = check_count("cut", cut, least)
    if cut > n:
        raise ArgumentError("cut", cut, f"at most {n}, the length of the series")
    return cut
