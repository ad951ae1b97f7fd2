"""One run of the corpus: make the sample, let the doctor look, repair, and try the control."""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import minirnn as mr
from bench.corpus.control import DrawnRemedies
from bench.corpus.fingerprint import plant_of
from bench.corpus.row import Key, Row
from bench.corpus.sample import Sample, generator
from minirnn.diagnosis import Diagnosis
from minirnn.diagnosis.doctor import examined_within
from minirnn.diagnosis.finding import Attempt, Finding
from minirnn.diagnosis.treatment.budget import Budget
from minirnn.diagnosis.treatment.repair import repair

PATIENCE, LEAST_PATIENCE = 10.0, 20.0  # the control's time: times the repair's, and seconds
EDITS = 3  # of a script, one after the other
NO_TORCH = "PyTorch is not installed"


@dataclass
class Seen:
    """What was seen of one run; the objects behind a `Row`.

    diagnosis  of the faulty or healthy run;  cured  of what was made of it;  verdicts  on the way
    skill, skill_cured  R2 on what was held out, before and after; None where there is none: a
               measure that no detector decides
    """

    sample: Sample
    diagnosis: Diagnosis
    skill: float | None = None
    cured: Diagnosis | None = None
    skill_cured: float | None = None
    trainings: int | None = None
    verdicts: tuple[str, ...] = ()
    control: bool | None = None
    drawn: tuple[str, ...] = ()


def sample_of(key: Key) -> Sample:
    """The sample of a key, the same every time.

    Raises: ValueError, where it says something else than its plant and kind.
    """
    plant = plant_of(key.symptom)
    made: Sample = getattr(plant, key.kind)(generator(key.symptom, key.kind, key.part, key.number))
    planted = key.symptom if key.kind == "faulty" else None
    if made.symptom != planted:
        raise ValueError(f"the {key.kind} sample of {key.symptom} says {made.symptom!r}")
    if bool(made.recipe) == bool(made.script):
        raise ValueError("a sample holds either a recipe or a script")
    return made


def run(key: Key, *, mend: bool = True) -> Row:
    """Everything about one run, as the row of a file; a failure of the program's own too."""
    sample: Sample | None = None
    seconds: dict[str, float] = {}
    try:
        sample = sample_of(key)
        if sample.script and find_spec("torch") is None:
            return _row(key, sample, skipped=NO_TORCH)
        seen = see(key, sample, mend=mend, seconds=seconds)
    except Exception as error:  # noqa: BLE001  # a broken plant loses its run, and is told
        return _row(key, sample, seconds=_short(seconds), error=_told(error))
    harmful = [finding.symptom for finding in seen.diagnosis if finding.harmful]
    notes = [finding.symptom for finding in seen.diagnosis if not finding.harmful]
    return _row(
        key,
        sample,
        named=tuple(harmful),
        notes=tuple(notes),
        trainings=seen.trainings,
        # What was never found was not repaired, however healthy the doctor calls it.
        cured=None if seen.cured is None else bool(harmful) and seen.cured.healthy,
        skill=seen.skill,
        skill_cured=seen.skill_cured,
        verdicts=seen.verdicts,
        control=seen.control,
        drawn=seen.drawn,
        seconds=_short(seconds),
    )


def see(
    key: Key, sample: Sample, *, mend: bool = True, seconds: dict[str, float] | None = None
) -> Seen:
    """Run a sample; with `mend`, repair it where it is faulty and can be, and try the control."""
    took = {} if seconds is None else seconds
    mend = mend and sample.symptom is not None and sample.curable
    return (_script if sample.script else _recipe)(key, sample, mend, took)


