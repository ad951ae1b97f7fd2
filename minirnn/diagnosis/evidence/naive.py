"""What needs no network: the loss of the best constant answer, of every kind of loss.

N rows (sequences, or valid steps), O outputs of the targets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.inspect import steps
from minirnn.training.sequences import Sequences

Floats = NDArray[np.float64]
MOST_ROWS = 1 << 16  # from which a Huber constant is sought; it is known to 1/256 of a deviation
HALVINGS = 40  # of the interval that holds it: to 1e-12 of the targets' range


def constant_loss(kind: str, data: Sequences) -> float | None:
    """The mean loss of the constant answer that has the smallest, for data on the CPU.

    kind  "mse", "l1", "huber" (delta = 1), "bce" or "cross_entropy". Rows with a NaN do not count;
          None where no row is left, and for another kind of loss.
    """
    rows = target_rows(data)
    if not len(rows):
        return None
    with np.errstate(all="ignore"):
        return _OF_KIND[kind](rows) if kind in _OF_KIND else None


def target_rows(data: Sequences) -> NDArray[Any]:
    """(N, O) float64, or labels (N,): the targets that the loss counts, NaN left out."""
    y: NDArray[Any] = data.y
    if data.per_step:
        table = y[..., None] if data.is_labels else y
        ends = np.full(len(y), y.shape[1]) if data.lengths is None else data.lengths
        y = steps.rows(table.swapaxes(0, 1), ends)
        y = y[:, 0] if data.is_labels else y
    if data.is_labels:
        return y
    wide: Floats = y.astype(np.float64)
    return wide[~np.isnan(wide).any(axis=1)]


def _mse(rows: Floats) -> float:
    return float(rows.var(axis=0).mean())


def _l1(rows: Floats) -> float:
    return float(np.abs(rows - np.median(rows, axis=0)).mean())


def _huber(rows: Floats) -> float:
    """The slope of the mean loss rises with the answer: where it is 0 is found by halving."""
    rows = rows[:: -(-len(rows) // MOST_ROWS)]
    low, high = rows.min(axis=0), rows.max(axis=0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rises = np.clip(middle - rows, -1.0, 1.0).sum(axis=0) > 0
        low, high = np.where(rises, low, middle), np.where(rises, middle, high)
    error = np.abs(rows - (low + high) / 2)
    return float(np.where(error <= 1.0, error**2 / 2, error - 0.5).mean())


def _bce(rows: Floats) -> float:
    """The mean is the best chance of a 1."""
    return float(entropy(np.stack([rows.mean(axis=0), 1.0 - rows.mean(axis=0)])).mean())


def _cross_entropy(labels: NDArray[np.int64]) -> float:
    return float(entropy(np.bincount(labels) / len(labels)))


def entropy(chances: Floats) -> Floats:
    """-sum p log p over the first axis, in nats; 0 log 0 = 0."""
    return np.asarray(-(chances * np.log(np.where(chances > 0.0, chances, 1.0))).sum(axis=0))


_OF_KIND: dict[str, Any] = {
    "mse": _mse,
    "l1": _l1,
    "huber": _huber,
    "bce": _bce,
    "cross_entropy": _cross_entropy,
}
