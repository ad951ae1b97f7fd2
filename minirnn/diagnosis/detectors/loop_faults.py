"""Faults of a watched loop that belong to several symptoms: which way its loss points, what cuts or
flattens its gradient, and targets that its network cannot answer. The detectors of these symptoms
ask here; each threshold is told where it stands.
"""

from __future__ import annotations

import math

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.loop import LoopSeen
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted, listed, number, share
from minirnn.inspect.host import fetch

LEAST_BACKWARDS = 3
AGAINST = -0.5  # a correlation of loss and error: 1 in loops that are well, -1 under a minus
NO_SLOPE = ("round", "sign", "floor", "ceil", "trunc", "heaviside")
BOUNDS = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "relu": (0.0, math.inf)}
LARGE = 10.0  # the size of targets, as of inputs in `unscaled_input`
BEYOND = 0.05  # a share of the targets
NUMBERS = ("mse", "l1", "huber", "by hand")  # losses that compare numbers
USUAL = 5e-4  # an update from which on it is not the steps that are small, as in `slow_learning`


def flat_gradient(evidence: Evidence, loop: LoopSeen, symptom: str) -> Finding | None:
    """Backward itself leaves no gradient, in most of the passes that were looked at.

    What is learned may have none left to give (a hinge that is satisfied): not where the network
    does not fall short.
    """
    seen = loop.optimisation
    if seen.backwards < LEAST_BACKWARDS or not seen.arrives_flat or not evidence.falls_short:
        return None
    end = seen.flat_end
    if end in NO_SLOPE:
        cause = f"The way back from the loss leads through {end}, which has no slope anywhere."
        more = "However the weights are moved a little, the answers stay what they are."
    elif end:
        cause = f"The way back from the loss leads through {end}, at rest for all it is given."
        more = f"All that {end} is given lies where it is flat: no answer moves with the weights."
    else:
        cause = "No gradient comes back from the loss to the weights."
        more = "Something between the loss and the weights cuts it off, or is flat."
    return Finding(
        symptom=symptom,
        severity="illness",
        where=f"between the loss and the weights, {loop.at('backward', 'in the training loop')}",
        evidence={
            "kind": "flat",
            "function": end,
            "steps": seen.steps,
            "backwards": seen.backwards,
            "passes_looked_at": seen.looked_at,
            "passes_without_gradient": seen.flat,
        },
        cause=cause,
        explanation=(
            f"Of {seen.looked_at} backward passes looked at {seen.flat} left gradients of zero "
            f"everywhere, before anything could clear them. {more} So the optimiser has nothing to "
            "follow."
        ),
    )


