"""overfitting: what was learned is the training data, not what they have in common with others.

Formula    gap = R2 on the training data - R2 on what was held out;
           risen = (validation loss at the end - its least) / loss of the best constant answer;
           beaten = R2 that a regression has on data it was not fitted to (see `dependence`) - R2
           of the network on what was held out
Threshold  gap > 0.25, and the held-out squared errors larger than the training's by twice their
           standard error, on 20 rows or more. An illness where gap > 0.4, and either risen > 0.1
           (stopped earlier it would be better), or beaten > 0.25, or R2 on the training data
           > 0.95 (noise and all, by heart); a note else. Not where R2 on the training data is
           below 0.2: what was not learned was not learned by heart. Nor where the network goes
           wrong outside of the range it was trained on, which is another illness
Source     Goodfellow, Bengio and Courville, Deep Learning (2016), sections 5.2 (the gap) and 7.8
           (the least validation loss). It is no cause of a training loss that does not fall, as an
           article has it: here that falls. The project's measurements on a hundred sequences
           with noisy targets: gap 0.4 to 1.7 at the end, 0.2 to 0.4 stopped early or with 800
Cost       none beyond the answers to the probe's inputs and to the held-out part
"""

from __future__ import annotations

import math

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.detectors import outside_training_range
from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import share
from minirnn.inspect.host import fetch

SYMPTOM = "overfitting"
GAP, ILL, RISEN, BEATEN, BY_HEART = 0.25, 0.4, 0.1, 0.25, 0.95
LEARNED = 0.2
SURE = 2.0  # standard errors
LEAST_ROWS = 20


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    trained, unseen = evidence.answers, evidence.unseen
    if trained is None or unseen is None or not (trained.finite and unseen.finite):
        return None
    gap = trained.skill - unseen.skill
    if not gap > GAP or not trained.skill >= LEARNED or not _surely_worse(trained, unseen):
        return None
    outside = outside_training_range.detect(evidence)
    if outside is not None and outside.harmful:
        return None
    dependence = evidence.dependence
    best = dependence.best if dependence is not None and dependence.telling else math.nan
    risen, epoch = _risen(evidence)
    beaten = best - unseen.skill
    harm = risen > RISEN or beaten > BEATEN or trained.skill > BY_HEART
    explanation = (
        f"The network explains {share(max(0.0, trained.skill))} of what its targets vary on the "
        f"data it was trained on, and {share(max(0.0, unseen.skill))} on data it has not seen."
    )
    if risen > RISEN:
        explanation += (
            f" Its validation loss was least after epoch {epoch}, and has risen since by "
            f"{share(risen)} of what one constant answer would score."
        )
    if beaten > BEATEN:
        explanation += f" A plain regression explains {share(best)} of what it was not fitted to."
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if gap > ILL and harm else "note",
        where="the held-out part",
        evidence={
            "gap": gap,
            "threshold": ILL,
            "training_skill": trained.skill,
            "held_out_skill": unseen.skill,
            "risen": risen,
            "least_at_epoch": epoch,
            "predictable_by_regression": None if dependence is None else dependence.best,
        },
        cause=(
            "The network can keep its training sequences apart one by one, noise and all, and went "
            "on until it did."
        ),
        explanation=explanation,
    )


def _surely_worse(trained: Answers, unseen: Answers) -> bool:
    """Whether errors on what was held out are larger by more than chance."""
    if len(unseen.given) < LEAST_ROWS:
        return False
    xp = array_namespace(unseen.given)
    errors = ((unseen.given - unseen.wanted) ** 2).sum(axis=1)
    before = ((trained.given - trained.wanted) ** 2).sum(axis=1)
    mean, spread, usual = fetch(errors.mean(), xp.std(errors), before.mean())
    return bool(mean - usual > SURE * spread / np.sqrt(len(errors)))


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
