"""The repair loop: apply a remedy, train again, and believe only what is seen then."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from minirnn.diagnosis.finding import Attempt, Finding, Remedy, edit_text
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.wording import listed, quantity
from minirnn.errors import DataError, RecipeError

Choice = Callable[[Attempt, list[Recipe]], tuple[Finding, Remedy] | None]
ENOUGH = 0.5  # an R2 with which a network no longer fails
BETTER = 0.95  # of the error before: what is above is no improvement
WORSE = 1.2  # a remedy may not raise the held-out error by more than this factor


def repair(
    first: Attempt,
    attempt: Callable[[Recipe], Attempt],
    trainings: int,
    tell: Callable[[Attempt], None],
    choose: Choice | None = None,
) -> tuple[list[Attempt], Attempt]:
    """Go on from a first attempt until it is healthy or nothing is left to try.

    `choose` says what to try next: the best remedy that is left, or for a control any other.

    Returns every attempt in order, and the one that stands in the end: the last that was kept.
    """
    attempts, current = [first], first
    tried = [first.recipe]
    while not current.diagnosis.healthy and len(attempts) < trainings:
        if _interrupted(attempts[-1]):
            break
        found = (choose or next_remedy)(current, tried)
        if found is None:
            break
        finding, remedy = found
        tried.append(current.recipe.edit(remedy.edit))
        try:
            made = attempt(tried[-1])
        except (DataError, RecipeError) as error:
            # What a remedy asks for may not fit the data: changes that are all equal have no scale.
            at = attempts.index(current)
            told = f"{current.verdict}; {edit_text(remedy.edit)} cannot be applied: {error}"
            attempts[at] = current = replace(current, verdict=told)
            continue
        made = replace(made, edit=dict(remedy.edit), remedy=remedy, aimed_at=finding.symptom)
        kept, verdict = judge(current, made)
        made = replace(made, kept=kept, verdict=verdict)
        tell(made)
        attempts.append(made)
        if kept:
            current = made
    return attempts, current


def next_remedy(current: Attempt, tried: list[Recipe]) -> tuple[Finding, Remedy] | None:
    """The first remedy that makes a recipe not trained yet: the root's first, then the others'."""
    for finding in current.diagnosis.findings:
        for remedy in finding.remedies if finding.harmful else ():
            if current.recipe.edit(remedy.edit) not in tried:
                return finding, remedy
    return None


def judge(before: Attempt, after: Attempt) -> tuple[bool, str]:
    """Whether to go on from an attempt, and what it did, in one sentence."""
    edit, aim = edit_text(after.edit), after.aimed_at
    harmful = [finding.symptom for finding in after.diagnosis.findings if finding.harmful]
    if aim in harmful:
        return False, f"{edit} left {aim} standing: taken back"
    error, earlier = held_out_error(after), held_out_error(before)
    unit = str(after.figures.get("unit", ""))
    # A run that broke has no error at all, and any error is better than none.
    if math.isfinite(earlier) and not error <= WORSE * earlier:
        return False, (
            f"{edit} removed {aim}, but the held-out error rose from "
            f"{quantity(earlier, unit)} to {quantity(error, unit)}: taken back"
        )
    if no_better(before, after):
        return False, f"{edit} removed {aim}, but the network is no better for it: taken back"
    if not harmful:
        return True, f"{edit} cured it: nothing above a note is left"
    return True, f"{edit} removed {aim}; left: {listed(harmful)}"


def no_better(before: Attempt, after: Attempt) -> bool:
    """Whether a network that explained too little still does, with an error hardly lower."""
    failing = not skill(after) >= ENOUGH
    error, earlier = held_out_error(after), held_out_error(before)
    if math.isfinite(error) and math.isfinite(earlier):
        return failing and error > BETTER * earlier
    return (
        failing and not skill(after) > skill(before) + 1 - BETTER and math.isfinite(skill(before))
    )


def skill(attempt: Attempt) -> float:
    """R2 on the training part, NaN where there is none."""
    value = attempt.figures.get("training_r2")
    return float(value) if isinstance(value, float) else math.nan


def held_out_error(attempt: Attempt) -> float:
    """The held-out error of an attempt, NaN where there is none."""
    value = attempt.figures.get("held_out_rmse")
    if value is None and "held_out_accuracy" in attempt.figures:
        value = 1.0 - float(str(attempt.figures["held_out_accuracy"]))
    return float(value) if isinstance(value, float) else math.nan


def _interrupted(attempt: Attempt) -> bool:
    stopped = attempt.history.stopped if attempt.history is not None else None
    return stopped is not None and stopped.kind == "interrupted"
