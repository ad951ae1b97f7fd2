"""underfitting: what would otherwise be called healthy, or be laid at something inside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from problems import examine, harm, recall, recipe, write_csv

from minirnn.diagnosis.causes import in_order_of_cause
from minirnn.diagnosis.detectors import (
    over_regularised,
    overfitting,
    saturated_gates,
    underfitting,
)
from minirnn.diagnosis.doctor import perform
from minirnn.diagnosis.evidence import Answers, Evidence, HeldOut
from minirnn.diagnosis.evidence.attainable import ceiling, last_rows, lookup, surely_larger
from minirnn.diagnosis.evidence.loop import LoopSeen
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies import with_remedies


def several(units: int, edits: dict[str, object] | None = None) -> Recipe:
    """Each of the last four of nine values, mixed: four numbers to hold."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 9, 1)).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    data = {"x": x, "y": (x[:, -4:, 0] @ turn).astype(np.float32)}
    small: dict[str, object] = {"model.hidden_size": units, "training.epochs": 25}
    return recipe(data, {**small, "training.batch_size": 16, **(edits or {})})


# too few units


def test_the_ceiling_is_what_the_leading_axes_hold() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.normal(size=(5000, 4)) * np.sqrt([8.0, 4.0, 2.0, 2.0])
    assert ceiling(wanted, 1) == pytest.approx(0.5, abs=0.02)
    assert ceiling(wanted, 2) == pytest.approx(0.75, abs=0.02)
    assert ceiling(wanted, 4) == 1.0
    assert ceiling(np.full((3, 2), np.nan), 1) == 1.0
    # The best answers of rank 1 reach it, and no others of that rank do better.
    _, _, axes = np.linalg.svd(wanted - wanted.mean(axis=0), full_matrices=False)
    first = axes[:1]
    best = wanted.mean(axis=0) + (wanted - wanted.mean(axis=0)) @ first.T @ first
    assert Answers(best, wanted).skill == pytest.approx(ceiling(wanted, 1), abs=1e-9)


def test_gates_at_their_ends_are_not_the_root_where_units_are_too_few() -> None:
    # With these weights, half of the gates of the one unit end up open whatever comes.
    evidence = perform(several(1, {"training.seed": 10}), progress=False).evidence
    assert evidence.has_too_few_units
    found = saturated_gates.detect(evidence)
    assert found is not None
    assert not found.harmful
    assert "so few units" in found.explanation
    told = underfitting.detect(evidence)
    assert told is not None
    assert told.evidence["kind"] == "too small"
    assert told.evidence["skill"] < told.evidence["ceiling"] < 0.4


def test_pinned_gates_stay_the_root_where_units_are_enough_or_hold_nothing() -> None:
    evidence = perform(several(1), progress=False).evidence
    answers = evidence.answers
    assert answers is not None
    # What explains nothing does not explain what one unit can.
    nothing = Answers(np.zeros_like(answers.wanted), answers.wanted)
    failing = replace(evidence, answers=nothing)
    assert not failing.has_too_few_units
    assert failing.severity == "illness"
    enough = replace(evidence, recipe=several(4))
    assert not enough.has_too_few_units
    assert enough.severity == "illness"


# batch norm


def normalised(norm: str, epochs: int) -> Recipe:
    """The last of 8 values, with a norm, 5 steps an epoch."""
    edits: dict[str, object] = {
        "model.norm": norm,
        "training.epochs": epochs,
        "training.batch_size": 48,
        "training.learning_rate": 2e-2,
    }
    return recipe(recall(300, 8, -1), edits)


def test_running_statistics_that_have_not_settled_are_named_and_cured() -> None:
    diagnosis = examine(normalised("batch", 3), repair=True, trainings=4)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "underfitting"
    assert root.evidence["kind"] == "running statistics"
    assert root.evidence["skill_in_training"] > root.evidence["skill"] + 0.2
    assert "batch norm" in root.where
    assert dict(root.remedies[0].edit) == {"model.norm": "layer"}
    assert diagnosis.cured
    assert diagnosis.figures["training_r2"] > 0.8


def test_running_statistics_that_have_settled_are_none() -> None:
    run = perform(normalised("batch", 25), progress=False)
    assert run.evidence.in_training is not None
    assert underfitting.detect(run.evidence) is None
    assert perform(normalised("layer", 1), progress=False).evidence.in_training is None


