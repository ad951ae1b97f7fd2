"""Remedies as edits of the user's own lines: `remedies_for` has one function for each symptom.

An edit that cannot be told as lines (no source, or written in a way that is not recognised) is told
in words.
"""

from __future__ import annotations

from collections.abc import Callable

from minirnn.diagnosis.code import CodeEdit
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding, Remedy
from minirnn.interop.torch.loop import data_edits, step_edits
from minirnn.interop.torch.loop.program import Program

Offer = Callable[[Finding, Evidence, Program], list[Remedy]]


def remedies_for(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """What to edit against a finding, best first."""
    offer = OFFERS.get(finding.symptom)
    return offer(finding, evidence, program) if offer is not None else []


def _clean(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    words = "Fill or leave out the missing values before they reach the model"
    reason = "A NaN in a batch makes every gradient of that batch one."
    return [Remedy({}, reason, "The loss is a number at every step.", CodeEdit(words))]


OFFERS: dict[str, Offer] = {
    "missing-values": _clean,
    "batch-time-swap": data_edits.turn_axes,
    "no-recurrence": data_edits.more_steps,
    "shape-broadcast": data_edits.same_shape,
    "reads-padding": data_edits.read_at_end,
    "carried-state": data_edits.fresh_state,
    "unscaled-input": data_edits.standardise,
    "accumulated-gradients": step_edits.clear_gradients,
    "oscillating-loss": step_edits.slower,
    "slow-learning": step_edits.faster,
    "stalled-loss": step_edits.get_moving,
    "exploding-gradient": step_edits.bound,
    "non-finite": lambda f, e, p: step_edits.slower(f, e, p) + step_edits.bound(f, e, p),
    "saturated-gates": lambda f, e, p: (
        data_edits.standardise_large(f, e, p) + step_edits.slower(f, e, p)
    ),
    "vanishing-gradient": lambda f, e, p: (
        step_edits.remember(f, e, p)
        if f.evidence.get("kind") == "through time"
        else data_edits.standardise_large(f, e, p) + step_edits.slower(f, e, p)
    ),
    "state-collapse": lambda f, e, p: (
        data_edits.standardise_large(f, e, p)
        + step_edits.undecay(f, e, p)
        + step_edits.other_rate(f, e, p)
    ),
    "constant-output": lambda f, e, p: step_edits.undecay(f, e, p) + step_edits.other_rate(f, e, p),
}
