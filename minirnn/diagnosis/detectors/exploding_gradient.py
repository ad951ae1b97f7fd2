"""exploding-gradient: the gradient grows on its way back through time, or leaps during training.

Formula    growth = largest |dL/dh_t| / (sum of the |dL/dy_s| that entered h at the steps s = t and
           after, in the layer's direction) over steps t, on the last-step probe, of the network as
           it is and before training: no growth at all leaves it at 1 or less, in a lower layer too,
           which gradient enters at every step. Of a state that gradient enters at its last step
           alone, also |dL/dc_t| / |dL/dc_T|. Infinite where a gradient is not finite while inputs,
           targets and parameters are;
           power = |gradient| x |parameters| / loss, before the first step: the power of the weights
           that the loss goes with, where it is far above a constant's;
           leap = largest gradient norm of an epoch's batches over the median of the epochs before,
           in an epoch whose loss is more than 1.2 times that of the one before: norms leap too
           when a network that was stuck begins to learn, and then the loss falls
Threshold  growth > 70; power > 100 where the first loss is above 10 times that of the best
           constant; leap > 10. An illness where training came to nothing (R2 < 0.5 where it began
           so, R2 < 0.1 where it only is so now), a warning where it began so and explains less than
           0.8, in training or of what was held out, and 0.2 less than a regression does; a note
           else: a network that answers from far back
           has, when trained, a gradient that is largest there (up to 430 measured), and is well.
           What the network does after steps that threw its weights about (`oscillating_loss`) is
           not looked at: the steps are at fault then
Source     AUTOTRAINER (Zhang et al. 2021, ICSE): 70. Pascanu, Mikolov and Bengio 2013 (ICML) for
           what it is; sigma_max(W_hh) > 1 is necessary for it in a tanh network, > 4 for sigmoid.
           Measured, T = 30 to 100: the power is 15 to 50 in tanh, orthogonal relu and GRU networks,
           176 to 1e7 in relu networks that training could not save
Cost       one forward and backward pass of the probe; the norms are those of training
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.detectors.oscillating_loss import STEP
from minirnn.diagnosis.evidence import Evidence, finite, is_finite
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import number
from minirnn.inspect import norms
from minirnn.inspect.host import fetch
from minirnn.inspect.probe import Probe
from minirnn.inspect.trace import Trace
from minirnn.training.history import History

SYMPTOM = "exploding-gradient"
GROWTH = 70.0
POWER, FAR_ABOVE = 100.0, 10.0
LEAP = 10.0
ROSE = 1.2
LEARNED = 0.1  # an R2 that says that something was learned
LARGEST = 1e18  # of targets: the sum of some squares is within float32
SOLVED = 0.5  # an R2 with which a network no longer fails
ENOUGH, SHORT = 0.8, 0.2  # R2, and how much less than a regression's, with which it falls short


@dataclass(frozen=True)
class Growth:
    """How far a gradient grows, in which layer and direction, and when: "", or before training."""

    factor: float = 0.0
    trace: Trace | None = None
    when: str = ""


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    began, now = _growth(evidence)
    power = first_power(evidence)
    leap, epoch = largest_leap(evidence.history)
    from_the_start = began.factor > GROWTH or power > POWER
    if not from_the_start and not now.factor > GROWTH and not leap > LEAP:
        return None
    # Written so that the NaN of a network that broke counts as nothing learned.
    nothing = not evidence.skill >= (SOLVED if from_the_start and evidence.loop else LEARNED)
    harmful = nothing or (from_the_start and evidence.loop is not None and _short(evidence))
    if not harmful and not now.factor > GROWTH and not leap > LEAP:
        return None
    growth = max((began, now) if harmful else (now,), key=lambda each: each.factor)
    figures: dict[str, object] = {}
    places, sentences = [], []
    if growth.factor > GROWTH and growth.trace is not None:
        trace, when = growth.trace, growth.when
        figures |= {
            "growth": growth.factor,
            "growth_threshold": GROWTH,
            "layer": trace.layer,
            "direction": trace.direction,
            "step": exploded_at(trace),
            "largest_singular_value_of_weight_hh": largest_singular_value(trace),
        }
        places.append(f"{trace.name}, through time{when}")
        steps = int(trace.lengths.max())
        sentences.append(
            f"On its way back through {steps} steps the gradient grows by a factor of "
            f"{number(growth.factor)}{when}."
            if math.isfinite(growth.factor)
            else f"On its way back through {steps} steps the gradient leaves the range of "
            f"numbers{when}."
        )
    if power > POWER and harmful and evidence.loop is not None:
        loop = evidence.loop
        first = float(loop.losses[0])
        figures |= {
            "power": power,
            "power_threshold": POWER,
            "gradient_norm_at_first": float(loop.gradient_norms[0]),
            "loss_at_first": first,
            "loss_of_a_constant": loop.naive,
        }
        if not places:
            places.append("the first step of training")
        sentences.append(
            f"Before the first step the loss was {number(first)}, where always answering the same "
            f"would score {number(loop.naive or 0.0)}, and it goes with the weights to the power "
            f"of about {number(power)}."
        )
    if leap > LEAP:
        figures |= {"leap": leap, "leap_threshold": LEAP, "epoch": epoch}
        places.append(f"training, epoch {epoch}")
        sentences.append(
            f"In epoch {epoch} a gradient was {number(leap)} times as large as usual before, and "
            "the loss rose."
        )
    sentences.append(
        "Steps that large throw away what was learned, and can end in numbers that are none."
        if harmful
        else "The network learned all the same."
    )
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if nothing else "warning" if harmful else "note",
        where="; ".join(places),
        evidence=figures,
        cause="Going back in time, each step multiplies the gradient by more than 1.",
        explanation=" ".join(sentences),
    )


def _short(evidence: Evidence) -> bool:
    """Whether the network explains less than it might, where it was trained or of what it was not.

    Adam comes back from a gradient that left it far away, and may arrive late.
    """
    asked = evidence.skill
    if evidence.unseen is not None:
        asked = min(asked, evidence.unseen.typical_skill)
    known = evidence.dependence if asked < ENOUGH else None
    return known is not None and known.telling and known.best - asked > SHORT


def _growth(evidence: Evidence) -> tuple[Growth, Growth]:
    """The largest growth before training, and of the network as it is."""
    nothing = Growth()
    if not evidence.rows_finite or not finite(evidence.parameters.values()):
        return nothing, nothing
    if not _targets_in_range(evidence.targets):
        return nothing, nothing
    began = Growth(*largest_growth(evidence.untrained), " before training")
    loop = evidence.loop
    thrown = loop is not None and not (loop.update_ratios <= STEP).all()
    return began, nothing if thrown else Growth(*largest_growth(evidence.probe))


def _targets_in_range(targets: Any) -> bool:
    """Whether the squared error of a small answer is a number: else no gradient is at fault."""
    if targets.dtype.kind in "iu" or not targets.size:
        return True
    (largest,) = fetch(abs(targets).max())
    return bool(largest < LARGEST)  # false of a NaN


def first_power(evidence: Evidence) -> float:
    """|gradient| |parameters| / loss at the first step; 0 where the loss is not far above naive.

    That is d ln(loss) / d ln(weights) at most: the power of the weights that the loss goes with.
    Far above naive is also above what always answering 0 would score: a level is not yet found.
    """
    loop, targets = evidence.loop, evidence.targets
    if loop is None or loop.naive is None or loop.weights is None or not len(loop.losses):
        return 0.0
    naive = loop.naive
    if targets.dtype.kind == "f" and targets.size:
        naive = max(naive, *fetch((targets.astype(np.float64) ** 2).mean()))
    loss, norm = float(loop.losses[0]), float(loop.gradient_norms[0])
    if not loss > FAR_ABOVE * naive or not naive < LARGEST**2:
        return 0.0  # also of a NaN, which tells nothing of a gradient
    if not math.isfinite(loss) or math.isinf(norm):
        return math.inf
    return norm * loop.weights / loss


def largest_growth(probe: Probe | None) -> tuple[float, Trace | None]:
    """The largest growth in a probe's traces, and the trace."""
    found: tuple[float, Trace | None] = (0.0, None)
    for trace in probe.traces if probe is not None else ():
        if not is_finite(trace):
            return math.inf, trace
        largest = growth_of(trace)
        if largest > found[0]:
            found = (largest, trace)
    return found