def test_looking_at_it_in_training_mode_leaves_the_averages_alone() -> None:
    run = perform(normalised("batch", 2), progress=False)
    counted = dict(run.model.named_buffers())["head_norm.num_batches_tracked"]
    assert int(counted) == 2 * 5


# nothing learned, or little of it


def told_of(skill: float, edits: dict[str, object] | None = None, steps: int = 400) -> Any:
    """What is said where R2 is such, and a regression tells all."""
    x = np.random.default_rng(0).normal(size=(4, 200, 1))
    wanted = x[-1]
    given = wanted * (1.0 - np.sqrt(1.0 - skill))
    loop = LoopSeen(iterations=steps, losses=np.full(steps, 1.0), naive=1.0)
    declared = recipe(recall(40, 4, -1), edits)
    return underfitting.detect(
        Evidence(x, wanted, answers=Answers(given, wanted), recipe=declared, loop=loop)
    )


@pytest.mark.parametrize("skill", [-30.0, 0.0, 0.05, 0.3])
def test_a_network_that_explains_nothing_is_not_well(skill: float) -> None:
    found = told_of(skill)
    assert found is not None
    assert found.harmful
    alone = in_order_of_cause([found])
    assert alone[0].harmful


def test_that_nothing_was_learned_is_a_note_where_something_says_why() -> None:
    found = told_of(0.0)
    why = Finding("dead-units", "illness", "here", {}, "", "")
    assert [each.symptom for each in in_order_of_cause([found, why]) if each.harmful] == [
        "dead-units"
    ]
    level = Finding("stalled-loss", "illness", "the loss", {"kind": "level"}, "", "")
    assert [each.symptom for each in in_order_of_cause([found, level]) if each.harmful] == [
        "stalled-loss"
    ]
    # One that has learned something stays what it is.
    some = in_order_of_cause([told_of(0.3), why])
    assert [each.symptom for each in some if each.harmful] == ["dead-units", "underfitting"]


def test_few_steps_are_unfinished_however_few() -> None:
    found = told_of(0.3, steps=6)
    assert found is not None
    assert found.evidence["kind"] == "unfinished"
    diagnosis = examine(recipe(recall(300, 8, -1), {"training.epochs": 1}), repair=True)
    assert harm(diagnosis.before) == {"underfitting"}
    assert diagnosis.cured
    assert diagnosis.attempts[1].recipe.training.epochs >= 30


def test_what_cannot_be_known_before_the_end_is_no_fault_of_the_answers_before_it() -> None:
    # A random sign comes with the last step: whatever is answered before it is a guess.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6, 1)).astype(np.float32)
    y = np.repeat(x[:, -1:], 6, axis=1)
    edits: dict[str, object] = {"model.readout": "all", "training.epochs": 12}
    run = perform(recipe({"x": x, "y": y}, edits), progress=False)
    assert run.evidence.skill < 0.3
    assert run.evidence.last_skill > 0.9
    assert underfitting.detect(run.evidence) is None


def test_last_rows_stand_where_the_rows_of_valid_steps_have_them() -> None:
    lengths = np.array([3, 1, 0, 2])
    table = np.arange(12).reshape(3, 4)
    rows = table[np.arange(3)[:, None] < lengths]
    assert list(rows[last_rows(3, lengths)]) == [table[2, 0], table[0, 1], table[1, 3]]


# series


def repeated(tmp_path: Any, edits: dict[str, object]) -> Recipe:
    """Twenty values over and over, to the last bit."""
    pattern = np.random.default_rng(0).normal(size=20)
    data = {**write_csv(tmp_path / "again.csv", np.tile(pattern, 25)), "window": 12}
    return recipe(data, {"training.epochs": 12, **edits})


