"""non-finite: a NaN or infinity where a number should be.

Formula    any of: training stopped at a loss, gradient or parameter that is not finite; a
           parameter, an input, a target, an answer or a state of the network is not finite
Threshold  one
Source     AUTOTRAINER (Zhang et al. 2021, ICSE) counts NaN and infinite losses as exploding
           gradients; here the symptom has a name of its own, and its cause is sought before it
Cost       one pass over parameters and the probe's states
"""

from __future__ import annotations

import numpy as np

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import listed
from minirnn.inspect.trace import Trace

SYMPTOM = "non-finite"


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    seen: dict[str, object] = {}
    places: list[str] = []
    rows = evidence.rows
    if np.isinf(rows).any():
        seen["infinite_inputs"] = int(np.isinf(rows).sum())
        places.append("the inputs")
    if np.isinf(evidence.targets).any():
        seen["infinite_targets"] = int(np.isinf(evidence.targets).sum())
        places.append("the targets")
    stop = evidence.history.stopped if evidence.history is not None else None
    if stop is not None and stop.kind == "non-finite":
        seen |= {"stopped": stop.message, "epoch": stop.epoch, "batch": stop.batch}
        places.append(f"training, epoch {stop.epoch}, batch {stop.batch}")
    broken = [name for name, array in evidence.parameters.items() if not np.isfinite(array).all()]
    if broken:
        seen["parameters"] = broken
        places.append(f"the parameters {listed(broken)}")
    for trace in evidence.probe.traces if evidence.probe is not None else ():
        at = first_step(trace)
        if at is not None:
            seen |= {"layer": trace.layer, "direction": trace.direction, "step": at}
            places.append(f"the states of {trace.name} from step {at} on")
            break
    if evidence.answers is not None and not evidence.answers.finite:
        lost = float((~np.isfinite(evidence.answers.given)).any(axis=1).mean())
        seen["share_of_answers"] = lost
        places.append("the network's answers")
    if not places:
        return None
    return Finding(
        symptom=SYMPTOM,
        severity="illness",
        where="; ".join(places),
        evidence=seen,
        cause=(
            "A number left the range of floating point, or was none to begin with; every sum and "
            "product with it is lost too."
        ),
        explanation=(
            f"There are values that are infinite or not a number in {listed(places)}. Nothing can "
            "be learned from them, and nothing that follows from them means anything."
        ),
    )


def first_step(trace: Trace) -> int | None:
    """The first step, in the trace's own direction, at which a state is not finite."""
    bad = np.zeros(trace.shape[0], dtype=bool)
    for states in trace.states.values():
        bad |= ~np.isfinite(states).all(axis=(1, 2))
    steps = np.flatnonzero(bad)
    if not len(steps):
        return None
    return int(steps[-1] if trace.reverse else steps[0])
