"""overfitting: what was learned is the training data, not what they have in common with others.

Formula    gap = R2 on the training data - R2 on what was held out;
           risen = (validation loss at the end - its least) / loss of the best constant answer;
           beaten = R2 on what was held out of a regression that was fitted to the training data
           (see `evidence.rival`) - that of the network
Threshold  gap > 0.25, and the held-out squared errors larger than the training's by twice their
           standard error, on 20 rows or more, or most of them larger than its median (sign test, z
           > 4: one huge error hides no others). An illness where gap > 0.4, and one of: R2 on the
           training data > 0.97 (noise and all, by heart); gap > 0.7 (what brakes a network keeps
           it to 0.45: of labels that are random by half, 0.8 to 1.1); risen > 0.1 (stopped earlier
           it would be better); beaten > 0.25, by a regression whose R2 is below the network's on
           the training data by 0.1 (it learned more than there is). Risen and beaten have to be
           sure: larger than twice the standard errors of the held-out loss, and of the difference
           between the squared errors of both on the same rows. A note else. Of a series' network
           also, whatever the gap, where it is better than the last value in training (0.9 of its
           error) and clearly worse on what was held out (`BesideLastValue`): a warning. Not where
           R2 on the training data is below 0.2: what was not learned was not learned by heart. Nor
           where the network goes wrong outside of the range it was trained on, which is another
           illness. On fewer than 20 rows nothing can be proved: a note that says so, where the gap
           is above 0.4 and the answers are worse than their mean
Source     Goodfellow, Bengio and Courville, Deep Learning (2016), sections 5.2 (the gap) and 7.8
           (the least validation loss). It is no cause of a training loss that does not fall, as an
           article has it: here that falls. The project's measurements, 110 networks without a
           brake and 150 with one, on 70 to 230 sequences with noisy targets: without, R2 on the
           training data is 0.984 or more; with, 0.951 at most, though the gap of one in ten is
           above 0.4. On so few rows a fit of noise has that, and it does no harm: of what there
           is, these networks explain 0.84 of 4,000 fresh sequences, like the others with a brake,
           and those without 0.5. Their validation loss rose by up to 0.15, or 1.7 standard errors;
           a regression beat them by 0.19 at most
Cost       none beyond the answers to the probe's inputs and to the held-out part
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.detectors import outside_training_range
from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.diagnosis.evidence.attainable import surely_larger
from minirnn.diagnosis.evidence.last_value import beside_last_value
from minirnn.diagnosis.evidence.rival import rival_answers
from minirnn.diagnosis.finding import Finding, Severity
from minirnn.diagnosis.wording import counted, number, share
from minirnn.inspect.host import fetch

Floats = Any  # float64, of the network's device

SYMPTOM = "overfitting"
GAP, ILL, FAR, RISEN, BEATEN, BY_HEART = 0.25, 0.4, 0.7, 0.1, 0.25, 0.97
MORE, LEARNED = 0.1, 0.2
SURE = 2.0  # standard errors
SURE_BY_SIGNS = 4.0
AHEAD = 0.9  # of the last value's error, in training
LEAST_ROWS = 20
SMALLEST = 1e-12  # a probability below which the float32 that it came from says nothing


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    trained, unseen = evidence.answers, evidence.unseen
    if trained is None or unseen is None or not (trained.finite and unseen.finite):
        return None
    gap = trained.skill - unseen.skill
    if len(unseen.given) < LEAST_ROWS and gap > ILL and trained.skill >= LEARNED:
        return _too_few_to_tell(trained, unseen)
    beside = beside_last_value(evidence)
    behind = beside is not None and beside.clearly_worse and beside.trained < AHEAD
    if not (gap > GAP or behind) or not trained.skill >= LEARNED:
        return None
    if not _surely_worse(trained, unseen):
        return None
    outside = outside_training_range.detect(evidence)
    if outside is not None and outside.harmful:
        return None
    risen, epoch = _risen(evidence)
    surely_risen = risen > max(RISEN, SURE * _chance_of_loss(evidence, unseen))
    rival = rival_answers(evidence)
    surely_beaten = rival is not None and _surely_beaten(trained, unseen, rival)
    harm = surely_risen or surely_beaten or trained.skill > BY_HEART or gap > FAR
    explanation = (
        f"The network explains {share(max(0.0, trained.skill))} of what its targets vary on the "
        f"data it was trained on, and {share(max(0.0, unseen.skill))} on data it has not seen."
    )
    if surely_risen:
        explanation += (
            f" Its validation loss was least after epoch {epoch}, and has risen since by "
            f"{share(risen)} of what one constant answer would score."
        )
    if surely_beaten:
        assert rival is not None
        explanation += f" A plain regression explains {share(rival.skill)} of the same."
    if behind:
        assert beside is not None
        explanation += (
            f" In training its errors are {number(beside.trained)} times those of repeating the "
            f"last value, and on what was held out {number(beside.held_out)} times."
        )
    harmless: Severity = "warning" if behind else "note"
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if gap > ILL and (harm or behind) else harmless,
        where="the held-out part",
        evidence={
            "gap": gap,
            "threshold": ILL,
            "training_skill": trained.skill,
            "held_out_skill": unseen.skill,
            "risen": risen,
            "least_at_epoch": epoch,
            "held_out_skill_of_a_regression": None if rival is None else rival.skill,
            "behind_the_last_value": None if beside is None else beside.held_out,
        },
        cause=(
            "The network can keep its training sequences apart one by one, noise and all, and went "
            "on until it did."
        ),
        explanation=explanation,
    )


def _too_few_to_tell(trained: Answers, unseen: Answers) -> Finding:
    """A note where it does much worse on a handful of rows, from which nothing follows."""
    rows = len(unseen.given)
    return Finding(
        symptom=SYMPTOM,
        severity="note",
        where="the held-out part",
        evidence={
            "gap": trained.skill - unseen.skill,
            "training_skill": trained.skill,
            "held_out_skill": unseen.skill,
            "too_few_rows": rows,
        },
        cause=f"Only {counted(rows, 'answer')} could be held against data it has not seen.",
        explanation=(
            f"The network explains {share(trained.skill)} of what its targets vary on the data it "
            f"was trained on, and {share(max(0.0, unseen.skill))} on these. So few can be far off "
            "by chance: what it knows of new data cannot be told. Collect more, so that "
            f"{LEAST_ROWS} answers can be held out at least."
        ),
    )


def _surely_worse(trained: Answers, unseen: Answers) -> bool:
    """Whether errors on what was held out are larger by more than chance."""
    if len(unseen.given) < LEAST_ROWS:
        return False
    xp = array_namespace(unseen.given)
    errors = ((unseen.given - unseen.wanted) ** 2).sum(axis=1)
    before = ((trained.given - trained.wanted) ** 2).sum(axis=1)
    mean, spread, usual = fetch(errors.mean(), xp.std(errors), before.mean())
    if mean - usual > SURE * spread / np.sqrt(len(errors)):
        return True
    # A single error that is a thousand times too large makes the mean uncertain, and not whether
    # most of the others are larger than is usual in training.
    return surely_larger(errors, xp.median(before)) > SURE_BY_SIGNS


def _risen(evidence: Evidence) -> tuple[float, int | None]:
    """How far the validation loss has risen above its least, and the epoch of that; NaN unknown."""
    history, loop = evidence.history, evidence.loop
    if history is None or loop is None or not loop.naive:
        return math.nan, None
    told = [(each.validation_loss, each.number) for each in history.epochs]
    losses = [(loss, number) for loss, number in told if loss is not None and math.isfinite(loss)]
    if not losses:
        return math.nan, None
    least, epoch = min(losses)
    return (losses[-1][0] - least) / loop.naive, epoch


def _surely_beaten(trained: Answers, unseen: Answers, rival: Answers) -> bool:
    """Whether a regression tells the held-out rows better, by more than chance, and knows less."""
    if not rival.skill - unseen.skill > BEATEN or not rival.skill < trained.skill - MORE:
        return False
    xp = array_namespace(unseen.given)
    worse = ((unseen.given - unseen.wanted) ** 2 - (rival.given - rival.wanted) ** 2).sum(axis=1)
    mean, spread = fetch(worse.mean(), xp.std(worse))
    return bool(mean > SURE * spread / np.sqrt(len(worse)))


def _chance_of_loss(evidence: Evidence, unseen: Answers) -> float:
    """The standard error of the held-out loss at the end, in units of a constant answer's loss."""
    loop, recipe = evidence.loop, evidence.recipe
    if loop is None or recipe is None or not loop.naive:
        return math.inf
    losses = _losses(recipe.training.loss, unseen)
    (spread,) = fetch(array_namespace(losses).std(losses))
    return float(spread / loop.naive / np.sqrt(len(losses)))


def _losses(kind: str, answers: Answers) -> Floats:
    """(N,): what a loss by name makes of each row, of probabilities where it is one of classes."""
    given, wanted = answers.given, answers.wanted
    xp = array_namespace(given)
    if kind == "cross_entropy":
        return -xp.log(xp.maximum((given * wanted).sum(axis=1), SMALLEST))
    if kind == "bce":
        no, yes = xp.maximum(1.0 - given, SMALLEST), xp.maximum(given, SMALLEST)
        return -(wanted * xp.log(yes) + (1.0 - wanted) * xp.log(no)).mean(axis=1)
    error = abs(given - wanted)
    if kind == "l1":
        return error.mean(axis=1)
    if kind == "huber":
        return xp.where(error <= 1.0, error**2 / 2, error - 0.5).mean(axis=1)
    return (error**2).mean(axis=1)