def test_a_series_that_repeats_exactly_hides_no_network_that_has_not_learned_it(
    tmp_path: Any,
) -> None:
    run = perform(repeated(tmp_path, {"model.hidden_size": 1}), progress=False)
    assert run.evidence.dependence is None
    found = underfitting.detect(run.evidence)
    assert found is not None
    assert found.harmful
    assert "again and again" in found.explanation
    unscaled = repeated(tmp_path, {"model.hidden_size": 1})
    last = dict(with_remedies(found, unscaled)[0][-1].edit)
    assert last["data.scale"] == "standard"
    offers, _ = with_remedies(found, unscaled.edit({"data.scale": "minmax"}))
    assert not any("data.scale" in each.edit for each in offers)
    well = perform(repeated(tmp_path, {"model.hidden_size": 24}), progress=False)
    assert well.evidence.skill > 0.9
    assert underfitting.detect(well.evidence) is None


def test_copies_tell_what_they_agree_on() -> None:
    rng = np.random.default_rng(0)
    x = np.tile(rng.normal(size=(5, 30, 1)), (1, 4, 1))
    known = np.tile(rng.normal(size=(30, 1)), (4, 1))
    assert lookup(x, known) == pytest.approx(1.0)
    chance = lookup(x, rng.normal(size=(120, 1)))
    assert chance is not None
    assert chance < 0.1
    assert lookup(rng.normal(size=(5, 120, 1)), known) is None


def beside(
    error: float, trained: float, rows: int = 400, *, naive_held: float = 1.0, transform: str = ""
) -> Evidence:
    """Errors so many times those of the last value, R2 being 0.9 and more."""
    rng = np.random.default_rng(0)

    def pair(size: float, of_last: float = 1.0) -> tuple[Answers, Answers]:
        wanted = 100.0 * np.sin(0.7 * np.arange(rows))[:, None]
        naive = wanted + of_last * rng.normal(size=(rows, 1))
        size *= of_last
        return Answers(wanted + size * rng.normal(size=(rows, 1)), wanted), Answers(naive, wanted)

    (answers, naive), (own, own_naive) = pair(error, naive_held), pair(trained)
    x = np.zeros((rows, 4, 1))
    parts = {"x": x, "y": answers.wanted, "trained_x": x, "trained_y": own.wanted}
    held = HeldOut(
        **parts, answers=answers, trained_answers=own, naive=naive, trained_naive=own_naive
    )
    loop = LoopSeen(iterations=400, losses=np.full(400, 1.0), naive=1.0)
    declared = recipe(recall(40, 4, -1))
    if transform:
        declared = Recipe.from_dict({"data": {"csv": "no.csv", "transform": transform}})
    fed = x.swapaxes(0, 1)
    seen = Evidence(fed, own.wanted, answers=own, recipe=declared, loop=loop, held_out=held)
    return replace(seen, unseen=answers)


def behind(error: float, trained: float, rows: int = 400, **more: Any) -> Finding | None:
    """What underfitting says of them."""
    return underfitting.detect(beside(error, trained, rows, **more))


def test_a_network_far_behind_the_last_value_is_not_well() -> None:
    found = behind(8.0, 8.0)
    assert found is not None
    assert found.severity == "warning"
    assert found.evidence["kind"] == "behind"
    assert found.evidence["behind"] > 5
    assert behind(1.1, 1.1) is None
    assert behind(8.0, 8.0, rows=12) is None


def test_the_last_value_is_better_by_a_clear_margin_and_surely() -> None:
    for trained in (2.0, 1.0):
        found = behind(2.0, trained)
        assert found is not None
        assert (found.severity, found.evidence["kind"]) == ("warning", "behind")
        offered = with_remedies(found, Recipe.from_dict({"data": {"csv": "no.csv"}}))[0]
        assert dict(offered[0].edit)["data.transform"] == "change"
    assert behind(1.15, 1.15, rows=2000) is None  # surely, but by no clear margin
    # Of changes, the last value's are 0: what is behind that is noise, learned.
    assert behind(2.0, 2.0, transform="change") is None
    # Held out, the series has come to rest: the last value errs by next to nothing.
    assert behind(5.0, 1.0, naive_held=0.1) is None


def test_better_than_the_last_value_in_training_and_worse_held_out_is_overfitting() -> None:
    assert behind(2.0, 0.5) is None
    found = overfitting.detect(beside(2.0, 0.5))
    assert found is not None
    assert found.severity == "warning"
    assert "repeating the last value" in found.explanation
    assert found.evidence["behind_the_last_value"] == pytest.approx(2.0, abs=0.4)
    for well in (beside(0.6, 0.5), beside(1.1, 0.5), beside(2.0, 2.0)):
        assert overfitting.detect(well) is None