def wrong_way(evidence: Evidence, loop: LoopSeen, symptom: str) -> Finding | None:
    """The loss gets smaller as the answers get worse, and they are worse than a constant's."""
    if not evidence.skill < 0.0 or not len(loop.losses):
        return None
    agrees = loop.agrees
    if agrees is None or agrees >= AGAINST:
        return None
    first = float(loop.losses[: max(1, len(loop.losses) // 20)].mean())
    last = float(loop.losses[-max(1, len(loop.losses) // 5) :].mean())
    return Finding(
        symptom=symptom,
        severity="illness",
        where=f"the loss, {loop.at('loss', 'in the training loop')}",
        evidence={
            "kind": "wrong way",
            "agreement": agrees,
            "threshold": AGAINST,
            "skill": evidence.skill,
            "loss_at_first": first,
            "loss": last,
            "steps": loop.iterations,
        },
        cause="The loss is smaller for worse answers: it rewards the wrong thing.",
        explanation=(
            f"Over the last batches the loss and the error of the answers go against each other "
            f"(correlation {number(agrees)}). It went from {number(first)} to {number(last)}, and "
            "the answers became worse than always answering the same. An optimiser makes small "
            "whatever it is given: what is to be made large needs a minus, and an error none."
        ),
    )


def gradient_cut(evidence: Evidence, symptom: str) -> Finding | None:
    """No gradient ever reaches a recurrent layer, though others have one, and it is wanted.

    A reservoir is left as it began on purpose: not where the network does not fall short. Nor where
    its parameters want none (`requires_grad`), or no optimiser holds them.
    """
    loop = evidence.loop
    if loop is None or not evidence.falls_short:
        return None
    seen = loop.optimisation
    if seen.backwards < LEAST_BACKWARDS or seen.arrives_flat:
        return None
    fed = dict.fromkeys([*(layer.name for layer in loop.layers), *loop.cut])
    cut = [name for name in fed if _all_in(seen.unreached, name, evidence)]
    end = ""
    if not cut and seen.flat_end:
        cut, end = [name for name in fed if _all_in(seen.untold, name, evidence)], seen.flat_end
    if not cut:
        return None
    if end:
        cause = f"The way back to {listed(cut)} leads through {end}, which is flat there."
    elif all(name in loop.cut for name in cut):
        cause, end = f"{listed(cut)} runs without gradients, under no_grad.", "no_grad"
    else:
        cause = f"No gradient comes back to {listed(cut)}: its output is detached on the way."
        end = "detach"
    return Finding(
        symptom=symptom,
        severity="illness" if evidence.fails else "warning",
        where=f"{listed(cut)}, {loop.at(f'layer {cut[0]}', 'in the model')}",
        evidence={
            "kind": "cut",
            "layers": cut,
            "function": end,
            "backwards": seen.backwards,
            "skill": evidence.skill,
        },
        cause=cause,
        explanation=(
            f"In {counted(seen.backwards, 'training step')} not one gradient reached the weights "
            f"of {listed(cut)}, which are as they began; what follows can only learn from whatever "
            "they happen to pass on."
        ),
    )


def _all_in(names: tuple[str, ...], layer: str, evidence: Evidence) -> bool:
    own = [name for name in evidence.parameters if name.startswith(f"{layer}." if layer else "")]
    return bool(own) and all(name in names for name in own)


def targets_out_of_reach(evidence: Evidence, symptom: str) -> Finding | None:
    """Targets far from the size a network answers in, or beyond what its last function can give.

    Size: their root mean square > 10, in a loop whose steps are of usual size. A rate that is right
    for answers of about 1 moves them by about 1: measured with Adam at 0.01 and 0.001 and with SGD
    at 0.01 over 240 steps, R2 is 0.8 to 1 for targets of size 3 and 0 to 0.97 for 15 to 30, the
    lower the further their mean is from 0; below 0.5 from 100 on. Beyond: 5% of them or more.
    """
    loop, answers = evidence.loop, evidence.answers
    if evidence.recipe is not None or loop is None or answers is None or not evidence.falls_short:
        return None
    if loop.loss is None or loop.loss.kind not in NUMBERS or loop.optimisation.arrives_flat:
        return None
    wanted = answers.wanted
    xp = array_namespace(wanted)
    if not len(wanted):
        return None
    least, most = BOUNDS.get(loop.bounded, (-math.inf, math.inf))
    size, beyond, low, high = fetch(
        xp.sqrt((wanted**2).mean(axis=0)).max(),
        ((wanted < least) | (wanted > most)).mean(),
        wanted.min(),
        wanted.max(),
    )
    if not math.isfinite(size) or low == high:
        return None
    early = loop.update_ratios[:10]
    if not len(early) or not np.median(early) >= USUAL:
        return None
    dependence = evidence.dependence
    hopeless = dependence is None or not dependence.telling
    if beyond < BEYOND and (size <= LARGE or (hopeless and evidence.skill > -0.1)):
        return None
    range_ = f"{number(low)} to {number(high)}"
    bounded = beyond >= BEYOND
    bound = f"{least:g} and {most:g}" if most < math.inf else f"{least:g} and above"
    return Finding(
        symptom=symptom,
        severity="illness" if evidence.fails else "warning",
        where=f"the targets, {loop.at('loss', 'in the training loop')}",
        evidence={
            "kind": "bounded targets" if bounded else "targets",
            "of_a_loop": True,
            "size": size,
            "threshold": LARGE,
            "mean": wanted.mean(axis=0).tolist(),
            "standard_deviation": wanted.std(axis=0).tolist(),
            "smallest": low,
            "largest": high,
            "function": loop.bounded,
            "beyond": beyond,
        },
        cause=(
            f"The last function of the model is {loop.bounded}, and {share(beyond)} of the targets "
            f"lie where it cannot answer."
            if bounded
            else f"The targets are {range_}, and a network begins with answers of about 1 at most."
        ),
        explanation=(
            f"The targets go from {range_}; {loop.bounded} answers "
            + (f"between {bound}" if most < math.inf else f"{bound}")
            + ". The network is driven to the end of that range, where it has no slope left."
            if bounded
            else "Steps that are right for answers of about 1 would take very long to come there, "
            "and meanwhile every unit is driven to the end of its range, all of them alike, since "
            "that is the shortest way to larger answers."
        ),
    )
