"""non-finite: a NaN or infinity where a number should be.

Formula    any of: training stopped at a loss, gradient or parameter that is not finite; a
           parameter, an input, a target, an answer or a state of the network is not finite
Threshold  one
Source     AUTOTRAINER (Zhang et al. 2021, ICSE) counts NaN and infinite losses as exploding
           gradients; here the symptom has a name of its own, and its cause is sought before it
Cost       one pass over parameters and the probe's states
"""

from __future__ import annotations

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import listed
from minirnn.inspect.host import fetch
from minirnn.inspect.trace import Trace

SYMPTOM = "non-finite"


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    seen: dict[str, object] = {}
    places: list[str] = []
    xp = array_namespace(evidence.rows)
    inputs, targets = fetch(*(xp.isinf(a).sum() for a in (evidence.rows, evidence.targets)))
    if inputs:
        seen["infinite_inputs"] = int(inputs)
        places.append("the inputs")
    if targets:
        seen["infinite_targets"] = int(targets)
        places.append("the targets")
    stop = evidence.history.stopped if evidence.history is not None else None
    if stop is not None and stop.kind == "non-finite":
        seen |= {"stopped": stop.message, "epoch": stop.epoch, "batch": stop.batch}
        places.append(f"training, epoch {stop.epoch}, batch {stop.batch}")
    whole = fetch(*(xp.isfinite(array).all() for array in evidence.parameters.values()))
    broken = [name for name, each in zip(evidence.parameters, whole, strict=True) if not each]
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
        lost = float((~xp.isfinite(evidence.answers.given)).any(axis=1).mean())
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
    xp = array_namespace(trace.hidden)
    bad = xp.zeros(trace.shape[0], dtype=bool)
    for states in trace.states.values():
        bad |= ~xp.isfinite(states).all(axis=(1, 2))
    steps = xp.flatnonzero(bad)
    if not len(steps):
        return None
    return int(steps[-1] if trace.reverse else steps[0])
