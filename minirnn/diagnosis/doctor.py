"""`doctor`: train a recipe, watch it, name what ails it, and cure it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TextIO

import numpy as np

from minirnn.device import check_device
from minirnn.diagnosis.build import build_model, train
from minirnn.diagnosis.course import Course
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.examine import findings_in
from minirnn.diagnosis.figures import measure
from minirnn.diagnosis.finding import Attempt, Diagnosis
from minirnn.diagnosis.look import look, probe_of
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.repair import repair as repaired
from minirnn.diagnosis.run import Run
from minirnn.errors import ArgumentError
from minirnn.training.windows import check_count

TRAININGS = 8


def doctor(
    recipe: Recipe,
    *,
    repair: bool = False,
    device: str = "cpu",
    trainings: int = TRAININGS,
    progress: bool | TextIO | None = None,
    watch: Callable[[Attempt], None] | None = None,
) -> Diagnosis:
    """Train a recipe, and say what ails the network; with `repair`, cure it.

    A repair applies the first remedy for the root of the trouble, trains again, looks again, and
    goes on until nothing above a note is found, or the remedies or `trainings` are used up. A
    remedy that leaves its symptom standing, or makes the held-out error worse, is taken back.
    The diagnosis tells of the network as it is in the end; `diagnosis.attempts` of every training.

    device     "cpu" or "cuda": where it trains and looks. The data go there once; what comes back
               is what a finding, a figure or a page tells, never an array that is only computed
               with. The weights begin as the same bits on either; rounding then differs
    trainings  how many trainings may be made, the first one included
    progress   as `fit`'s
    watch      called with each `Attempt` as soon as it is made

    Raises: RecipeError, DataError, ShapeError, DTypeError or DeviceError that names what is wrong.
    """
    if not isinstance(recipe, Recipe):
        raise ArgumentError(
            "recipe", type(recipe).__name__, "a Recipe", "See Recipe.from_toml and from_dict"
        )
    budget = check_count("trainings", trainings)
    check_device(device)

    def attempt(of: Recipe) -> Attempt:
        return examined(of, device=device, progress=progress)

    tell = watch if watch is not None else _silent
    first = attempt(recipe)
    root = first.diagnosis.root
    first = replace(
        first, verdict="nothing to cure" if root is None else f"found {root.symptom} at the root"
    )
    tell(first)
    attempts = [first]
    last = first
    if repair:
        attempts, last = repaired(first, attempt, budget, tell)
    return replace(last.diagnosis, attempts=tuple(attempts))


def examined(
    recipe: Recipe, *, device: str = "cpu", progress: bool | TextIO | None = None
) -> Attempt:
    """One run of a recipe, and what is found in it. Raises: as `doctor`."""
    run = perform(recipe, device=device, progress=progress)
    diagnosis = Diagnosis(findings_in(run.evidence), run.figures, run=run)
    return Attempt(recipe, diagnosis, run.history, run.figures, run=run)


def perform(recipe: Recipe, *, device: str = "cpu", progress: bool | TextIO | None = None) -> Run:
    """One run of a recipe on a device: prepare, build, probe, train, look, measure.

    Raises: as `doctor`.
    """
    data = prepare(recipe).to(device)
    model = build_model(recipe, data)
    # Values that are missing, or weights that explode, are what the doctor is here to see.
    with np.errstate(all="ignore"):
        before = probe_of(model, recipe, data)
        course = Course(model, recipe, data)
        history = train(recipe, model, data, progress=progress, callbacks=(course,))
        evidence = look(model, recipe, data, history, untrained=before, loop=course.seen())
        figures, forecasts = measure(model, recipe, data, evidence)
    return Run(recipe, data, model, history, evidence, forecasts, figures)


def _silent(attempt: Attempt) -> None:
    """Watch nothing."""
