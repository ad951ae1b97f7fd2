"""Recipes of text, and the keys of training and generation that go with free runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minirnn.diagnosis import Recipe
from minirnn.diagnosis.build import build_model, train
from minirnn.diagnosis.data import prepare
from minirnn.errors import DataError, RecipeError

TEXT: dict[str, Any] = {
    "data": {"builtin": "text", "characters": 300, "window": 8},
    "model": {"hidden_size": 4, "readout": "all"},
    "training": {"loss": "cross_entropy", "epochs": 2},
}


def test_a_text_is_prepared_for_every_step_or_for_the_last() -> None:
    each = prepare(Recipe.from_dict(TEXT))
    kinds = len(each.alphabet)
    assert each.training.x.shape == (29, 8, kinds)
    assert each.training.y.shape == (29, 8)
    assert each.text is not None
    assert each.series is None
    last = prepare(Recipe.from_dict(TEXT).edit({"model.readout": "last"}))
    assert last.training.x.shape == (232, 8, kinds)
    assert last.training.y.shape == (232,)
    model = build_model(Recipe.from_dict(TEXT), each)
    # One output for each kind there is, also for those that no target happens to be.
    assert model.head.out_features == kinds


def test_a_text_of_ones_own_is_read_and_found_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("ONE two. " * 40, encoding="utf-8")
    recipe = Recipe.from_dict({**TEXT, "data": {"text": "mine.txt", "window": 6}}, folder=tmp_path)
    data = prepare(recipe)
    assert data.name == "mine.txt"
    assert data.alphabet == " .enotw"
    assert recipe.is_text
    assert not recipe.is_series
    with pytest.raises(DataError, match=r"data\.text"):
        prepare(recipe.edit({"data.text": str(tmp_path / "no.txt")}))


@pytest.mark.parametrize(
    "edit",
    [{"training.truncate": 3}, {"training.scheduled_sampling": 0.7}, {"model.readout": "last"}],
)
def test_each_key_changes_what_is_learned(edit: dict[str, object]) -> None:
    def learned(recipe: Recipe) -> np.ndarray:
        data = prepare(recipe)
        model = build_model(recipe, data)
        train(recipe, model, data, progress=False)
        return model.recurrent.weight_hh_l0.data

    plain = learned(Recipe.from_dict(TEXT))
    assert np.any(learned(Recipe.from_dict(TEXT).edit(edit)) != plain)


def test_a_series_is_trained_on_its_own_answers_and_in_chunks() -> None:
    recipe = Recipe.from_dict(
        {
            "data": {"builtin": "sunspots", "window": 6, "scale": "standard"},
            "model": {"hidden_size": 3},
            "training": {"epochs": 2, "truncate": 4, "scheduled_sampling": 0.5},
        }
    )
    data = prepare(recipe)
    history = train(recipe, build_model(recipe, data), data, progress=False)
    assert history.stopped is None


SINE: dict[str, Any] = {"data": {"builtin": "sine"}}
ARRAYS: dict[str, Any] = {"data": {"x": np.zeros((9, 3, 1)), "y": np.zeros((9, 1))}}


@pytest.mark.parametrize(
    ("tables", "edit", "key"),
    [
        (TEXT, {"training.loss": "mse"}, "training.loss"),
        (TEXT, {"data.scale": "standard"}, "data.scale"),
        (TEXT, {"data.missing": "drop"}, "data.missing"),
        (TEXT, {"data.horizon": 2}, "data.horizon"),
        (TEXT, {"data.transform": "change"}, "data.transform"),
        (TEXT, {"data.length": 20}, "data.length"),
        (TEXT, {"data.split": "last"}, "data.split"),
        (TEXT, {"data.missing_value": -999}, "data.missing_value"),
        (TEXT, {"data.characters": 1}, "data.characters"),
        (TEXT, {"data.text": "a.txt"}, "data"),
        (SINE, {"data.characters": 50}, "data.characters"),
        (TEXT, {"generation.temperature": 0.5}, "generation.temperature"),
        (TEXT, {"generation.sample": "temperature", "generation.temperature": 0.0}, "generation.t"),
        (TEXT, {"generation.sample": "best"}, "generation.sample"),
        (SINE, {"generation.sample": "temperature"}, "generation.sample"),
        (SINE, {"training.truncate": -1}, "training.truncate"),
        (SINE, {"training.truncate": 5, "model.bidirectional": True}, "training.truncate"),
        (SINE, {"training.truncate": 5, "model.norm": "batch"}, "training.truncate"),
        (SINE, {"training.scheduled_sampling": 1.5}, "training.scheduled_sampling"),
        (SINE, {"training.scheduled_sampling": 0.5, "data.transform": "change"}, "scheduled"),
        (SINE, {"training.scheduled_sampling": 0.5, "data.horizon": 2}, "scheduled"),
        (SINE, {"training.scheduled_sampling": 0.5, "model.bidirectional": True}, "scheduled"),
        (ARRAYS, {"training.scheduled_sampling": 0.5}, "training.scheduled_sampling"),
        ({"data": {"builtin": "adding"}}, {"training.scheduled_sampling": 0.5}, "scheduled"),
        (ARRAYS, {"generation.steps": 5}, "generation"),
    ],
)
def test_what_contradicts_itself_is_refused(
    tables: dict[str, Any], edit: dict[str, object], key: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(tables).edit(edit)
    assert key in str(caught.value.argument)
