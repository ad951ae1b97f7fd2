"""vanishing-gradient: the gradient dies on its way to what the answer depends on.

Two ways to die, told apart on a probe whose loss enters at each sequence's last valid step only;
and one to be cut off, which the recipe itself asks for.

At the gate
Formula    a unit is dead when the norm of the gradient at all its gates' pre-activations is below
           1e-3 of the norm of the gradient of its hidden state, dL/dh (both over all steps and
           sequences): what arrives at the unit goes no further, neither to W_ih nor back in time
Threshold  half the units of a layer and direction

Through time
Formula    r_d = |dL/ds_{T-d}| / |dL/ds_T|, s = h, and c of an LSTM, at the distance d that the
           target depends on (measured on the data: see `dependence`), in the first layer, the
           largest over directions and states
Threshold  r_d < 0.01 in the network as it is, or before training, and the network scores no
           better than one that cannot look so far: its R2 is below the middle between what a
           regression gets without the early half of the steps needed and with all of them. A short
           gradient is no illness where the task is short

Truncated
Formula    `training.truncate` = k, fewer steps than the distance d that the target depends on: of
           the gradient not a hundredth, but none arrives there
Threshold  k < d, where the network falls short of what a regression explains (by 0.2), and the
           steps beyond k are worth 0.1 of that R2. A state that is carried on off the tape may
           still hold enough: then the network does not fall short, and nothing is said. Measured,
           a value 5 steps back, three cells: k = 1 to 2: R2 of 0.1 to 0.5 (of a plain cell up to
           0.95), k = 3 to 4: 0.2 to 0.9, k = 5 or more: 0.85 to 0.99, as with the whole gradient

Cut        of a user's loop: no gradient ever reaches a layer that wants one (`loop_faults`)

Severity   an illness; truncated, a warning where the network explains half, held out too; at the
           gate, a warning where the network does not fail, and only falls short
           of what a regression explains; through time, a warning of a network whose training is
           not known where the late steps alone tell something (training often lengthens the
           gradient step by step from there)
Source     AUTOTRAINER (Zhang et al. 2021, ICSE) calls a first/last ratio of layers below 1e-3
           vanishing; here the same ratio is taken over time. Measured: dead units 0.9 to 1.0 of all
           in raw-fed networks, 0 in healthy ones; r at a lag of 40 steps that are to be recalled
           2e-10 to 1e-3 in networks that fail, 0.04 to 430 in those that learn. r at the first step
           misleads (a healthy GRU has 2e-4, a sick one 0.02): the distance must be the task's
Cost       one forward and backward pass of the probe; see `dependence` for the regression
"""

from __future__ import annotations

import math
from typing import Any

from minirnn.device import array_namespace
from minirnn.diagnosis.detectors.loop_faults import gradient_cut
from minirnn.diagnosis.detectors.saturated_gates import root_mean_square
from minirnn.diagnosis.evidence import Evidence, is_finite
from minirnn.diagnosis.finding import Finding, Severity
from minirnn.diagnosis.wording import counted, number, share, unit_numbers
from minirnn.inspect.host import fetch
from minirnn.inspect.norms import norm
from minirnn.inspect.trace import Trace

Array = Any  # of the trace's device

SYMPTOM = "vanishing-gradient"
DEAD = 1e-3
DEAD_SHARE = 0.5
VANISHED = 0.01
LEAST_GAIN = 0.1  # R2 that the early steps must be worth
SHORT = 0.2  # R2 that a network with a truncated gradient must be short of a regression's
LEARNED = 0.95  # an R2 from which on there is nothing left to miss


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    cut = gradient_cut(evidence, SYMPTOM)
    if cut is not None:
        return cut
    traces = [trace for trace in evidence.traces if trace.has_gradients and any(trace.lengths)]
    if not traces:
        return None
    return (
        _at_the_gate(evidence, traces)
        or _truncated(evidence, traces)
        or _through_time(evidence, traces)
    )


