"""non-finite: a NaN or infinity where a number should be.

Formula    any of: training stopped at a loss, gradient or parameter that is not finite; a
           parameter, an input, a target, an answer or a state of the network is not finite. Of a
           user's loop, inputs and targets from the first loss on that was no number
Threshold  one
Source     AUTOTRAINER (Zhang et al. 2021, ICSE) counts NaN and infinite losses as exploding
           gradients; here the symptom has a name of its own, and its cause is sought before it
Cost       one pass over parameters and the probe's states
"""

from __future__ import annotations

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import listed, number
from minirnn.inspect.host import fetch
from minirnn.inspect.trace import Trace

SYMPTOM = "non-finite"
STEP = 0.3  # |update| / |parameters|, as in `oscillating_loss`
LARGEST = 1e18  # of targets: the sum of some squares is within float32


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    seen: dict[str, object] = {}
    places: list[str] = []
    xp = array_namespace(evidence.rows)
    inputs, targets, size, largest = _of_data(evidence)
    if inputs:
        seen["infinite_inputs"] = inputs
        if size:
            seen["size_of_the_finite"] = size
        places.append("the inputs")
    if targets:
        seen["infinite_targets"] = targets
        places.append("the targets")
    if evidence.loop is not None and evidence.loop.unsound is not None and (inputs or targets):
        seen["first_backward_pass"] = evidence.loop.unsound.first
    stop = evidence.history.stopped if evidence.history is not None else None
    if stop is not None and stop.kind == "non-finite":
        seen |= {"stopped": stop.message, "epoch": stop.epoch, "batch": stop.batch}
        places.append(f"training, epoch {stop.epoch}, batch {stop.batch}")
        if not targets and largest > LARGEST:
            seen["largest_target"] = largest
        elif not inputs and not targets and evidence.loop is not None and evidence.loop.iterations:
            seen |= {
                "first_update": float(evidence.loop.update_ratios[0]),
                "learning_rate": evidence.loop.optimisation.learning_rate,
            }
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
        cause=_cause(seen),
        explanation=(
            f"There are values that are infinite or not a number in {listed(places)}. Nothing can "
            "be learned from them, and nothing that follows from them means anything."
        ),
    )


def _cause(seen: dict[str, object]) -> str:
    """What made the first of them, as far as that is known."""
    lost = "every sum and product with it is lost too."
    if "infinite_inputs" in seen or "infinite_targets" in seen:
        return f"There is an infinity in the data; {lost}"
    if "largest_target" in seen:
        return (
            f"Targets reach {number(float(str(seen['largest_target'])))}, and the sum of their "
            f"squares leaves the range of float32, which ends at 3.4e38; {lost}"
        )
    step = float(str(seen.get("first_update", 0.0)))
    if step > STEP:
        return (
            f"At a learning rate of {seen['learning_rate']:g} the first step moved the weights by "
            f"{number(100 * step)}% of their size, where about 1% is usual, and soon a number left "
            f"the range of floating point; {lost}"
        )
    return f"A number left the range of floating point, or was none to begin with; {lost}"


def _of_data(evidence: Evidence) -> tuple[int, int, float, float]:
    """Infinite inputs and targets, the root mean square of other inputs, the largest target.

    Of all data where they are known, else of those that the probe saw.
    """
    unsound = evidence.loop.unsound if evidence.loop is not None else None
    if evidence.recipe is None and unsound is not None and unsound.first:
        # A loop's own data: what a layer was fed last may be broken for its weights are.
        return unsound.infinite_inputs, unsound.infinite_targets, 0.0, 0.0
    if evidence.data is None:
        pairs = [(evidence.rows, evidence.targets)]
    else:
        host = evidence.data.host
        parts = [host.training] if host.validation is None else [host.training, host.validation]
        pairs = [(part.x, part.y) for part in parts]
    inputs = targets = count = 0
    squares = largest = 0.0
    for x, y in pairs:
        xp = array_namespace(x)
        wide, known = xp.asarray(x, dtype=np.float64), xp.isfinite(x)
        found = [xp.isinf(x).sum(), known.sum(), xp.square(xp.where(known, wide, 0.0)).sum()]
        if y.dtype.kind == "f":
            sound = xp.where(xp.isfinite(y), xp.abs(y), 0.0)
            found += [xp.isinf(y).sum(), sound.max() if sound.size else sound.sum()]
        numbers = [*fetch(*found), 0.0, 0.0][:5]
        inputs, count, targets = (
            inputs + int(numbers[0]),
            count + int(numbers[1]),
            targets + int(numbers[3]),
        )
        squares, largest = squares + numbers[2], max(largest, numbers[4])
    return inputs, targets, (squares / count) ** 0.5 if count else 0.0, largest


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
