"""Missing values of a series: count them, and fill them without looking past the split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minirnn.errors import DataError
from minirnn.training.windows import check_row


def count_missing(values: NDArray[np.float64]) -> tuple[int, int]:
    """How many of `values (n,)` are NaN, and in how many gaps (runs of NaN) they lie."""
    values = check_row(values, "values")
    absent = np.isnan(values)
    starts = absent & ~np.concatenate([[False], absent[:-1]])
    return int(absent.sum()), int(starts.sum())


def interpolate_missing(values: NDArray[np.float64], cut: int | None = None) -> NDArray[np.float64]:
    """Fill NaN in `values (n,)` linearly in time; returns a new array.

    Gaps at either end take the nearest value. With `cut`, values from index `cut` on are unknown
    to those before: a gap that straddles the cut is filled, in its first part, with the last value
    known there. At least one value must not be NaN (before `cut`, where it is given).
    """
    filled = check_row(values, "values").copy()
    ends = (len(values),) if cut is None else (cut, len(values))
    for end in ends:
        part = filled[:end]
        known = np.flatnonzero(~np.isnan(part))
        if not len(part):
            continue
        if not len(known):
            raise DataError("values", "no number in the part to fill", "at least one")
        part[:] = np.interp(np.arange(end), known, part[known])
    return filled
