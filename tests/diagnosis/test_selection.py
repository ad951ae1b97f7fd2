"""Which sequences a recipe uses: time_first, drop, deduplicate, missing, clip, split; equality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minirnn.diagnosis import Recipe
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.finding import edit_text
from minirnn.errors import DataError, RecipeError

X = np.arange(60, dtype=np.float32).reshape(5, 4, 3)
Y = np.arange(5, dtype=np.float32)[:, None]


def made(**data: Any) -> Recipe:
    """A recipe of these arrays."""
    return Recipe.from_dict({"data": {"x": X, "y": Y, "validation": 0.0, **data}})


def test_arrays_with_time_first_are_turned_with_their_targets() -> None:
    per_step = X[..., :1]
    recipe = made(x=X.swapaxes(0, 1), y=per_step.swapaxes(0, 1), time_first=True)
    part = prepare(recipe.edit({"model.readout": "all"})).training
    assert (part.x == X).all()
    assert (part.y == per_step).all()
    assert (prepare(made(x=X.swapaxes(0, 1), time_first=True)).training.x == X).all()
    with pytest.raises(RecipeError, match="time_first"):
        prepare(made(time_first=True))


def test_features_are_dropped_by_index() -> None:
    assert (prepare(made(drop=[2, 0])).training.x == X[..., 1:2]).all()
    assert made(drop=[2, 0]).data.drop == (0, 2)
    for drop in ([3], [0, 1, 2]):
        with pytest.raises(RecipeError, match="drop"):
            prepare(made(drop=drop))
    for wrong in (1, [0, 0], [-1], ["0"], "0"):
        with pytest.raises(RecipeError, match="drop"):
            made(drop=wrong)


def test_equal_sequences_are_kept_once_as_far_as_they_count() -> None:
    x = X.copy()
    x[3] = x[1]
    x[4, :2] = x[0, :2]
    assert len(prepare(made(x=x, deduplicate=True)).training) == 4
    lengths = np.array([2, 4, 4, 4, 2])
    part = prepare(made(x=x, lengths=lengths, deduplicate=True)).training
    assert (part.y[:, 0] == [0, 1, 2]).all()


def test_a_number_may_stand_for_a_missing_value_and_its_sequence_be_left_out() -> None:
    x, y = X.copy(), Y.copy()
    x[1, 2, 0] = y[3, 0] = -999
    marked = prepare(made(x=x, y=y, missing_value=-999))
    assert marked.absent == 2
    assert (
        prepare(made(x=x, y=y, missing_value=-999, missing="drop")).training.y == Y[[0, 2, 4]]
    ).all()
    # What lies behind a sequence's end does not count.
    kept = prepare(made(x=x, missing_value=-999, missing="drop", lengths=np.array([4, 2, 4, 4, 4])))
    assert len(kept.training) == 5
    with pytest.raises(DataError, match="every sequence"):
        prepare(made(x=np.full_like(X, np.nan), missing="drop"))


def test_gaps_in_targets_of_each_step_are_filled_in_time() -> None:
    y = X[..., :1].copy()
    y[2, 1] = np.nan
    recipe = made(y=y, missing="interpolate").edit({"model.readout": "all"})
    assert prepare(recipe).training.y[2, 1, 0] == pytest.approx(X[2, 1, 0])


def test_inputs_are_clipped_after_scaling() -> None:
    x = X.copy()
    x[0, 0, 0] = 1e6
    part = prepare(made(x=x, scale="robust", clip=2.0)).training
    assert part.x.max() == 2.0
    assert np.abs(part.x[1:]).max() < 2.0


def test_the_last_sequences_are_held_out_in_order() -> None:
    data = prepare(made(split="last", validation=0.4))
    assert data.validation is not None
    assert data.training.y[:, 0].tolist() == [0, 1, 2]
    assert data.validation.y[:, 0].tolist() == [3, 4]


@pytest.mark.parametrize(
    "key", ["data.time_first", "data.deduplicate", "data.drop", "data.split", "data.clip"]
)
def test_what_is_for_sequences_is_refused_for_a_series(key: str) -> None:
    value = {"data.drop": [0], "data.split": "last", "data.clip": 1.0}.get(key, True)
    with pytest.raises(RecipeError, match=key):
        Recipe.from_dict({"data": {"builtin": "sine"}}).edit({key: value})
    with pytest.raises(RecipeError, match=r"data\.missing"):
        Recipe.from_dict({"data": {"builtin": "sine", "missing": "drop"}})


def test_recipes_are_equal_where_their_arrays_are() -> None:
    assert made() == made(x=X.copy())
    assert made() != made(x=X + 1)
    assert made() != made(x=X.astype(np.float64))
    assert made() != made(lengths=np.full(5, 4))
    assert made(x=X * np.nan) == made(x=X * np.nan)
    assert made() != made(x="x.npy")
    assert made().edit({"data.lengths": np.full(5, 3)}) != made()


def test_an_edit_tells_an_array_by_its_shape() -> None:
    told = edit_text({"data.lengths": np.arange(500), "data.drop": (1,), "data.time_first": True})
    assert (
        told == "data.lengths = an array (500,) of int64, data.drop = (1,), data.time_first = true"
    )
