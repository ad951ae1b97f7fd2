"""The control: remedies drawn at random, with everything else as the doctor does it.

A repair that is no better than chance would be worth nothing (arXiv 2301.11568 found repair tools
of deep networks hardly better than random). So the same loop trains the same run as often as the
doctor did, and keeps and takes back by the same rule; only what is tried next is drawn, from the
remedies of all symptoms that would change this recipe.
"""

from __future__ import annotations

import numpy as np

from minirnn.diagnosis.finding import Attempt, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies import OFFERS, changes


def every_remedy(recipe: Recipe, found: tuple[Finding, ...] = ()) -> list[Remedy]:
    """One remedy for each edit that any symptom's offer would make of a recipe, in fixed order.

    An offer reads its finding's evidence where it has been found, and an empty one elsewhere.
    """
    seen = {finding.symptom: finding for finding in found}
    offered: dict[str, Remedy] = {}
    for symptom, offer in OFFERS.items():
        finding = seen.get(symptom, Finding(symptom, "illness", "", {}, "", ""))
        for remedy in offer(recipe, finding):
            if remedy.edit and changes(recipe, remedy):
                offered.setdefault(repr(sorted(remedy.edit.items())), remedy)
    return list(offered.values())


class DrawnRemedies:
    """Stands in for the doctor's choice of what to try next."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def __call__(self, current: Attempt, tried: list[Recipe]) -> tuple[Finding, Remedy] | None:
        """Any remedy that makes a recipe not trained yet; it is held against the root."""
        root = current.diagnosis.root
        assert root is not None
        left = [
            remedy
            for remedy in every_remedy(current.recipe, current.diagnosis.findings)
            if current.recipe.edit(remedy.edit) not in tried
        ]
        return (root, left[self.rng.integers(len(left))]) if left else None
