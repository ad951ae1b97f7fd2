"""`watch.diagnosis()`: what is wrong in a watched training loop, and which lines to edit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minirnn.diagnosis.causes import in_order_of_cause
from minirnn.diagnosis.detectors import DETECTORS
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Diagnosis, Finding
from minirnn.diagnosis.remedies import advice_against
from minirnn.errors import TraceError
from minirnn.interop.torch.loop.edits import remedies_for
from minirnn.interop.torch.loop.evidence import evidence_of
from minirnn.interop.torch.loop.program import Program

__all__ = ["diagnose_watch"]


def diagnose_watch(watch: Any) -> Diagnosis:
    """What ails a network and the loop that trains it, root first, with edits of the user's lines.

    watch: a `Watch`, in its with block or after it. Looked at are the last batches of training, the
    gates, states and gradients that the last of them left, and what the loop did all the while.

    Raises: TraceError where no backward pass went through the model while it was watched.
    """
    observer = watch.observer
    evidence = evidence_of(watch)
    if evidence is None:
        raise TraceError(
            "nothing was trained while the model was watched: run the training loop, with its "
            "loss.backward(), inside `with minirnn.interop.torch.watch(model) as watch:`"
        )
    with np.errstate(all="ignore"):
        found = [detect(evidence) for detect in DETECTORS.values()]
    program = Program(observer.places.sources, evidence.loop)
    ordered = in_order_of_cause([finding for finding in found if finding is not None])
    return Diagnosis(_with_edits(ordered, evidence, program), _figures(evidence))


def _with_edits(
    findings: tuple[Finding, ...], evidence: Evidence, program: Program
) -> tuple[Finding, ...]:
    """Remedies for the roots of the harm: what follows from a root is cured with it."""
    follows = {symptom for finding in findings for symptom in finding.consequences}
    dressed = []
    for finding in findings:
        if finding.harmful:
            remedies = (
                () if finding.symptom in follows else remedies_for(finding, evidence, program)
            )
            advice = advice_against(finding, None)
            finding = replace(finding, remedies=tuple(remedies), would_not_help=advice)
        dressed.append(finding)
    return tuple(dressed)


def _figures(evidence: Evidence) -> dict[str, object]:
    """Named figures of the run."""
    loop = evidence.loop
    assert loop is not None
    losses = loop.losses
    return {
        "steps": loop.iterations,
        "loss_at_first": float(losses[: max(1, len(losses) // 20)].mean()) if len(losses) else None,
        "loss": float(losses[-max(1, len(losses) // 5) :].mean()) if len(losses) else None,
        "loss_of_a_constant": loop.naive,
        "training_r2": evidence.skill,
        "learning_rate": loop.optimisation.last_rate,
        "update": float(np.median(loop.update_ratios)) if len(loop.update_ratios) else None,
        "lines": {what: [str(place) for place in places] for what, places in loop.places.items()},
    }
