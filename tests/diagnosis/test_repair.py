"""The repair loop by itself, on attempts made by hand: what is tried, believed, and taken back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from minirnn.diagnosis import Attempt, Diagnosis, Recipe, doctor
from minirnn.diagnosis.finding import Finding, Remedy
from minirnn.diagnosis.treatment.budget import Budget, Deadline
from minirnn.diagnosis.treatment.cut import told_as_cut
from minirnn.diagnosis.treatment.judge import judge
from minirnn.diagnosis.treatment.repair import INTERRUPTED, NOTHING_LEFT, next_remedy, repair
from minirnn.errors import ArgumentError, DataError
from minirnn.training.callbacks import Run
from minirnn.training.history import History

BASE = Recipe.from_dict({"data": {"builtin": "co2"}})
STANDARD: dict[str, object] = {"data.scale": "standard"}
ROBUST: dict[str, object] = {"data.scale": "robust"}
SLOWER: dict[str, object] = {"training.learning_rate": 1e-4}


def made(
    symptoms: list[str],
    error: float,
    r2: float = 0.0,
    *,
    recipe: Recipe = BASE,
    remedies: tuple[dict[str, object], ...] = (),
) -> Attempt:
    """An attempt that found these symptoms, each with these remedies."""
    offered = tuple(Remedy(edit, "why", "what") for edit in remedies)
    findings = tuple(
        Finding(symptom, "illness", "here", {}, "cause", "words", remedies=offered)
        for symptom in symptoms
    )
    figures = {"held_out_rmse": error, "training_r2": r2, "unit": "ppm"}
    return Attempt(recipe, Diagnosis(findings, figures), History(), figures)


def silent(attempt: Attempt) -> None:
    """Watch nothing."""


def aimed(attempt: Attempt, at: str) -> Attempt:
    return replace(attempt, aimed_at=at, edit=STANDARD)


@pytest.mark.parametrize(
    ("before", "after", "kept", "word"),
    [
        ((["unscaled-input"], 30.0), ([], 0.4, 0.9), True, "cured"),
        ((["unscaled-input"], 30.0), (["unscaled-input"], 0.4, 0.9), False, "left unscaled-input"),
        ((["vanishing-gradient"], 1.0, 0.9), ([], 1.5, 0.9), False, "rose from"),
        ((["vanishing-gradient"], 1.0), ([], math.nan, math.nan), False, "rose from"),
        ((["vanishing-gradient"], 1.0), ([], 0.99, 0.01), False, "no better"),
        ((["vanishing-gradient"], 1.0), ([], 0.8, 0.3), True, "cured"),
        ((["non-finite"], math.nan, math.nan), ([], 5.0, 0.2), True, "cured"),
        # What was there before may stay; what is new must be worth it.
        ((["unscaled-input", "dead-units"], 9.0), (["dead-units"], 9.5, 0.9), True, "left: dead"),
        ((["unscaled-input"], 30.0), (["leakage"], 2.0, 0.9), True, "left: leakage"),
        ((["unscaled-input"], 30.0), (["leakage"], 29.0, 0.9), False, "brought leakage instead"),
        ((["unscaled-input"], 30.0), (["leakage", "outliers"], 16.0, 0.9), False, "brought leak"),
        # An error that is halved, or there at last, lets more come to light than was there.
        ((["unscaled-input"], 30.0), (["leakage", "outliers"], 14.0, 0.9), True, "left: leak"),
        ((["non-finite"], math.nan, math.nan), (["leakage", "outliers"], 2.0), True, "left: leak"),
        ((["non-finite"], math.nan, math.nan), (["leakage"], 2.0, 0.9), True, "left: leakage"),
    ],
)
def test_a_remedy_is_judged_by_the_symptom_the_error_and_what_it_brought(
    before: Any, after: Any, kept: bool, word: str
) -> None:
    went_on, verdict = judge(made(*before), aimed(made(*after), before[0][0]))
    assert went_on == kept
    assert word in verdict
    assert verdict.endswith(": taken back") != kept


def test_errors_on_other_rows_are_not_compared() -> None:
    """A leak's error is too good to be reached again; other held-out rows are other questions."""
    leaking = made(["leakage"], 0.1, 0.9)
    honest = made([], 0.5, 0.9)
    for aim, edit in (("leakage", STANDARD), ("outliers", {"data.validation": 0.3})):
        kept, verdict = judge(leaking, replace(honest, aimed_at=aim, edit=edit))
        assert kept, verdict
        failing = replace(made([], 0.5, 0.2), aimed_at=aim, edit=edit)
        assert "no better" in judge(leaking, failing)[1]
    assert "rose from" in judge(leaking, aimed(honest, "outliers"))[1]


