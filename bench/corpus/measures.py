"""What is counted over the rows of an evaluation, and how sure a share of them is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.corpus.row import Row

Z = 1.959963984540054  # the normal quantile of a 95% interval
HEALTHY = "healthy"


@dataclass(frozen=True)
class Share:
    """How many of how many, with a Wilson interval.

    Source: E. B. Wilson, JASA 22 (1927): the bounds are where the normal approximation with the
    bound's own variance meets what was counted. Unlike p ± z √(p(1 − p)/n), it says something at 0
    and at n of n.
    """

    of: int
    right: int

    @property
    def value(self) -> float:
        """The share itself, NaN of none."""
        return self.right / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% bounds, (0, 1) of none."""
        n = self.of
        if not n:
            return 0.0, 1.0
        p = self.right / n
        middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
        # At the ends the two are equal but for rounding.
        low = 0.0 if self.right == 0 else middle - half
        high = 1.0 if self.right == n else middle + half
        return low, high

    def __add__(self, other: Share) -> Share:
        return Share(self.of + other.of, self.right + other.right)

    def __bool__(self) -> bool:
        return self.of > 0


def share(which: Iterable[bool]) -> Share:
    """Of truth values, the share that is true."""
    each = list(which)
    return Share(len(each), sum(each))


@dataclass(frozen=True)
class OfSymptom:
    """What one symptom came to.

    recall     of the runs it was planted in, those in which it is named above a note
    precision  of all runs in which it is named so, those in which it is there: planted, or brought
               by the fault that was planted
    root       of the runs it was planted in, those in which it is the first finding
    silent     of its plant's healthy runs, those in which nothing at all is named above a note
    repaired   of its curable runs, those that a repair ended healthy
    compared   the same of the runs whose repair was held against chance
    control    of these, those that as many remedies drawn at random ended healthy
    trainings  what a repair took, the median
    skill, skill_cured   R2 on held-out data, the medians before and after a repair
    """

    recall: Share
    precision: Share
    root: Share
    silent: Share
    repaired: Share
    compared: Share
    control: Share
    trainings: float | None = None
    skill: float | None = None
    skill_cured: float | None = None


@dataclass(frozen=True)
class Measures:
    """All symptoms', and the pooled shares: all runs in one."""

    each: dict[str, OfSymptom]
    pooled: OfSymptom
    matrix: dict[tuple[str, str], int] = field(default_factory=dict)
    skipped: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def above_control(self) -> float:
        """How much more often a repair succeeds than chance, over the runs that both tried."""
        return self.pooled.compared.value - self.pooled.control.value


def measure(rows: Iterable[Row]) -> Measures:
    """Count. A run with an error counts as wrong in everything, a skipped one in nothing."""
    every = list(rows)
    counted = [row for row in every if not row.skipped]
    symptoms = sorted({row.key.symptom for row in counted})
    each = {symptom: _of(symptom, counted) for symptom in symptoms}
    matrix = Counter(
        (row.planted or HEALTHY, "error" if row.error else row.root or HEALTHY) for row in counted
    )
    seconds: Counter[str] = Counter()
    for row in counted:
        seconds.update(row.seconds)
    return Measures(each, _pooled(counted), dict(matrix), len(every) - len(counted), dict(seconds))


def _of(symptom: str, rows: Sequence[Row]) -> OfSymptom:
    own = [row for row in rows if row.key.symptom == symptom]
    named = [row for row in rows if symptom in row.named]
    return _built(own, share(symptom not in row.spurious for row in named))


def _pooled(rows: Sequence[Row]) -> OfSymptom:
    """Over all runs and findings; a finding of a symptom without a plant counts, too."""
    right = sum(len(row.named) - len(row.spurious) for row in rows)
    return _built(rows, Share(sum(len(row.named) for row in rows), right))


def _built(rows: Sequence[Row], precision: Share) -> OfSymptom:
    faulty = [row for row in rows if row.planted is not None]
    healthy = [row for row in rows if row.planted is None]
    # A repair was tried where it is known how it ended; an error lost it.
    mended = [row for row in faulty if row.curable and (row.cured is not None or row.error)]
    drawn = [row for row in mended if row.control is not None]
    both = [row for row in mended if row.skill is not None and row.skill_cured is not None]
    return OfSymptom(
        recall=share(row.planted in row.named for row in faulty),
        precision=precision,
        root=share(row.told_right for row in faulty),
        silent=share(not row.error and not row.named for row in healthy),
        repaired=share(bool(row.cured) for row in mended),
        compared=share(bool(row.cured) for row in drawn),
        control=share(bool(row.control) for row in drawn),
        trainings=median([row.trainings for row in mended if row.trainings] or [0]) or None,
        skill=median(row.skill for row in both if row.skill is not None) if both else None,
        skill_cured=median(row.skill_cured for row in both if row.skill_cured is not None)
        if both
        else None,
    )


POOLED, EACH, ROOT, SILENT = 0.98, 0.9, 0.95, 0.99
REPAIRED = 0.9842  # what AUTOTRAINER (2024) reports of itself
ABOVE_CONTROL = 0.30


@dataclass(frozen=True)
class Wanted:
    """One thing that an evaluation has to show, and whether it does."""

    what: str
    least: float
    value: float

    @property
    def met(self) -> bool:
        """NaN, of what was not measured, meets nothing."""
        return self.value >= self.least


def wanted(measures: Measures) -> list[Wanted]:
    """What has to be shown, of what was measured at all."""
    pooled = measures.pooled
    asked = [
        Wanted("recall over all symptoms", POOLED, pooled.recall.value),
        Wanted("precision over all symptoms", POOLED, pooled.precision.value),
        Wanted("root cause right", ROOT, pooled.root.value),
        Wanted("healthy runs with nothing above a note", SILENT, pooled.silent.value),
    ]
    for symptom, of in measures.each.items():
        if of.recall:
            asked.append(Wanted(f"recall of {symptom}", EACH, of.recall.value))
        if of.precision:
            asked.append(Wanted(f"precision of {symptom}", EACH, of.precision.value))
    if pooled.repaired:
        asked.append(Wanted("curable runs repaired", REPAIRED, pooled.repaired.value))
    if pooled.control:
        asked.append(Wanted("repaired above the control", ABOVE_CONTROL, measures.above_control))
    return asked