def growth_of(trace: Trace) -> float:
    """How far a layer's gradient outgrows what entered it, on its way back through time."""
    entering = trace.direct_grad_hidden
    xp = array_namespace(entering)
    if not entering.size:
        return 0.0
    once = (xp.asarray((entering != 0.0).any(axis=2)).sum(axis=0) <= 1).all()
    measured = [growth_by_step(trace).max()]
    if "c" in trace.cell.states and bool(once):
        decay = trace.gradient_decay("cell")
        measured.append(xp.where(xp.isfinite(decay), decay, 0.0).max())
    return max(fetch(*measured))


def growth_by_step(trace: Trace) -> Any:
    """(T,): |dL/dh_t| over what entered h at step t and after, in the layer's direction."""
    entering = trace.direct_grad_hidden
    xp = array_namespace(entering)
    entered, total = (norms.norm(each, (1, 2)) for each in (entering, trace.grad_hidden))
    # Summed from the last step that is taken, in the layer's direction, to each.
    back = slice(None, None, 1 if trace.reverse else -1)
    sums = xp.cumsum(entered[back])[back]
    return xp.where(sums > 0.0, total / xp.where(sums > 0.0, sums, 1.0), 0.0)


def exploded_at(trace: Trace) -> int | None:
    """The first step, going back, at which the gradient of h is beyond the threshold, or None."""
    if not is_finite(trace):
        return None
    xp = array_namespace(trace.hidden)
    beyond = xp.flatnonzero(growth_by_step(trace) > GROWTH)
    if not len(beyond):
        return None
    return int(beyond[0 if trace.reverse else -1])


def largest_leap(history: History | None) -> tuple[float, int]:
    """The largest leap of the gradient norm, and the epoch (from 1) in which it came."""
    largest, at = 0.0, 0
    epochs = history.epochs if history is not None else []
    for index in range(1, len(epochs)):
        usual = float(np.median([epoch.gradient_norm for epoch in epochs[:index]]))
        rose = not epochs[index].loss <= ROSE * epochs[index - 1].loss
        if usual > 0 and rose and epochs[index].gradient_norm_max / usual > largest:
            largest, at = epochs[index].gradient_norm_max / usual, epochs[index].number
    return largest, at


def largest_singular_value(trace: Trace) -> float:
    """Of the block of weight_hh with the largest norm, (H, H)."""
    H = trace.shape[2]
    weight: Any = trace.weights.weight_hh
    xp = array_namespace(weight)
    blocks = xp.asarray(weight, dtype=np.float64).reshape(-1, H, H)
    block = blocks[int(xp.linalg.norm(blocks, axis=(1, 2)).argmax())]
    return float(xp.linalg.svd(block, compute_uv=False).max())
