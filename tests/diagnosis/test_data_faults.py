"""outliers, low-data-diversity, no-signal, leakage, missing marks: a case, a near-miss, a cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import examine, harm, recall, recipe, wave, write_csv

import minirnn as mr
from minirnn.diagnosis import Recipe
from minirnn.diagnosis.detectors.missing_values import mark_among
from minirnn.diagnosis.detectors.outliers import recurring
from minirnn.diagnosis.evidence.one_target import the_only_target
from minirnn.diagnosis.evidence.sharing import scaled_together

QUICK: dict[str, object] = {"training.epochs": 14, "model.hidden_size": 12, "model.cell": "rnn"}


def sums(n: int = 300, T: int = 8, features: int = 1, seed: int = 0) -> dict[str, Any]:
    """Sequences (n, T, features) of noise, and the sum of the last two values of the first."""
    x = np.random.default_rng(seed).normal(size=(n, T, features)).astype(np.float32)
    return {"x": x, "y": x[:, -2:, :1].sum(axis=1)}


def of(data: dict[str, Any], edits: dict[str, object] | None = None) -> Recipe:
    """A quick recipe."""
    return recipe(data, {**QUICK, **(edits or {})})


def edits_made(diagnosis: Any) -> list[dict[str, Any]]:
    """What each kept attempt after the first changed."""
    return [dict(each.edit) for each in diagnosis.attempts[1:] if each.kept]


# outliers


def test_glitches_in_targets_that_take_the_loss_are_bounded_and_the_rest_is_learned() -> None:
    data = sums()
    data["y"] = data["y"].copy()
    data["y"][::60] *= 400
    diagnosis = examine(of(data, {"data.scale": "standard"}), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "outliers"
    assert root.evidence["in_targets"]
    assert not root.evidence["in_inputs"]
    assert float(str(root.evidence["pull"])) > 0.9
    assert edits_made(diagnosis) == [{"data.scale": "robust", "training.loss": "huber"}]
    assert diagnosis.cured


def test_glitches_in_inputs_press_the_scale_and_are_clipped() -> None:
    data = sums(400)
    data["x"] = data["x"].copy()
    data["x"][::7, 1] = 3000 * np.sign(data["x"][::7, 1])
    diagnosis = examine(of(data, {"data.scale": "standard"}), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "outliers"
    assert float(str(root.evidence["pressed"])) < 0.05
    assert edits_made(diagnosis) == [{"data.scale": "robust", "data.clip": 5.0}]
    assert diagnosis.cured


def test_long_tails_that_are_learned_are_no_illness() -> None:
    rng = np.random.default_rng(1)
    x = np.exp(0.8 * rng.normal(size=(350, 8, 1))).astype(np.float32)
    diagnosis = examine(of({"x": x, "y": np.log(x[:, -1])}, {"training.epochs": 20}))
    assert diagnosis.healthy
    assert "outliers" in diagnosis.symptoms


def test_pulses_that_recur_and_are_foretold_are_no_outliers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = 0.01 * rng.normal(size=400)
    values[::24] += 2.0
    series = {**write_csv(tmp_path / "a.csv", values), "window": 26, "scale": "standard"}
    patient: dict[str, object] = {"training.epochs": 20, "training.batch_size": 16}
    told = examine(recipe(series, {**patient, "model.cell": "lstm"}))
    found = told.finding("outliers")
    assert found is not None
    assert found.severity == "note"
    assert float(str(found.evidence["ordinary_skill"])) < 0.2  # what lies between is noise
    assert "They are no glitches" in found.explanation


def test_pulses_recur_and_glitches_do_not() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    pulses = values.copy()
    pulses[np.arange(10, 400, 24) + rng.integers(0, 2, 17)] += 80.0
    assert recurring(pulses) >= 0.9
    for _ in range(20):
        glitches = values.copy()
        glitches[rng.permutation(400)[:12]] += 80.0
        assert recurring(glitches) < 0.8
    pulses[30:] = values[30:]
    assert recurring(pulses) == 0.0  # one is no series of them


def test_pulses_that_drown_a_wave_are_outliers_though_they_are_foretold(tmp_path: Path) -> None:
    values = wave(400, noise=0.02)
    values[::30] += 200.0
    series = {**write_csv(tmp_path / "c.csv", values), "window": 32, "scale": "standard"}
    told = examine(recipe(series, {"training.epochs": 24, "training.batch_size": 16}))
    assert told.run.evidence.skill > 0.9
    root = told.root
    assert root is not None
    assert root.symptom == "outliers"


# no-signal


@pytest.mark.parametrize("kind", ["labels", "shuffled"])
def test_targets_that_belong_to_no_input_are_told_from_a_network_that_fails(kind: str) -> None:
    rng = np.random.default_rng(2)
    data = sums()
    if kind == "labels":
        data["y"] = rng.integers(0, 2, len(data["x"]))
        told = of(data, {"training.loss": "cross_entropy"})
    else:
        data["y"] = data["y"][rng.permutation(len(data["y"]))]
        told = of(data)
    root = examine(told).root
    assert root is not None
    assert root.symptom == "no-signal"
    assert root.remedies == ()
    assert abs(float(str(root.evidence["z_of_the_network"]))) < 3.5


def test_a_signal_that_the_network_misses_is_not_called_noise() -> None:
    # Trained by steps that are far too small: what fails is the network.
    diagnosis = examine(of(sums(), {"training.learning_rate": 1e-6}))
    assert not diagnosis.healthy
    assert "no-signal" not in diagnosis.symptoms


def test_a_parity_is_seen_by_neighbours_where_no_product_tells_it() -> None:
    bits = np.random.default_rng(3).integers(0, 2, (400, 6))
    data = {"x": (2.0 * bits[..., None] - 1), "y": bits[:, -3:].sum(axis=1) % 2}
    edits: dict[str, object] = {"training.loss": "cross_entropy", "training.epochs": 1}
    assert "no-signal" not in examine(of(data, edits)).symptoms


# leakage


def test_copies_on_both_sides_are_found_and_kept_once() -> None:
    data = {key: np.concatenate([value, value[:200]]) for key, value in sums().items()}
    diagnosis = examine(of(data), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert (root.symptom, root.evidence["kind"]) == ("leakage", "repeats")
    assert edits_made(diagnosis) == [{"data.deduplicate": True}]
    assert diagnosis.cured


def test_symbols_that_meet_by_chance_are_no_copies() -> None:
    bits = np.random.default_rng(4).integers(0, 2, (300, 5))
    data = {"x": 2.0 * bits[..., None] - 1, "y": bits[:, -1]}
    assert examine(of(data, {"training.loss": "cross_entropy"})).symptoms == set()


def test_overlapping_windows_dealt_out_at_random_leak_and_in_order_do_not() -> None:
    values = wave(300)
    windows = np.lib.stride_tricks.sliding_window_view(values, 12)[:-1]
    data = {"x": windows[..., None].copy(), "y": values[12:, None]}
    diagnosis = examine(of(data), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert (root.symptom, root.evidence["kind"]) == ("leakage", "overlap")
    assert edits_made(diagnosis) == [{"data.split": "last"}]
    assert diagnosis.cured


def test_a_feature_that_is_the_target_is_named_and_dropped() -> None:
    data = sums(features=2)
    copied = np.zeros((300, 8, 1))
    copied[:, -1] = 3 * data["y"] - 1
    data["x"] = np.concatenate([data["x"][..., :1], copied, data["x"][..., 1:]], axis=2)
    diagnosis = examine(of(data), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert (root.symptom, root.evidence["feature"]) == ("leakage", 1)
    assert edits_made(diagnosis)[0] == {"data.drop": (1,)}
    assert "leakage" not in diagnosis.symptoms


def test_a_feature_that_tells_most_of_the_target_is_an_instrument() -> None:
    data = sums(features=2)
    data["x"][:, -1, 1] = data["y"][:, 0] + 0.2 * data["x"][:, 0, 1]
    assert "leakage" not in examine(of(data)).symptoms


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_a_scale_that_saw_the_held_out_part_is_told_from_one_that_did_not(kind: str) -> None:
    values = wave(400) + 2.0 * (np.arange(400) > 320)
    first = values[:320]
    whole, own = (
        (values - part.mean()) / part.std()
        if kind == "standard"
        else (values - part.min()) / np.ptp(part)
        for part in (values, first)
    )
    found = scaled_together(whole, 320)
    assert found is not None
    assert found.kind == kind
    assert scaled_together(own, 320) is None
    assert scaled_together(values, 320) is None


# low-data-diversity


def test_a_machine_at_idle_teaches_nothing_of_its_work(tmp_path: Path) -> None:
    values = wave(420)
    values[:330] = 0.08 * values[:330]
    series = write_csv(tmp_path / "idle.csv", 1.5 * values)
    diagnosis = examine(of(series, {"data.window": 12, "data.scale": "standard"}), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "low-data-diversity"
    assert float(str(root.evidence["spread"])) < 0.2
    assert next(iter(edits_made(diagnosis)[0])) == "data.validation"
    assert diagnosis.cured


def test_a_class_that_is_asked_for_and_was_never_shown() -> None:
    x = np.random.default_rng(5).normal(size=(400, 6, 1)).astype(np.float32)
    labels = np.digitize(x[:, -1, 0], np.quantile(x[:, -1, 0], [0.4, 0.81]))
    order = np.argsort(labels, kind="stable")
    data = {"x": x[order], "y": labels[order]}
    edits: dict[str, object] = {"training.loss": "cross_entropy", "data.split": "last"}
    diagnosis = examine(of(data, edits), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "low-data-diversity"
    assert root.evidence["unknown_classes"] == [2]
    assert edits_made(diagnosis)[0] == {"data.split": "random"}
    assert diagnosis.cured


def test_a_small_range_that_is_asked_for_again_is_enough(tmp_path: Path) -> None:
    series = write_csv(tmp_path / "small.csv", 0.5 + 0.05 * wave(300))
    edits: dict[str, object] = {"data.window": 10, "data.scale": "standard"}
    assert harm(examine(of(series, edits))) == set()


# missing-values


def test_a_number_for_a_missing_value_is_told_from_a_measurement() -> None:
    values = np.random.default_rng(6).normal(size=200)
    assert mark_among(values) is None
    marked = values.copy()
    marked[::50] = -999.0
    assert mark_among(marked) == -999.0
    marked[::50] = [-999.0, -998.0, -997.0, -996.0]  # outliers, each of its own
    assert mark_among(marked) is None
    assert mark_among(np.where(values > 0, 300 + values, 0.0)) == 0.0
    assert mark_among(np.where(values > 0, values, -1.0)) is None


def test_a_mark_is_named_and_the_gaps_filled() -> None:
    data = sums(400)
    data["x"] = data["x"].copy()
    data["x"][::3, -2] = -9999.0
    data["x"][1::3, -1] = -9999.0
    diagnosis = examine(of(data, {"data.scale": "standard"}))
    root = diagnosis.root
    assert root is not None
    assert (root.symptom, root.evidence["mark"]) == ("missing-values", -9999.0)
    assert dict(root.remedies[0].edit) == {
        "data.missing_value": -9999.0,
        "data.missing": "interpolate",
    }


def test_sequences_without_an_answer_are_left_out() -> None:
    data = sums()
    data["y"] = data["y"].copy()
    data["y"][::25] = np.nan
    diagnosis = examine(of(data), repair=True)
    assert edits_made(diagnosis) == [{"data.missing": "drop"}]
    assert diagnosis.cured
    note = diagnosis.finding("missing-values")
    assert note is None or note.severity == "note"


def test_recall_of_one_value_is_no_leak() -> None:
    # The only feature is the question; that the answer can be read off it is what is asked.
    assert examine(of(recall(250, 5, -1))).symptoms == set()


@pytest.mark.parametrize("target", ["class 0 of one", "class 1 of two", "numbers"])
def test_targets_that_are_all_the_same_are_told_once_and_nothing_else_is(target: str) -> None:
    data = sums(120)
    loss: dict[str, object] = {"training.epochs": 4, "training.loss": "cross_entropy"}
    if target == "numbers":
        data["y"], loss = np.full((120, 1), 5.0, np.float32), {"training.epochs": 4}
    else:
        data["y"] = np.full(120, int(target == "class 1 of two"))
    diagnosis = examine(of(data, loss), repair=True)
    assert harm(diagnosis) == {"low-data-diversity"}
    assert len(diagnosis.attempts) == 1  # nothing that could be tried would help
    root = diagnosis.root
    assert root is not None
    assert root.where == "the targets"
    assert "nothing to learn" in root.explanation
    data["y"] = data["y"].copy()
    data["y"][::40] += -1 if target == "class 1 of two" else 1
    assert "low-data-diversity" not in harm(examine(of(data, loss)))


def test_targets_that_were_not_seen_are_not_all_the_same() -> None:
    steps = np.full(256, 4)
    assert the_only_target(np.empty((256, 0)), steps, None) is None
    assert the_only_target(np.full((256, 1), 2.0), steps, None) == 2.0


def test_one_class_in_the_training_part_alone_is_dealt_out_anew() -> None:
    data = sums(100)
    data["y"] = (np.arange(100) >= 84).astype(np.int64)
    data["x"][84:] += 2.0
    edits: dict[str, object] = {"data.split": "last", "training.loss": "cross_entropy"}
    diagnosis = examine(of(data, edits), repair=True)
    assert diagnosis.before.root is not None
    assert diagnosis.before.root.symptom == "low-data-diversity"
    assert edits_made(diagnosis) == [{"data.split": "random"}]
    assert diagnosis.cured


def test_a_batch_of_one_class_is_worth_a_note() -> None:
    model = mr.SequenceModel("gru", input_size=1, hidden_size=4, output_size=2, rng=0)
    x = np.random.default_rng(0).normal(size=(6, 30, 1)).astype(np.float32)
    told = mr.diagnose(model, x, np.ones(30, np.int64), loss="cross_entropy")
    assert [(each.symptom, each.severity) for each in told] == [("low-data-diversity", "note")]
    assert not mr.diagnose(model, x[:, :5], np.ones(5, np.int64), loss="cross_entropy").symptoms
