"""Name what ails: run every detector on the evidence, and put the findings in order of cause."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from minirnn.diagnosis.causes import in_order_of_cause
from minirnn.diagnosis.detectors import DETECTORS
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies import with_remedies

# What a network can be found with for no other reason than that it has not been trained.
UNTRAINED = ("constant-output", "vanishing-gradient")


def findings_in(evidence: Evidence) -> tuple[Finding, ...]:
    """Everything found, root first, with remedies for the recipe at hand."""
    # A network that broke has infinities in it; what is computed from them is looked at, not met.
    with np.errstate(all="ignore"):
        found = [detect(evidence) for detect in DETECTORS.values()]
    named = [finding for finding in found if finding is not None]
    if evidence.as_begun:
        named = before_training(named)
    return with_what_helps(named, evidence.recipe)


def before_training(found: list[Finding]) -> list[Finding]:
    """What is found in a network that no step has moved: that it has learned nothing is no illness.

    One answer for all inputs stays one where something else is at fault that training would meet,
    such as inputs of size 1000: then it shows what comes of it.
    """
    if any(each.harmful and each.symptom not in UNTRAINED for each in found):
        return found
    return [
        replace(
            each,
            severity="note",
            cause="The network answers as it was made.",
            explanation=(
                f"{each.explanation} But its weights are as an initialiser leaves them: it has not "
                "been trained, or no step has ever moved it. Until then this is to be expected."
            ),
        )
        if each.harmful and each.symptom == "constant-output"
        else each
        for each in found
    ]


def with_what_helps(found: Iterable[Finding], recipe: Recipe | None) -> tuple[Finding, ...]:
    """Findings with their remedies for a recipe, in order of cause."""
    dressed = []
    for finding in in_order_of_cause(found):  # which may make a note of one: it needs no remedy
        remedies, advice = with_remedies(finding, recipe)
        dressed.append(replace(finding, remedies=remedies, would_not_help=advice))
    return tuple(dressed)
