"""Scalers: an affine map fitted on training values only, and its inverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from minirnn.device import Array
from minirnn.errors import ArgumentError, DataError
from minirnn.training.windows import check_numbers

ScaleKind = Literal["none", "standard", "minmax", "robust"]
SCALES: tuple[ScaleKind, ...] = get_args(ScaleKind)


@dataclass(frozen=True)
class Scaler:
    """Maps values to (values - offset) / scale, element by element."""

    kind: ScaleKind = "none"
    offset: float = 0.0
    scale: float = 1.0

    def apply(self, values: Array) -> Array:
        """From the series' units to what the network sees; any shape, either device."""
        return (values - self.offset) / self.scale

    def invert(self, scaled: Array) -> Array:
        """Back to the series' units; any shape, either device."""
        return scaled * self.scale + self.offset


def fit_scaler(kind: ScaleKind, values: NDArray[np.float64]) -> Scaler:
    """Fit a scaler to `values` (any shape; NaN is ignored). Give it training values only.

    "standard" takes mean and standard deviation to 0 and 1, "minmax" takes the extremes to 0 and 1,
    "robust" takes median and interquartile range to 0 and 1.

    Raises: ArgumentError for an unknown kind; DataError when the values have no spread.
    """
    if not isinstance(kind, str) or kind not in SCALES:
        raise ArgumentError("scale", repr(kind), f"one of {', '.join(SCALES)}")
    if kind == "none":
        return Scaler()
    values = check_numbers(values, "values")
    known = values[~np.isnan(values)]
    if known.size == 0:
        raise DataError("values", "no number", "values to fit the scale on")
    if kind == "standard":
        offset, scale = float(known.mean()), float(known.std())
    elif kind == "minmax":
        offset, scale = float(known.min()), float(np.ptp(known))
    else:
        low, offset, high = (float(q) for q in np.quantile(known, (0.25, 0.5, 0.75)))
        scale = high - low
    # Rounding leaves a spread of some units in the last place to values that are all equal.
    if scale <= 8 * np.finfo(np.float64).eps * float(np.abs(known).max()):
        measure = {"standard": "standard deviation", "minmax": "range"}.get(
            kind, "interquartile range"
        )
        raise DataError(
            "values",
            f"{known.size} values with a {measure} of 0",
            "values that vary",
            'Use scale = "none", or "standard" where only the quartiles agree',
        )
    return Scaler(kind, offset, scale)
