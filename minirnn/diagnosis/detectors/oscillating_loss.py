"""oscillating-loss: steps so large that the loss goes up and down instead of down.

Formula    step = |change of the parameters| / |parameters|, of the first step or in the median of
           the first ten, whichever is larger; peak = largest loss of all steps / the larger of the
           first one and that of the best constant answer; stretches = means of 20 equal stretches
           of the losses
Threshold  step > 0.3 and peak > 2 (or a loss that is no number), where a recipe's network fails
           (an illness), or falls short of what a regression explains (a warning);
           not where all kernels began at zero: of next to nothing any step is a large part
           (`stalled-loss`);
           of a user's loop, where the last stretch is above 0.5 of the constant's (of the first
           loss, where that is not known): an illness where the network fails, a note else
Source     Karpathy, CS231n ("Parameter updates": about 1e-3 of the weights is usual, far more says
           that the rate is too high); AUTOTRAINER (Zhang et al. 2021, ICSE) for the symptom, by
           accuracy. Measured with Adam and SGD on LSTM and RNN: rates that learn have a step of
           0.001 to 0.7 and a peak below 1.9; rates that throw the weights about 2 to 130, and 2 on
Cost       a copy of the parameters at the first ten steps and at one in 20 after
"""

from __future__ import annotations

import numpy as np

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.loop import LoopSeen
from minirnn.diagnosis.evidence.start import dead_start
from minirnn.diagnosis.finding import Finding, Severity
from minirnn.diagnosis.wording import number

SYMPTOM = "oscillating-loss"
LEAST_STEPS, LEAST_STEPS_OF_A_LOOP = 6, 10  # in fewer nothing swings: it flies (`non_finite`)
STEP, PEAK = 0.3, 2.0
FIRST = 10
STRETCHES = 20
LEARNED = 0.5
LEAST_LAST = 4  # batches at the end whose mean is the loss there: one may be easy by chance


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    loop = evidence.loop
    least = LEAST_STEPS if evidence.recipe is not None else LEAST_STEPS_OF_A_LOOP
    if loop is None or len(loop.losses) < least or not len(loop.update_ratios):
        return None
    step, peak = first_step(loop), highest(loop)
    # Of a recipe it is known how the network answers in the end; the losses of its last steps are
    # those of weights that were still on the move.
    well = learned(loop) if evidence.recipe is None else not evidence.falls_short
    if not step > STEP or not peak > PEAK or well or dead_start(evidence):
        return None
    stretches = loop.blocks(min(STRETCHES, len(loop.losses)))
    second = stretches[len(stretches) // 2 :]
    swing = float(np.abs(np.diff(second)).mean())
    return Finding(
        symptom=SYMPTOM,
        severity=_severity(evidence),
        where=f"the optimiser, {loop.at('step', 'in training')}",
        evidence={
            "step": step,
            "step_threshold": STEP,
            "peak": peak,
            "peak_threshold": PEAK,
            "learning_rate": loop.optimisation.learning_rate,
            "optimiser": loop.optimisation.name,
            "swing": swing,
            "fall": float(second[0] - second[-1]),
            "loss": float(stretches[-1]),
            "loss_of_a_constant": loop.naive,
        },
        cause=(
            f"At a learning rate of {loop.optimisation.learning_rate:g} a step at the beginning "
            f"moved the weights by {number(100 * step)}% of their size; about 1% at most is usual."
        ),
        explanation=(
            "The steps are so large that they jump over what they look for: the loss rose to "
            f"{number(peak)} times what it was, moves by {number(swing)} from one stretch of "
            f"training to the next, and ends at {number(float(stretches[-1]))}"
            + ("." if loop.naive is None else f" (one constant answer: {number(loop.naive)}).")
        ),
    )


def _severity(evidence: Evidence) -> Severity:
    if evidence.fails:
        return "illness"
    return "note" if evidence.recipe is None else "warning"


def first_step(loop: LoopSeen) -> float:
    """|update| / |parameters| of the first step, or in the median of the first ten if larger."""
    early = loop.update_ratios[:FIRST]
    early = early[np.isfinite(early)]
    if not len(early) and len(loop.losses) and not np.isfinite(loop.losses[0]):
        return float("nan")  # broken before any step
    # Where not even the first step left numbers, it was as large as can be.
    return float(max(early[0], np.median(early))) if len(early) else float("inf")


def highest(loop: LoopSeen) -> float:
    """The largest loss over the first one, or over a constant answer's if that is larger."""
    if not np.isfinite(loop.losses).all():
        return float("inf")
    usual = max(float(loop.losses[0]), loop.naive or 0.0)
    return float(loop.losses.max()) / usual if usual > 0 else 0.0


def typical_update(loop: LoopSeen) -> float:
    """Median |update| / |parameters| of the later half of the steps that were measured."""
    ratios = loop.update_ratios
    known = ratios[np.isfinite(ratios)]
    return float(np.median(known[len(known) // 2 :])) if len(known) else float("inf")


def learned(loop: LoopSeen, part: float = LEARNED) -> bool:
    """Whether the loss came below a part of a constant answer's, or of where it began."""
    last = loop.losses[-max(LEAST_LAST, len(loop.losses) // STRETCHES) :].mean()
    against = loop.naive if loop.naive is not None else float(loop.losses[0])
    # Written so that a loss that is no number has not learned.
    return bool(last < part * against)
