"""How far back a target looks: which input steps it cannot be told without, measured on the data.

A gradient that fades over 60 steps is an illness where the answer stands 60 steps back, and nothing
at all where it stands in the last three. So before any network is judged, a ridge regression is
asked what the last k steps of the input tell about the target, for growing k, on sequences it was
not fitted to:

    R2(k) = 1 - (squared error held out) / (squared error of the mean held out),  k = 1, 2, 4, .. T

`lag` is the smallest k (found by halving between the last two) whose R2 comes within one standard
error (at least 0.05) of the best: the
one-standard-error rule of Breiman, Friedman, Olshen and Stone, Classification and Regression Trees
(1984), section 3.4.3. The regression sees each step's inputs and, up to four of them, their
products, so that a marked value (the adding problem) counts; steps are counted from each sequence's
last. Sequences of different lengths are asked once more with steps counted from the first, R2(m) of
the first m steps: what all begin with stands at another distance from each end. Where that tells
more, `lag` is the distance of step m from the end in the sequence of median length.
What depends on the inputs in another way (a parity, say) is not seen: R2 stays low and
`lag` is unknown, never guessed.

Cost: some 40 to 60 eigenvalue problems of at most 180 rows, a few tenths of a second. It is
computed where the inputs lie; of a GPU's, the errors of each k come over, a dozen numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.device import array_namespace
from minirnn.inspect.arguments import sequences
from minirnn.inspect.host import fetch
from minirnn.inspect.regression import (
    FOLDS,
    Fold,
    aligned_at_end,
    as_columns,
    folds_of,
    most_telling,
    most_telling_features,
    once,
    ridge,
    step_features,
)

Array = Any  # of the inputs' device
Floats = Any  # float64, likewise
Scores = NDArray[np.float64]  # numbers of the host

MOST_SEQUENCES = 240
LEAST_SEQUENCES = 40
TELLING = 0.1  # an R2 below this says nothing, nor one below CHANCE / sqrt(n): the best of some
CHANCE = 2.0  # twenty R2 on noise reaches 0.04 with n = 240 sequences, 0.19 with 60 (measured)
TOLERANCE = 0.05
SURE = 0.95  # an R2 from which on nobody needs to ask in another way
SQUARABLE = 1e100  # numbers up to here have squares, and sums of many of these, in float64


@dataclass(frozen=True)
class Dependence:
    """What the last k steps tell about the target: `skill[i]` is R2 for `steps[i]` of them.

    `lag` is how many of the last steps are needed, None where the regression cannot tell. `best`
    is the highest R2 of all, `without` that of half the steps that are needed (0 where one is
    enough): what a network can reach that does not see the early half.
    """

    steps: tuple[int, ...]
    skill: tuple[float, ...]
    lag: int | None
    best: float
    without: float

    @property
    def telling(self) -> bool:
        """Whether the regression sees what the target depends on."""
        return self.lag is not None


def measure_dependence(
    inputs: Array, targets: Array, lengths: NDArray[Any] | None = None
) -> Dependence | None:
    """Measure it on inputs (T, B, I) and one target per sequence, (B, O) or class labels (B,).

    `lengths (B,)` as everywhere, of the host. None when there are too few sequences (one that comes
    again with the same target counts once), the targets do not vary, or something is not finite:
    then nothing is said.

    Raises: ArgumentError, ShapeError or DTypeError that names the argument.
    """
    inputs, targets, lengths = sequences(inputs, targets, lengths)
    T, B = inputs.shape[:2]
    if B < LEAST_SEQUENCES or T == 0:
        return None
    # Evenly spread, in order: neighbours of a series stay neighbours and fall in one fold.
    chosen = np.unique(np.linspace(0, B - 1, min(B, MOST_SEQUENCES)).round().astype(int))
    xp = array_namespace(inputs)
    rows = xp.asarray(chosen)
    x = aligned_at_end(inputs[:, rows], None if lengths is None else lengths[chosen])
    y = as_columns(targets[rows])
    if not all(fetch(xp.isfinite(x).all(), xp.isfinite(y).all())):
        return None
    x, y = _squarable(x), _squarable(y)
    if not (y.std(axis=0) > 0).any():
        return None
    kept = once(x, y)
    if len(kept) < LEAST_SEQUENCES:
        return None
    x, y = x[kept], y[kept]
    features = step_features(x)  # (n, T, F), the last step first
    folds = folds_of(len(y), xp)
    measured: dict[int, Scores] = {}

    def skills(k: int) -> Scores:
        if k not in measured:
            measured[k] = _skills(features[:, :k].reshape(len(y), -1), y, folds)
        return measured[k]

    for k in _growing(T):
        skills(k)
    lag = _lag(measured, skills, len(y))
    best = max(float(by_fold.mean()) for by_fold in measured.values())
    if lengths is not None and best < SURE and (lengths != lengths[0]).any():
        ends = xp.asarray(lengths[chosen])[kept]
        early = _from_the_start(inputs[:, rows[kept]], y, ends, folds)
        if early is not None and (lag is None or early[1] > best + TOLERANCE):
            lag, best = early
    without = 0.0 if lag in (None, 1) else max(0.0, float(skills(lag // 2).mean()))
    steps = tuple(sorted(measured))
    return Dependence(steps, tuple(float(measured[k].mean()) for k in steps), lag, best, without)


def _from_the_start(
    inputs: Array, y: Floats, ends: Array, folds: list[Fold]
) -> tuple[int, float] | None:
    """The lag and the best R2 with steps counted from the first; None where they tell nothing."""
    xp = array_namespace(inputs)
    x = inputs.transpose(1, 0, 2).astype(np.float64)
    x[xp.arange(x.shape[1])[None, :] >= ends[:, None]] = 0.0
    features = step_features(x)  # (n, T, F), the first step first
    measured: dict[int, Scores] = {}

    def skills(m: int) -> Scores:
        if m not in measured:
            measured[m] = _skills(features[:, :m].reshape(len(y), -1), y, folds)
        return measured[m]

    for m in _growing(x.shape[1]):
        skills(m)
    first = _lag(measured, skills, len(y))
    if first is None:
        return None
    best = max(float(by_fold.mean()) for by_fold in measured.values())
    (middle,) = fetch(xp.median(ends))
    return max(1, int(middle) - first + 1), best


def _growing(T: int) -> list[int]:
    """1, 2, 4, ... and T itself."""
    return [2**k for k in range(T.bit_length()) if 2**k < T] + [T]


def _skills(x: Floats, y: Floats, folds: list[Fold]) -> Scores:
    """R2 on each fold of a ridge regression fitted on the others, (FOLDS,).

    On all features, or on those that are most telling by themselves, whichever is better.
    """
    xp = array_namespace(x)
    most = max(len(fold.fitted) for fold in folds)
    sums = []
    for fitted, held in folds:
        chosen = [slice(None)]
        if x.shape[1] > most_telling(most):
            chosen.append(most_telling_features(x[fitted], y[fitted]))
        sums.append(xp.sum((y[held] - y[fitted].mean(axis=0)) ** 2))
        sums += [
            xp.sum((y[held] - ridge(x[fitted][:, f], y[fitted], x[held][:, f])) ** 2)
            for f in chosen
        ]
    scores = [
        [1.0 - error / naive if naive > 0 else 0.0 for error in errors]
        for naive, *errors in np.reshape(fetch(*sums), (FOLDS, -1)).tolist()
    ]
    by_fold = np.array(scores)  # (FOLDS, 1 or 2)
    return np.asarray(by_fold[:, int(by_fold.mean(axis=0).argmax())])


def _squarable(array: Array) -> Array:
    """An array, in other units where squares of its numbers would overflow: R2 has none."""
    (largest,) = fetch(abs(array).max()) if array.size else (0.0,)
    return array / largest if largest > SQUARABLE else array


def _lag(measured: dict[int, Scores], skills: Callable[[int], Scores], count: int) -> int | None:
    """The fewest steps whose R2 is within one standard error of the best, on `count` sequences."""
    best = max(measured.values(), key=lambda by_fold: float(by_fold.mean()))
    if best.mean() < max(TELLING, CHANCE / np.sqrt(count)):
        return None
    enough = best.mean() - max(float(best.std(ddof=1)) / np.sqrt(FOLDS), TOLERANCE)
    steps = sorted(measured)
    at = next(i for i, k in enumerate(steps) if measured[k].mean() >= enough)
    low, high = (steps[at - 1] if at else 0), steps[at]
    while high - low > max(1, high // 16):
        middle = (low + high) // 2
        if skills(middle).mean() >= enough:
            high = middle
        else:
            low = middle
    return high
