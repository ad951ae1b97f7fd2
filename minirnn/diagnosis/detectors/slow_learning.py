"""slow-learning: steps so small that the weights hardly leave where they began.

Formula    update = median |change of the parameters| / |parameters| of a step (of the later half);
           way = update times the number of steps: how far the weights can have gone, relative to
           their size, if all steps went one way
Threshold  way < 0.3, where the loss ended above 0.5 of the best constant answer's (of the first
           loss, where that is not known) and the network fails: an illness; a note where the loss
           of the last quarter is below 0.85 of the first one's, for it may go on. Not where no
           gradient arrives at all (`stalled-loss`)
Source     Karpathy, CS231n ("Parameter updates": about 1e-3 of the weights is usual, far less says
           that the rate is too low); AUTOTRAINER (Zhang et al. 2021, ICSE) for the symptom, by
           accuracy. Measured with Adam and SGD on LSTM and RNN over 110 steps: R2 is 0.04 to 0.38
           where the way is 0.2, 0.4 to 0.9 where it is 0.8
Cost       a copy of the parameters at one step in 20
"""

from __future__ import annotations

from minirnn.diagnosis.detectors.oscillating_loss import (
    STRETCHES,
    learned,
    typical_update,
)
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted, number

SYMPTOM = "slow-learning"
WAY = 0.3
FALL = 0.15
LEAST_STEPS = 40


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    loop = evidence.loop
    if loop is None or len(loop.losses) < LEAST_STEPS or not len(loop.update_ratios):
        return None
    update = typical_update(loop)
    way = update * loop.iterations
    if not 0.0 < way < WAY or learned(loop) or not evidence.fails:
        return None
    stretches, quarters = loop.blocks(STRETCHES), loop.blocks(4)
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if quarters[-1] > (1.0 - FALL) * quarters[0] else "note",
        where=f"the optimiser, {loop.at('step', 'in the training loop')}",
        evidence={
            "update": update,
            "way": way,
            "threshold": WAY,
            "learning_rate": loop.optimisation.last_rate,
            "optimiser": loop.optimisation.name,
            "steps": loop.iterations,
            "loss_at_first": float(stretches[0]),
            "loss": float(stretches[-1]),
            "loss_of_a_constant": loop.naive,
        },
        cause=(
            f"At a learning rate of {loop.optimisation.last_rate:g} each step moves the weights by "
            f"{number(100 * update)}% of their size; 0.1% to 1% is usual."
        ),
        explanation=(
            f"After {counted(loop.iterations, 'step')} the weights have gone at most "
            f"{number(100 * way)}% of their size from where they began: the "
            f"loss is {number(float(stretches[-1]))} after {number(float(stretches[0]))}"
            + (
                ""
                if loop.naive is None
                else f", where one constant answer has {number(loop.naive)}"
            )
            + "."
        ),
    )
