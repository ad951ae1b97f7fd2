"""What helps where training gets nowhere, or to one answer for everything."""

from __future__ import annotations

from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies.advice import DROPOUT, LONGER, RANDOM_STATE, RELU
from minirnn.diagnosis.remedies.common import faster, initialise, scale, unlearn_decay
from minirnn.diagnosis.remedies.offer import Offer
from minirnn.diagnosis.remedies.season import see_a_season


def _other_loss(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """The squared error, where the absolute one has a constant for its best answer."""
    if recipe.training.loss != "l1":
        return []
    squared: dict[str, object] = {"training.loss": "mse"}
    why = (
        "The best constant for the absolute error is the median: where most targets are alike, "
        "that one answer is nearly as good as any, and the few others hardly pull"
    )
    rate = max(BRISK, recipe.training.learning_rate)
    longer = {**squared, "training.epochs": 4 * recipe.training.epochs}
    if recipe.training.optimizer != "sgd":
        longer["training.learning_rate"] = rate
    expected = "What is rare counts by the square of its size, and is learned."
    return [
        Remedy(squared, f"{why}.", expected),
        Remedy(longer, f"{why}; with more time.", expected),
    ]


def _apart(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """A common size; of inputs that are alike also one with time to learn what comes to light."""
    offers = scale(recipe, finding)
    if offers and finding.evidence.get("inputs_alike") and recipe.training.optimizer != "sgd":
        patient: dict[str, object] = {
            **offers[0].edit,
            "training.learning_rate": max(BRISK, recipe.training.learning_rate),
            "training.epochs": 4 * recipe.training.epochs,
        }
        why = "The same, with larger steps and more of them: there is something to learn now."
        offers.insert(1, Remedy(patient, why, offers[0].expected))
    return offers


BRISK = 1e-2  # a rate at which Adam gets away from a constant answer soon

OFFERS: dict[str, Offer] = {
    "state-collapse": lambda r, f: (
        unlearn_decay(r, f) + _apart(r, f) + initialise(r, f) + faster(r, f)
    ),
    "constant-output": lambda r, f: (
        unlearn_decay(r, f)
        + see_a_season(r, f)
        + _other_loss(r, f)
        + faster(r, f)
        + initialise(r, f)
        + scale(r, f)
    ),
}

WOULD_NOT_HELP: dict[str, tuple[Advice, ...]] = {
    "state-collapse": (RANDOM_STATE, RELU, LONGER),
    "constant-output": (RANDOM_STATE, RELU, DROPOUT),
}
