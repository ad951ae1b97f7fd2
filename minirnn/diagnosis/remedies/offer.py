"""What a remedy file holds for each symptom: a function that gives edits of a recipe."""

from __future__ import annotations

from collections.abc import Callable

from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe

Offer = Callable[[Recipe, Finding], list[Remedy]]
# What would not help: always, or where the recipe and the finding say so.
Advised = tuple[Advice, ...] | Callable[[Recipe, Finding], tuple[Advice, ...]]


def nothing(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """No edit of a recipe helps."""
    return []
