"""`doctor`: train, name, cure, and be honest about it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import examine, harm, recall, recipe, wave, write_csv

import minirnn as mr
from minirnn.diagnosis import Attempt, Diagnosis, Recipe, doctor
from minirnn.diagnosis.doctor import perform
from minirnn.errors import ArgumentError, DataError, RecipeError


@pytest.fixture(scope="module")
def co2() -> Diagnosis:
    """The story of the demo with a smaller network: the CO2 record, fed raw, and repaired."""
    raw = Recipe.from_dict(
        {
            "data": {"builtin": "co2", "window": 52},
            "model": {"hidden_size": 16, "init": {"head_bias": "target_mean"}},
            "training": {"learning_rate": 1e-2, "epochs": 8},
            "generation": {"steps": 104},
        }
    )
    return examine(raw, repair=True)


def test_the_co2_record_is_cured_in_three_acts(co2: Diagnosis) -> None:
    raw, standardised, change = co2.attempts
    assert raw.diagnosis.root is not None
    assert raw.diagnosis.root.symptom == "unscaled-input"
    assert {"saturated-gates", "vanishing-gradient", "constant-output"} <= harm(raw.diagnosis)
    assert dict(standardised.edit) == {"data.scale": "standard"}
    assert harm(standardised.diagnosis) == {"outside-training-range"}
    assert dict(change.edit) == {"data.transform": "change"}
    assert co2.cured
    assert co2.healthy
    assert co2.before is raw.diagnosis


def test_the_cure_is_told_in_the_series_own_units_beside_what_needs_no_network(
    co2: Diagnosis,
) -> None:
    raw, standardised, change = (attempt.figures for attempt in co2.attempts)
    assert raw["unit"] == "ppm"
    assert raw["held_out_rmse"] > 25  # one answer for every window
    assert standardised["persistence_rmse"] == pytest.approx(0.513, abs=0.001)
    assert standardised["held_out_rmse"] > standardised["persistence_rmse"]
    assert change["held_out_rmse"] < change["persistence_rmse"]
    for figures in (raw, standardised, change):
        assert figures["free_run_steps"] == 104
        assert figures["season"] == 52
        assert 0 < figures["seasonal_rmse"] < 3
    assert raw["free_run_swing"] < 0.01
    assert change["true_swing"] == pytest.approx(6.8, abs=0.01)


def test_every_act_keeps_what_the_pictures_are_made_of(co2: Diagnosis) -> None:
    for attempt in co2.attempts:
        run = attempt.run
        assert run is not None
        (trace,) = run.traces
        assert trace.has_gradients
        assert set(run.forecasts) == {"training", "validation", "free_run"}
        held = run.forecasts["validation"]
        assert len(held.given) == len(held.wanted) == len(held.indices) == 457
        series = run.data.series
        assert series is not None
        np.testing.assert_array_equal(series.values[held.indices], held.wanted)
    assert co2.run is co2.attempts[-1].run


def test_the_whole_story_is_json(co2: Diagnosis) -> None:
    told = json.loads(json.dumps(co2.to_dict(), allow_nan=False))
    assert [attempt["kept"] for attempt in told["attempts"]] == [True, True, True]
    assert told["attempts"][0]["recipe"]["data"]["builtin"] == "co2"
    assert len(told["attempts"][0]["history"]["loss"]) == 8
    assert told["cured"] is True


def test_the_same_recipe_gives_the_same_bits(tmp_path: Path) -> None:
    series = write_csv(tmp_path / "a.csv", wave(200))
    edits: dict[str, object] = {"data.window": 6, "training.epochs": 2, "generation.steps": 5}
    first, second = (perform(recipe(series, edits), progress=False) for _ in range(2))
    assert first.figures == second.figures
    assert first.history.loss == second.history.loss
    other = perform(recipe(series, {**edits, "training.seed": 1}), progress=False)
    assert first.history.loss != other.history.loss


def test_without_a_season_the_free_run_is_held_against_the_trend_of_the_whole_past(
    tmp_path: Path,
) -> None:
    noise = np.random.default_rng(0).normal(size=200)
    edits: dict[str, object] = {"data.window": 6, "training.epochs": 1, "generation.steps": 40}
    run = perform(recipe(write_csv(tmp_path / "a.csv", noise), edits), progress=False)
    assert run.data.series is not None
    past = run.data.series.values[:160]
    slope = (past[-1] - past[0]) / 159
    drift = run.forecasts["free_run"].naive
    assert run.figures["season"] is None
    np.testing.assert_allclose(drift, past[-1] + slope * np.arange(1, 41), rtol=1e-12)


def test_a_free_run_is_made_from_the_context_that_is_asked_for(tmp_path: Path) -> None:
    series = write_csv(tmp_path / "a.csv", wave(200))
    edits: dict[str, object] = {"data.window": 20, "training.epochs": 2, "generation.steps": 9}
    runs = {
        context: perform(recipe(series, {**edits, "generation.context": context}), progress=False)
        for context in (2, 20)
    }
    plain = perform(recipe(series, edits), progress=False)
    given = {context: run.forecasts["free_run"].given for context, run in runs.items()}
    np.testing.assert_array_equal(given[20], plain.forecasts["free_run"].given)
    assert not np.allclose(given[2], given[20])
    data = runs[2].data.series
    assert data is not None
    context = data.encoding.encode(data.values[None, data.cut - 2 : data.cut]).astype(np.float32)
    first = data.encoding.decode(mr.training.predict(runs[2].model, context), context[..., 0])
    assert given[2][0] == pytest.approx(float(first[0]))


def test_without_repair_one_training_is_made_and_watched() -> None:
    watched: list[Attempt] = []
    sick = recipe(recall(300, 5, -1), {"training.weight_decay": 1.0, "training.epochs": 8})
    diagnosis = doctor(sick, progress=False, watch=watched.append)
    assert len(diagnosis.attempts) == 1
    assert [attempt.diagnosis.symptoms for attempt in watched] == [diagnosis.symptoms]
    assert not diagnosis.cured
    assert diagnosis.root is not None
    assert diagnosis.root.remedies


def test_a_budget_of_trainings_is_kept(tmp_path: Path) -> None:
    series = write_csv(tmp_path / "a.csv", 1000 + 20 * wave(200))
    edits: dict[str, object] = {"data.window": 6, "training.epochs": 2}
    diagnosis = examine(recipe(series, edits), repair=True, trainings=1)
    assert len(diagnosis.attempts) == 1
    assert not diagnosis.healthy
    with pytest.raises(ArgumentError, match="trainings"):
        doctor(recipe(series, edits), trainings=0)


def test_progress_goes_where_it_is_sent(tmp_path: Path) -> None:
    series = write_csv(tmp_path / "a.csv", wave(120))
    stream = io.StringIO()
    doctor(recipe(series, {"data.window": 6, "training.epochs": 2}), progress=stream)
    assert "epoch" in stream.getvalue()


@pytest.mark.parametrize("value", [{"data": {"builtin": "co2"}}, "recipe.toml", None])
def test_what_is_no_recipe_is_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="from_toml"):
        doctor(value)


def test_a_series_that_cannot_be_used_is_a_data_error(tmp_path: Path) -> None:
    cases = {
        "constant": np.full(100, 3.0),
        "short": wave(20),
    }
    for name, values in cases.items():
        series = write_csv(tmp_path / f"{name}.csv", values)
        with pytest.raises(DataError):
            examine(recipe(series))
    path = tmp_path / "text.csv"
    path.write_text("level\n1\ntwo\n3\n")
    with pytest.raises(DataError, match="line 3"):
        examine(recipe({"csv": str(path)}))
    with pytest.raises(DataError, match="column"):
        examine(recipe({"csv": str(path), "column": "depth"}))


def test_a_straight_line_of_changes_is_a_data_error_and_never_a_traceback(tmp_path: Path) -> None:
    series = write_csv(tmp_path / "line.csv", np.arange(100.0))
    edits: dict[str, object] = {
        "data.window": 5,
        "data.transform": "change",
        "data.scale": "standard",
    }
    with pytest.raises(DataError):
        examine(recipe(series, edits))


def test_a_remedy_that_the_data_do_not_allow_is_not_offered(tmp_path: Path) -> None:
    # A line leaves its range; its changes are all equal, and cannot be standardised.
    series = write_csv(tmp_path / "line.csv", 0.1 * np.arange(200.0))
    edits: dict[str, object] = {"data.window": 5, "data.scale": "standard", "training.epochs": 30}
    diagnosis = examine(recipe(series, edits), repair=True)
    assert diagnosis.before.root is not None
    assert diagnosis.before.root.symptom == "outside-training-range"
    offered = [dict(remedy.edit) for remedy in diagnosis.before.root.remedies]
    assert {"data.transform": "change"} not in offered
    assert dict(diagnosis.attempts[1].edit) == {"data.transform": "change", "data.scale": "none"}
    assert diagnosis.cured


@pytest.mark.parametrize("what", ["x", "y", "both"])
@pytest.mark.parametrize("scale", ["none", "standard"])
def test_arrays_that_do_not_vary_are_examined_like_any(what: str, scale: str) -> None:
    data = recall(60, 4, -1)
    if what in ("x", "both"):
        data["x"][...] = 5
    if what in ("y", "both"):
        data["y"] = np.full_like(data["y"], 3)
    edits: dict[str, object] = {"data.scale": scale, "training.epochs": 2}
    diagnosis = examine(recipe(data, edits), repair=True, trainings=3)
    json.dumps(diagnosis.to_dict(), allow_nan=False)
    assert "state-collapse" not in harm(diagnosis) or what == "y"


def test_two_layers_both_ways_with_lengths_and_classes_are_examined() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 9, 150)
    x = rng.normal(size=(150, 8, 2)).astype(np.float32)
    y = (x[np.arange(150), lengths - 1, 0] > 0).astype(int)
    edits: dict[str, object] = {
        "model.num_layers": 2,
        "model.bidirectional": True,
        "training.loss": "cross_entropy",
        "training.metrics": ["accuracy"],
        "training.epochs": 12,
    }
    diagnosis = examine(recipe({"x": x, "y": y, "lengths": lengths}, edits))
    assert diagnosis.healthy
    run = diagnosis.run
    assert run is not None
    assert [trace.name for trace in run.traces] == [
        "LSTM.l0", "LSTM.l0_reverse", "LSTM.l1", "LSTM.l1_reverse",
    ]  # fmt: skip
    assert diagnosis.figures["held_out_accuracy"] > diagnosis.figures["majority_accuracy"]


def test_answers_at_every_step_are_examined() -> None:
    x = np.random.default_rng(0).normal(size=(100, 8, 1)).astype(np.float32)
    y = np.cumsum(x, axis=1) / 3
    edits: dict[str, object] = {"model.readout": "all", "training.epochs": 12}
    diagnosis = examine(recipe({"x": x, "y": y}, edits))
    assert diagnosis.healthy
    assert diagnosis.figures["training_r2"] > 0.7


def test_the_public_names_are_at_the_top() -> None:
    assert mr.doctor is doctor
    assert mr.Recipe is Recipe
    assert issubclass(RecipeError, mr.MinirnnError)