def _at_the_gate(evidence: Evidence, traces: list[Trace]) -> Finding | None:
    if not evidence.falls_short:
        return None
    dead, trace = max(((dead_share(each), each) for each in traces), key=lambda pair: pair[0])
    if not dead >= DEAD_SHARE:
        return None
    ends = {state: last_ratio(trace, state) for state in trace.cell.states}
    kept = ends.get("c", ends["h"])
    through_time = (
        f"Through time it would live: {number(kept)} of it is left at the first step, along the "
        f"{'cell state' if 'c' in ends else 'hidden state'}. "
        if kept >= VANISHED
        else ""
    )
    parameters = evidence.probe.parameters if evidence.probe is not None else {}
    return Finding(
        symptom=SYMPTOM,
        severity=evidence.severity,
        where=f"{trace.name}, at the gates (not through time)" if through_time else trace.name,
        evidence={
            "kind": "at the gate",
            "dead_units": dead,
            "units": unit_numbers(dead_gates(trace)),
            "threshold": DEAD_SHARE,
            "gradient_at_gates_over_states": passed_on(trace),
            "ratio_at_first_step": ends,
            "half_life": {state: trace.half_life(state) for state in trace.cell.states},
            "gradient_of_parameters": dict(parameters),
            "input_size": root_mean_square(evidence.rows),
            "layer": trace.layer,
            "direction": trace.direction,
        },
        cause="The gradient reaches the units, and ends there: their gates have no slope.",
        explanation=(
            f"In {share(dead)} of the units of {trace.name} the gradient stops at the gate: less "
            f"than a thousandth of what arrives goes on to the weights. {through_time}The "
            "chain breaks at the saturated gate, and the weights behind it cannot learn."
        ),
    )


def _truncated(evidence: Evidence, traces: list[Trace]) -> Finding | None:
    recipe, T = evidence.recipe, len(evidence.inputs)
    reach = 0 if recipe is None else recipe.training.truncate
    if not 0 < reach < T or not evidence.falls_short:
        return None
    needed = evidence.dependence
    if needed is None or needed.lag is None or needed.lag <= reach:
        return None
    skill = evidence.last_skill
    within = max((r2 for k, r2 in zip(needed.steps, needed.skill, strict=True) if k <= reach))
    if needed.best - max(skill, 0.0) <= SHORT or needed.best - max(within, 0.0) < LEAST_GAIN:
        return None
    trace = next((each for each in traces if each.layer == 0), traces[0])
    # What it explains of its training data may be known by heart: of new ones, nothing reaches it.
    ill = evidence.misses and not evidence.has_too_few_units
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if ill else evidence.severity,
        where=f"training.truncate = {reach}",
        evidence={
            "kind": "truncated",
            "truncate": reach,
            "lag_needed": needed.lag,
            "skill": skill,
            "skill_with_all_steps": needed.best,
            "skill_within_reach": within,
            "layer": trace.layer,
            "direction": trace.direction,
        },
        cause=(
            f"The gradient is cut off after {counted(reach, 'step')}, as training.truncate asks, "
            f"and what decides the answer stands up to {counted(needed.lag, 'step')} back."
        ),
        explanation=(
            "From there no gradient arrives at all, so the network is never told what to keep of "
            f"these inputs. It explains {share(max(skill, 0.0))} of the targets, where a plain "
            f"regression on all steps explains {share(needed.best)}, and one on the last "
            f"{reach if reach > 1 else 'step'} alone {share(max(within, 0.0))}."
        ),
    )