def test_a_series_that_hardly_moves_is_better_learned_as_changes(tmp_path: Any) -> None:
    slow = np.sin(2 * np.pi * np.arange(600) / 300)
    data = {**write_csv(tmp_path / "slow.csv", slow), "window": 16}
    edits: dict[str, object] = {"model.hidden_size": 2, "training.epochs": 6}
    diagnosis = examine(recipe(data, edits), repair=True, trainings=3)
    root = diagnosis.before.root
    assert root is not None
    assert root.evidence.get("kind") == "behind"
    assert dict(root.remedies[0].edit)["data.transform"] == "change"
    assert diagnosis.cured


# one huge error


def test_the_sign_test_counts_a_huge_error_once() -> None:
    errors = np.ones(50)
    errors[0] = 1e6
    assert surely_larger(errors, np.full(50, 2.0)) < -4
    assert surely_larger(errors, np.full(50, 0.5)) > 4
    assert surely_larger(errors, errors) == 0.0


def test_one_huge_error_hides_no_overfitting() -> None:
    rng = np.random.default_rng(0)
    wanted, noise = rng.normal(size=(200, 1)), rng.normal(size=(200, 1))
    unseen = wanted + 0.8 * noise
    unseen[0] += 100.0
    evidence = Evidence(
        rng.normal(size=(3, 200, 1)),
        wanted,
        answers=Answers(wanted + 0.01 * noise, wanted),
        unseen=Answers(unseen, wanted),
        loop=LoopSeen(naive=1.0),
    )
    found = overfitting.detect(evidence)
    assert found is not None
    assert found.harmful


# many times what a regression leaves


def two_waves(tmp_path: Any, edits: dict[str, object]) -> Recipe:
    """Two sines and a little noise, of which a regression explains 0.98."""
    t = np.arange(500)
    noise = 0.1 * np.random.default_rng(7).normal(size=500)
    values = np.sin(2 * np.pi * t / 24) + 0.5 * np.sin(2 * np.pi * t / 7.3) + noise
    data = {**write_csv(tmp_path / "waves.csv", values), "window": 24, "scale": "standard"}
    usual: dict[str, object] = {"training.learning_rate": 5e-3, "training.epochs": 25}
    return recipe(data, {"model.hidden_size": 24, **usual, **edits})


def test_a_series_network_that_leaves_many_times_as_much_as_a_regression(tmp_path: Any) -> None:
    run = perform(two_waves(tmp_path, {"training.epochs": 4}), progress=False)
    assert 0.8 < run.evidence.last_skill < 0.9
    found = underfitting.detect(run.evidence)
    assert found is not None
    assert (found.severity, found.evidence["kind"]) == ("warning", "unfinished")
    assert "times as much unexplained" in found.explanation
    # Of what is no series, and where no regression is closer on what was held out, a note.
    rows = replace(run.evidence, unseen=None)
    told = underfitting.detect(rows)
    assert told is not None
    assert told.severity == "note"
    well = perform(two_waves(tmp_path, {}), progress=False)
    assert underfitting.detect(well.evidence) is None
    assert well.evidence.last_skill > 0.95


def test_noise_that_leaves_many_times_as_much_is_the_root(tmp_path: Any) -> None:
    evidence = perform(two_waves(tmp_path, {"model.head_dropout": 0.9}), progress=False).evidence
    found = over_regularised.detect(evidence)
    assert found is not None
    assert found.severity == "warning"
    assert dict(with_remedies(found, evidence.recipe)[0][0].edit) == {"model.head_dropout": 0.0}
    told = underfitting.detect(evidence)
    assert told is not None
    assert in_order_of_cause([told, found])[0].consequences == ("underfitting",)


def test_that_more_units_would_help_is_said_where_the_ceiling_shows_it() -> None:
    rested = told_of(0.0)
    assert rested is not None
    assert "cannot hold" not in rested.words
    assert "too few units" not in rested.cause
    capped = underfitting.detect(
        perform(several(1, {"training.seed": 10}), progress=False).evidence
    )
    assert capped is not None
    assert "a linear head can make answers" in capped.explanation
    assert "1 unit cannot hold" in with_remedies(capped, several(1))[0][0].reason
