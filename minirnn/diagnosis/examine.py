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


def findings_in(evidence: Evidence) -> tuple[Finding, ...]:
    """Everything found, root first, with remedies for the recipe at hand."""
    # A network that broke has infinities in it; what is computed from them is looked at, not met.
    with np.errstate(all="ignore"):
        found = [detect(evidence) for detect in DETECTORS.values()]
    return with_what_helps([finding for finding in found if finding is not None], evidence.recipe)


def with_what_helps(found: Iterable[Finding], recipe: Recipe | None) -> tuple[Finding, ...]:
    """Findings with their remedies for a recipe, in order of cause."""
    dressed = []
    for finding in in_order_of_cause(found):  # which may make a note of one: it needs no remedy
        remedies, advice = with_remedies(finding, recipe)
        dressed.append(replace(finding, remedies=remedies, would_not_help=advice))
    return tuple(dressed)
