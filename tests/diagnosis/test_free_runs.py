"""Free runs that come to rest or go round in circles, and those that rightly do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn.diagnosis import Recipe
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.detectors import frozen_generation, output_loop
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.free_run import FreeRun, make_free_run, slopes, spectral_radius
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.remedies import with_remedies
from minirnn.nn import SequenceModel
from minirnn.training.series import prepare_series

T = np.arange(400)
WAVE = np.sin(2 * np.pi * T / 17.3)


def of(run: FreeRun) -> Evidence:
    return Evidence(np.zeros((2, 1, 1)), np.zeros((1, 1)), free_run=run)


def frozen(given: np.ndarray, data: np.ndarray = WAVE, **options: Any) -> Finding | None:
    run = FreeRun(given, data[:300], data[300 : 300 + len(given)], 4, **options)
    return frozen_generation.detect(of(run))


def looping(given: np.ndarray, data: np.ndarray = WAVE) -> Finding | None:
    run = FreeRun(given, data[:300], data[300 : 300 + len(given)], 4)
    return output_loop.detect(of(run))


def test_a_run_that_comes_to_rest_while_the_data_move_is_frozen() -> None:
    given = 0.25 + np.exp(-np.arange(100) / 4.0)
    found = frozen(given, slopes=np.array([0.0, 0.0, 0.25, 0.0]))
    assert found is not None
    assert found.severity == "illness"
    assert found.evidence["value"] == pytest.approx(0.25, abs=1e-6)
    # exp(-t / 4) is below a 40th of the data's range, of 2, from step 12 on.
    assert found.evidence["frozen_at"] == 12
    assert found.evidence["spectral_radius"] == pytest.approx(0.5)
    assert "autoregression" in found.explanation


def test_a_run_that_moves_half_as_much_is_not() -> None:
    assert frozen(0.5 * WAVE[:100]) is None
    assert frozen(np.full(100, np.nan)) is None
    assert frozen(np.full(15, 0.25)) is None


def test_data_that_come_to_rest_are_rightly_continued_at_rest() -> None:
    fading = WAVE * np.exp(-np.maximum(T - 150, 0) / 20.0)
    assert frozen(np.full(100, 0.01), fading) is None
    bell = np.exp(-T / 40.0) * WAVE + 1e-3 * np.random.default_rng(0).normal(size=400)
    assert frozen(np.full(100, 0.01), bell) is None


def test_where_noise_alone_moves_the_data_rest_is_worth_a_note_only() -> None:
    rng = np.random.default_rng(0)
    walk = np.zeros(400)
    for t in range(1, 400):
        walk[t] = 0.8 * walk[t - 1] + rng.normal()
    found = frozen(np.full(100, 0.0), walk)
    assert found is not None
    assert found.severity == "note"


def test_a_walk_that_goes_elsewhere_by_chance_is_no_frozen_run() -> None:
    walk = np.cumsum(np.random.default_rng(3).normal(size=400))
    mean = walk[:300].mean()
    # What was held out happens to come back to the mean, so that the mean foretells it well.
    walk[300:] += mean - walk[300:].mean()
    far = np.full(100, mean + 30.0)
    found = frozen(far, walk)
    assert found is not None
    assert float(str(found.evidence["foretold_error"])) < 0.5 * float(str(found.evidence["error"]))
    assert found.severity == "note"
    assert "random walk" in found.explanation
    # On the same walk a wave goes up and down, which can be foretold.
    waving = frozen(far, walk + 6 * WAVE)
    assert waving is not None
    assert waving.severity == "illness"
    assert float(str(waving.evidence["dickey_fuller"])) > -2.86


def test_where_the_data_wander_changes_are_offered_first() -> None:
    recipe = Recipe.from_dict({"data": {"csv": "a.csv", "window": 6}})
    walk = np.cumsum(np.random.default_rng(3).normal(size=400))
    found = frozen(np.full(100, walk[299] + 30.0), walk + 6 * WAVE)
    assert found is not None
    first = with_remedies(found, recipe)[0][0]
    assert first.edit == {"data.transform": "change", "data.window": 24, "data.scale": "standard"}
    about_a_level = frozen(np.full(100, 0.25))
    assert about_a_level is not None
    offers = with_remedies(about_a_level, recipe)[0]
    assert all("data.transform" not in each.edit for each in offers)


def test_a_loop_unlike_the_data_is_found_and_one_like_them_is_not() -> None:
    both = WAVE + 0.6 * np.sin(2 * np.pi * T / 5.1)
    wrong = np.tile([1.0, -1.0, 0.5, -0.5], 25)
    found = looping(wrong, both)
    assert found is not None
    assert found.severity == "illness"
    assert found.evidence["period"] == 4
    assert found.evidence["start"] == 0
    right = np.sin(2 * np.pi * T / 17)
    assert looping(right[:100], right) is None
    assert looping(right[5:105], right) is None  # out of step, and still the data's own loop
    # A faint echo of it has the frequency, and not the swing.
    faint = looping(0.3 * right[:100], right)
    assert faint is not None
    assert faint.evidence["amplitude"] == pytest.approx(0.3, abs=0.02)


TEXT = "the cat sees a dog in the rain. an old man follows the queen at night. my sister calls. "


def said(given: str, data: str) -> Finding | None:
    alphabet = "".join(sorted(set(given + data)))
    tokens = {each: np.array([alphabet.index(c) for c in each]) for each in (given, data)}
    run = FreeRun(tokens[given], tokens[data], tokens[data][:0], 8, alphabet=alphabet)
    return output_loop.detect(of(run))


def test_a_phrase_that_the_text_does_not_repeat_is_a_loop() -> None:
    found = said("at last he " + "said and " * 20, TEXT * 2)
    assert found is not None
    assert found.severity == "illness"
    assert found.evidence["phrase"] == " said and"
    assert found.evidence["period"] == 9
    assert found.evidence["start"] == 10
    assert found.evidence["repetition"] == pytest.approx(1 - 19 / 184)


def test_what_the_text_repeats_itself_is_none() -> None:
    assert said(TEXT[:80] * 3, TEXT[:80] * 30) is None
    assert (
        said("a wholly other text, which never says anything twice; but ends in...", TEXT) is None
    )
    assert said("short and short and short and short", TEXT) is None  # below 40 characters


def test_phrases_that_come_back_out_of_order_are_a_loop_without_a_period() -> None:
    words = ["follows ", "the queen ", "again and ", "with joy "]
    order = np.random.default_rng(2).integers(0, 4, 40)
    found = said("".join(words[k] for k in order), TEXT)
    assert found is not None
    assert found.evidence["period"] is None
    assert float(str(found.evidence["repetition"])) > 0.5


@pytest.mark.parametrize("transform", ["none", "change"])
@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_slopes_are_the_derivatives_of_the_next_value(transform: Any, cell: str) -> None:
    series = prepare_series(
        20 + 3 * WAVE, window=6, transform=transform, scale="standard", dtype="float64"
    )
    model = SequenceModel(cell, input_size=1, hidden_size=5, output_size=1, dtype="float64", rng=0)
    values = series.values[40:46]
    told = slopes(model, series, values)
    for k in range(6):
        ends = []
        for step in (1e-5, -1e-5):
            moved = values.copy()
            moved[k] += step
            moved = np.concatenate([moved, [0.0]])
            part = replace(series, values=moved, cut=6)
            ends.append(float(part.free_run(model, 1)[0]))
        assert told[k] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-9)


def test_the_spectral_radius_is_that_of_the_recurrence() -> None:
    # x_t = 1.5 x_{t-1} - 0.56 x_{t-2} has the roots 0.8 and 0.7.
    assert spectral_radius(np.array([-0.56, 1.5])) == pytest.approx(0.8)
    assert np.isnan(spectral_radius(np.array([np.nan, 1.0])))


def csv(path: Path, values: np.ndarray) -> str:
    path.write_text("level\n" + "".join(f"{value:.6f}\n" for value in values), encoding="utf-8")
    return str(path)


def test_a_context_too_short_freezes_a_wave_and_the_window_sets_it_free(tmp_path: Path) -> None:
    recipe = Recipe.from_dict(
        {
            "data": {"csv": csv(tmp_path / "wave.csv", WAVE), "window": 18},
            "model": {"cell": "gru", "hidden_size": 14},
            "training": {"learning_rate": 1e-2, "epochs": 12},
            "generation": {"steps": 120, "context": 1},
        }
    )
    first = mr.doctor(recipe, progress=False)
    assert [finding.symptom for finding in first.findings if finding.harmful] == [
        "frozen-generation"
    ]
    assert first.findings[0].remedies[0].edit == {"generation.context": 18}
    assert {each.advice for each in first.findings[0].would_not_help} >= {"add dropout"}
    told = mr.doctor(recipe, repair=True, progress=False)
    assert told.healthy
    assert len(told.attempts) == 2
    run = told.run.evidence.free_run
    assert np.ptp(run.given[-20:]) > 1.0


TALK: dict[str, Any] = {
    "data": {"builtin": "text", "characters": 1800, "window": 16},
    "model": {"cell": "rnn", "hidden_size": 20, "readout": "all"},
    "training": {"loss": "cross_entropy", "learning_rate": 1e-2, "epochs": 20},
    "generation": {"steps": 80},
}


def test_greedy_characters_loop_though_the_loss_falls_and_drawing_them_helps() -> None:
    recipe = Recipe.from_dict(TALK)
    told = mr.doctor(recipe, repair=True, progress=False)
    found = told.attempts[0].diagnosis.findings[0]
    assert found.symptom == "output-loop"
    assert "oscillating-loss" not in told.attempts[0].diagnosis.symptoms
    assert "it came down from" in found.explanation
    assert told.healthy
    assert told.attempts[1].edit == {
        "generation.sample": "temperature", "generation.temperature": 1.0
    }  # fmt: skip
    assert "lower the learning rate, or schedule it" in {a.advice for a in found.would_not_help}


def test_a_run_has_the_context_the_steps_and_the_seed_it_was_asked_for() -> None:
    recipe = Recipe.from_dict(TALK).edit(
        {"generation.sample": "temperature", "generation.context": 3}
    )
    data = prepare(recipe)
    model = SequenceModel(
        "rnn", input_size=len(data.alphabet), hidden_size=4, output_size=len(data.alphabet),
        readout="all", rng=0,
    )  # fmt: skip
    runs = [make_free_run(model, recipe.edit({"training.seed": seed}), data) for seed in (0, 0, 1)]
    assert all(run is not None and len(run.given) == 80 and run.context == 3 for run in runs)
    one, again, other = (run.given for run in runs if run is not None)
    np.testing.assert_array_equal(one, again)
    assert np.any(one != other)
    assert make_free_run(model, Recipe.from_dict({"data": TALK["data"], "training": {
        "loss": "cross_entropy"}}), data) is None  # fmt: skip


def test_a_text_is_continued_on_the_gpu_as_on_the_cpu(cuda: str) -> None:
    recipe = Recipe.from_dict(TALK).edit({"training.epochs": 2, "generation.steps": 40})
    here, there = (mr.doctor(recipe, progress=False, device=each) for each in ("cpu", cuda))
    assert here.symptoms == there.symptoms
    assert isinstance(there.run.evidence.free_run.given, np.ndarray)
