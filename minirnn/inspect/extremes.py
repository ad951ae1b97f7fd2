"""Extreme values: which are, by measures that they do not move themselves, and their bounds."""

from __future__ import annotations

from typing import Any

from minirnn.device import array_namespace

Array = Any
Floats = Any  # float64

FAR = 10.0  # robust standard deviations from the median, from which on a value is extreme
NEAR = 3.0  # where `bounded` puts it: still on its side, and not all that is heard
MOST_EXTREME = 0.05  # of the values; more are no exceptions


def extreme(values: Floats) -> Array:
    """Which values (n, ...) are extreme in their column: further from the median than 10 times
    1.4826 MAD, which is the standard deviation of normal numbers.

    None, where more than 5% are, or where half of the values are equal, so that there is no MAD.
    """
    xp = array_namespace(values)
    off = xp.abs(values - xp.median(values, axis=0))
    deviation = 1.4826 * xp.median(off, axis=0)
    beyond = (off > FAR * deviation) & (deviation > 0)
    return beyond & (beyond.mean(axis=0) <= MOST_EXTREME)


def extreme_rows(values: Floats) -> Array:
    """Which rows of (n, O) hold an extreme value; none where any value is not finite."""
    xp = array_namespace(values)
    if not len(values) or not bool(xp.isfinite(values).all()):
        return xp.zeros(len(values), dtype=bool)
    return extreme(values).any(axis=1)


def bounded(values: Floats) -> Floats:
    """Values (n, ...) whose extreme ones are moved to 3 robust deviations from their median."""
    xp = array_namespace(values)
    far = extreme(values)
    if not bool(far.any()):
        return values
    median = xp.median(values, axis=0)
    bound = NEAR * 1.4826 * xp.median(xp.abs(values - median), axis=0)
    return xp.where(far, xp.clip(values, median - bound, median + bound), values)
