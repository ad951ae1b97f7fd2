"""Remedies that serve more than one symptom: each gives edits of a recipe, best first."""

from __future__ import annotations

from minirnn.diagnosis.finding import Finding, Remedy
from minirnn.diagnosis.recipe import Recipe


def scale(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """The features to a common size, in three ways; none where they are scaled."""
    if recipe.data.scale != "none":
        return []
    return [
        Remedy(
            {"data.scale": "standard"},
            "Move the inputs to mean 0 and standard deviation 1, by the training part alone.",
            "The gates leave the ends of their range, and gradient passes them again.",
        ),
        Remedy(
            {"data.scale": "robust"},
            "Scale by median and quartiles, where a few extreme values spoil the mean.",
            "The same, with outliers left far out.",
        ),
        Remedy(
            {"data.scale": "minmax"},
            "Move the inputs to between 0 and 1.",
            "The same; what lies beyond the training part is beyond 1.",
        ),
    ]


def slower(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """A lower learning rate."""
    rate = recipe.training.learning_rate
    usual = 1e-3 if recipe.training.optimizer == "adam" else 1e-2
    slower = min(usual, rate / 10)
    return [
        Remedy(
            {"training.learning_rate": float(f"{slower:.3g}")},
            f"Steps of {rate:g} carry the weights to where gates are always open or shut.",
            "The weights stay small enough for the gates to move.",
        )
    ]


def initialise(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """The usual initialisation."""
    usual: dict[str, object] = {
        "model.init.kernel": "glorot_uniform",
        "model.init.recurrent": "orthogonal",
    }
    if recipe.model.cell == "lstm" and recipe.model.init.bias == "zeros":
        usual["model.init.forget_bias"] = 1.0
    return [
        Remedy(
            usual,
            "Begin with weights that neither saturate the gates nor let the signal die.",
            "Gates begin in the middle of their range.",
        )
    ]


def unlearn_decay(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """No weight decay, where there is any."""
    if recipe.training.weight_decay == 0.0:
        return []
    return [
        Remedy(
            {"training.weight_decay": 0.0},
            "Weight decay pulls every weight to zero, and here it wins: regularisation is the "
            "illness.",
            "The weights grow until the answers differ.",
        )
    ]


def faster(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """A higher learning rate where it is low, and more epochs."""
    rate = recipe.training.learning_rate
    offers = []
    if rate < 3e-3:
        offers.append(
            Remedy(
                {"training.learning_rate": float(f"{min(rate * 10, 1e-2):.3g}")},
                f"At a rate of {rate:g} the weights may have hardly left where they began.",
                "The loss falls, and the answers begin to differ.",
            )
        )
    epochs = recipe.training.epochs
    offers.append(
        Remedy(
            {"training.epochs": epochs * 4},
            f"After {epochs} epochs it may simply not have begun to learn.",
            "The loss falls, and the answers begin to differ.",
        )
    )
    return offers


def clip(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """A bound on the gradient's norm."""
    return [
        Remedy(
            {"training.clip_norm": 1.0},
            "Keep the direction of a gradient, and bound its length (Pascanu et al. 2013).",
            "No single batch can throw the weights away.",
        )
    ]
