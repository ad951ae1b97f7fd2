"""Medians, spreads and means of readings: all the statistics of the benchmarks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from minirnn.errors import ArgumentError


def median(readings: Sequence[float]) -> float:
    """The middle reading. Raises: ArgumentError if there is none."""
    if not readings:
        raise ArgumentError("readings", "none", "at least one")
    return statistics.median(readings)


def spread(readings: Sequence[float]) -> float:
    """Interquartile range over median: 0.02 is 2%; 0 for a single reading."""
    if len(readings) < 2:
        return 0.0
    first, _, third = statistics.quantiles(readings, n=4, method="inclusive")
    return (third - first) / median(readings)


def geometric_mean(ratios: Iterable[float]) -> float:
    """The mean of ratios: that of their inverses is its inverse.

    Raises: ArgumentError if there is none, or one that is not above zero.
    """
    values = list(ratios)
    if not values or min(values) <= 0.0:
        raise ArgumentError("ratios", repr(values), "at least one, all above zero")
    return math.exp(math.fsum(map(math.log, values)) / len(values))
