"""constant-output, state-collapse, outside-training-range, missing-values, non-finite."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from problems import examine, harm, recall, recipe, wave, write_csv

from minirnn.diagnosis import diagnose
from minirnn.diagnosis.detectors import constant_output, outside_training_range
from minirnn.diagnosis.evidence import Answers, Evidence, HeldOut, answers_to
from minirnn.functional import binary_cross_entropy_with_logits
from minirnn.nn import SequenceModel


def answered(given: np.ndarray, wanted: np.ndarray) -> Evidence:
    """Evidence of answers alone."""
    inputs = np.ones((3, len(given), 1))
    return Evidence(inputs, wanted, answers=Answers(given, wanted))


# constant-output


def test_weight_decay_that_wins_gives_one_answer_and_taking_it_away_cures() -> None:
    sick = recipe(recall(300, 10, -1), {"training.weight_decay": 1.0, "training.epochs": 8})
    diagnosis = examine(sick, repair=True)
    assert harm(diagnosis.before) == {"over-regularised", "constant-output"}
    assert diagnosis.before.root is not None
    assert diagnosis.before.root.symptom == "over-regularised"
    assert dict(diagnosis.attempts[1].edit) == {"training.weight_decay": 0.0}
    assert diagnosis.cured
    assert diagnosis.figures["held_out_r2"] > 0.9


@pytest.mark.parametrize(("spread", "constant"), [(0.0, True), (0.04, True), (0.06, False)])
def test_spread_alone_decides_and_not_the_level(spread: float, constant: bool) -> None:
    wanted = np.random.default_rng(0).normal(size=(50, 1))
    for level in (0.0, 30.0):
        found = constant_output.detect(answered(spread * wanted + level, wanted))
        assert (found is not None) == constant


def test_targets_that_do_not_vary_leave_nothing_to_say() -> None:
    assert constant_output.detect(answered(np.zeros((9, 1)), np.ones((9, 1)))) is None


def test_one_answer_may_be_the_best_where_nothing_tells_the_target() -> None:
    rng = np.random.default_rng(7)
    x, noise = rng.normal(size=(6, 100, 1)), rng.normal(size=(100, 1))
    for wanted, severity in ((noise, "note"), (x[2], "illness")):
        one = Answers(np.full((100, 1), 0.1), wanted)
        found = constant_output.detect(Evidence(x, wanted, answers=one))
        assert found is not None
        assert found.severity == severity


def test_classes_are_compared_as_probabilities() -> None:
    labels = np.array([0, 1, 2, 1])
    logits = np.array([[9.0, 0, 0], [0, 9, 0], [0, 0, 9], [0, 9, 0]])
    answers = answers_to(logits, labels, None, None)
    assert answers is not None
    assert answers.spread == pytest.approx(1.0, abs=1e-3)
    assert answers.skill > 0.999
    one = answers_to(np.tile([1.0, 2, 3], (4, 1)), labels, None, None)
    assert one is not None
    assert one.spread == 0.0


def test_answers_at_every_step_leave_the_padding_out() -> None:
    wanted = np.arange(12.0).reshape(3, 4, 1)
    lengths = np.array([3, 0, 1, 2])
    padded = np.where(np.arange(3)[:, None, None] < lengths[:, None], wanted, 99.0)
    answers = answers_to(padded, wanted, lengths, None)
    assert answers is not None
    assert answers.error == 0.0
    assert len(answers.given) == 6
    chances = answers_to(np.zeros((2, 1)), np.ones((2, 1)), None, binary_cross_entropy_with_logits)
    assert chances is not None
    assert (chances.given == 0.5).all()


# state-collapse


def test_states_that_merge_are_found_at_their_layer_and_direction() -> None:
    model = SequenceModel(
        "gru", input_size=1, hidden_size=8, output_size=1, num_layers=2, bidirectional=True, rng=0
    )
    layer = model.recurrent
    for weight in (layer.weight_ih_l1, layer.weight_ih_l1_reverse):
        weight.data *= 1e-4
    x = np.random.default_rng(0).normal(size=(12, 60, 1)).astype(np.float32)
    found = diagnose(model, x, x[-1].copy(), loss="mse").finding("state-collapse")
    assert found is not None
    assert found.where.startswith("GRU.l1 and GRU.l1_reverse,")
    assert found.evidence["spread"] < 0.001
    assert found.evidence["spread_of_inputs"] > 0.1


def test_weights_that_start_at_zero_merge_the_states_and_the_doctor_finds_the_way_out() -> None:
    edits: dict[str, object] = {
        "model.init.kernel": "zeros",
        "training.learning_rate": 3e-5,
        "training.epochs": 10,
        "model.init.forget_bias": 0.0,
    }
    diagnosis = examine(recipe(recall(400, 6, -1), edits), repair=True, trainings=12)
    assert diagnosis.before.root is not None
    # No gradient passes a head of zeros: what merges the states is that nothing ever moves.
    assert diagnosis.before.root.symptom == "stalled-loss"
    assert diagnosis.before.root.evidence["kind"] == "start"
    assert {"state-collapse", "constant-output"} <= set(diagnosis.before.root.consequences)
    assert diagnosis.cured


def test_states_in_few_dimensions_are_no_collapse() -> None:
    # One number in, one number to answer: the state needs no more than one dimension.
    diagnosis = examine(recipe(recall(300, 5, -1), {"training.epochs": 8}))
    assert diagnosis.symptoms == set()


# outside-training-range


def test_a_series_that_climbs_out_of_its_range_is_cured_by_predicting_changes(
    tmp_path: Path,
) -> None:
    series = write_csv(tmp_path / "ramp.csv", wave(slope=0.03))
    edits: dict[str, object] = {
        "data.window": 12,
        "data.scale": "standard",
        "model.cell": "gru",
        "training.epochs": 25,
    }
    diagnosis = examine(recipe(series, edits), repair=True)
    before = diagnosis.before.root
    assert before is not None
    assert before.symptom == "outside-training-range"
    assert before.evidence["behind"] > 0.05
    assert before.evidence["rmse_outside"] > before.evidence["naive_rmse_outside"]
    assert dict(diagnosis.attempts[1].edit) == {"data.transform": "change"}
    assert diagnosis.cured
    assert diagnosis.symptoms == set()
    assert diagnosis.figures["held_out_rmse"] < diagnosis.figures["persistence_rmse"]


def held_out(answer: object, noise: float = 0.1) -> Evidence:
    """100 held-out rows, 60 of them past the training range of 0 to 1, answered by a function."""
    rng = np.random.default_rng(0)
    trained = np.linspace(0, 1, 100)[:, None]
    held = np.linspace(0.8, 1.3, 100)[:, None]
    function = np.vectorize(answer)

    def answers(y: np.ndarray) -> Answers:
        return Answers(function(y) + noise * rng.normal(size=y.shape), y)

    return Evidence(
        trained[None],
        trained,
        held_out=HeldOut(
            held[:, None], held, trained[:, None], trained, answers(held), answers(trained)
        ),
    )


def test_answers_that_go_on_past_the_range_are_a_note_at_most() -> None:
    follows = outside_training_range.detect(held_out(lambda y: y, noise=0.02))
    assert follows is not None
    assert follows.severity == "note"
    flattens = outside_training_range.detect(held_out(lambda y: min(y, 1.0), noise=0.02))
    assert flattens is not None
    assert flattens.severity == "illness"
    # From 0.8 to 1.3, trained on 0 to 1: what lies beyond by more than a tenth of that.
    assert flattens.evidence["share_outside"] == pytest.approx(0.4, abs=0.02)
    assert flattens.evidence["behind"] == pytest.approx(1.0, abs=0.1)


def test_an_error_that_is_as_large_inside_is_not_the_ranges_fault() -> None:
    # Overfitted: held-out rows are answered badly wherever they lie.
    both = held_out(lambda y: y + 0.3 * np.sin(40 * y) * (y != 0), noise=0.0)
    held = both.held_out
    assert held is not None
    perfect = Answers(held.trained_y, held.trained_y + 1e-3)
    overfitted = HeldOut(held.x, held.y, held.trained_x, held.trained_y, held.answers, perfect)
    found = outside_training_range.detect(Evidence(both.inputs, both.targets, held_out=overfitted))
    assert found is not None
    assert found.severity == "note"


def test_a_network_that_learned_nothing_does_not_blame_the_range() -> None:
    found = outside_training_range.detect(held_out(lambda y: 0.5 - 3 * (y > 1.1)))
    assert found is not None
    assert found.evidence["error_ratio"] > 2
    assert found.severity == "note"


@pytest.mark.parametrize(("off_by", "severity"), [(0.3, "illness"), (0.001, "note")])
def test_of_a_series_only_what_is_worse_than_persistence_is_ill(
    off_by: float, severity: str
) -> None:
    evidence = held_out(lambda y: min(y, 1.0) + 0.9 * max(y - 1.0, 0.0) - off_by * (y > 1), 0.0)
    held = evidence.held_out
    assert held is not None
    last = Answers(held.y - 0.05, held.y)
    series = replace(held, naive=last, trained_naive=Answers(held.trained_y - 0.05, held.trained_y))
    found = outside_training_range.detect(replace(evidence, held_out=series))
    assert found is not None
    assert found.severity == severity


@pytest.mark.parametrize(("slope", "severity"), [(0.5, "illness"), (1.0, "note")])
def test_a_series_that_falls_behind_is_ill_before_its_error_has_doubled(
    slope: float, severity: str
) -> None:
    # Noise hides it in the error; that it stays behind the more, the further out, does not hide.
    evidence = held_out(lambda y: min(y, 1.0) + slope * max(y - 1.0, 0.0), noise=0.06)
    held = evidence.held_out
    assert held is not None
    last = Answers(held.y - 0.05, held.y)
    series = replace(held, naive=last, trained_naive=Answers(held.trained_y - 0.05, held.trained_y))
    found = outside_training_range.detect(replace(evidence, held_out=series))
    assert found is not None
    assert found.evidence["error_ratio"] < 2
    assert found.evidence["rmse_outside"] > found.evidence["naive_rmse_outside"]
    assert found.severity == severity


def test_a_few_rows_outside_are_not_worth_a_word(tmp_path: Path) -> None:
    series = write_csv(tmp_path / "wave.csv", wave())
    edits: dict[str, object] = {"data.window": 2, "data.scale": "standard", "training.epochs": 6}
    assert "outside-training-range" not in examine(recipe(series, edits)).symptoms


# missing-values


def holed(share: float) -> np.ndarray:
    values = wave()
    gone = np.random.default_rng(3).random(len(values)) < share
    gone[[0, -1]] = False
    return np.where(gone, np.nan, values)


def test_missing_values_are_the_root_of_numbers_that_are_none(tmp_path: Path) -> None:
    series = write_csv(tmp_path / "holes.csv", holed(0.05))
    edits: dict[str, object] = {"data.window": 8, "data.scale": "standard", "training.epochs": 6}
    diagnosis = examine(recipe(series, edits), repair=True)
    before = diagnosis.before.root
    assert before is not None
    assert before.symptom == "missing-values"
    assert before.consequences == ("non-finite",)
    missing = int(np.isnan(holed(0.05)).sum())
    assert before.evidence["values_missing"] == missing
    assert diagnosis.attempts[0].history.stopped is not None
    json.dumps(diagnosis.to_dict(), allow_nan=False)
    assert dict(diagnosis.attempts[1].edit) == {"data.missing": "interpolate"}
    assert diagnosis.cured
    after = diagnosis.finding("missing-values")
    assert after is not None
    assert after.severity == "note"
    assert after.evidence["values_missing"] == missing


def test_where_most_was_filled_the_filling_is_warned_of(tmp_path: Path) -> None:
    series = write_csv(tmp_path / "more_holes.csv", holed(0.4))
    edits: dict[str, object] = {
        "data.window": 8,
        "data.missing": "interpolate",
        "training.epochs": 2,
    }
    found = examine(recipe(series, edits)).finding("missing-values")
    assert found is not None
    assert found.severity == "warning"


def test_a_whole_series_has_no_missing_values(tmp_path: Path) -> None:
    series = write_csv(tmp_path / "whole.csv", wave())
    whole = examine(recipe(series, {"data.window": 8, "training.epochs": 2}))
    assert "missing-values" not in whole.symptoms


def test_missing_values_in_sequences_are_filled_along_time() -> None:
    data = recall(200, 9, -1)
    data["x"][::7, 4, 0] = np.nan
    diagnosis = examine(recipe(data, {"training.epochs": 8}), repair=True)
    assert diagnosis.before.root is not None
    assert diagnosis.before.root.symptom == "missing-values"
    assert diagnosis.cured


def test_a_sequence_whose_target_is_missing_is_left_out() -> None:
    data = recall(100, 5, -1)
    data["y"] = data["y"].copy()
    data["y"][3] = np.nan
    diagnosis = examine(recipe(data, {"training.epochs": 2}), repair=True)
    assert diagnosis.before.root is not None
    assert diagnosis.before.root.symptom == "missing-values"
    assert dict(diagnosis.attempts[1].edit) == {"data.missing": "drop"}
    assert diagnosis.cured


# non-finite


def test_a_rate_that_throws_the_weights_out_of_range_is_lowered() -> None:
    edits: dict[str, object] = {
        "model.cell": "gru",
        "training.optimizer": "sgd",
        "training.learning_rate": 1e20,
        "training.epochs": 6,
    }
    diagnosis = examine(recipe(recall(400, 10, -1), edits), repair=True)
    found = diagnosis.before.finding("non-finite")
    assert found is not None
    assert found.evidence["epoch"] == 1
    assert "training, epoch 1" in found.where
    assert diagnosis.cured
    assert diagnosis.attempts[-1].recipe.training.learning_rate <= 0.1


def test_an_infinite_input_is_found_where_it_is() -> None:
    data = recall(60, 5, -1)
    data["x"][5, 2, 0] = np.inf
    found = examine(recipe(data, {"training.epochs": 1})).finding("non-finite")
    assert found is not None
    assert found.where.startswith("the inputs")
    assert found.evidence["infinite_inputs"] == 1


def test_an_infinite_target_is_found_where_it_is() -> None:
    model = SequenceModel("lstm", input_size=1, hidden_size=4, output_size=1, rng=0)
    x = np.random.default_rng(0).normal(size=(7, 5, 1)).astype(np.float32)
    y = x[-1].copy()
    y[3, 0] = np.inf
    found = diagnose(model, x, y, loss="mse").finding("non-finite")
    assert found is not None
    assert found.where == "the targets"
    assert found.evidence["infinite_targets"] == 1


def test_a_broken_parameter_and_the_first_broken_step_are_named() -> None:
    model = SequenceModel("lstm", input_size=1, hidden_size=4, output_size=1, rng=0)
    x = np.random.default_rng(0).normal(size=(7, 5, 1)).astype(np.float32)
    assert "non-finite" not in diagnose(model, x, x[-1].copy(), loss="mse").symptoms
    x[3, 2] = np.nan
    found = diagnose(model, x, x[-1].copy(), loss="mse")
    assert [finding.symptom for finding in found.findings] == ["missing-values", "non-finite"]
    assert found.findings[1].evidence["step"] == 3
    model.head.weight.data[0, 1] = np.inf
    found = diagnose(model, x[:3], x[0].copy(), loss="mse")
    assert found.findings[0].evidence["parameters"] == ["head.weight"]
