"""state-collapse: the hidden states of different inputs merge.

Formula    spread = std of the hidden state between the sequences, at each sequence's last step in
           the trace's direction and among those that have taken as many steps (root mean square
           over units) / root mean square of the state;
           merged = share of the units whose own std is below 0.02 of that root mean square
Threshold  spread < 0.02 or merged > 0.95, where the inputs differ: what one unit of 32 still tells
           apart is not a state; spread < 0.1 in a network that fails on inputs that are alike. An
           illness where the network fails, a warning where it falls short of what a regression
           explains, a note where its answers tell the inputs apart. Inputs are alike where no
           feature differs by 0.02 of its size; then they are the cause, however far a gradient
           reaches, or a step (`causes`). The participation ratio and the effective rank stand
           beside it: few dimensions alone are no illness
Source     the project's measurements: 0 to 0.012 in networks fed raw, 0.17 to 1.0 in healthy ones.
           Roy and Vetterli 2007 (EUSIPCO) for the effective rank
Cost       one pass over the probe's last states
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import listed, number, share
from minirnn.inspect import steps
from minirnn.inspect.dimension import effective_rank, participation_ratio
from minirnn.inspect.host import fetch
from minirnn.inspect.spread import spread_between_sequences
from minirnn.inspect.trace import Trace

SYMPTOM = "state-collapse"
THRESHOLD = 0.02
OF_INPUTS_ALIKE = 0.1  # between 0.036, measured where nothing was learned, and the healthy 0.17
MERGED = 0.95


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    if not inputs_differ(evidence):
        return None
    alike = inputs_alike(evidence)
    threshold = OF_INPUTS_ALIKE if alike and evidence.fails else THRESHOLD
    measured = [(merging(each), each) for each in evidence.traces]
    collapsed = [
        (found, trace)
        for found, trace in measured
        if found is not None and (found.spread < threshold or found.merged > MERGED)
    ]
    if not collapsed:
        return None
    found, trace = min(collapsed, key=lambda pair: pair[0].spread)
    ends = last_states(trace)
    fed = spread_between_sequences(trace, "inputs")
    return Finding(
        symptom=SYMPTOM,
        severity=evidence.severity,
        where=f"{listed([each.name for _, each in collapsed])}, the states after the last step",
        evidence={
            "spread": found.spread,
            "threshold": threshold,
            "merged_units": found.merged,
            "merged_after_steps": found.after,
            "spread_of_inputs": fed.relative,
            "inputs_alike": alike,
            "participation_ratio": participation_ratio(ends),
            "effective_rank": effective_rank(ends - ends.mean(axis=0)),
            "layer": trace.layer,
            "direction": trace.direction,
        },
        cause="What differs between the inputs "
        + ("is lost" if evidence.falls_short else "grows small")
        + " on the way into the state.",
        explanation=(
            f"After the last step, the hidden states of {len(ends)} different inputs in "
            f"{trace.name} differ by {share(found.spread)} of their size "
            f"({number(found.spread)}), and {share(found.merged)} of the units are the same for "
            "all: the network has forgotten which input it saw, and nothing after it can tell."
            if evidence.falls_short
            else f"The hidden states of different inputs in {trace.name} lie close together, but "
            "the answers still tell them apart."
        ),
    )


@dataclass(frozen=True)
class Merging:
    """How far apart the sequences' last states are, by the size of the state.

    spread  root mean square over units;  merged  share of units below the threshold
    after   steps after which all are alike, and stay so: 0 if they never differ, None if they end
            apart
    """

    spread: float
    merged: float
    after: int | None


def merging(trace: Trace) -> Merging | None:
    """How the states of a trace merge; None with fewer than two sequences to compare.

    Each sequence is compared with those that have taken as many steps: what has run for longer is
    elsewhere for that reason alone, though nothing of the inputs be left in it.
    """
    h, valid = by_steps_taken(trace)
    xp = array_namespace(h)
    count = valid.sum(axis=1)  # (T,)
    mean = (h * valid[..., None]).sum(axis=1) / xp.maximum(count, 1)[:, None]
    off = xp.where(valid[..., None], h - mean[:, None], 0.0)  # (T, B, H)
    total, steps_of_all = fetch((h * h).sum(), valid.sum())
    compared = count >= 2
    ends = (valid.sum(axis=0) - 1)[None, :] == xp.arange(len(h))[:, None]
    ends &= valid & compared[:, None]
    (sequences,) = fetch(ends.sum())
    if sequences < 2:
        return None
    size = math.sqrt(total / (steps_of_all * h.shape[2]))
    by_unit = xp.sqrt((off[ends] ** 2).mean(axis=0))
    (spread,) = fetch(xp.sqrt((by_unit**2).mean()))
    (merged,) = fetch((by_unit <= THRESHOLD * size).mean())
    by_step = xp.sqrt((off**2).sum(axis=(1, 2)) / (xp.maximum(count, 1) * h.shape[2]))
    apart = xp.flatnonzero(compared & (by_step > THRESHOLD * size))
    after = int(apart[-1]) + 1 if len(apart) else 0
    (longest,) = fetch(compared.sum())
    return Merging(spread / size if size else 0.0, merged, after if after < longest else None)


def by_steps_taken(trace: Trace) -> tuple[Any, Any]:
    """Hidden states (T, B, H) by the steps that each sequence has taken, and which are any."""
    h = trace.hidden.astype(np.float64)
    xp = array_namespace(h)
    ends = xp.asarray(trace.lengths)
    taken = xp.arange(len(h))[:, None]
    valid = taken < ends[None, :]
    if trace.reverse:
        h = h[xp.maximum(ends[None, :] - 1 - taken, 0), xp.arange(len(ends))[None, :]]
    return xp.where(valid[..., None], h, 0.0), valid


def inputs_differ(evidence: Evidence) -> bool:
    """Whether some step's inputs differ between the sequences, by more than rounding."""
    rows, ends = evidence.rows, evidence.ends
    if not len(rows):
        return False
    xp = array_namespace(rows)
    least = 1e-6 * float(xp.abs(rows).max())
    if not math.isfinite(least):
        return False
    fed = (steps.at_step(evidence.inputs, t, ends) for t in range(len(evidence.inputs)))
    spans = ((each.max(axis=0) - each.min(axis=0)).max() for each in fed if len(each) > 1)
    return any(float(span) > least for span in spans)


def inputs_alike(evidence: Evidence) -> bool:
    """Whether no feature differs between the sequences, at any step, by 0.02 of its own size."""
    xp = array_namespace(evidence.inputs)
    valid = evidence.valid[..., None]
    fed = xp.where(valid, xp.asarray(evidence.inputs, dtype=np.float64), 0.0)
    count = xp.maximum(valid.sum(axis=1), 1)  # (T, 1)
    off = xp.where(valid, fed - (fed.sum(axis=1) / count)[:, None], 0.0)
    apart = xp.sqrt((off**2).sum(axis=1) / count).max(axis=0)  # (I,)
    size = xp.sqrt((fed**2).sum(axis=(0, 1)) / xp.maximum(valid.sum(), 1))
    return bool(((apart < THRESHOLD * size) | (size == 0.0)).all())


def last_states(trace: Trace) -> Any:
    """(N, H) float64: the state h after each sequence's last step in the trace's direction."""
    ends = steps.distance(trace.shape[0], trace.lengths, trace.reverse) == 0
    step, sequence = map(array_namespace(trace.hidden).asarray, np.nonzero(ends))
    return trace.hidden[step, sequence].astype(np.float64)
