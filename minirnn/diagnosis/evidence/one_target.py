"""Targets that are one and the same: nothing to learn, however it is tried."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.device import array_namespace
from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.evidence.naive import target_rows
from minirnn.inspect import steps
from minirnn.inspect.host import fetch

Array = Any  # of the network's device


def the_only_target(
    targets: Array, ends: NDArray[Any], data: PreparedData | None
) -> NDArray[Any] | None:
    """What every target is, a label () or (O,), where all of them are the same; None where not.

    Asked of a recipe's whole training part, where there is one (a sample may miss a rare class);
    else of the targets as the loss takes them, with `ends (B,)` the steps of each sequence. A
    target that is not known says nothing. None of fewer than two.
    """
    rows = _rows(targets, ends) if data is None else target_rows(data.host.training)
    # Of no column all() is true: a watched loop whose targets were not seen has none.
    if len(rows) < 2 or not rows[0].size or not bool((rows == rows[:1]).all()):
        return None
    labels = rows.dtype.kind in "iu"
    first = fetch(*(rows[0].reshape(-1)))
    return np.asarray(int(first[0]) if labels else first)


def _rows(targets: Array, ends: NDArray[Any]) -> Array:
    """(N, O), or labels (N,): one a sequence, or one a valid step; rows with a NaN left out."""
    y = targets
    labels = y.dtype.kind in "iu"
    if y.ndim == (2 if labels else 3):
        y = steps.rows(y[..., None] if labels else y, ends)
        y = y[:, 0] if labels else y
    if labels or y.ndim < 2:
        return y
    return y[~array_namespace(y).isnan(y).any(axis=1)]
