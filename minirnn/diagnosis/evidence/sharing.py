"""What the held-out part shares with the training part: read off the arrays, on the host.

N sequences, T steps, I features, O targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.selection import contents
from minirnn.training.sequences import Sequences

Array = NDArray[Any]

SYMBOLS = 8  # different values, up to which inputs are symbols
COPIED = 1.0 - 1e-5  # correlation of a feature with the target it is
LEAST_FEATURES = 2  # the only feature is the question, whatever the target
LEAST_OVERLAP = 4  # steps
ROUNDED = 1e-4  # of a scale, that the numbers of a file are off by
LEAST_LEVELS = 20  # different values of a series, below which 0 and 1 are levels, not ends


def symbols(x: Array) -> bool:
    """Whether inputs are symbols or counts, of which two sequences may be equal by chance."""
    some = x[: min(len(x), 64)]
    return len(np.unique(some)) <= SYMBOLS or bool((some == np.round(some)).all())


def repeated(training: Sequences, held_out: Sequences) -> Array:
    """(N,) bool: held-out sequences whose inputs stand in the training part too."""
    known = {contents(training, row) for row in range(len(training))}
    return np.array([contents(held_out, row) in known for row in range(len(held_out))])


def repeated_by_chance(training: Sequences, held_out: Sequences) -> float:
    """The share of held-out sequences that would stand in the training part with no copies made.

    Every sequence is cut in two and the later pieces are dealt out anew, over both parts: that
    leaves what each piece is like, and how often, and no copy of a whole. The largest share of
    cuts at a quarter, a half and three quarters of the steps. Of 0/1 inputs that are mostly 0 it
    comes out as the share that is seen; of copies of anything that varies, near 0. 0 too for
    sequences of different lengths.
    """
    N, T = training.x.shape[:2]
    if training.lengths is not None or held_out.lengths is not None:
        return 0.0
    both = np.concatenate([training.x, held_out.x])
    rng = np.random.default_rng(0)
    most = 0.0
    for cut in sorted({max(1, T * quarter // 4) for quarter in (1, 2, 3)} - {T}):
        dealt = np.concatenate([both[:, :cut], both[rng.permutation(len(both)), cut:]], axis=1)
        known = {row.tobytes() for row in dealt[:N]}
        most = max(most, float(np.mean([row.tobytes() in known for row in dealt[N:]])))
    return most


def shown_ahead(training: Sequences, held_out: Sequences) -> Array:
    """(N,) bool: held-out windows whose last half stands in a training window before its end.

    So that window goes on with what comes after the held-out one. All windows have T steps.
    """
    T = training.x.shape[1]
    half = T // 2
    if half < LEAST_OVERLAP or training.lengths is not None:
        return np.zeros(len(held_out), dtype=bool)
    known = {
        window[start : start + half].tobytes() for window in training.x for start in range(T - half)
    }
    ends = np.ascontiguousarray(held_out.x[:, T - half :])
    # Steps that are all equal tell no windows apart.
    varies = np.ptp(ends, axis=1).any(axis=1)
    return np.array(
        [bool(v) and end.tobytes() in known for v, end in zip(varies, ends, strict=True)]
    )


def read_off(part: Sequences) -> int | None:
    """The feature that is a target at the step asked about, but for scale and offset; or None.

    Of each step where there is an answer a step, else of each sequence's last.
    """
    N, T, features = part.x.shape
    if features < LEAST_FEATURES:
        return None
    ends = np.full(N, T) if part.lengths is None else part.lengths
    if part.per_step:
        counts = np.arange(T) < ends[:, None]
        x, y = part.x[counts], part.y[counts]
    else:
        rows = np.flatnonzero(ends > 0)
        x, y = part.x[rows, ends[rows] - 1], part.y[rows]
    x = x.astype(np.float64)
    if not np.isfinite(x).all() or (y.dtype.kind == "f" and not np.isfinite(y).all()):
        return None
    for feature in range(features):
        column = x[:, feature]
        copied = _names(column, y) if part.is_labels else _is_one_of(column, y)
        if copied:
            return feature
    return None


def _is_one_of(column: Array, y: Array) -> bool:
    """Whether a feature is one of the targets, for values that are more than a few."""
    if column.std() == 0 or len(np.unique(column)) <= SYMBOLS:
        return False
    for target in y.reshape(len(y), -1).T.astype(np.float64):
        if target.std() > 0 and abs(np.corrcoef(column, target)[0, 1]) > COPIED:
            return True
    return False


def _names(column: Array, labels: Array) -> bool:
    """Whether a feature has one value for each class, another for each."""
    classes = np.unique(labels)
    values = [np.unique(column[labels == each]) for each in classes]
    alone = all(len(each) == 1 for each in values)
    return len(classes) > 1 and alone and len({float(v[0]) for v in values}) == len(classes)


@dataclass(frozen=True)
class Scale:
    """A scale that fits a whole series, and what it leaves of the training part.

    offset  the training part's mean ("standard") or least value ("minmax"), which should be 0
    scale   its standard deviation, or range, which should be 1
    """

    kind: Literal["standard", "minmax"]
    offset: float
    scale: float


def scaled_together(values: Array, cut: int) -> Scale | None:
    """The scale of a whole series (n,), where that of its training part, values[:cut], differs."""
    known, first = values[np.isfinite(values)], values[:cut][np.isfinite(values[:cut])]
    if known.size == first.size or first.size < 2 or len(np.unique(known)) < LEAST_LEVELS:
        return None
    if abs(known.mean()) < ROUNDED and abs(known.std() - 1.0) < ROUNDED:
        offset, scale = float(first.mean()), float(first.std())
        off = abs(offset) > 10 * ROUNDED or abs(scale - 1.0) > 10 * ROUNDED
        return Scale("standard", offset, scale) if off else None
    ends = [float(known.min()), float(known.max())]
    once = all((known == end).sum() == 1 for end in ends)
    if ends == [0.0, 1.0] and once:
        offset, scale = float(first.min()), float(np.ptp(first))
        return Scale("minmax", offset, scale) if (offset, scale) != (0.0, 1.0) else None
    return None
