"""stalled-loss: the loss does not fall, and it is training itself that keeps it from falling.

Formula    start: no gradient passes the head of the untrained network (0 to the last bit), and
           every kernel is still zero after training;
           rate taken: share of the steps with a tenth at least of the largest learning rate; fall =
           1 - loss of the later half of these steps / loss of the first half;
           level = mean of the last fifth of the losses / that of the best constant answer; fall =
           1 - mean of the last fifth / mean of the first twentieth
Threshold  start: any. Rate taken: share < 0.5, and fall > 0.02 or, by a plan that asks for no
           plateau, an update of 5e-4 at least at first (as in `slow_learning`), where the network
           fails, or falls short of what a regression explains (a warning); of a user's loop, where
           it fails and the loss ended above 0.5 of the constant's. Level > 0.9 (where the
           constant's loss is not known: fall < 0.05, and within 3 standard errors), from 40 steps
           on: an illness, which says no more than that nothing was learned, so that it becomes a
           note where another finding says why (`causes`), and where a regression (see
           `dependence`) tells nothing of the targets either. Where steps find no gradient (half of
           them at least), hold none of the model's parameters, or none is ever made, after 3
           backward passes: an illness at once, unless the loop moves the parameters itself. Where
           they hold some of them, and others that have gradients stay as they began, bit for bit:
           an illness or a warning where the network fails or falls short, a note else (a part may
           be left alone on purpose). Where a loss that takes logits is given what a sigmoid or
           softmax made: a warning, or an illness where the network fails. Where backward itself
           leaves no gradient, or the loss gets smaller as the answers get worse (both in
           `loop_faults`): an illness
Source     the loss relative to a naive baseline, since accuracy thresholds (AUTOTRAINER, Zhang
           et al. 2021) do not serve regression; Goodfellow, Bengio and Courville 2016, section 8.4,
           for starts that symmetry holds. Measured: schedulers that learn keep the rate in half of
           the steps or more, or had learned before they took it
Cost       none
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.detectors.loop_faults import flat_gradient, wrong_way
from minirnn.diagnosis.detectors.oscillating_loss import learned
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.loop import LoopSeen
from minirnn.diagnosis.evidence.start import dead_start
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted, listed, number, share

Floats = NDArray[np.float64]

SYMPTOM = "stalled-loss"
LEAST_STEPS, LEAST_BACKWARDS = 40, 3
LEVEL, FALL = 0.9, 0.05
SURE = 3.0  # standard errors
KEPT, STILL_FALLING = 0.5, 0.02
USUAL = 5e-4  # an update that is no small one, see `slow_learning`


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    loop = evidence.loop
    # Where all targets are the same, a gradient of 0 is what one output has by its nature.
    if loop is None or evidence.only_target is not None:
        return None
    return (
        flat_gradient(evidence, loop, SYMPTOM)
        or _never_moved(loop)
        or wrong_way(evidence, loop, SYMPTOM)
        or (_from_the_start(loop) if dead_start(evidence) else None)
        or _squashed_twice(evidence, loop)
        or (_without_rate(evidence, loop) if rate_taken(evidence) else None)
        or (_left_out(evidence, loop) if evidence.falls_short else None)
        or _stalled(evidence, loop)
        or _left_out(evidence, loop)
    )


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


def _squashed_twice(evidence: Evidence, loop: LoopSeen) -> Finding | None:
    loss = loop.loss
    if loss is None or not loss.squashed:
        return None
    if loss.squashed == "sigmoid":
        seen = (
            "Given chances, which lie between 0 and 1, it reads them as chances of 50% to 73%: the "
            "network can never say no, and never be sure."
        )
    else:
        classes = loss.prediction[1] if len(loss.prediction) > 1 else loss.prediction[0]
        most = math.e / (math.e + classes - 1)
        seen = (
            f"Given chances, it reads the surest answer of {classes} classes (one 1, else 0) "
            f"as a chance of {share(most)}: the loss stays high, and its gradient small."
        )
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.fails else "warning",
        where=f"the loss, {loop.at('loss', 'in the training loop')}",
        evidence={
            "kind": "squashed twice",
            "function": loss.squashed,
            "loss": loss.kind,
            "steps": loop.iterations,
        },
        cause=f"The answers pass a {loss.squashed}, and inside the loss another.",
        explanation=(
            f"This loss takes logits, numbers of any sign and size, and makes chances of them by a "
            f"{loss.squashed} of its own. {seen}"
        ),
    )


def _left_out(evidence: Evidence, loop: LoopSeen) -> Finding | None:
    names = loop.optimisation.left_out
    if not names:
        return None
    layers = list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))
    return Finding(
        symptom=SYMPTOM,
        severity=("illness" if evidence.fails else "warning" if evidence.falls_short else "note"),
        where=f"{listed(layers)}, {loop.at('step', 'in the training loop')}",
        evidence={
            "kind": "left out",
            "layers": layers,
            "parameters": list(names),
            "steps": loop.optimisation.steps,
        },
        cause=f"The optimiser does not hold the parameters of {listed(layers)}.",
        explanation=(
            f"Each backward pass gave them gradients, and in "
            f"{counted(loop.optimisation.steps, 'step')} no step has moved one of them: "
            f"{listed(layers)} {'is' if len(layers) == 1 else 'are'} as at the beginning, and only "
            "the rest has learned."
        ),
    )


def _from_the_start(loop: LoopSeen) -> Finding:
    return Finding(
        symptom=SYMPTOM,
        severity="illness",
        where="the weights as they began",
        evidence={
            "kind": "start",
            "steps": loop.iterations,
            "loss": float(loop.losses[-1]) if len(loop.losses) else None,
            "loss_of_a_constant": loop.naive,
        },
        cause="All kernels began at zero: every unit is the same, and none has a gradient.",
        explanation=(
            "What the head multiplies is zero, and what it multiplies it with is zero too: neither "
            "gets a gradient, however long it is trained. Only the head's bias can move, and finds "
            "the best constant answer."
        ),
    )


def rate_taken(evidence: Evidence) -> bool:
    """Whether a scheduler took the rate away from steps of usual size, or from a falling loss.

    One that waits for a plateau is not at fault where it met one: then the loss must have fallen.
    """
    loop = evidence.loop
    if loop is None or not loop.kept_rate < KEPT:
        return False
    setting = None if evidence.recipe is None else evidence.recipe.training.scheduler
    name = setting["name"] if isinstance(setting, Mapping) else setting
    early = loop.update_ratios[:10]
    if name in ("step", "cosine") and len(early) and np.median(early) >= USUAL:
        return True
    while_kept = loop.losses[: len(loop.rates)][loop.rates >= (0.1 - 1e-9) * loop.rates.max()]
    if len(while_kept) < 2 or not np.isfinite(loop.losses).all():
        return False
    half = len(while_kept) // 2
    return bool(while_kept[half:].mean() < (1.0 - STILL_FALLING) * while_kept[:half].mean())


def _without_rate(evidence: Evidence, loop: LoopSeen) -> Finding | None:
    own = evidence.recipe is None
    if not (evidence.fails and not learned(loop) if own else evidence.falls_short):
        return None
    seen, kept = loop.optimisation, loop.kept_rate
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.fails else "warning",
        where=f"the learning rate, {loop.at('step', 'in training')}",
        evidence={
            "kind": "rate taken",
            "share_with_rate": kept,
            "threshold": KEPT,
            "learning_rate": seen.learning_rate,
            "last_rate": seen.last_rate,
            "steps": loop.iterations,
            "loss": float(loop.losses[-max(1, len(loop.losses) // 5) :].mean()),
            "loss_of_a_constant": loop.naive,
        },
        cause=(
            f"The scheduler took the learning rate from {seen.learning_rate:g} to "
            f"{seen.last_rate:g} while the loss was still falling."
        ),
        explanation=(
            f"Only {share(kept)} of {counted(loop.iterations, 'step')} had a tenth of the rate or "
            "more. What had been begun by then was never finished: the steps after that are too "
            "small to move anything."
        ),
    )


def _early(losses: Floats) -> Floats:
    return losses[: max(1, len(losses) // 20)]


def _late(losses: Floats) -> Floats:
    return losses[-len(losses) // 5 :]


def _surely_fell(losses: Floats) -> bool:
    """Whether the first losses lie above the last by more than their scatter makes likely."""
    first, last = _early(losses), _late(losses)
    error = np.sqrt(first.var() / len(first) + last.var() / len(last))
    return len(first) > 1 and bool(first.mean() - last.mean() > SURE * error)


def _stalled(evidence: Evidence, loop: LoopSeen) -> Finding | None:
    losses = loop.losses
    if len(losses) < LEAST_STEPS or not np.isfinite(losses).all():
        return None
    first, last = float(_early(losses).mean()), float(_late(losses).mean())
    if loop.naive is not None and loop.naive > 0:
        stalled = last > LEVEL * loop.naive
    else:
        # What the least loss is, is not known: a little may be all, where it is more than chance.
        stalled = last > (1.0 - FALL) * first and not _surely_fell(losses)
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
