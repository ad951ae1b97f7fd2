"""What a network could have reached: by what its head can tell apart, and without any network.

N rows, O outputs of the targets, H features that reach a linear head.

ceiling    a linear head answers with H numbers at most: whatever these are, the answers lie in a
           space of H dimensions around their mean. So no R2 is above the share of the targets'
           variance along their H leading principal axes (Eckart and Young 1936, Psychometrika 1)
lookup     R2 of answering each sequence as its copies were answered. Of data that repeat exactly a
           regression is told nothing by `measure_dependence`, which counts each sequence once
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.device import array_namespace
from minirnn.inspect.host import fetch, on_host
from minirnn.inspect.regression import aligned_at_end, as_columns, row_keys

Array = Any  # of any device
Floats = Any  # float64, likewise

LEAST_COPIES = 40  # sequences that have a copy: fewer say little


def ceiling(wanted: Floats, features: int) -> float:
    """The highest R2 that any linear head on so many features has for targets (N, O).

    1 where there are as many features as outputs, the targets do not vary, or are not finite.
    """
    if features >= wanted.shape[1] or len(wanted) < 2 or not finite_numbers(wanted):
        return 1.0
    centred = wanted - wanted.mean(axis=0)
    scatter = on_host(centred.T @ centred)  # (O, O)
    axes = np.linalg.eigvalsh(scatter)[::-1]
    total = float(axes.sum())
    return float(axes[:features].sum()) / total if total > 0 else 1.0


def finite_numbers(array: Array) -> bool:
    """Whether all numbers of an array are."""
    return bool(array_namespace(array).isfinite(array).all())


def lookup(inputs: Array, targets: Array, lengths: NDArray[Any] | None = None) -> float | None:
    """R2 of the mean target of a sequence's copies, of inputs (T, B, I) and one target a sequence.

    None where fewer than 40 have a copy, and where their targets do not vary.
    """
    xp = array_namespace(inputs)
    rows = [aligned_at_end(inputs, lengths).reshape(inputs.shape[1], -1)]
    if lengths is not None:  # an end in zeros is no copy of a shorter one
        rows.append(xp.asarray(lengths, dtype=np.float64)[:, None])
    y = as_columns(targets)
    _, which, count = xp.unique(row_keys(*rows), return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    copied = count[which] > 1
    (copies,) = fetch(copied.sum())
    if copies < LEAST_COPIES:
        return None
    sums = xp.stack([xp.bincount(which, weights=column) for column in y.T], axis=1)
    own, group = y[copied], which[copied]
    others = (sums[group] - own) / (count[group] - 1)[:, None]
    naive, missed = fetch(((own - own.mean(axis=0)) ** 2).sum(), ((own - others) ** 2).sum())
    return 1.0 - missed / naive if naive > 0 else None


def last_rows(T: int, lengths: NDArray[Any]) -> NDArray[np.intp]:
    """Where the last valid step of each sequence stands among the rows of all valid steps.

    As `minirnn.inspect.steps.rows` orders them: by step, and by sequence within it.
    """
    counted = np.arange(T)[:, None] < lengths[None, :]
    at = counted.ravel().cumsum().reshape(counted.shape) - 1
    some = np.flatnonzero(lengths > 0)
    return np.asarray(at[lengths[some] - 1, some])


def surely_larger(errors: Floats, others: Floats) -> float:
    """z of the sign test that errors (N,) are larger than others of the same rows.

    Standard errors that the share of rows with the larger one lies above a half: one error that is
    a thousand times too large counts as one.
    """
    larger, equal = fetch((errors > others).mean(), (errors == others).mean())
    return (larger + 0.5 * equal - 0.5) * 2.0 * math.sqrt(len(errors))