def test_an_error_on_other_rows_is_no_reason_to_take_a_remedy_up_again() -> None:
    edit: dict[str, object] = {"data.validation": 0.3}

    def attempt(recipe: Recipe) -> Attempt:
        error = 10.0 if recipe == BASE else 1.0
        return made(["stalled-loss"], error, recipe=recipe, remedies=(edit,))

    course = repair(attempt(BASE), attempt, Budget(), silent)
    assert [each.kept for each in course.attempts] == [True, False]


def test_half_a_training_proves_no_cure() -> None:
    half = replace(aimed(made([], 0.1, 0.9), "unscaled-input"), cut="the time is up (3 s)")
    kept, verdict = judge(made(["unscaled-input"], 30.0), half)
    assert not kept
    assert "the time is up (3 s)" in verdict


def test_a_remedy_is_not_tried_twice_and_the_root_is_treated_first() -> None:
    first = made(["unscaled-input"], 3.0, remedies=(STANDARD, SLOWER))
    later = replace(
        first.diagnosis.findings[0], symptom="dead-units", remedies=(Remedy(ROBUST, "", ""),)
    )
    findings = (*first.diagnosis.findings, later)
    first = replace(first, diagnosis=replace(first.diagnosis, findings=findings))
    tried, order = [BASE], []
    while (found := next_remedy(first, tried)) is not None:
        order.append((found[0].symptom, dict(found[1].edit)))
        tried.append(BASE.edit(found[1].edit))
    assert order == [
        ("unscaled-input", STANDARD),
        ("unscaled-input", SLOWER),
        ("dead-units", ROBUST),
    ]


def where(*cures: str, remedies: tuple[dict[str, object], ...]) -> Callable[[Recipe], Attempt]:
    """Trainings that end healthy under these scales."""

    def attempt(recipe: Recipe) -> Attempt:
        cured = recipe.data.scale in cures
        symptoms = [] if cured else ["unscaled-input"]
        return made(symptoms, 1.0, 0.9 * cured, recipe=recipe, remedies=remedies)

    return attempt


def test_an_attempt_that_did_not_help_is_taken_back() -> None:
    attempt = where("standard", remedies=(ROBUST, STANDARD))
    told: list[Attempt] = []
    course = repair(attempt(BASE), attempt, Budget(), told.append)
    assert [each.kept for each in course.attempts] == [True, False, True]
    assert told == list(course.attempts[1:])
    assert course.standing.recipe.data.scale == "standard"
    assert course.diagnosis.cured
    assert (course.ended, course.interrupted) == ("", False)


def test_it_says_why_it_ended() -> None:
    attempt = where(remedies=(ROBUST, STANDARD))
    assert repair(attempt(BASE), attempt, Budget(), silent).diagnosis.ended == NOTHING_LEFT
    course = repair(attempt(BASE), attempt, Budget(2), silent)
    assert course.ended == "all 2 trainings are used up"
    assert len(course.attempts) == 2
    assert "the repair ended: all 2 trainings are used up" in str(course.diagnosis)
    ticks = iter([0.0, 4.0, 9.9, 10.0])
    course = repair(attempt(BASE), attempt, Budget(9, 10.0, clock=lambda: next(ticks)), silent)
    assert course.ended == "the time is up (10.0 s)"
    assert len(course.attempts) == 3


