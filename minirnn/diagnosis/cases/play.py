"""Play a case: train what is said to fail, every fix, and let the doctor do what it would do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minirnn.diagnosis.cases import loops
from minirnn.diagnosis.cases.case import Case, Fix
from minirnn.diagnosis.cases.judge import of_cause, of_fix, well
from minirnn.diagnosis.cases.measures import Measure, figures_of
from minirnn.diagnosis.cases.seen import CaseSeen, Seen, Treated, Tried
from minirnn.diagnosis.doctor import examined
from minirnn.diagnosis.finding import Attempt, edit_text
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.treatment.budget import Budget
from minirnn.diagnosis.treatment.repair import repair
from minirnn.errors import MinirnnError

TRAININGS = 6  # of the doctor, the first included


def play(case: Case, seed: int) -> CaseSeen:
    """A case with one seed, which draws the data, the weights and the order of training."""
    started = time.perf_counter()
    made = loops.play(case, seed) if case.script else _play_recipe(case, seed)
    values = made.__dict__ | {"seconds": round(time.perf_counter() - started, 3)}
    return CaseSeen(**values)


def _play_recipe(case: Case, seed: int) -> CaseSeen:
    assert case.recipe is not None, case.id
    tables = case.recipe(seed)
    attempt, sick = _trained(case.measure, lambda: Recipe.from_dict(_seeded(tables, seed)))
    fixes = {fix.id: _tried(case, fix, seed, sick) for fix in case.fixes}
    doctor = None
    if attempt is not None and case.curable and not well(case.measure, sick):
        doctor = _treated(case, attempt, sick)
    return CaseSeen(case.id, seed, sick, of_cause(case, sick), fixes, doctor)


def _seeded(tables: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The tables with the seed of the training, which draws the weights as well."""
    return {**tables, "training": {"seed": seed, **tables.get("training", {})}}


def _tried(case: Case, fix: Fix, seed: int, sick: Seen) -> Tried:
    assert case.recipe is not None, case.id
    tables = (fix.instead or case.recipe)(seed)
    edit: Any = fix.edit(seed) if callable(fix.edit) else fix.edit

    def edited() -> Recipe:
        return Recipe.from_dict(_seeded(tables, seed)).edit(edit)

    _, after = _trained(case.measure, edited)
    return Tried(edit_text(edit) or fix.says, after, of_fix(case.measure, sick, after))


def _trained(measure: Measure, recipe: Callable[[], Recipe]) -> tuple[Attempt | None, Seen]:
    """The run of a recipe, and what was seen; None, and the error, where it cannot be run."""
    try:
        attempt = examined(recipe(), progress=False)
    except MinirnnError as error:
        return None, Seen(error=f"{type(error).__name__}: {error}")
    return attempt, seen_of(attempt, measure)


def seen_of(attempt: Attempt, measure: Measure) -> Seen:
    """What an attempt shows, in plain values."""
    with np.errstate(all="ignore"):  # what a network that broke answers is looked at, not met
        figures = figures_of(attempt)
    shown = measure.shown(figures)
    found = attempt.diagnosis.findings
    return Seen(
        named=tuple(finding.symptom for finding in found if finding.harmful),
        notes=tuple(finding.symptom for finding in found if not finding.harmful),
        shown=round(shown, 6) if math.isfinite(shown) else None,
        score=round(measure.scored(figures), 6),
        figures={name: float(f"{value:.6g}") for name, value in figures.items()},
    )


def _treated(case: Case, first: Attempt, sick: Seen) -> Treated:
    """What the doctor makes of it by itself, in `TRAININGS` trainings."""

    def attempt(of: Recipe) -> Attempt:
        return examined(of, progress=False)

    made = repair(first, attempt, Budget(TRAININGS), _silent)
    kept = [each for each in made.attempts[1:] if each.kept]
    seen = seen_of(made.standing, case.measure)
    return Treated(
        tuple(edit_text(each.edit) for each in kept),
        len(made.attempts),
        seen,
        of_fix(case.measure, sick, seen),
    )


def _silent(attempt: Attempt) -> None:
    """Watch nothing."""
