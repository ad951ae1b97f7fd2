"""Which sequences of a recipe's arrays are used, and how: turned, dropped, told apart, split.

N sequences, T steps, I features, O targets; everything on the CPU, before anything is scaled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.recipe.schema import DataOptions
from minirnn.errors import DataError, RecipeError, ShapeError
from minirnn.training.sequences import Sequences

Array = NDArray[Any]


def time_first(x: Array, y: Array) -> tuple[Array, Array]:
    """Arrays that were given with time first, x (T, N, I), as the rest takes them: (N, T, I).

    y is turned too, where it has one answer a step, (T, N, O) or labels (T, N).

    Raises: ShapeError, where x has not three axes; RecipeError, where y has no row for each of N.
    """
    if x.ndim != 3:
        raise ShapeError("data.x", f"shape {x.shape}", "(T, N, I), as data.time_first says")
    if y.shape[:2] != x.shape[:2] and y.shape[:1] != x.shape[1:2]:
        raise RecipeError(
            "data.time_first", "true", f"false for x {x.shape} and y {y.shape}",
            "y has one row a sequence, or the steps first as x has",
        )  # fmt: skip
    per_step = y.ndim >= 2 and y.shape[:2] == x.shape[:2]
    return x.swapaxes(0, 1), y.swapaxes(0, 1) if per_step else y


def without_features(x: Array, drop: tuple[int, ...]) -> Array:
    """The features of x (N, T, I) that `data.drop` leaves.

    Raises: RecipeError, for a feature that x has not, or where none would be left.
    """
    if not drop:
        return x
    features = x.shape[2]
    for feature in drop:
        if feature >= features:
            raise RecipeError("data.drop", f"feature {feature}", f"one of 0 to {features - 1}")
    kept = [feature for feature in range(features) if feature not in drop]
    if not kept:
        raise RecipeError("data.drop", f"all {features} features", "at least one that is left")
    return np.ascontiguousarray(x[:, :, kept])


def marked(values: Array, mark: float | None) -> Array:
    """Floats with NaN wherever `mark`, the number that stands for a missing value, stood."""
    if mark is None or values.dtype.kind != "f":
        return values
    # In the values' own precision: -999.9 is another number in float32.
    there = values == values.dtype.type(mark)
    return np.where(there, values.dtype.type(np.nan), values) if there.any() else values


def complete(whole: Sequences) -> Sequences:
    """The sequences without a missing value, in what counts of x and in y.

    Raises: DataError, where none is left.
    """
    absent = np.isnan(whole.x).any(axis=2)
    if whole.lengths is not None:
        absent &= np.arange(whole.x.shape[1]) < whole.lengths[:, None]
    lacking = absent.any(axis=1)
    if whole.y.dtype.kind == "f":
        lacking |= np.isnan(whole.y).reshape(len(whole), -1).any(axis=1)
    if lacking.all():
        raise DataError(
            "data", "a missing value in every sequence", 'one without, for data.missing = "drop"'
        )
    return whole.take(np.flatnonzero(~lacking)) if lacking.any() else whole


def clipped(part: Sequences, size: float) -> Sequences:
    """The sequences with inputs beyond a size moved to it, on either side; NaN stays."""
    return replace(part, x=np.clip(part.x, -size, size))


def without_repeats(whole: Sequences) -> Sequences:
    """Each sequence once: of those whose inputs are equal in every step that counts, the first."""
    first: dict[bytes, int] = {}
    for row in range(len(whole)):
        first.setdefault(contents(whole, row), row)
    return whole.take(np.array(list(first.values())))


def contents(whole: Sequences, row: int) -> bytes:
    """What a sequence holds: the same for two with equal inputs in every step that counts."""
    steps = whole.x.shape[1] if whole.lengths is None else int(whole.lengths[row])
    return np.ascontiguousarray(whole.x[row, :steps]).tobytes()


def split(whole: Sequences, data: DataOptions) -> tuple[Sequences, Sequences | None]:
    """Hold a share of independent sequences out: drawn with `data.seed`, or the last of them.

    Raises: RecipeError, when a part would be empty.
    """
    count = round(len(whole) * data.validation)
    if data.validation == 0.0:
        return whole, None
    if not 0 < count < len(whole):
        raise RecipeError(
            "data.validation", repr(data.validation), f"a share that splits {len(whole)} sequences"
        )
    if data.split == "last":
        cut = len(whole) - count
        return whole.take(slice(0, cut)), whole.take(slice(cut, None))
    order = np.random.default_rng(data.seed).permutation(len(whole))
    return whole.take(np.sort(order[count:])), whole.take(np.sort(order[:count]))
