"""Remedies as edits of the user's own lines: `remedies_for` has one function for each symptom.

An edit that cannot be told as lines (no source, or written in a way that is not recognised) is told
in words.
"""

from __future__ import annotations

from collections.abc import Callable

from minirnn.diagnosis.code import CodeEdit
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding, Remedy
from minirnn.interop.torch.loop import data_edits, loss_edits, step_edits
from minirnn.interop.torch.loop.program import Program

Offer = Callable[[Finding, Evidence, Program], list[Remedy]]


def remedies_for(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """What to edit against a finding, best first."""
    offer = OFFERS.get(finding.symptom)
    return offer(finding, evidence, program) if offer is not None else []


def _clean(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    seen = finding.evidence
    words = "Fill or leave out the missing values before they reach the model"
    reason = "A NaN in a batch makes every gradient of that batch one."
    if "infinite_inputs" in seen or "infinite_targets" in seen:
        words = "Leave out what is infinite, or put a bound to it, before it reaches the model"
        reason = "An infinity in a batch makes NaN of every gradient of that batch."
    elif seen.get("targets_missing") and not seen.get("inputs_missing"):
        words = "Leave out what has no target before the loss: keep = ~torch.isnan(y)"
        reason = "An answer that is not known teaches nothing, and a NaN in the loss undoes all."
    return [Remedy({}, reason, "The loss is a number at every step.", CodeEdit(words))]


def _unbroken(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    if "infinite_inputs" in finding.evidence or "infinite_targets" in finding.evidence:
        return _clean(finding, evidence, program)
    return step_edits.slower(finding, evidence, program) + step_edits.bound(
        finding, evidence, program
    )


def _scale(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    targets = finding.evidence.get("kind") in ("targets", "bounded targets")
    offer = loss_edits.scale_targets if targets else data_edits.standardise
    return offer(finding, evidence, program)


def _get_moving(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    special = {"flat": loss_edits.let_through, "wrong way": loss_edits.turn_round}
    offer = special.get(str(finding.evidence.get("kind")), step_edits.get_moving)
    return offer(finding, evidence, program)


def _reach_back(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    kind = finding.evidence.get("kind")
    if kind == "cut":
        return loss_edits.let_through(finding, evidence, program)
    if kind == "through time":
        return step_edits.remember(finding, evidence, program)
    return data_edits.standardise_large(finding, evidence, program) + step_edits.slower(
        finding, evidence, program
    )


OFFERS: dict[str, Offer] = {
    "missing-values": _clean,
    "batch-time-swap": data_edits.turn_axes,
    "no-recurrence": data_edits.more_steps,
    "shape-broadcast": data_edits.same_shape,
    "reads-padding": data_edits.read_at_end,
    "carried-state": data_edits.fresh_state,
    "unscaled-input": _scale,
    "accumulated-gradients": step_edits.clear_gradients,
    "oscillating-loss": step_edits.slower,
    "slow-learning": step_edits.faster,
    "stalled-loss": _get_moving,
    "exploding-gradient": step_edits.bound,
    "non-finite": _unbroken,
    "saturated-gates": lambda f, e, p: (
        data_edits.standardise_large(f, e, p) + step_edits.slower(f, e, p)
    ),
    "vanishing-gradient": _reach_back,
    "state-collapse": lambda f, e, p: (
        data_edits.standardise_large(f, e, p)
        + step_edits.undecay(f, e, p)
        + step_edits.other_rate(f, e, p)
    ),
    "constant-output": lambda f, e, p: step_edits.undecay(f, e, p) + step_edits.other_rate(f, e, p),
}
