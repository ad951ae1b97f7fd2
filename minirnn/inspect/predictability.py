"""How well a target can be told from its sequence at all, by several judges that are no network.

Where a network has learned nothing, either it failed or there was nothing to learn. Each judge is
asked about sequences that it was not fitted to (four folds, of neighbouring rows), and differs in
what it can see:

regression   ridge on every step's inputs, and products of the inputs of a step
chosen       the same on those features that are most telling by themselves
summaries    ridge on the means of each quarter of the steps, and their products: how much, and
             roughly when, in whatever order
neighbours   the mean of the 5 nearest sequences, by what they hold at each step; `likeness`: by
             their summaries. They see what no product tells: a ring, or a parity of few bits

`z` is the sum of (answer x target), both centred in each fold, over its standard deviation if
answers and targets were paired at random (Mantel 1967, Cancer Research 27): of noise it is about
N(0, 1), whatever the judge overfitted. A signal of 15% is mostly found in 400
sequences, one of 5% is not; something is found in noise once in 400 times (|z| > 3.5).

Values that are extreme (see `minirnn.inspect.extremes`) are moved nearer first.

Not seen: what only a machine with a memory can tell, as the parity of twenty bits. A judge's
verdict of "nothing here" is evidence, and no proof.

Cost: some 8 eigenvalue problems of at most 360 rows and as many distances, some 0.2 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.device import array_namespace
from minirnn.inspect.arguments import sequences
from minirnn.inspect.extremes import bounded
from minirnn.inspect.host import fetch
from minirnn.inspect.regression import (
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

MOST_SEQUENCES = 480
LEAST_SEQUENCES = 40
NEIGHBOURS = 5
QUARTERS = 4
MOST_SUMMARIES = 24  # up to which their products are features too
SURE = 3.5  # z above which a judge sees a signal


@dataclass(frozen=True)
class Judgement:
    """What one judge makes of sequences that it was not fitted to: R2, and how sure it is."""

    r2: float
    z: float


@dataclass(frozen=True)
class Predictability:
    """What each judge makes of the target, by its name; `count` sequences were looked at."""

    judges: Mapping[str, Judgement]
    count: int

    @property
    def best(self) -> float:
        """The highest R2; 0 or less where no judge does better than the mean of the targets."""
        return max(each.r2 for each in self.judges.values())

    @property
    def z(self) -> float:
        """That of the judge who is surest of a signal.

        Neighbours that surely answer the wrong way are one too: of a parity they all do.
        """
        return max(
            abs(each.z) if name == "neighbours" else each.z for name, each in self.judges.items()
        )

    @property
    def signal(self) -> bool:
        """Whether some judge sees one."""
        return self.z > SURE


def measure_predictability(
    inputs: Array, targets: Array, lengths: NDArray[Any] | None = None
) -> Predictability | None:
    """Ask all judges, on inputs (T, B, I) and a target per sequence, (B, O) or class labels (B,).

    `lengths (B,)` as everywhere, of the host. None when there are fewer than 40 different sequences
    (one that comes again with the same target counts once), the targets do not vary, or something
    is not finite: then nothing is said.

    Raises: ArgumentError, ShapeError or DTypeError that names the argument.
    """
    inputs, targets, lengths = sequences(inputs, targets, lengths)
    T, B = inputs.shape[:2]
    if B < LEAST_SEQUENCES or T == 0:
        return None
    chosen = np.unique(np.linspace(0, B - 1, min(B, MOST_SEQUENCES)).round().astype(int))
    xp = array_namespace(inputs)
    rows = xp.asarray(chosen)
    ends = None if lengths is None else lengths[chosen]
    x = aligned_at_end(inputs[:, rows], ends)
    y = as_columns(targets[rows])
    if not all(fetch(xp.isfinite(x).all(), xp.isfinite(y).all())):
        return None
    kept = once(x, y)
    x, y = x[kept], y[kept]
    # One value a thousand times too large would be all that any judge hears of.
    x = bounded(x.reshape(-1, x.shape[2])).reshape(x.shape)
    y = bounded(y)
    varies = xp.flatnonzero(y.std(axis=0) > 0)
    if len(x) < LEAST_SEQUENCES or not len(varies):
        return None
    y = (y[:, varies] - y[:, varies].mean(axis=0)) / y[:, varies].std(axis=0)
    folds = folds_of(len(x), xp)
    by_step = step_features(x).reshape(len(x), -1)
    summed = summaries(x, None if ends is None else xp.asarray(ends)[kept])
    judges = {
        "regression": _judged(by_step, y, folds),
        "summaries": _judged(_with_products(summed), y, folds),
        "neighbours": _neighbours(x.reshape(len(x), -1), y, folds),
        "likeness": _neighbours(summed, y, folds),
    }
    if by_step.shape[1] > most_telling(len(x)):
        judges["chosen"] = _judged(by_step, y, folds, choose=True)
    return Predictability(judges, len(x))


def cross_validated(x: Floats, y: Floats) -> Judgement:
    """A ridge regression of y (n, O) on x (n, F), asked about rows that it was not fitted to."""
    return _judged(x, y, folds_of(len(y), array_namespace(x)))


def certainty(given: Floats, wanted: Floats) -> float:
    """`z` of answers (n, O) to what was wanted: about N(0, 1) where they have nothing in common.

    0 where either does not vary.
    """
    xp = array_namespace(given)
    g, w = given - given.mean(axis=0), wanted - wanted.mean(axis=0)
    together, spread = fetch(xp.sum(g * w), xp.sum((g.T @ g) * (w.T @ w)))
    # Paired at random, sum_i g_i w_i has the variance tr(G'G W'W) / (n - 1).
    return together / float(np.sqrt(spread / max(len(g) - 1, 1))) if spread > 0 else 0.0


def summaries(x: Floats, ends: Array | None) -> Floats:
    """(n, 4 I): the means of each quarter of the steps that count, of x (n, T, I) counted back."""
    xp = array_namespace(x)
    n, T = x.shape[:2]
    long = xp.full(n, T) if ends is None else ends
    back = xp.arange(T)
    parts = []
    for quarter in range(min(QUARTERS, T)):
        of = min(QUARTERS, T)
        first, last = long * quarter // of, long * (quarter + 1) // of
        inside = (back >= first[:, None]) & (back < last[:, None])
        count = xp.maximum(inside.sum(axis=1), 1)
        parts.append((x * inside[:, :, None]).sum(axis=1) / count[:, None])
    return xp.concatenate(parts, axis=1)


def _with_products(x: Floats) -> Floats:
    if x.shape[1] > MOST_SUMMARIES:
        return x
    xp = array_namespace(x)
    first, second = (xp.asarray(columns) for columns in np.triu_indices(x.shape[1]))
    centred = x - x.mean(axis=0)
    return xp.concatenate([x, centred[:, first] * centred[:, second]], axis=1)


def _judged(x: Floats, y: Floats, folds: list[Fold], *, choose: bool = False) -> Judgement:
    answers = []
    for fitted, held in folds:
        columns = most_telling_features(x[fitted], y[fitted]) if choose else slice(None)
        answers.append(ridge(x[fitted][:, columns], y[fitted], x[held][:, columns]))
    return _judgement(answers, y, folds)


def _neighbours(x: Floats, y: Floats, folds: list[Fold]) -> Judgement:
    """The mean of the nearest rows of the other folds, the nearer the heavier."""
    xp = array_namespace(x)
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / xp.where(spread > 0, spread, 1.0)
    squares = xp.sum(x**2, axis=1)
    answers = []
    for fitted, held in folds:
        apart = squares[held][:, None] + squares[fitted][None, :] - 2.0 * x[held] @ x[fitted].T
        nearest = xp.argsort(apart, axis=1)[:, :NEIGHBOURS]
        near = xp.take_along_axis(apart, nearest, axis=1)
        # Rows that are equal decide alone; where none is, all count about alike.
        weights = 1.0 / (xp.maximum(near, 0.0) + 1e-6 * xp.mean(squares) + 1e-300)
        weights /= weights.sum(axis=1, keepdims=True)
        answers.append((weights[:, :, None] * y[fitted][nearest]).sum(axis=1))
    return _judgement(answers, y, folds)


def _judgement(answers: list[Floats], y: Floats, folds: list[Fold]) -> Judgement:
    xp = array_namespace(y)
    sums = []
    for given, (fitted, held) in zip(answers, folds, strict=True):
        # Centred in each fold: the mean of the others is below where this one's is above.
        g, w = given - given.mean(axis=0), y[held] - y[held].mean(axis=0)
        sums += [
            xp.sum((y[held] - given) ** 2),
            xp.sum((y[held] - y[fitted].mean(axis=0)) ** 2),
            xp.sum(g * w),
            xp.sum((g.T @ g) * (w.T @ w)) / max(len(held) - 1, 1),
        ]
    numbers = np.reshape(fetch(*sums), (len(folds), 4)).sum(axis=0)
    missed, naive, together, variance = (float(number) for number in numbers)
    z = together / variance**0.5 if variance > 0 else 0.0
    return Judgement(1.0 - missed / naive if naive > 0 else 0.0, z)
