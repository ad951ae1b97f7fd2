"""Scales that show gradients honestly: logarithmic, with exact zeros kept apart.

A gradient can be exactly zero for most steps (a saturated gate's derivative underflows), and the
logarithm of zero has no place on an axis. So zeros are never moved silently: a curve draws them on
a marked floor below its smallest positive value; a heat map leaves them out, and the ground colour
that shows through is named in its legend.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

DECADES = 10  # how far below its largest value a heat map of gradients reaches
NARROW = 50.0  # a range of less than this factor gets ticks between the powers of ten
TINIEST = 1e-300  # smaller values are drawn as this, which leaves room for a floor in float64


class LogAxis(NamedTuple):
    """A log axis from 10^low to 10^high; `floor` is the value where zeros are drawn, or None."""

    low: float
    high: float
    floor: float | None
    ticks: list[float]
    labels: list[str]


def log_axis(curves: Iterable[Array]) -> LogAxis:
    """The axis that holds every finite value of `curves` (norms, >= 0).

    Zeros get a floor one step below the smallest positive value, labelled "exactly 0".
    """
    flat = [np.ravel(np.asarray(curve, dtype=np.float64)) for curve in curves]
    values = np.concatenate([np.empty(0), *flat])
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    if positive.size == 0:
        return LogAxis(-1.3, 0.3, 0.1, [0.1, 1.0], ["exactly 0", "1"])
    lowest, highest = max(float(positive.min()), TINIEST), float(positive.max())
    if highest < NARROW * lowest:
        bottom, top, ticks, labels = _within_decades(lowest, highest)
    else:
        bottom, top, ticks, labels = _over_decades(lowest, highest)
    # Room above and below is a share of the axis, so that no point sits on the frame.
    margin = 0.04 * (top - bottom)
    if positive.size == values.size:
        return LogAxis(bottom - margin, top + margin, None, ticks, labels)
    floor = max(bottom - max(0.2, 0.12 * (top - bottom)), -306.0)
    ticks, labels = [10.0**floor, *ticks], ["exactly 0", *labels]
    return LogAxis(floor - margin, top + margin, 10.0**floor, ticks, labels)


def _over_decades(lowest: float, highest: float) -> tuple[float, float, list[float], list[str]]:
    """Ends in log10, ticks and labels: about seven powers of ten."""
    bottom, top = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    step = math.ceil((top - bottom) / 7)
    exponents = list(range(top, bottom - 1, -step))[::-1]
    return bottom, top, [10.0**e for e in exponents], [power_of_ten(e) for e in exponents]


def _within_decades(lowest: float, highest: float) -> tuple[float, float, list[float], list[str]]:
    """The same over less than two decades: the nearest of 1, 2, 5 times a power of ten."""
    first, last = math.floor(math.log10(lowest)) - 1, math.ceil(math.log10(highest))
    every = [factor * 10.0**e for e in range(first, last + 1) for factor in (1, 2, 5)]
    # One tick at or below the lowest value, one at or above the highest, and those between.
    start = max(k for k, tick in enumerate(every) if tick <= lowest)
    stop = min(k for k, tick in enumerate(every) if tick >= highest and k > start)
    ticks = every[start : stop + 1]
    return math.log10(ticks[0]), math.log10(ticks[-1]), ticks, [_short(tick) for tick in ticks]


def _short(tick: float) -> str:
    """1, 2 or 5 times a power of ten for a plotly label."""
    if 1e-3 <= tick < 1e5:
        return f"{tick:,.10g}"
    exponent = math.floor(math.log10(tick) + 1e-9)
    factor = round(tick / 10.0**exponent)
    power = power_of_ten(exponent)
    return power if factor == 1 else f"{factor} × {power}"


def on_axis(curve: Array, axis: LogAxis) -> Array:
    """`curve` with its exact zeros put on the axis's floor; what is not finite becomes NaN."""
    values = np.asarray(curve, dtype=np.float64).copy()
    values[~np.isfinite(values)] = np.nan
    values[(values > 0) & (values < TINIEST)] = TINIEST
    if axis.floor is not None:
        values[values == 0] = axis.floor
    return values


def log_magnitude(values: Array) -> Array:
    """log10 |values| in float32; NaN where a value is exactly zero or not finite."""
    magnitude = np.abs(np.asarray(values, dtype=np.float64))
    usable = np.isfinite(magnitude) & (magnitude > 0)
    out = np.full(magnitude.shape, np.nan, dtype=np.float32)
    out[usable] = np.log10(magnitude[usable])
    return out


def log_range(arrays: Iterable[Array], decades: int = DECADES) -> tuple[float, float]:
    """One colour range (in log10) for several gradients: their largest value, and `decades` below.

    Narrower where nothing reaches so far down. (-1, 0) when everything is zero.
    """
    logs = [log_magnitude(a) for a in arrays]
    logs = [a[~np.isnan(a)] for a in logs]
    values = np.concatenate(logs) if logs else np.empty(0)
    if values.size == 0:
        return (-1.0, 0.0)
    high = float(math.ceil(values.max()))
    low = max(float(math.floor(values.min())), high - decades)
    return (min(low, high - 1.0), high)


def power_of_ten(exponent: int) -> str:
    """10^exponent for a plotly label; plain for the everyday ones."""
    everyday = {-2: "0.01", -1: "0.1", 0: "1", 1: "10", 2: "100", 3: "1,000"}
    return everyday.get(exponent, f"10<sup>{exponent}</sup>".replace("-", "−"))


def symmetric_range(values: Array) -> float:
    """The bound b of a diverging scale -b..b: 1 for states of tanh's range, else a round number."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    if largest <= 1.0:
        return 1.0
    exponent = 10.0 ** math.floor(math.log10(largest))
    for factor in (1, 1.5, 2, 3, 4, 5, 7.5, 10):
        if largest <= factor * exponent:
            return float(factor * exponent)
    return largest


def rounded(values: Array, step: float) -> Array:
    """Values as decimals of a step, or of the power of ten below it: short when written out.

    An array of objects, so that plotly writes them as text; what is not finite becomes None.
    """
    digits = -math.floor(math.log10(step)) if step > 0 else 0
    known = np.where(np.isfinite(values), values, 0.0).astype(np.float64)
    told = np.round(known, digits).astype(object)
    told[~np.isfinite(values)] = None
    return told
