"""slow-learning: steps so small, or so few, that the weights hardly leave where they began.

Formula    update = median |change of the parameters| / |parameters| of a step (of the later half);
           way = update times the number of steps, or the sum of the first ten updates if that is
           more: how far the weights can have gone, relative to their size, if all went one way
Threshold  way < 0.1, where the network fails (an illness), or explains 0.1 less than a regression
           does of data it was not fitted to (a warning: some networks begin near an answer, by
           chance, and could have found it). Of a user's loop, which may go on, from 40 steps on,
           where the network fails and its loss ended above 0.5 of the best constant answer's (of
           the first loss, where that is not known), and a note where the loss of the last quarter
           is below 0.85 of the first one's. Not where the recurrent layers get less than 0.01 of
           the head's gradient, nor where a scheduler took the rate away (`stalled-loss`)
Source     Karpathy, CS231n ("Parameter updates": about 1e-3 of the weights is usual, far less says
           that the rate is too low); AUTOTRAINER (Zhang et al. 2021, ICSE) for the symptom, by
           accuracy. Measured with Adam, RMSprop and SGD on all three cells: the way is 2e-4 to 0.03
           where a rate is a hundredth of what learns, or there is one epoch; 0.3 to 5 where a
           network of a usual rate fails for another reason, 0.15 where its gates are pinned; of
           those that learn, the shortest had 0.2
Cost       a copy of the parameters at one step in 20
"""

from __future__ import annotations

import math

from minirnn.diagnosis.detectors.loop_faults import gradient_cut
from minirnn.diagnosis.detectors.oscillating_loss import (
    FIRST,
    STRETCHES,
    learned,
    typical_update,
)
from minirnn.diagnosis.detectors.stalled_loss import rate_taken
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.loop import LoopSeen
from minirnn.diagnosis.finding import Finding, Severity
from minirnn.diagnosis.wording import counted, number, share

SYMPTOM = "slow-learning"
WAY = 0.1
FALL, SHORT = 0.15, 0.1
LEAST_STEPS, LEAST_STEPS_OF_A_LOOP = 2, 40
ARRIVES = 0.01  # of the head's gradient: 0.9 to 2 measured, and 0 behind pinned gates
USUAL = 5e-4  # an update from which on it is not the steps that are small
CLIPPED = 0.9  # a share of the steps from which on the bound is what makes them small


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    loop, own = evidence.loop, evidence.recipe is None
    least = LEAST_STEPS_OF_A_LOOP if own else LEAST_STEPS
    if loop is None or len(loop.losses) < least or not len(loop.update_ratios):
        return None
    update = typical_update(loop)
    way = max(update * loop.iterations, float(loop.update_ratios[:FIRST].sum()))
    severity = _severity(evidence, loop)
    if severity is None or not 0.0 < way < WAY:
        return None
    if rate_taken(evidence) or _cut_short(evidence) or not _gradient_arrives(evidence):
        return None
    stretches = loop.blocks(min(STRETCHES, len(loop.losses)))
    quarters = loop.blocks(min(4, len(loop.losses)))
    may_go_on = own and not quarters[-1] > (1.0 - FALL) * quarters[0]
    rate = loop.optimisation.last_rate
    clipped = loop.clipped_share
    return Finding(
        symptom=SYMPTOM,
        severity="note" if may_go_on else severity,
        where=f"the optimiser, {loop.at('step', 'in training')}",
        evidence={
            "update": update,
            "way": way,
            "threshold": WAY,
            "learning_rate": rate,
            "optimiser": loop.optimisation.name,
            "steps": loop.iterations,
            "clipped_share": None if loop.clipped is None else clipped,
            "loss_at_first": float(stretches[0]),
            "loss": float(stretches[-1]),
            "loss_of_a_constant": loop.naive,
        },
        cause=_cause(loop, update, rate, clipped),
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


def _severity(evidence: Evidence, loop: LoopSeen) -> Severity | None:
    """How much is lost by staying where it began; None where nothing is."""
    if evidence.fails and not (evidence.recipe is None and learned(loop)):
        return "illness"
    known = evidence.dependence if evidence.recipe is not None else None
    short = known is not None and known.telling and evidence.skill < known.best - SHORT
    return "warning" if short else None


def _gradient_arrives(evidence: Evidence) -> bool:
    """Whether the recurrent layers get a gradient beside the head's; true where it is not known.

    Where gates are pinned, or all weights began at zero, no rate and no time would move them.
    """
    if gradient_cut(evidence, SYMPTOM) is not None:
        return False
    sizes = evidence.probe.parameters if evidence.probe is not None else {}
    if evidence.recipe is None or not sizes:
        return True
    head = [size for name, size in sizes.items() if name.startswith("head")]
    rest = [size for name, size in sizes.items() if not name.startswith("head")]
    return math.hypot(*rest) > ARRIVES * math.hypot(*head)


def _cut_short(evidence: Evidence) -> bool:
    """Whether training broke, or was broken off from outside: then there are few steps for that."""
    stopped = evidence.history.stopped if evidence.history is not None else None
    return stopped is not None and stopped.kind != "requested"


def _cause(loop: LoopSeen, update: float, rate: float, clipped: float) -> str:
    """Too small a step or too few of them, and by what."""
    moves = f"each step moves the weights by {number(100 * update)}% of their size"
    if clipped >= CLIPPED and loop.optimisation.name == "SGD":
        return (
            f"At a rate of {rate:g}, with {share(clipped)} of the gradients cut to a length of "
            f"{number(loop.clipped or 0.0)}, {moves}; 0.1% to 1% is usual."
        )
    if update >= USUAL:
        return f"There were {counted(loop.iterations, 'step')} only: {moves}, which is usual."
    return f"At a learning rate of {rate:g} {moves}; 0.1% to 1% is usual."