def test_a_remedy_that_the_data_do_not_allow_takes_no_training() -> None:
    attempt = where("standard", remedies=(ROBUST, STANDARD))

    def refusing(recipe: Recipe) -> Attempt:
        if recipe.data.scale == "robust":
            raise DataError("data", "a constant", "values that vary")
        return attempt(recipe)

    first = replace(attempt(BASE), verdict="found it")
    course = repair(first, refusing, Budget(2), silent)
    assert course.diagnosis.cured
    assert 'found it; data.scale = "robust" cannot be applied' in course.attempts[0].verdict


def test_two_remedies_that_help_only_together_are_found() -> None:
    """Each leaves the symptom standing; the better of the two is gone on from, when all failed."""

    def attempt(recipe: Recipe) -> Attempt:
        scaled, slower = recipe.data.scale == "standard", recipe.training.learning_rate == 1e-4
        errors = {(False, False): 10.0, (True, False): 6.0, (False, True): 5.0, (True, True): 1.0}
        symptoms = [] if scaled and slower else ["stalled-loss"]
        error = errors[scaled, slower]
        return made(symptoms, error, 0.9, recipe=recipe, remedies=(STANDARD, SLOWER, ROBUST))

    course = repair(attempt(BASE), attempt, Budget(), silent)
    assert course.diagnosis.cured
    tried = [(dict(each.edit), each.kept) for each in course.attempts[1:]]
    assert tried == [(STANDARD, False), (ROBUST, False), (SLOWER, True), (STANDARD, True)]
    assert "taken up again" in course.attempts[3].verdict


def test_what_was_no_better_or_brought_harm_is_not_taken_up_again() -> None:
    def attempt(recipe: Recipe) -> Attempt:
        changed = recipe != BASE
        symptoms = ["stalled-loss", "dead-units"] if changed else ["stalled-loss"]
        return made(symptoms, 1.0 if changed else 10.0, recipe=recipe, remedies=(STANDARD,))

    course = repair(attempt(BASE), attempt, Budget(), silent)
    assert course.ended == NOTHING_LEFT
    assert course.standing.recipe == BASE


@pytest.mark.parametrize("moment", ["training", "telling", "choosing"])
def test_an_interrupt_leaves_what_is_known(moment: str) -> None:
    attempt = where("minmax", remedies=(ROBUST, STANDARD, {"data.scale": "minmax"}))
    count = 0

    def interrupt() -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt

    def training(recipe: Recipe) -> Attempt:
        if moment == "training":
            interrupt()
        return attempt(recipe)

    def telling(made: Attempt) -> None:
        if moment == "telling":
            interrupt()

    def choosing(current: Attempt, tried: list[Recipe]) -> Any:
        if moment == "choosing":
            interrupt()
        return next_remedy(current, tried)

    course = repair(attempt(BASE), training, Budget(), telling, choosing)
    assert course.interrupted
    assert course.ended == INTERRUPTED
    assert len(course.attempts) == (3 if moment == "telling" else 2)
    assert course.diagnosis.root is not None
    assert course.standing.recipe == BASE
    assert [each.recipe.data.scale for each in course.attempts[1:]][:1] == ["robust"]


def test_an_interrupted_training_is_shown_and_ends_the_repair() -> None:
    attempt = where("standard", remedies=(STANDARD, ROBUST))

    def cut(recipe: Recipe) -> Attempt:
        return replace(attempt(recipe), cut=INTERRUPTED)

    course = repair(attempt(BASE), cut, Budget(), silent)
    assert [each.kept for each in course.attempts] == [True, False]
    assert course.interrupted
    assert not course.diagnosis.healthy
    first = replace(attempt(BASE), cut=INTERRUPTED)
    course = repair(first, lambda which: pytest.fail("trained again"), Budget(), silent)
    assert course.attempts == (first,)
    assert course.interrupted


def test_a_story_tells_a_training_that_was_cut_short_and_why_it_ended() -> None:
    from minirnn.report import story

    half = replace(where(remedies=())(BASE), cut="the time is up (3.0 s)")
    course = repair(half, lambda which: pytest.fail("trained again"), Budget(), silent)
    assert story.headline(half) == "A training that was cut short"
    told = story.ending(course.diagnosis, story.Wording())
    assert "The repair ended there: the time is up (3.0 s)." in told


