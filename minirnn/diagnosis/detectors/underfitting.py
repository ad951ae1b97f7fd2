"""underfitting: the network explains less of its own training data than needs no network at all.

Formula    known = the highest R2 of what is no network: a regression on data it was not fitted to
           (see `dependence`); where that tells nothing, other judges (`predictability`); of
           sequences that come again and again, the answers to their copies (`lookup`)
           short = known - R2 of the network on its own training data; fall = 1 - loss of the last
           eighth of the steps / that of the eighth before the one before
           ceiling = the highest R2 that so few units can have (see `attainable.ceiling`)
           behind = RMSE of a series' network / that of the last value known, in the series' units
Threshold  short > 0.2, where the network explains less than 0.8 of its targets (0.15 and 0.85
           where fall > 0.25 after less than 300 steps). An illness where it explains less than
           half, else a warning. Not where in the series' own units it explains 0.95, with less
           than 2/3 of the last value's error: of changes a half may be noise. The kinds:
           "running statistics" where it explains 0.2 more in training, by the statistics of each
           batch, than by the running ones that batch norm has after it;
           "too small" where the ceiling is 0.2 below what is known, and the network near it, or
           where fall < 0.1 after 300 steps or more: with more time it would explain no more;
           "unfinished" where the loss was still falling, or steps were few;
           "behind" where the network explains 0.8, and the last value is three times as good
           (behind > 3) on what was held out and twice in training, surely so (sign test, z > 4) on
           20 held-out values or more.
           Where the network explains less than 0.1, it says no more than that nothing was
           learned: a note, where another finding says why (`causes`)
           Of a user's loop, which may go on: from 40 steps on, where it explains 0.1
Source     Goodfellow, Bengio and Courville, Deep Learning (2016), section 5.2; the loss relative to
           a baseline, since accuracy thresholds do not serve regression. Ioffe and Szegedy 2015
           (arXiv 1502.03167) for the statistics; Hyndman and Koehler 2006 (International Journal
           of Forecasting 22) for errors relative to the last value's. The project's measurements:
           see `bench/corpus/plants/underfitting.py`. Of networks that are well, short is 0.14 at
           most where fall is 0.1, 0.16 where it is 0.18; behind 0.8 at most
Cost       none beyond the regression; 0.2 s where that tells nothing
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.diagnosis.evidence.attainable import lookup, surely_larger
from minirnn.diagnosis.evidence.loop import LoopSeen
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted, number, quantity, share

SYMPTOM = "underfitting"
SHORT, LEARNED, ENOUGH, FALL = 0.2, 0.1, 0.8, 0.1
SHORT_AMID, ENOUGH_AMID, FALL_AMID = 0.15, 0.85, 0.25  # where the loss falls fast at the end
LEAST_STEPS = 40  # of a user's loop
FEW_STEPS = 300  # a usual rate has learned an ordinary task by then
BEHIND, AS_BAD, SURE, LEAST_ROWS = 3.0, 2.0, 4.0, 20
WELL, WELL_AHEAD = 0.95, 2.0 / 3.0  # in a series' own units: R2, and of the last value's error


class Known(NamedTuple):
    """What is explained without the network, and by what, as a sentence says it."""

    r2: float
    told: str


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    loop, own = evidence.loop, evidence.recipe is None
    if loop is None or not len(loop.losses) or not np.isfinite(loop.losses).all():
        return None
    if own and len(loop.losses) < LEAST_STEPS:
        return None
    return _by_running_statistics(evidence, loop) or _short(evidence, loop) or _behind(evidence)


def _by_running_statistics(evidence: Evidence, loop: LoopSeen) -> Finding | None:
    trained = evidence.in_training
    if trained is None or not trained.finite:
        return None
    skill, better = evidence.skill, trained.typical_skill
    if not better - skill > SHORT or skill >= ENOUGH:
        return None
    assert evidence.recipe is not None
    size = evidence.recipe.training.batch_size
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.fails else "warning",
        where="batch norm, in evaluation",
        evidence={
            "kind": "running statistics",
            "short": better - skill,
            "threshold": SHORT,
            "skill": skill,
            "skill_in_training": better,
            "steps": loop.iterations,
            "batch_size": size,
        },
        cause=(
            "The running means and variances of batch norm, which it answers by after training, "
            "are not those of the batches it was trained on."
        ),
        explanation=(
            f"On the same data the network explains {share(better)} of the targets as training "
            f"sees it, by the statistics of each batch, and {share(max(0.0, skill))} as it is used "
            f"afterwards, by the averages of these. After {counted(loop.iterations, 'step')} of "
            f"{counted(size, 'sequence')} each, the averages are still near where they began, or "
            "the batches too small to agree on any."
        ),
    )


def _short(evidence: Evidence, loop: LoopSeen) -> Finding | None:
    skill = evidence.last_skill
    fall = falling(loop)
    amid = fall > FALL_AMID and loop.iterations < FEW_STEPS
    if not skill < (ENOUGH_AMID if amid else ENOUGH):
        return None
    learned = skill >= LEARNED
    if (not learned and evidence.recipe is None) or _well_in_own_units(evidence):
        return None
    known = known_without(evidence)
    if known is None:
        return None
    short = known.r2 - max(skill, 0.0)
    if not short > (SHORT_AMID if amid else SHORT):
        return None
    capped = evidence.has_too_few_units
    unfinished = not capped and (fall >= FALL or loop.iterations < FEW_STEPS)
    units = None if evidence.recipe is None else evidence.recipe.model.hidden_size
    explanation = (
        f"The network explains {share(max(skill, 0.0))} of what its targets vary, on the very data "
        f"it was trained on; {known.told}. "
    )
    after = counted(loop.iterations, "step")
    if capped:
        explanation += (
            f"From {counted(units or 0, 'unit')} a linear head can make answers that explain "
            f"{share(evidence.ceiling)} at most, whatever the units hold."
        )
    elif unfinished and fall >= FALL:
        explanation += f"After {after} its loss was still falling."
    elif unfinished:
        explanation += f"It was trained for {after}, which is few."
    else:
        explanation += (
            f"Its loss has come to rest after {after}"
            + ("" if units is None else f": {counted(units, 'unit')} cannot hold more")
            + "."
        )
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.fails else "warning",
        where="the network's answers to its training data",
        evidence={
            "kind": "unfinished" if unfinished else "too small",
            "learned": learned,
            "short": short,
            "threshold": SHORT,
            "skill": skill,
            "predictable_by_regression": known.r2,
            "ceiling": evidence.ceiling,
            "fall": fall,
            "units": units,
            "steps": loop.iterations,
        },
        cause=(
            "Training ended before the network had learned what there is to learn."
            if unfinished
            else "The network has too few units, or passes too little, for what the task asks."
        ),
        explanation=explanation,
    )


def known_without(evidence: Evidence) -> Known | None:
    """The most that is explained without a network; None where nothing is."""
    dependence = evidence.dependence
    if dependence is not None and dependence.telling:
        best = dependence.best
        told = f"a plain regression explains {share(best)} of data it was not fitted to"
        return Known(best, told)
    if not evidence.rows_finite:
        return None
    copies = lookup(evidence.inputs, evidence.last_targets, evidence.lengths)
    if copies is not None and copies > 0.0:
        told = f"the sequences come again and again, and their copies tell {share(copies)}"
        return Known(copies, told)
    judges = evidence.predictability
    if judges is None or not judges.signal:
        return None
    told = f"sequences that are like each other tell {share(judges.best)} of each other's targets"
    return Known(judges.best, told) if judges.best > 0.0 else None


def falling(loop: LoopSeen) -> float:
    """How far the loss fell in the last quarter of the steps, as a share; 0 where it did not."""
    if len(loop.losses) < 8:
        first, last = float(loop.losses[0]), float(loop.losses[-1])
    else:
        blocks = loop.blocks(8)
        first, last = float(blocks[-3]), float(blocks[-1])
    return 1.0 - last / first if first > 0 else 0.0


def _well_in_own_units(evidence: Evidence) -> bool:
    """Whether a series' network answers well in its units, and better than the last value does."""
    held = evidence.held_out
    if held is None or held.trained_naive is None:
        return False
    ahead = held.trained_answers.error < WELL_AHEAD * held.trained_naive.error
    return ahead and held.trained_answers.skill >= WELL


