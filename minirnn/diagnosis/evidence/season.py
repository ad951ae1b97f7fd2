"""The period of a series that does not tell its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CLEAR = 0.3  # autocorrelation that a cycle must reach


def estimate_period(values: NDArray[Any]) -> int | None:
    """Steps in one cycle of a series `(n,)`, or None where none is clear.

    The lag of the highest peak of the autocorrelation after a straight line is taken off, among
    lags from 2 to n / 3, if it is above 0.3 and a peak in earnest: the autocorrelation must
    have crossed zero before it (a slow wander has a high autocorrelation at every short lag).
    """
    n = len(values)
    if n < 12 or not np.isfinite(values).all():
        return None
    t = np.arange(n)
    rest = values - np.polynomial.Polynomial.fit(t, values, 1)(t)
    size = float(rest @ rest)
    # Rounding leaves a little of a straight line, which has no cycle.
    if size <= 1e-20 * float(values @ values):
        return None
    spectrum = np.abs(np.fft.rfft(rest, 2 * n)) ** 2
    correlation = np.fft.irfft(spectrum)[: n // 3 + 1] / size
    crossed = np.flatnonzero(correlation < 0)
    if not len(crossed):
        return None
    lags = np.arange(max(2, int(crossed[0])), len(correlation) - 1)
    peaks = [
        int(k)
        for k in lags
        if correlation[k - 1] <= correlation[k] >= correlation[k + 1] and correlation[k] > CLEAR
    ]
    return max(peaks, key=lambda k: float(correlation[k])) if peaks else None
