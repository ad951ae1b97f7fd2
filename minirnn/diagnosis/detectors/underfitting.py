"""underfitting: the network explains less of its own training data than needs no network at all.

Formula    known = the highest R2 of what is no network: a regression on data it was not fitted to
           (see `dependence`); where that tells nothing, other judges (`predictability`); of
           sequences that come again and again, the answers to their copies (`lookup`)
           short = known - R2 of the network on its own training data; fall = 1 - loss of the last
           eighth of the steps / that of the eighth before the one before
           ceiling = the highest R2 that so few units can have (see `attainable.ceiling`)
           times = (1 - R2 of the network) / (1 - known): how much more it leaves unexplained
           behind = RMSE of a series' network / that of the last value known, in the series' units
Threshold  short > 0.2, where the network explains less than 0.8 of its targets (0.15 and 0.85
           where fall > 0.25 after less than 300 steps). An illness where it explains less than
           half, else a warning. Not where in the series' own units it explains 0.95, with less
           than 2/3 of the last value's error: of changes a half may be noise.
           Also where short > 0.1 and times > 4, however much it explains: a note; of a series a
           warning, where the regression, fitted to the same sequences, is surely closer on the
           held-out rows too (sign test, z > 4). The kinds:
           "running statistics" where it explains 0.2 more in training, by the statistics of each
           batch, than by the running ones that batch norm has after it;
           "too small" where the ceiling is 0.2 below what is known, and the network near it, or
           where fall < 0.1 after 300 steps or more: with more time it would explain no more;
           "unfinished" where the loss was still falling, or steps were few;
           "behind" where the network explains 0.8, and the last value is three times as good
           (behind > 3) on what was held out and twice in training, surely so (sign test, z > 4) on
           20 held-out values or more; or better by a clear margin (`BesideLastValue`), and no worse
           in training by a tenth. Where the network is better in training, that is overfitting
           Where the network explains less than 0.1, it says no more than that nothing was
           learned: a note, where another finding says why (`causes`)
           Of a user's loop, which may go on: from 40 steps on, where it explains 0.1
Source     Goodfellow, Bengio and Courville, Deep Learning (2016), section 5.2; the loss relative to
           a baseline, since accuracy thresholds do not serve regression. Ioffe and Szegedy 2015
           (arXiv 1502.03167) for the statistics; Hyndman and Koehler 2006 (International Journal
           of Forecasting 22) for errors relative to the last value's. The project's measurements:
           see `bench/corpus/plants/underfitting.py`. Of networks that are well, short is 0.14 at
           most where fall is 0.1, 0.16 where it is 0.18 (and 0.10 after 780 steps, where
           fall is 0.08: of what is no series, times > 4 is a note). Of 182 networks of series that
           are well, none is short of 0.05 with times > 4; those short of 0.14 to 0.19 with
           times 9 to 13 were well after more epochs or without dropout
Cost       none beyond the regression; 0.2 s where that tells nothing
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minirnn.diagnosis.detectors import outside_training_range
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.attainable import lookup, surely_larger
from minirnn.diagnosis.evidence.last_value import CLEAR, LEAST_ROWS, beside_last_value
from minirnn.diagnosis.evidence.loop import LoopSeen
from minirnn.diagnosis.evidence.rival import rival_answers
from minirnn.diagnosis.finding import Finding, Severity
from minirnn.diagnosis.wording import counted, number, quantity, share

SYMPTOM = "underfitting"
SHORT, LEARNED, ENOUGH, FALL = 0.2, 0.1, 0.8, 0.1
SHORT_AMID, ENOUGH_AMID, FALL_AMID = 0.15, 0.85, 0.25  # where the loss falls fast at the end
LEAST_STEPS = 40  # of a user's loop
FEW_STEPS = 300  # a usual rate has learned an ordinary task by then
MUCH_SHORT, MANY_TIMES = 0.1, 4.0  # of what a regression explains; of what it leaves
BEHIND, AS_BAD, SURE, NO_BETTER = 3.0, 2.0, 4.0, 0.9
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
    found = _by_running_statistics(evidence, loop) or _short(evidence, loop)
    # A note of what it leaves unexplained hides no harm that the last value shows.
    return found if found is not None and found.harmful else _behind(evidence) or found


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
    skill, threshold = evidence.last_skill, SHORT
    # Where nothing is short of 0.1, no regression need be asked.
    if skill >= 1.0 - MUCH_SHORT:
        return None
    learned = skill >= LEARNED
    if (not learned and evidence.recipe is None) or _well_in_own_units(evidence):
        return None
    known = known_without(evidence)
    if known is None:
        return None
    short = known.r2 - max(skill, 0.0)
    severity, fall = shortfall(evidence), falling(loop)
    if severity is None:
        return None
    capped = evidence.has_too_few_units
    unfinished = not capped and (fall >= FALL or loop.iterations < FEW_STEPS)
    return Finding(
        symptom=SYMPTOM,
        severity=severity,
        where="the network's answers to its training data",
        evidence={
            "kind": "unfinished" if unfinished else "too small",
            "learned": learned,
            "short": short,
            "threshold": threshold,
            "skill": skill,
            "predictable_by_regression": known.r2,
            "ceiling": evidence.ceiling,
            "fall": fall,
            "units": None if evidence.recipe is None else evidence.recipe.model.hidden_size,
            "steps": loop.iterations,
        },
        cause=_cause(unfinished=unfinished, learned=learned or capped),
        explanation=(
            f"The network explains {share(max(skill, 0.0))} of what its targets vary, on the very "
            f"data it was trained on; {known.told}.{_left(skill, known)} "
            + _how_it_ended(evidence, loop, capped=capped, unfinished=unfinished)
        ),
    )


def shortfall(evidence: Evidence) -> Severity | None:
    """How bad it is that the network explains less than is known without it; None where it is not.

    An illness or a warning where it is short of it by a fifth; where it leaves many times as much
    unexplained as a regression does, a note, or of a series a warning.
    """
    loop, skill = evidence.loop, evidence.last_skill
    if skill >= 1.0 - MUCH_SHORT:  # then no regression need be asked
        return None
    known = known_without(evidence)
    if known is None:
        return None
    amid = loop is not None and loop.iterations < FEW_STEPS and falling(loop) > FALL_AMID
    short = known.r2 - max(skill, 0.0)
    if not skill >= (ENOUGH_AMID if amid else ENOUGH) and short > (SHORT_AMID if amid else SHORT):
        return "illness" if evidence.fails else "warning"
    if not (short > MUCH_SHORT and _times(skill, known) > MANY_TIMES):
        return None
    return "warning" if _surely_behind_a_regression(evidence) else "note"


def _times(skill: float, known: Known) -> float:
    """How many times as much a network leaves unexplained as what needs none."""
    left = 1.0 - known.r2
    return (1.0 - skill) / left if left > 0.0 else math.inf


def _surely_behind_a_regression(evidence: Evidence) -> bool:
    """Of a series: whether a regression on the same sequences is closer on what was held out."""
    recipe, unseen = evidence.recipe, evidence.unseen
    if recipe is None or not recipe.is_series or unseen is None or not unseen.finite:
        return False
    rival = rival_answers(evidence)
    if rival is None or len(unseen.given) < LEAST_ROWS:
        return False
    closer = MANY_TIMES**0.5 * rival.error < unseen.error or rival.skill > unseen.skill
    return closer and surely_larger(unseen.distances, rival.distances) > SURE


def _left(skill: float, known: Known) -> str:
    """The same in what is left, where that tells more."""
    times = _times(skill, known)
    if skill < ENOUGH or not MANY_TIMES < times < math.inf:
        return ""
    told = number(times) if times < 1000.0 else "over 1,000"
    return f" The network leaves {told} times as much unexplained."


def _cause(*, unfinished: bool, learned: bool) -> str:
    if unfinished:
        return "Training ended before the network had learned what there is to learn."
    if learned:
        return "The network has too few units, or passes too little, for what the task asks."
    return "What the inputs tell does not reach the answers."


def _how_it_ended(evidence: Evidence, loop: LoopSeen, *, capped: bool, unfinished: bool) -> str:
    units = 0 if evidence.recipe is None else evidence.recipe.model.hidden_size
    if capped:
        return (
            f"From {counted(units, 'unit')} a linear head can make answers that explain "
            f"{share(evidence.ceiling)} at most, whatever the units hold."
        )
    after = counted(loop.iterations, "step")
    if unfinished and falling(loop) >= FALL:
        return f"After {after} its loss was still falling."
    if unfinished:
        return f"It was trained for {after}, which is few."
    # Whether its units are too few, something keeps them from use, or it creeps, is not known here.
    return f"Its loss has hardly moved in the last of {after}."


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
    beside, held = beside_last_value(evidence), evidence.held_out
    if beside is None or held is None or held.naive is None:
        return None
    far = beside.held_out > BEHIND and beside.trained > AS_BAD and beside.surely > SURE
    if not far and not (beside.clearly_worse and beside.trained >= NO_BETTER):
        return None
    assert evidence.recipe is not None
    if not far:
        outside = outside_training_range.detect(evidence)
        # Of changes, the last value's are 0: who is behind that has learned noise, and not too
        # little. And beyond the range trained on, that is the illness.
        if evidence.recipe.data.transform == "change" or (outside is not None and outside.harmful):
            return None
    error, naive = held.answers.error, held.naive.error
    told = (
        f"its errors are {number(beside.trained)} times as large, too."
        if beside.trained > CLEAR
        else f"it is no better either, with {number(beside.trained)} times its error."
    )
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.misses else "warning",
        where="the network's answers, held out and trained on",
        evidence={
            "kind": "behind",
            "behind": beside.held_out,
            "behind_in_training": beside.trained,
            "threshold": BEHIND if far else CLEAR,
            "skill": evidence.skill,
            "error": error,
            "error_of_the_last_value": naive,
        },
        cause="The network has not learned that the next value is near the last one.",
        explanation=(
            f"On what was held out it errs by {quantity(error, held.unit)}, where repeating the "
            f"last value it was shown errs by {quantity(naive, held.unit)}; in training {told} Its "
            f"R2 of {number(evidence.skill)} sounds better than that, for such a series hardly "
            "moves from one value to the next."
        ),
    )
