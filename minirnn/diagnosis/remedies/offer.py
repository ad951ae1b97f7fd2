"""What a remedy file holds for each symptom: a function that gives edits of a recipe."""

from __future__ import annotations

from collections.abc import Callable

from minirnn.diagnosis.finding import Finding, Remedy
from minirnn.diagnosis.recipe import Recipe

Offer = Callable[[Recipe, Finding], list[Remedy]]


def nothing(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """No edit of a recipe helps."""
    return []
