"""exploding-gradient: the gradient grows on its way back through time, or leaps during training.

Formula    r = largest |dL/ds_t| / |dL/ds_T| over steps t, on the last-step probe (infinite where a
           gradient is not finite while inputs and parameters are); leap = largest gradient norm of
           an epoch's batches over the median of the norms of the epochs before it
Threshold  r > 70, or leap > 10. An illness where the network fails; a note where it learned all the
           same: a loud gradient that converges is no illness
Source     AUTOTRAINER (Zhang et al. 2021, ICSE): 70. Pascanu, Mikolov and Bengio 2013 (ICML) for
           what it is; sigma_max(W_hh) > 1 is necessary for it in a tanh network, > 4 for sigmoid
Cost       one forward and backward pass of the probe; the norms are those of training
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.evidence import Evidence, is_finite
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import number
from minirnn.inspect.probe import Probe
from minirnn.inspect.trace import Trace
from minirnn.training.history import History

SYMPTOM = "exploding-gradient"
GROWTH = 70.0
LEAP = 10.0


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    growth, trace, when = _growth(evidence)
    leap, epoch = largest_leap(evidence.history)
    if not growth > GROWTH and not leap > LEAP:
        return None
    figures: dict[str, object] = {}
    places, sentences = [], []
    if growth > GROWTH and trace is not None:
        sigma = float(np.linalg.norm(_recurrent_block(trace), 2))
        figures |= {
            "growth": growth,
            "growth_threshold": GROWTH,
            "layer": trace.layer,
            "direction": trace.direction,
            "largest_singular_value_of_weight_hh": sigma,
        }
        places.append(f"{trace.name}, through time{when}")
        sentences.append(
            f"On its way back through {len(trace.gradient_decay('h'))} steps the gradient grows "
            f"by a factor of {number(growth)}{when}."
            if math.isfinite(growth)
            else f"On its way back through time the gradient leaves the range of numbers{when}."
        )
    if leap > LEAP:
        figures |= {"leap": leap, "leap_threshold": LEAP, "epoch": epoch}
        places.append(f"training, epoch {epoch}")
        sentences.append(
            f"In epoch {epoch} a gradient was {number(leap)} times as large as usual before."
        )
    sentences.append(
        "Steps that large throw away what was learned, and can end in numbers that are none."
        if evidence.fails
        else "The network learned well all the same."
    )
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.fails else "note",
        where="; ".join(places),
        evidence=figures,
        cause="Going back in time, each step multiplies the gradient by more than 1.",
        explanation=" ".join(sentences),
    )


def _growth(evidence: Evidence) -> tuple[float, Trace | None, str]:
    """The largest growth, where, and of which network: as it is, or before training."""
    best: tuple[float, Trace | None, str] = (0.0, None, "")
    if not np.isfinite(evidence.rows).all():
        return best
    if not all(np.isfinite(array).all() for array in evidence.parameters.values()):
        return best
    for probe, when in ((evidence.probe, ""), (evidence.untrained, " before training")):
        found = largest_growth(probe)
        # What the untrained network did counts only where training broke the network.
        broke = evidence.history is not None and evidence.history.stopped is not None
        if found[0] > best[0] and (probe is evidence.probe or broke):
            best = (*found, when)
    return best


def largest_growth(probe: Probe | None) -> tuple[float, Trace | None]:
    """The largest r of a probe's traces, and the trace."""
    found: tuple[float, Trace | None] = (0.0, None)
    for trace in probe.traces if probe is not None else ():
        for state in trace.cell.states:
            if not is_finite(trace):
                return math.inf, trace
            decay = trace.gradient_decay(state)
            largest = float(np.nanmax(decay)) if np.isfinite(decay).any() else 0.0
            if largest > found[0]:
                found = (largest, trace)
    return found


def largest_leap(history: History | None) -> tuple[float, int]:
    """The largest leap of the gradient norm, and the epoch (from 1) in which it came."""
    if history is None:
        return 0.0, 0
    leap, at = 0.0, 0
    for index, epoch in enumerate(history.epochs[1:], start=1):
        usual = float(np.median(history.gradient_norm[:index]))
        if usual > 0 and epoch.gradient_norm_max / usual > leap:
            leap, at = epoch.gradient_norm_max / usual, epoch.number
    return leap, at


def _recurrent_block(trace: Trace) -> NDArray[np.float64]:
    """The block of weight_hh with the largest norm, (H, H)."""
    H = trace.shape[2]
    blocks = np.asarray(trace.weights.weight_hh, dtype=np.float64).reshape(-1, H, H)
    largest: NDArray[np.float64] = blocks[int(np.linalg.norm(blocks, axis=(1, 2)).argmax())]
    return largest
