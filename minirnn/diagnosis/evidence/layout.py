"""Which axis of a recipe's arrays is time, and where its sequences end: read off the data.

N sequences, T steps, I features, O targets, on the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.inspect.predictability import cross_validated
from minirnn.inspect.regression import as_columns

Array = NDArray[Any]

BACK = 8  # steps back that an answer is looked for in
MOST_ANSWERS = 480
LEAST_ANSWERS = 80
CORNER = 64  # slices along either axis whose neighbours are compared
LONGER, SURE = 2.0, 4.0  # times; standard errors
LEAST_PADDED = 2  # equal steps at its end, that padding has at least


def roughness(x: Array, axis: int) -> float:
    """mean |x[k+1] - x[k]| along an axis, over that of any two slices: 1 where neighbours are
    strangers, near 0 along the time of a smooth series; NaN where nothing varies.
    """
    slices = np.moveaxis(np.asarray(x[:CORNER, :CORNER], dtype=np.float64), axis, 0)
    if len(slices) < 3 or not np.isfinite(slices).all():
        return float("nan")
    near = np.abs(np.diff(slices, axis=0)).mean()
    order = np.random.default_rng(0).permutation(len(slices))
    shuffled = slices[order]
    far = np.mean(
        # Half of the turns are the other half again; of three slices the first turn is all.
        [
            np.abs(shuffled - np.roll(shuffled, k, axis=0)).mean()
            for k in range(1, max(2, len(order) // 2))
        ]
    )
    return float(near / far) if far > 0 else float("nan")


@dataclass(frozen=True)
class Directions:
    """How well an answer at (n, t) is told by inputs behind it, R2: along time, along the batch."""

    along_time: float
    along_batch: float


def directions(x: Array, y: Array) -> Directions | None:
    """Ask both axes, by ridge regression on the last `BACK` slices; x (N, T, I), y one a step.

    None where there are too few answers with both pasts, or they do not vary.
    """
    N, T, features = x.shape
    back = min(BACK, N // 2, T // 2, max(1, 64 // features))
    grid = np.meshgrid(np.arange(back, N), np.arange(back, T), indexing="ij")
    rows, steps = (each.ravel() for each in grid)
    if len(rows) < LEAST_ANSWERS or back < 1:
        return None
    rng = np.random.default_rng(0)
    at = np.sort(rng.permutation(len(rows))[:MOST_ANSWERS])
    rows, steps = rows[at], steps[at]
    wanted = as_columns(y[rows, steps])
    if not np.isfinite(x).all() or not np.isfinite(wanted).all() or not wanted.std(axis=0).any():
        return None
    told = []
    for over_rows, over_steps in ((0, 1), (1, 0)):
        seen = [x[rows - k * over_rows, steps - k * over_steps] for k in range(back + 1)]
        told.append(cross_validated(np.concatenate(seen, axis=1).astype(np.float64), wanted).r2)
    return Directions(*told)


def padding_ends(x: Array) -> Array | None:
    """(N,): steps of each sequence of x (N, T, I) before a constant end, all of the same value.

    A sequence that does not end so, or by less than two steps, has T. None where constant ends
    differ in value, as where each holds its last value: that is no padding. None, too, where the
    sequences begin with that value for as long as they end with it: of rain, or of rare events,
    some last steps are 0 as some first ones are.
    """
    T = x.shape[1]
    equal = (x == x[:, -1:]).all(axis=2)
    ends = T - np.cumprod(equal[:, ::-1], axis=1).sum(axis=1)
    padded = ends <= T - LEAST_PADDED
    if not padded.any():
        return None
    values = x[padded, -1]
    if not (values == values[0]).all():
        return None
    found: Array = np.where(padded, ends, T)
    begun = np.cumprod((x == values[0]).all(axis=2), axis=1).sum(axis=1)
    return found if _surely_longer(T - found, begun) else None


def _surely_longer(at_end: Array, at_start: Array) -> bool:
    """Whether runs (N,) of a value at the end are those of padding, and not the data's own.

    Twice as long on average as runs at the start, and longer by 4 standard errors of the sequences'
    differences. Whatever else a stationary signal is like, read backwards its runs are as long.
    """
    longer = (at_end - at_start).astype(np.float64)
    error = longer.std() / np.sqrt(len(longer))
    return bool(at_end.mean() > LONGER * at_start.mean() and longer.mean() > SURE * error)
