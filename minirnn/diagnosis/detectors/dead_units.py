"""dead-units: units that are off whatever the network is shown, and get no gradient any more.

Formula    a unit is dead when its hidden state is exactly 0 at 99% of the valid steps of all
           sequences (`minirnn.inspect.dead_units`); share = dead among the units of a layer and
           direction
           of a cell with a relu (a gate that is shut for good is saturated)
Threshold  share >= 0.6 in some layer and direction: an illness where the network fails, a warning
           where it falls short of what a regression explains, a note where it does not: the units
           that are left are enough. Not where all kernels began at zero, which is another matter
           (`stalled-loss`)
Source     AUTOTRAINER (Zhang et al. 2021, ICSE) calls a layer dying where 70% of its activations
           are 0; but sparse layers that learn have 0.45 to 0.9 (measured, relu cells of all three
           kinds, R2 > 0.8), so each unit is asked by itself. Lu, Shin, Su and Karniadakis 2020
           (Communications in Computational Physics 28) for why it happens. Measured: 0.67 to 1.0
           dead where the network fails for it, 0 to 0.5 at rates that learn; 0.6 to 0.9 are dead in
           some networks that learn all the same, with the rest
Cost       one pass over the probe's hidden states
"""

from __future__ import annotations

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.start import dead_start
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted, listed, share, unit_numbers
from minirnn.inspect.dead import dead_units
from minirnn.inspect.host import fetch
from minirnn.inspect.source import activations
from minirnn.inspect.trace import Trace

SYMPTOM = "dead-units"
THRESHOLD = 0.6


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    if dead_start(evidence):
        return None
    measured = [
        (dead_units(trace), trace)
        for trace in evidence.traces
        if any(trace.lengths) and "relu" in activations(trace.cell).values()
    ]
    sick = [(units, trace) for units, trace in measured if units.share >= THRESHOLD]
    if not sick:
        return None
    units, trace = max(sick, key=lambda pair: pair[0].share)
    (count,) = fetch(units.dead.sum())
    before = dead_before(evidence, trace)
    total = trace.shape[2]
    return Finding(
        symptom=SYMPTOM,
        severity=evidence.severity,
        where=(
            f"{listed([each.name for _, each in sick])}; in {trace.name} "
            f"{counted(int(count), 'unit')} of {total}"
        ),
        evidence={
            "dead": units.share,
            "threshold": THRESHOLD,
            "units": unit_numbers(units.dead),
            "zeros": units.sparsity,
            "dead_before_training": before,
            "layer": trace.layer,
            "direction": trace.direction,
        },
        cause=(
            "They were off when training began: their input weights and the inputs have such signs "
            "that no sum is above 0."
            if before is not None and before >= THRESHOLD
            else "Steps of training have pushed what goes into these units below 0 for every input."
        ),
        explanation=(
            f"{share(units.share)} of the units in {trace.name} are off at every step of every "
            "sequence. Such a unit tells nothing and passes no gradient, so training cannot bring "
            "it back."
            if evidence.falls_short
            else f"{share(units.share)} of the units in {trace.name} are off whatever comes in; "
            "the others are enough for these answers."
        ),
    )


def all_off(trace: Trace) -> bool:
    """Whether a relu leaves a layer with nothing: then its gates have nothing to let through."""
    return "relu" in activations(trace.cell).values() and dead_units(trace).share == 1.0


def dead_before(evidence: Evidence, trace: Trace) -> float | None:
    """The share that was dead in the same layer and direction before training, if that is known."""
    for each in evidence.untrained.traces if evidence.untrained is not None else ():
        if (each.layer, each.direction) == (trace.layer, trace.direction):
            return dead_units(each).share
    return None