@pytest.mark.parametrize("trainings", [0, -1, 1.5, True])
def test_a_budget_of_no_trainings_is_refused(trainings: Any) -> None:
    with pytest.raises(ArgumentError, match="trainings"):
        Budget(trainings)


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, "60", True])
def test_a_budget_of_no_time_is_refused(seconds: Any) -> None:
    with pytest.raises(ArgumentError, match="seconds"):
        Budget(8, seconds)


def test_a_deadline_stops_a_training_once_and_says_so() -> None:
    ticks = iter([0.0, 5.0, 10.0])
    deadline = Deadline(Budget(8, 10.0, clock=lambda: next(ticks)))
    run = Run(None, None, epochs=9, batches=9)  # type: ignore[arg-type]
    deadline.batch_ended(run)
    assert (run.stop_message, deadline.struck) == ("", False)
    deadline.batch_ended(run)
    assert (run.stop_message, deadline.struck) == ("the time is up (10.0 s)", True)
    deadline.batch_ended(run)  # the clock is not asked again


def labelled(symptoms: list[str], right: float, count: int) -> Attempt:
    """An attempt on labels: so many of the held-out answers right."""
    figures = {"held_out_accuracy": right, "held_out_answers": count, "training_r2": 0.7}
    return replace(made(symptoms, 0.0), figures=figures)


def test_fewer_right_answers_are_told_and_no_cure_where_they_are_surely_fewer() -> None:
    ill = ["overfitting"]
    kept, verdict = judge(labelled(ill, 0.8625, 80), aimed(labelled([], 0.8375, 80), ill[0]))
    assert kept
    assert verdict.endswith("though the share of right answers held out fell from 86% to 84%")
    kept, verdict = judge(labelled(ill, 0.8625, 4000), aimed(labelled([], 0.8375, 4000), ill[0]))
    assert not kept
    assert "fell from 86% to 84%: taken back" in verdict
    kept, verdict = judge(labelled(ill, 0.8375, 4000), aimed(labelled([], 0.8625, 4000), ill[0]))
    assert kept
    assert "though" not in verdict


def test_a_cure_that_costs_some_error_says_so() -> None:
    kept, verdict = judge(made(["leakage"], 1.0, 0.9), aimed(made([], 1.1, 0.9), "outliers"))
    assert kept
    assert verdict.endswith("though the held-out error rose from 1 ppm to 1.1 ppm")
    assert "though" not in judge(made(["x"], 1.0, 0.9), aimed(made([], 1.02, 0.9), "x"))[1]


def test_a_training_cut_short_says_so_and_asks_for_no_more_of_it() -> None:
    slow = Finding(
        "underfitting",
        "illness",
        "here",
        {},
        "Too little time.",
        "",
        remedies=(Remedy({}, "", ""),),
    )
    gates = replace(slow, symptom="saturated-gates")
    attempt = made([], 1.0)
    attempt = replace(attempt, diagnosis=replace(attempt.diagnosis, findings=(slow, gates)))
    assert told_as_cut(attempt) is attempt
    cut = told_as_cut(replace(attempt, cut="the time is up (3 s)")).diagnosis.findings
    assert cut[0].harmful
    assert cut[0].remedies == ()
    assert "cut short" in cut[0].cause
    assert "the time is up (3 s)" in cut[0].cause
    assert cut[1] == gates  # no matter of time


def test_the_doctor_without_time_for_a_training_says_so() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6, 1)).astype(np.float32)
    task = Recipe.from_dict({"data": {"x": x, "y": x[:, -1]}, "training": {"epochs": 400}})
    diagnosis = doctor(task, repair=True, seconds=1e-6, progress=False)
    found = diagnosis.finding("underfitting")
    assert found is not None
    assert "after 1 step, in epoch 1 of 400: the time is up" in found.cause
    assert not any("training.epochs" in r.edit for f in diagnosis.findings for r in f.remedies)
