"""`doctor`: train a recipe, watch it, name what ails it, and cure it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TextIO

import numpy as np

from minirnn.device import check_device
from minirnn.diagnosis.build import build_model, train
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.evidence.course import Course
from minirnn.diagnosis.evidence.look import look, probe_of
from minirnn.diagnosis.examine import findings_in
from minirnn.diagnosis.figures import measure
from minirnn.diagnosis.finding import Attempt, Diagnosis
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.run import Run
from minirnn.diagnosis.treatment.budget import TRAININGS, Budget, Deadline
from minirnn.diagnosis.treatment.cut import told_as_cut
from minirnn.diagnosis.treatment.keep import Kept
from minirnn.diagnosis.treatment.repair import INTERRUPTED, Repaired
from minirnn.diagnosis.treatment.repair import repair as repaired
from minirnn.diagnosis.watching import Watching
from minirnn.errors import ArgumentError
from minirnn.training.callbacks import Callback


def doctor(
    recipe: Recipe,
    *,
    repair: bool = False,
    device: str = "cpu",
    trainings: int = TRAININGS,
    seconds: float | None = None,
    keep: str | os.PathLike[str] | None = None,
    progress: bool | TextIO | None = None,
    watch: Callable[[Attempt], None] | None = None,
) -> Diagnosis:
    """Train a recipe, and say what ails the network; with `repair`, cure it.

    A repair applies the first remedy for the root of the trouble, trains again, looks again, and
    goes on until nothing above a note is found, or the remedies, `trainings` or `seconds` are used
    up; then `diagnosis.ended` says which. A remedy that leaves its symptom standing, makes the
    held-out error worse, or brings another illness in exchange is taken back (see `judge.py`).
    The diagnosis tells of the network as it is in the end; `diagnosis.attempts` of every training.

    Ctrl-C ends it, and what is known by then is returned: a training that it falls into is
    looked at as it is, but no remedy is believed after half a training. Only before anything at
    all is known, KeyboardInterrupt is raised.

    device     "cpu" or "cuda": where it trains and looks. The data go there once; what comes back
               is what a finding, a figure or a page tells, never an array that is only computed
               with. The weights begin as the same bits on either; rounding then differs
    trainings  how many trainings may be made, the first one included
    seconds    how long all of it may take, None for as long as it takes; a training that is under
               way then is ended, and the network looked at as it is
    keep       a file (JSON) in which every finished training is kept. Called again with the same
               file, the doctor does not make these again, and goes on; what is read back has
               everything but its `run`. Another recipe (in any key), other data, another device or
               version of minirnn is another training: it is made anew and kept beside the others
    progress   as `fit`'s
    watch      called with each `Attempt` as soon as it is made

    While it trains, a `Watching` looks inside now and then (1% of the time), and the progress
    display tells what it finds.

    Raises: RecipeError, DataError, ShapeError, DTypeError or DeviceError that names what is wrong;
    ArgumentError or DataError for a file that cannot be written, or holds something else.
    """
    if not isinstance(recipe, Recipe):
        raise ArgumentError(
            "recipe", type(recipe).__name__, "a Recipe", "See Recipe.from_toml and from_dict"
        )
    if not isinstance(repair, bool):
        raise ArgumentError("repair", repr(repair), "True or False")
    if watch is not None and not callable(watch):
        wanted = "a callable of one Attempt, or None"
        hint = "A Watching is a callback of `fit`; the doctor has one of its own"
        raise ArgumentError("watch", repr(watch), wanted, hint)
    budget = Budget(trainings, seconds)
    check_device(device)
    kept = Kept(keep, device) if keep is not None else None

    def attempt(of: Recipe) -> Attempt:
        known = kept.find(of) if kept is not None else None
        if known is not None:
            return known
        made = examined_within(of, budget, device=device, progress=progress)
        if kept is not None and not made.cut:
            kept.add(made)
        return made

    tell = watch if watch is not None else _silent
    first = attempt(recipe)
    first = replace(first, verdict=_of_the_first(first))
    made = Repaired((first,), first.cut, first.cut == INTERRUPTED)
    try:
        tell(first)
    except KeyboardInterrupt:
        made = Repaired((first,), INTERRUPTED, True)
    if repair and not made.interrupted:
        made = repaired(first, attempt, budget, tell)
    return made.diagnosis


def _cut(attempt: Attempt, deadline: Deadline) -> str:
    """What ended a training before its time, in words; "" where nothing did."""
    stopped = attempt.history.stopped
    if stopped is None:
        return ""
    if stopped.kind == "interrupted":
        return INTERRUPTED
    late = deadline.struck and stopped.kind == "requested"
    return deadline.budget.time_is_up if late else ""


def _of_the_first(attempt: Attempt) -> str:
    root = attempt.diagnosis.root
    told = "nothing to cure" if root is None else f"found {root.symptom} at the root"
    epochs = len(attempt.history)
    of = attempt.recipe.training.epochs
    half = f", after {epochs} of {of} epochs: the training was cut short ({attempt.cut})"
    return told + half if attempt.cut else told


def examined_within(
    recipe: Recipe,
    budget: Budget,
    *,
    device: str = "cpu",
    progress: bool | TextIO | None = None,
) -> Attempt:
    """One run of a recipe, ended when the time is up; `cut` says what ended it before its end.

    Raises: as `doctor`.
    """
    deadline = Deadline(budget)
    made = examined(recipe, device=device, progress=progress, callbacks=(deadline,))
    return told_as_cut(replace(made, cut=_cut(made, deadline)))


def examined(
    recipe: Recipe,
    *,
    device: str = "cpu",
    progress: bool | TextIO | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> Attempt:
    """One run of a recipe, and what is found in it. Raises: as `doctor`."""
    run = perform(recipe, device=device, progress=progress, callbacks=callbacks)
    diagnosis = Diagnosis(findings_in(run.evidence), run.figures, run=run)
    return Attempt(recipe, diagnosis, run.history, run.figures, run=run)


def perform(
    recipe: Recipe,
    *,
    device: str = "cpu",
    progress: bool | TextIO | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> Run:
    """One run of a recipe on a device: prepare, build, probe, train, look, measure.

    Raises: as `doctor`.
    """
    data = prepare(recipe).to(device)
    model = build_model(recipe, data)
    # Values that are missing, or weights that explode, are what the doctor is here to see.
    with np.errstate(all="ignore"):
        before = probe_of(model, recipe, data)
        course = Course(model, recipe, data)
        # What follows looks closer than a last look of its own would.
        watching = Watching(recipe=recipe, course=course, at_end=False)
        watching_it = (watching, *callbacks)
        history = train(recipe, model, data, progress=progress, callbacks=watching_it)
        evidence = look(model, recipe, data, history, untrained=before, loop=course.seen())
        figures, forecasts = measure(model, recipe, data, evidence)
    return Run(recipe, data, model, history, evidence, forecasts, figures, watching.findings)


def _silent(attempt: Attempt) -> None:
    """Watch nothing."""
