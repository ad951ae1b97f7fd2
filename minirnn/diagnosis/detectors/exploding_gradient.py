"""exploding-gradient: the gradient grows on its way back through time, or leaps during training.

Formula    growth = largest |dL/ds_t| / |dL/ds_T| over steps t and states s, on the last-step probe
           of the network as it is, and before training (infinite where a gradient is not finite
           while inputs and parameters are);
           leap = largest gradient norm of an epoch's batches over the median of the epochs before,
           in an epoch whose loss is more than 1.2 times that of the one before: norms leap too
           when a network that was stuck begins to learn, and then the loss falls
Threshold  growth > 70, leap > 10. An illness where the network has learned nothing (R2 < 0.1); a
           note else, for the network as it is: one that answers from far back has, when trained, a
           gradient that is largest there (up to 430 measured), and is well
Source     AUTOTRAINER (Zhang et al. 2021, ICSE): 70. Pascanu, Mikolov and Bengio 2013 (ICML) for
           what it is; sigma_max(W_hh) > 1 is necessary for it in a tanh network, > 4 for sigmoid
Cost       one forward and backward pass of the probe; the norms are those of training
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence import Evidence, finite, is_finite
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import number
from minirnn.inspect.host import fetch
from minirnn.inspect.probe import Probe
from minirnn.inspect.trace import Trace
from minirnn.training.history import History

SYMPTOM = "exploding-gradient"
GROWTH = 70.0
LEAP = 10.0
ROSE = 1.2
LEARNED = 0.1  # an R2 that says that something was learned


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    # Written so that the NaN of a network that broke counts as nothing learned.
    harmful = not evidence.skill >= LEARNED
    growth, trace, when = _growth(evidence, harmful)
    leap, epoch = largest_leap(evidence.history)
    if not growth > GROWTH and not leap > LEAP:
        return None
    figures: dict[str, object] = {}
    places, sentences = [], []
    if growth > GROWTH and trace is not None:
        sigma = largest_singular_value(trace)
        figures |= {
            "growth": growth,
            "growth_threshold": GROWTH,
            "layer": trace.layer,
            "direction": trace.direction,
            "largest_singular_value_of_weight_hh": sigma,
        }
        places.append(f"{trace.name}, through time{when}")
        steps = int(trace.lengths.max())
        sentences.append(
            f"On its way back through {steps} steps the gradient grows by a factor of "
            f"{number(growth)}{when}."
            if math.isfinite(growth)
            else f"On its way back through {steps} steps the gradient leaves the range of "
            f"numbers{when}."
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
        severity="illness" if harmful else "note",
        where="; ".join(places),
        evidence=figures,
        cause="Going back in time, each step multiplies the gradient by more than 1.",
        explanation=" ".join(sentences),
    )


def _growth(evidence: Evidence, harmful: bool) -> tuple[float, Trace | None, str]:
    """The largest growth, where, and of which network: as it is, or before training."""
    nowhere: tuple[float, Trace | None, str] = (0.0, None, "")
    if not evidence.rows_finite or not finite(evidence.parameters.values()):
        return nowhere
    now = (*largest_growth(evidence.probe), "")
    # What the network did before training matters where nothing came of training.
    before = (*largest_growth(evidence.untrained), " before training") if harmful else nowhere
    return max(before, now, key=lambda found: found[0])


def largest_growth(probe: Probe | None) -> tuple[float, Trace | None]:
    """The largest r of a probe's traces, and the trace."""
    found: tuple[float, Trace | None] = (0.0, None)
    for trace in probe.traces if probe is not None else ():
        for state in trace.cell.states:
            if not is_finite(trace):
                return math.inf, trace
            decay = trace.gradient_decay(state)
            xp = array_namespace(decay)
            if not decay.size:
                continue
            known = xp.where(xp.isnan(decay), 0.0, decay)
            some, largest = fetch(xp.isfinite(decay).any(), known.max())
            if some and largest > found[0]:
                found = (largest, trace)
    return found


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
