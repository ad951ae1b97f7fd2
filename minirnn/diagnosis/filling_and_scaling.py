"""Independent sequences made fit to train on: gaps filled, then features and targets scaled.

N sequences, T steps, I features, O targets, on the CPU. What is fitted is fitted on the training
part alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.recipe import Recipe
from minirnn.errors import DataError
from minirnn.training.missing import count_missing, interpolate_missing
from minirnn.training.scaling import ScaleKind, Scaler, fit_scaler
from minirnn.training.sequences import Sequences


def count_absent(x: NDArray[Any]) -> tuple[int, int]:
    """NaN in x (N, T, I), and the gaps they lie in, each within one sequence and feature."""
    if not np.isnan(x).any():
        return 0, 0
    columns = np.moveaxis(x, 1, 2).reshape(-1, x.shape[1]).astype(np.float64)
    counts = [count_missing(column) for column in columns]
    return sum(absent for absent, _ in counts), sum(gaps for _, gaps in counts)


def filled(part: Sequences) -> Sequences:
    """Fill NaN linearly in time, each sequence and feature by itself; of y, where it has steps."""
    y = _in_time("data.y", part.y) if part.per_step else part.y
    return replace(part, x=_in_time("data.x", part.x), y=y)


def _in_time(key: str, array: NDArray[Any]) -> NDArray[Any]:
    """An array (N, T, I) without NaN; labels as they are."""
    if array.dtype.kind != "f" or not np.isnan(array).any():
        return array
    whole = array.copy()
    for n, i in np.argwhere(np.isnan(whole).any(axis=1)):
        column = whole[n, :, i].astype(np.float64)
        if np.isnan(column).all():
            raise DataError(
                key, f"no number in feature {i} of sequence {n}",
                'at least one where data.missing = "interpolate"',
            )  # fmt: skip
        whole[n, :, i] = interpolate_missing(column)
    return whole


def scaled_alike(
    training: Sequences, validation: Sequences | None, recipe: Recipe
) -> tuple[Sequences, Sequences | None, tuple[Scaler, ...]]:
    """Scale features, and targets of a regression, each by a scaler fitted on the training part."""
    kind = cast(ScaleKind, recipe.data.scale)
    # What stands behind a sequence's end is no measurement, and must not be counted as one.
    x_scalers = _fit_each(kind, training.x[_inside(training)])
    y_scalers: tuple[Scaler, ...] = ()
    if recipe.training.loss in ("mse", "l1", "huber"):
        y_scalers = _fit_each(
            kind, training.y[_inside(training)] if training.per_step else training.y
        )

    def scaled(part: Sequences) -> Sequences:
        return replace(part, x=_apply(x_scalers, part.x), y=_apply(y_scalers, part.y))

    held_out = None if validation is None else scaled(validation)
    return scaled(training), held_out, y_scalers


def _inside(part: Sequences) -> NDArray[np.bool_]:
    """(N, T): the steps that belong to a sequence."""
    N, T = part.x.shape[:2]
    ends = np.full(N, T) if part.lengths is None else np.asarray(part.lengths)
    return np.asarray(np.arange(T)[None, :] < ends[:, None])


def _fit_each(kind: ScaleKind, array: NDArray[Any]) -> tuple[Scaler, ...]:
    """One scaler for each entry of the last axis; what does not vary is only moved to 0.

    Infinities enter none of them, and stay what they are: `non-finite` finds them.
    """
    scalers = []
    for index in range(array.shape[-1]):
        values = array[..., index].astype(np.float64)
        known = values[np.isfinite(values)]
        if known.size and np.ptp(known) == 0:
            scalers.append(Scaler(kind, float(known.flat[0]), 1.0))
        else:
            scalers.append(fit_scaler(kind, known))
    return tuple(scalers)


def _apply(scalers: tuple[Scaler, ...], array: NDArray[Any]) -> NDArray[Any]:
    if not scalers:
        return array
    columns = [
        scaler.apply(array[..., index].astype(np.float64)) for index, scaler in enumerate(scalers)
    ]
    return np.stack(columns, axis=-1).astype(array.dtype)