def _through_time(evidence: Evidence, traces: list[Trace]) -> Finding | None:
    untrained = evidence.untrained.traces if evidence.untrained is not None else ()
    before = [trace for trace in untrained if is_finite(trace) and trace.has_gradients]
    if evidence.skill >= LEARNED or all(nowhere_vanished(t) for t in (*traces, *before)):
        return None  # no need to ask the data how far back the answer lies
    needed = evidence.dependence
    if needed is None or needed.lag is None or evidence.has_too_few_units:
        return None
    gain = needed.best - needed.without
    if gain < LEAST_GAIN or evidence.skill >= (needed.best + needed.without) / 2:
        return None
    now, then = reach(traces, needed.lag), reach(before, needed.lag)
    vanished = {name: max(r.values()) for name, r in (("now", now), ("then", then)) if r}
    if not vanished or min(vanished.values()) >= VANISHED:
        return None
    at_first = vanished.get("now", 1.0) >= VANISHED  # only before training
    least = min(vanished.values())
    # Of the directions, the one that carries most: where it dies, the others have died before.
    looked_at, ratios = (before, then) if at_first else (traces, now)
    best = max(ratios, key=lambda name: ratios[name])
    trace = next(
        each for each in looked_at if each.layer == 0 and best.rpartition(" ")[0] == each.name
    )
    state = "c" if "c" in trace.cell.states else "h"
    half_life = trace.half_life(state)
    by_degrees = needed.without >= LEAST_GAIN  # from what the late steps tell
    severity: Severity = "illness"
    if evidence.as_begun:
        severity = "note" if by_degrees else "warning"
    elif evidence.history is None and by_degrees:
        severity = "warning"
    return Finding(
        symptom=SYMPTOM,
        severity=severity,
        where=f"{trace.name}, through time",
        evidence={
            "kind": "through time",
            "lag_needed": needed.lag,
            "ratio_at_lag": now,
            "ratio_at_lag_before_training": then,
            "threshold": VANISHED,
            "half_life": {s: trace.half_life(s) for s in trace.cell.states},
            "lost_after_steps": {s: lost_after(trace, s) for s in trace.cell.states},
            "skill": evidence.skill,
            "skill_with_all_steps": needed.best,
            "skill_without_early_steps": needed.without,
            "before_training": evidence.as_begun,
            "layer": trace.layer,
            "direction": trace.direction,
        },
        cause=(
            f"The gradient halves every {number(half_life)} steps on its way back"
            + (" in the network that training began with." if at_first else ".")
        ),
        explanation=(
            f"What decides the answer stands up to {counted(needed.lag, 'step')} back. From there, "
            f"only {number(least)} of the gradient "
            + ("was left when training began" if at_first else "is left")
            + ", so the network is hardly told what to do with these inputs: "
            + (
                "no step has moved its weights yet, and training would begin like this. A plain "
                f"regression that sees these inputs explains {share(needed.best)} of the targets."
                if evidence.as_begun
                else f"it explains {share(max(evidence.skill, 0.0))} of the targets, where a plain "
                f"regression that sees them explains {share(needed.best)}."
            )
        ),
    )


def dead_share(trace: Trace) -> float:
    """Share of the units whose gates get less than a thousandth of their state's gradient.

    NaN where no gradient arrives at all.
    """
    into = norm(trace.grad_hidden, (0, 1))  # (H,)
    reached = into > 0.0
    if not reached.any():
        return float("nan")
    return float(dead_gates(trace)[reached].mean())


def dead_gates(trace: Trace) -> Array:
    """(H,): the units that gradient reaches, and at whose gates it ends."""
    into = norm(trace.grad_hidden, (0, 1))
    at_gates = array_namespace(into).sqrt(
        sum(norm(g, (0, 1)) ** 2 for g in trace.grad_slots.values())
    )
    return (into > 0.0) & (at_gates < DEAD * into)


def lost_after(trace: Trace, state: str) -> int | None:
    """After how many steps back less than a hundredth of the gradient is left, and stays so."""
    decay = trace.gradient_decay(state)
    alive = array_namespace(decay).flatnonzero(decay >= VANISHED)
    last = int(alive[-1]) if len(alive) else -1
    return last + 1 if last + 1 < len(decay) else None


def reach(traces: list[Trace], lag: int) -> dict[str, float]:
    """r at the input `lag` steps back, of each first-layer trace and state that gets gradient."""
    ratios = {
        f"{trace.name} {state}": ratio_at(trace, state, lag)
        for trace in traces
        if trace.layer == 0
        for state in trace.cell.states
    }
    return {name: ratio for name, ratio in ratios.items() if math.isfinite(ratio)}


def nowhere_vanished(trace: Trace) -> bool:
    """Whether some state's gradient stays above the threshold at every distance."""
    return any(bool((trace.gradient_decay(s) >= VANISHED).all()) for s in trace.cell.states)


def passed_on(trace: Trace) -> float:
    """Norm of the gradient at all gates over that of the hidden state."""
    arrays = (trace.grad_hidden, *trace.grad_slots.values())
    into, *at_gates = fetch(*(norm(g, (0, 1, 2)) for g in arrays))
    return math.sqrt(sum(each**2 for each in at_gates)) / into if into else math.nan


def last_ratio(trace: Trace, state: str) -> float:
    """The gradient's norm at the far end of time, relative to where it entered."""
    decay = trace.gradient_decay(state)
    return float(decay[-1]) if len(decay) else float("nan")


def ratio_at(trace: Trace, state: str, lag: int) -> float:
    """r at the input `lag` steps from the end of time; NaN where no gradient enters this trace.

    In the reverse direction the far steps come last, so the early inputs are the near ones.
    """
    decay = trace.gradient_decay(state)
    at = len(decay) - lag if trace.reverse else lag - 1
    return float(decay[min(max(at, 0), len(decay) - 1)])
