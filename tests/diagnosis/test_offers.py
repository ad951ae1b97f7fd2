"""What is offered can be carried out: a remedy that the recipe or its data refuse is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from problems import recipe, wave, write_csv

from minirnn.diagnosis import Finding, Recipe, Remedy
from minirnn.diagnosis.build import build_model
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.remedies import OFFERS, changes, with_remedies
from minirnn.diagnosis.remedies.room import LEAST_HELD_OUT, enough_held_out, wider

# Words and figures that offers ask findings for: any of them may be there, or not.
ASKED: dict[str, list[object]] = {
    "kind": ["through time", "start", "rate taken", "unfinished", "repeats", "overlap", "text"],
    "steps": [3.0, 400.0],
    "step": [1e-6, 30.0],
    "clipped_share": [0.9],
    "size_of_the_finite": [1.0],
    "infinite_inputs": [3],
    "largest_target": [1e9],
    "first_update": [5.0],
    "input_size": [300.0],
    "features_are_steps": [True],
    "steps_that_tell": [40],
    "dickey_fuller": [0.5],
    "targets_missing": [True],
    "in_inputs": [True],
    "in_targets": [True],
    "mark": [-99.0],
    "leap": [40.0],
}


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    """Any symptom, with some of what offers ask of it."""
    told = draw(st.sets(st.sampled_from(sorted(ASKED))))
    evidence = {key: draw(st.sampled_from(ASKED[key])) for key in sorted(told)}
    return Finding(draw(st.sampled_from(sorted(OFFERS))), "illness", "there", evidence, "", "")


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    """Series long and short, a text, tasks and arrays; every cell, loss and optimiser of them."""
    kind = draw(st.sampled_from(["series", "series", "text", "adding", "arrays", "steps"]))
    model: dict[str, Any] = {
        "hidden_size": 4,
        "cell": draw(st.sampled_from(["rnn", "lstm", "gru"])),
    }
    if model["cell"] == "lstm" and draw(st.booleans()):
        model["init"] = {"forget_bias": 0.0}
    model["activation"] = draw(st.sampled_from(["tanh", "relu", "sigmoid"]))
    training = {
        "optimizer": draw(st.sampled_from(["adam", "sgd"])),
        "learning_rate": draw(st.sampled_from([1e-5, 1e-2, 0.5])),
        "early_stopping": draw(st.sampled_from([0, 3])),
        "loss": draw(st.sampled_from(["mse", "l1", "huber"])),
    }
    tables: dict[str, Any] = {"model": model, "training": training}
    if kind == "series":
        n, straight = draw(st.integers(40, 300)), draw(st.booleans())
        window = draw(st.integers(1, max(1, round(0.6 * n))))
        values = 3.0 + np.arange(n) if straight else wave(n, level=5.0)
        tables["data"] = {"values": values, "window": window}
        tables["data"]["scale"] = draw(st.sampled_from(["none", "standard", "robust"]))
        if draw(st.booleans()):
            tables["generation"] = {"steps": 5, "context": max(1, window // 2)}
    elif kind == "text":
        training["loss"] = "cross_entropy"
        window = draw(st.sampled_from([2, 200, 390]))
        tables["data"] = {"builtin": "text", "characters": 600, "window": window}
        tables["generation"] = {"steps": 5}
    elif kind == "adding":
        tables["data"] = {"builtin": "adding", "samples": 30, "length": 8}
    else:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(30, 1 if kind == "steps" else 6, 3)).astype(np.float32)
        tables["data"] = {"x": x, "y": x[:, -1, :1]}
    return tables


@given(tables=recipes(), found=findings())
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_remedy_offered_can_be_carried_out(
    tables: dict[str, Any], found: Finding, tmp_path: Path
) -> None:
    given_data = dict(tables["data"])
    if "values" in given_data:
        given_data |= write_csv(tmp_path / "series.csv", given_data.pop("values"))
    recipe = Recipe.from_dict({**tables, "data": given_data})
    prepare(recipe)
    for remedy in with_remedies(found, recipe)[0]:
        edited = recipe.edit(remedy.edit)
        assert edited != recipe
        data = prepare(edited)
        build_model(edited, data)
        if "data.window" in remedy.edit:
            assert len(data.training) >= edited.data.window
        if "data.validation" in remedy.edit:
            assert data.validation is not None
            assert len(data.validation) >= LEAST_HELD_OUT


def test_a_wider_window_leaves_as_many_windows_as_it_has_values(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "series.csv", wave(600))
    recipe = Recipe.from_dict({"data": {**data, "window": 192}})
    assert wider(recipe, [768]) == [240]  # half of the 480 that are trained on
    assert wider(recipe.edit({"data.window": 240}), [960]) == []
    assert wider(recipe, [200, 768, 900, 48]) == [200, 240]
    gone = Recipe.from_dict({"data": {"csv": str(tmp_path / "gone.csv"), "window": 192}})
    assert wider(gone, [768]) == [768]  # nothing is known of them


@pytest.mark.parametrize(
    ("symptom", "window", "offered"),
    [
        ("no-signal", 192, [240]),
        ("no-signal", 240, []),
        ("no-recurrence", 1, [80, 160]),
        ("frozen-generation", 40, [160, 240]),
    ],
)
def test_windows_are_offered_as_far_as_the_series_goes(
    symptom: str, window: int, offered: list[int], tmp_path: Path
) -> None:
    data = write_csv(tmp_path / "series.csv", wave(600)) | {"window": window}
    found = Finding(symptom, "illness", "there", {"steps_that_tell": 40}, "", "")
    remedies, _ = with_remedies(found, Recipe.from_dict({"data": data}))
    assert [r.edit["data.window"] for r in remedies if "data.window" in r.edit] == offered


def test_less_is_held_out_only_while_it_is_enough(tmp_path: Path) -> None:
    found = Finding("low-data-diversity", "illness", "there", {}, "", "")
    for n, shares in ((600, [0.1, 0.05]), (200, [0.1]), (100, [])):
        data = write_csv(tmp_path / f"{n}.csv", wave(n)) | {"window": 8}
        remedies, _ = with_remedies(found, Recipe.from_dict({"data": data}))
        assert [remedy.edit["data.validation"] for remedy in remedies] == shares


def test_what_is_held_out_stays_large_enough_to_judge_by(tmp_path: Path) -> None:
    recipe = Recipe.from_dict({"data": write_csv(tmp_path / "series.csv", wave(200))})
    assert enough_held_out(recipe, 0.1)
    assert not enough_held_out(recipe, 0.05)


@pytest.mark.parametrize(
    ("edit", "possible"),
    [
        ({"data.window": 200}, False),  # of 160 values
        ({"data.window": 20}, True),
        ({"data.transform": "change", "data.scale": "standard"}, False),  # changes all equal
        ({"data.transform": "change"}, True),
        ({"training.loss": "cross_entropy"}, False),
        ({"training.epochs": 20}, False),  # no other recipe
    ],
)
def test_a_remedy_is_tried_on_the_data_before_it_is_offered(
    edit: dict[str, object], possible: bool, tmp_path: Path
) -> None:

    recipe = Recipe.from_dict(
        {"data": write_csv(tmp_path / "line.csv", 3.0 + np.arange(200)) | {"window": 12}}
    )
    assert changes(recipe, Remedy(edit, "", "")) is possible


def test_a_window_that_sees_a_whole_season_is_offered_first(tmp_path: Path) -> None:
    pulses = (np.arange(600) % 17 == 0).astype(float)
    chance = (np.random.default_rng(0).random(600) < 1 / 17).astype(float)
    stalled = Finding("stalled-loss", "illness", "here", {"kind": "level"}, "", "")

    def first(values: Any, window: int, symptom: str = "stalled-loss") -> dict[str, object]:
        which = recipe({**write_csv(tmp_path / "series.csv", values), "window": window})
        return dict(with_remedies(replace(stalled, symptom=symptom), which)[0][0].edit)

    for symptom in ("stalled-loss", "constant-output", "underfitting"):
        assert first(pulses, 8, symptom) == {"data.window": 17}
    assert "data.window" not in first(pulses, 17)
    assert "data.window" not in first(chance, 8)
    # A smooth wave is foretold from a few values: a whole season tells no more.
    assert "data.window" not in first(np.sin(2 * np.pi * np.arange(600) / 25), 8)
