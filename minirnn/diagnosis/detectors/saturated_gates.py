"""saturated-gates: gates that stand at the end of their range whatever comes in.

Formula    a unit of a gate is saturated when at least 95% of its activations, over all valid steps
           and sequences, are at an end: a sigmoid below 0.1 or above 0.9, a tanh (whose range is
           -1 to 1) beyond +-0.9 (a relu that is off is another matter, and not counted). share =
           saturated among all units and gates of a layer and direction, but for what is memory: a
           forget (GRU: update) gate at its right end, and the input gate that is shut while that
           unit's forget gate is open
Threshold  share >= 0.5 in some layer and direction: an illness where the network fails, a warning
           where it falls short of what a regression explains, a note where it does not, for gates
           that have learned to be switches are at their ends too
Source     Karpathy, Johnson and Fei-Fei 2015 (arXiv 1506.02078), section 4.2, for 0.1 and 0.9.
           Measured on the CO2 series: 0.94 to 1.0 fed raw, 0 to 0.1 standardised
Cost       one pass over the probe's gates
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.detectors.dead_units import all_off
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import listed, share, unit_numbers
from minirnn.inspect import steps
from minirnn.inspect.host import fetch
from minirnn.inspect.saturation import GateSaturation, gate_saturation
from minirnn.inspect.trace import Trace

SYMPTOM = "saturated-gates"
OF_THE_TIME = 0.95
THRESHOLD = 0.5
HELD = "fully open or fully shut, whatever the network is shown."
FLUNG = "flung from one end to the other by the inputs, and hardly ever in between."
KEEPS = {"lstm": "forget", "gru": "update"}  # the gate whose right end is memory


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    measured = [
        (saturated_share(trace), trace)
        for trace in evidence.traces
        if any(trace.lengths) and not all_off(trace)
    ]
    if not measured:
        return None
    worst, trace = max(measured, key=lambda pair: pair[0])
    if worst < THRESHOLD:
        return None
    affected = [each.name for part, each in measured if part >= THRESHOLD]
    gates = bounded_gates(trace)
    always = iter(fetch(*(_always(end) for gate in gates.values() for end in _ends(gate))))
    by_gate = {name: {"left": next(always), "right": next(always)} for name in gates}
    ends = [name for name, sides in by_gate.items() if sides["left"] + sides["right"] >= THRESHOLD]
    alive, total = slope(trace)
    return Finding(
        symptom=SYMPTOM,
        severity=evidence.severity,
        where=listed(affected) + (f", gates {listed(ends)}" if ends else ""),
        evidence={
            "share": worst,
            "threshold": THRESHOLD,
            "layer": trace.layer,
            "direction": trace.direction,
            "gates": by_gate,
            "units": {name: unit_numbers(mask) for name, mask in saturated_units(trace).items()},
            "slope": alive,
            "slope_at_best": total,
            "input_size": root_mean_square(evidence.rows),
        },
        cause="The sums that go into these gates are far "
        + ("too large for them." if evidence.severity != "note" else "from 0, where gates move."),
        explanation=(
            f"{share(worst)} of the gates in {trace.name} stand at the end of their range all the "
            f"time: {HELD if ends else FLUNG} Such a gate passes no gradient, so training cannot "
            "bring it back."
            if evidence.severity != "note"
            else f"{share(worst)} of the gates in {trace.name} stand at an end of their range all "
            "the time, and so few units could not explain more with open gates."
            if evidence.has_too_few_units
            else f"{share(worst)} of the gates in {trace.name} stand at an end of their range, as "
            "switches do; the network answers well all the same."
        ),
    )


def saturated_share(trace: Trace) -> float:
    """Share of a trace's units and gates that are saturated and are not memory."""
    saturated, counted = _saturated_and_counted(trace)
    if not counted:
        return 0.0
    sums = fetch(
        *(each.sum() for each in counted.values()), *(each.sum() for each in saturated.values())
    )
    total = sum(sums[: len(counted)])
    return sum(sums[len(counted) :]) / total if total else 0.0


def saturated_units(trace: Trace) -> dict[str, Any]:
    """Which units of each gate are saturated and are not memory, (H,) each."""
    return _saturated_and_counted(trace)[0]


def _saturated_and_counted(trace: Trace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of each gate (H,): the units that are saturated, and those that count at all."""
    gates = bounded_gates(trace)
    left = {name: gate.left >= OF_THE_TIME for name, gate in gates.items()}
    right = {name: gate.right >= OF_THE_TIME for name, gate in gates.items()}
    saturated = {name: (gate.either >= OF_THE_TIME) for name, gate in gates.items()}
    counted = {name: array_namespace(ends).ones_like(ends) for name, ends in saturated.items()}
    keeps = KEEPS.get(trace.cell.name)
    if keeps in gates:
        remembers = right[keeps]
        counted[keeps] &= ~remembers
        if trace.cell.name == "lstm":
            counted["input"] &= ~(left["input"] & remembers)
    return {name: saturated[name] & counted[name] for name in gates}, counted


def bounded_gates(trace: Trace) -> dict[str, GateSaturation]:
    """Saturation of the gates that end in a sigmoid or a tanh."""
    return {
        name: gate for name, gate in gate_saturation(trace).items() if gate.activation != "relu"
    }


def slope(trace: Trace) -> tuple[float, float]:
    """Mean slope da/dz of a trace's sigmoid gates, and the largest a sigmoid has (0.25)."""
    slopes: list[Any] = []
    for name, gate in bounded_gates(trace).items():
        if gate.activation == "sigmoid":
            a = steps.rows(trace.gates[name], trace.lengths).astype(np.float64)
            slopes.append(a * (1.0 - a))
    if not slopes:
        return float("nan"), 0.25
    return float(array_namespace(slopes[0]).stack(slopes).mean()), 0.25


def root_mean_square(values: Any) -> float:
    """Of all numbers of an array."""
    xp = array_namespace(values)
    return float(xp.sqrt(xp.mean(values**2)))


def _ends(gate: GateSaturation) -> tuple[Any, Any]:
    return gate.left, gate.right


def _always(at_end: Any) -> Any:
    """The share of units that are at that end."""
    return (at_end >= OF_THE_TIME).mean()
