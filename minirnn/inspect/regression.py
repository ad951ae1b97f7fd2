"""Ridge regression on sequences: features of their steps, folds, and a penalty chosen by itself.

n sequences, T steps, I inputs, F features, O targets; on the device of the arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minirnn.device import array_namespace
from minirnn.inspect.host import fetch

Array = Any
Floats = Any  # float64

FOLDS = 4
MOST_PRODUCTS = 4  # inputs up to which products of inputs are features too
LEAST_FREEDOM = 0.1  # of the equations, left to judge a penalty by: at 0 the criterion is 0 / 0
# Penalties of ridge, relative to the features' mean square.
PENALTIES: list[float] = (10.0 ** np.arange(-6.0, 5.0)).tolist()


class Fold(NamedTuple):
    """The rows that a regression is fitted on, and those that it is held against."""

    fitted: Array
    held: Array


def folds_of(count: int, xp: Any) -> list[Fold]:
    """`FOLDS` stretches of rows, each held against a regression fitted on the others."""
    at = np.arange(count) * FOLDS // count
    return [
        Fold(xp.asarray(np.flatnonzero(at != fold)), xp.asarray(np.flatnonzero(at == fold)))
        for fold in range(FOLDS)
    ]


def once(x: Floats, y: Floats) -> Array:
    """Rows of x (n, T, I) and y (n, O) without those that stand there already, in order.

    What comes again, as from epoch to epoch, must not stand on both sides of a fold: a regression
    would know it by heart.
    """
    xp = array_namespace(x)
    return xp.sort(xp.unique(row_keys(x.reshape(len(x), -1), y), return_index=True)[1])


def row_keys(*arrays: Floats) -> Floats:
    """(n,): equal for equal rows of arrays (n, ...), and for no others: sums of random multiples.

    `unique` of rows themselves is not to be had on every device.
    """
    xp = array_namespace(arrays[0])
    rng = np.random.default_rng(0)
    return sum(
        (rows * xp.asarray(rng.standard_normal(rows.shape[1]))).sum(axis=1) for rows in arrays
    )


def aligned_at_end(inputs: Array, lengths: NDArray[Any] | None) -> Floats:
    """Inputs (T, B, I) as (B, T, I) counted back from each sequence's last step, zeros after."""
    xp = array_namespace(inputs)
    T, B = inputs.shape[:2]
    ends = xp.asarray(np.full(B, T) if lengths is None else lengths)
    back = ends[None, :] - 1 - xp.arange(T)[:, None]  # (T, B)
    taken = inputs[xp.maximum(back, 0), xp.arange(B)[None, :]].astype(np.float64)
    taken[back < 0] = 0.0
    return taken.transpose(1, 0, 2)


def as_columns(targets: Array) -> Floats:
    """Targets as numbers (B, O): labels become one column a class."""
    xp = array_namespace(targets)
    if targets.ndim == 1 and targets.dtype.kind in "iu":
        classes = xp.unique(targets)
        return xp.asarray(targets[:, None] == classes[None, :], dtype=np.float64)
    return xp.asarray(targets.reshape(len(targets), -1), dtype=np.float64)


def step_features(x: Floats) -> Floats:
    """Each step's inputs, and their products where they are few."""
    width = x.shape[2]
    if width > MOST_PRODUCTS:
        return x
    xp = array_namespace(x)
    first, second = (xp.asarray(columns) for columns in np.triu_indices(width))
    # Centred first: of a series near 1000 the square says what the value says.
    centred = x - x.mean(axis=(0, 1))
    return xp.concatenate([x, centred[..., first] * centred[..., second]], axis=2)


def most_telling(rows: int) -> int:
    """How many features are chosen for a regression on so many rows."""
    return max(1, rows // 4)


def most_telling_features(x: Floats, y: Floats) -> Array:
    """The features that alone correlate most with a target, a quarter as many as rows; sorted.

    A value to be recalled is one feature among
    hundreds: chosen first, it is found with a tenth of the sequences (sure independence
    screening, Fan and Lv 2008, Journal of the Royal Statistical Society B 70).
    """
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    xp = array_namespace(x)
    size = xp.sqrt(xp.sum(a**2, axis=0))
    size[size == 0.0] = np.inf
    scale = xp.sqrt(xp.sum(b**2, axis=0))
    scale[scale == 0.0] = np.inf
    correlation = xp.abs((a / size).T @ (b / scale)).max(axis=1)
    return xp.sort(xp.argsort(-correlation, kind="stable")[: most_telling(len(x))])


def ridge(x: Floats, y: Floats, new: Floats) -> Floats:
    """Ridge regression, its penalty chosen by generalised cross-validation; predicts for `new`.

    Golub, Heath and Wahba 1979 (Technometrics 21).
    """
    xp = array_namespace(x)
    n = len(x)
    mean, spread = x.mean(axis=0), x.std(axis=0)
    used = xp.flatnonzero(spread > 1e-12 * xp.abs(mean))
    if not len(used):
        return xp.tile(y.mean(axis=0), (len(new), 1))
    a = (x[:, used] - mean[used]) / spread[used]
    b = (new[:, used] - mean[used]) / spread[used]
    centre = y.mean(axis=0)
    # With a = U diag(s) V': a penalty p leaves p / (s^2 + p) of each component of y along U. The
    # smaller of a a' and a' a has the same s^2.
    width = a.shape[1]
    if width < n:
        squares, right = xp.linalg.eigh(a.T @ a / width)
        kept = squares > 1e-12 * squares[-1]
        squares, right = squares[kept], right[:, kept]
        left = a @ right / xp.sqrt(squares * width)
    else:
        squares, left = xp.linalg.eigh(a @ a.T / width)
        kept = squares > 1e-12 * squares[-1]
        squares, left = squares[kept], left[:, kept]
    rotated = left.T @ (y - centre)
    outside = xp.sum((y - centre) ** 2) - xp.sum(rotated**2)  # what no weights can fit
    left_by = [penalty / (squares + penalty) for penalty in PENALTIES]
    kept_sums = [leaves.sum() for leaves in left_by]
    misses = [xp.sum((leaves[:, None] * rotated) ** 2) for leaves in left_by]
    beyond, *sums = fetch(outside, *kept_sums, *misses)
    best, chosen = np.inf, PENALTIES[-1]
    for k, penalty in enumerate(PENALTIES):
        freedom = (n - len(squares) + sums[k]) / n
        if freedom < LEAST_FREEDOM:
            continue
        score = (sums[len(PENALTIES) + k] + beyond) / freedom**2
        if score < best:
            best, chosen = score, penalty
    weights = a.T @ (left @ (rotated / (squares + chosen)[:, None])) / width
    return centre + b @ weights