def _behind(evidence: Evidence) -> Finding | None:
    held = evidence.held_out
    if held is None or held.naive is None or held.trained_naive is None:
        return None
    if not (held.answers.finite and held.trained_answers.finite):
        return None
    behind = _ratio(held.answers, held.naive)
    trained = _ratio(held.trained_answers, held.trained_naive)
    if not (behind > BEHIND and trained > AS_BAD) or len(held.answers.given) < LEAST_ROWS:
        return None
    if not surely_larger(held.answers.distances, held.naive.distances) > SURE:
        return None
    error, naive = held.answers.error, held.naive.error
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.misses else "warning",
        where="the network's answers, held out and trained on",
        evidence={
            "kind": "behind",
            "behind": behind,
            "behind_in_training": trained,
            "threshold": BEHIND,
            "skill": evidence.skill,
            "error": error,
            "error_of_the_last_value": naive,
        },
        cause="The network has not learned that the next value is near the last one.",
        explanation=(
            f"On what was held out it errs by {quantity(error, held.unit)}, where repeating the "
            f"last value it was shown errs by {quantity(naive, held.unit)}; in training its "
            f"errors are {number(trained)} times as large, too. Its R2 of "
            f"{number(evidence.skill)} sounds better than that, for such a series hardly moves "
            "from one value to the next."
        ),
    )


def _ratio(answers: Answers, naive: Answers) -> float:
    """Of their errors; NaN where the naive one makes none."""
    return answers.error / naive.error if naive.error > 0 else math.nan
