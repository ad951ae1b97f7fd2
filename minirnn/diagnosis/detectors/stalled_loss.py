"""stalled-loss: the loss does not fall.

Formula    level = mean of the last fifth of the losses / that of the best constant answer; fall =
           1 - mean of the last fifth / mean of the first twentieth
Threshold  level > 0.9 (fall < 0.05 where the constant's loss is not known), from 40 steps on. An
           illness; a note where a regression (see `dependence`) tells nothing of the targets
           either. Where steps find no gradient (half of them at least), hold none of the model's
           parameters, or none is ever made, after 3 backward passes: an illness at once, unless the
           loop moves the parameters itself
Source     the loss relative to a naive baseline, since accuracy thresholds (AUTOTRAINER, Zhang et
           al. 2021) do not serve regression
Cost       none
"""

from __future__ import annotations

import numpy as np

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.loop import LoopSeen
from minirnn.diagnosis.wording import counted, number

SYMPTOM = "stalled-loss"
LEAST_STEPS, LEAST_BACKWARDS = 40, 3
LEVEL, FALL = 0.9, 0.05


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    loop = evidence.loop
    if loop is None:
        return None
    return _never_moved(loop) or _stalled(evidence, loop)


def _never_moved(loop: LoopSeen) -> Finding | None:
    seen = loop.optimisation
    if seen.backwards < LEAST_BACKWARDS or seen.by_hand:
        return None
    if seen.foreign:
        kind, where = "foreign optimiser", "step"
        cause = "The optimiser holds none of this model's parameters."
    elif seen.steps == 0:
        kind, where = "no step", "backward"
        cause = f"There were {seen.backwards} backward passes, and no step of an optimiser."
    elif seen.empty >= LEAST_BACKWARDS and 2 * seen.empty >= seen.steps:
        kind, where = "no gradient", "step"
        cause = (
            f"In {seen.empty} of {counted(seen.steps, 'step')} the optimiser found no gradient: it "
            "was cleared after backward, or never arrived."
        )
    else:
        return None
    return Finding(
        symptom=SYMPTOM,
        severity="illness",
        where=f"the training loop, {loop.at(where, 'in the training loop')}",
        evidence={
            "kind": kind,
            "steps": seen.steps,
            "backwards": seen.backwards,
            "steps_without_gradient": seen.empty,
        },
        cause=cause,
        explanation="The weights are never moved by what the loss says, so nothing can be learned.",
    )


def _stalled(evidence: Evidence, loop: LoopSeen) -> Finding | None:
    losses = loop.losses
    if len(losses) < LEAST_STEPS or not np.isfinite(losses).all():
        return None
    last = float(losses[-len(losses) // 5 :].mean())
    first = float(losses[: max(1, len(losses) // 20)].mean())
    if loop.naive is not None and loop.naive > 0:
        stalled = last > LEVEL * loop.naive
    else:
        stalled = last > (1.0 - FALL) * first
    if not stalled or not evidence.fails:
        return None
    dependence = evidence.dependence
    hopeless = dependence is not None and not dependence.telling
    return Finding(
        symptom=SYMPTOM,
        severity="note" if hopeless else "illness",
        where="the loss",
        evidence={
            "kind": "level",
            "loss": last,
            "loss_at_first": first,
            "loss_of_a_constant": loop.naive,
            "steps": loop.iterations,
            "learning_rate": loop.optimisation.last_rate,
            "predictable_by_regression": None if dependence is None else dependence.best,
        },
        cause=(
            "Nothing in the inputs was found to tell the target."
            if hopeless
            else "What the inputs tell does not reach the answers."
        ),
        explanation=(
            f"After {counted(loop.iterations, 'step')} the loss is {number(last)}, after "
            f"{number(first)} at first"
            + (
                ""
                if loop.naive is None
                else f"; always answering the same would score {number(loop.naive)}"
            )
            + ". The network has found nothing better."
        ),
    )