def _recipe(key: Key, sample: Sample, mend: bool, took: dict[str, float]) -> Seen:
    known: list[Attempt] = []
    budget = Budget()

    def attempt(of: mr.Recipe) -> Attempt:
        for each in known:  # the same training: chance may draw what the doctor tried
            if each.recipe == of:
                return each
        made = examined_within(of, budget, progress=False)
        if not made.cut:
            known.append(made)
        return made

    first = _timed("diagnosis", took, lambda: attempt(mr.Recipe.from_dict(sample.recipe)))
    seen = Seen(sample, first.diagnosis, _skill(first.diagnosis))
    if not mend:
        return seen
    made = _timed("repair", took, lambda: repair(first, attempt, budget, _silent))
    seen.cured, seen.skill_cured = made.diagnosis, _skill(made.diagnosis)
    seen.trainings = len(made.attempts) - 1
    seen.verdicts = tuple(each.verdict for each in made.attempts[1:])
    if first.diagnosis.healthy:  # missed: no remedy was offered, and none can be held against it
        return seen
    drawn = DrawnRemedies(generator(key.symptom, "control", key.part, key.number))
    # Chance may draw a network ten times as large, for fifty times as long: there is an end to it.
    patience = max(LEAST_PATIENCE, PATIENCE * took["repair"])
    budget = Budget(len(made.attempts), patience, clock=time.process_time)
    chance = _timed("control", took, lambda: repair(first, attempt, budget, _silent, drawn))
    seen.control = chance.diagnosis.healthy
    seen.drawn = tuple(each.remedy.what for each in chance.attempts[1:] if each.remedy)
    return seen


def _script(key: Key, sample: Sample, mend: bool, took: dict[str, float]) -> Seen:
    """A training loop in PyTorch under `watch`; its repair is to make the suggested edits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = _timed("diagnosis", took, lambda: watched(sample.script, key.number, folder))
        seen = Seen(sample, *first)
        if mend:
            seen.skill_cured = seen.skill
            _timed("repair", took, lambda: _edited(seen, key.number, folder))
    return seen


def _edited(seen: Seen, seed: int, folder: Path) -> None:
    """Make the root's first edit of the lines, run them again, and so on while any is offered."""
    text, now, verdicts = seen.sample.script, seen.diagnosis, []
    while not now.healthy and len(verdicts) < EDITS:
        code = _code_of(now.root)
        if code is None or not code.changes:
            break
        text = code.applied_to(text)
        now, seen.skill_cured = watched(text, seed, folder)
        left = ", ".join(finding.symptom for finding in now if finding.harmful)
        verdicts.append(f"{code.words}: {f'left {left}' if left else 'cured'}")
    seen.cured, seen.trainings, seen.verdicts = now, len(verdicts), tuple(verdicts)


def _code_of(root: Finding | None) -> Any:
    offers = [remedy.code for remedy in root.remedies if remedy.code] if root is not None else []
    return offers[0] if offers else None


def watched(script: str, seed: int, folder: Path) -> tuple[Diagnosis, float | None]:
    """What is said of a loop, and the `skill` that it leaves (R2 on what was held out), if any.

    One that PyTorch ends by an error is judged by what was seen.
    """
    import torch

    from minirnn.interop.torch import watch

    torch.set_num_threads(1)
    # A name of its own each time: Python remembers the lines of a file that it has seen.
    path = folder / f"loop_{time.monotonic_ns()}.py"
    path.write_text(script, encoding="utf-8")
    names: dict[str, Any] = {"watch": watch, "SEED": seed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's of a broadcast target is not ours to print
        try:
            exec(compile(script, str(path), "exec"), names)
        except RuntimeError:
            if "watched" not in names:
                raise
        told: Diagnosis = names["watched"].diagnosis()
    return told, _number(names.get("skill"))


def _skill(diagnosis: Diagnosis) -> float | None:
    """R2 on what was held out, as it was fed."""
    unseen = None if diagnosis.run is None else diagnosis.run.evidence.unseen
    return None if unseen is None or not unseen.finite else _number(unseen.skill)


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return round(float(value), 4)


def _timed(name: str, took: dict[str, float], what: Callable[[], Any]) -> Any:
    started = time.process_time()  # of the processor: what else the machine does is not counted
    try:
        return what()
    finally:
        took[name] = time.process_time() - started


def _row(key: Key, sample: Sample | None, **values: Any) -> Row:
    if sample is None:
        planted = key.symptom if key.kind == "faulty" else None
        return Row(key, planted=planted, **values)
    return Row(
        key,
        what=sample.what,
        planted=sample.symptom,
        also=tuple(sorted(sample.also)),
        curable=sample.curable,
        of_a_loop=bool(sample.script),
        **values,
    )


def _short(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in seconds.items()}


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}"[:400]


def _silent(attempt: Attempt) -> None:
    """Watch nothing."""
