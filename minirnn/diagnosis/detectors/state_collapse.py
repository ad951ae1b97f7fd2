"""state-collapse: the hidden states of different inputs merge.

Formula    spread = std of the hidden state between the sequences, at each sequence's last step in
           the trace's direction (root mean square over units) / root mean square of the state
Threshold  spread < 0.02, where the inputs differ. An illness where the network fails, a note where
           its answers still tell the inputs apart. The participation ratio and the effective rank
           stand beside it: few dimensions alone are no illness
Source     the project's measurements: 0 to 0.012 in networks fed raw, 0.17 to 1.0 in healthy ones.
           Roy and Vetterli 2007 (EUSIPCO) for the effective rank
Cost       one pass over the probe's last states
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import listed, number, share
from minirnn.inspect import steps
from minirnn.inspect.dimension import effective_rank, participation_ratio
from minirnn.inspect.spread import spread_between_sequences
from minirnn.inspect.trace import Trace

SYMPTOM = "state-collapse"
THRESHOLD = 0.02


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    if not inputs_differ(evidence):
        return None
    spreads = [(spread_between_sequences(each).relative, each) for each in evidence.traces]
    collapsed = [(spread, trace) for spread, trace in spreads if spread < THRESHOLD]
    if not collapsed:
        return None
    spread, trace = min(collapsed, key=lambda pair: pair[0])
    ends = last_states(trace)
    fed = spread_between_sequences(trace, "inputs")
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.fails else "note",
        where=f"{listed([each.name for _, each in collapsed])}, the states after the last step",
        evidence={
            "spread": spread,
            "threshold": THRESHOLD,
            "spread_of_inputs": fed.relative,
            "participation_ratio": participation_ratio(ends),
            "effective_rank": effective_rank(ends - ends.mean(axis=0)),
            "layer": trace.layer,
            "direction": trace.direction,
        },
        cause="What differs between the inputs is lost on the way into the state.",
        explanation=(
            f"After the last step, the hidden states of {len(ends)} different inputs in "
            f"{trace.name} differ by {share(spread)} of their size ({number(spread)}): the network "
            "has forgotten which input it saw, and nothing after it can tell."
            if evidence.fails
            else f"The hidden states of different inputs in {trace.name} lie close together, but "
            "the answers still tell them apart."
        ),
    )


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


def last_states(trace: Trace) -> Any:
    """(N, H) float64: the state h after each sequence's last step in the trace's direction."""
    ends = steps.distance(trace.shape[0], trace.lengths, trace.reverse) == 0
    step, sequence = map(array_namespace(trace.hidden).asarray, np.nonzero(ends))
    return trace.hidden[step, sequence].astype(np.float64)
