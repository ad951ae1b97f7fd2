"""What helps where a network learns too much of its data, too little, or is kept from learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies.advice import CLIPPING
from minirnn.diagnosis.remedies.offer import Offer

USUAL_UNITS = 32
PRICE_LEFT = 0.02  # of all that can be gained, that a weaker penalty may cost


def _unregularise(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """What is too strong off, and where that would be too little, weak."""
    keys = [key for key in _listed(finding.evidence.get("keys")) if recipe.get(key)]
    if not keys:
        return []
    told = " and ".join(keys)
    prices = finding.evidence.get("prices")
    assert isinstance(prices, Mapping)
    return [
        Remedy(
            dict.fromkeys(keys, 0.0),
            f"{told} holds the network back more than the data can pull: regularisation is the "
            "illness.",
            "The weights grow until the answers differ.",
        ),
        Remedy(
            {key: _weaker(recipe.get(key), float(prices[key]), key) for key in keys},
            f"The same, but for a little of {told}, so that noise is not learned by heart.",
            "The weights grow until the answers differ.",
        ),
    ]


def _weaker(strength: Any, price: float, key: str) -> Any:
    if key.startswith("model."):
        return min(0.2, strength / 4)
    factor = min(0.1, PRICE_LEFT / price)
    if key == "data.augment.noise":
        factor = factor**0.5
    if isinstance(strength, Mapping):
        return {kind: float(f"{value * factor:.2g}") for kind, value in strength.items()}
    return float(f"{strength * factor:.2g}")


def _listed(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list | tuple) else []


def _generalise(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Against overfitting, by what each did for R2 on held-out data in twelve runs of the corpus.

    The penalty +0.29 (11 of 12 cured), with noise +0.25 (11), noise alone +0.20 (10), stopping
    alone +0.18 (10), fewer units +0.16 (8), dropout before the head +0.15 (6).
    """
    seen = "The validation loss no longer rises, and the held-out error falls."
    stop: dict[str, object] = {"training.early_stopping": 5}
    penalty: dict[str, object] = {"training.l2": 1e-2}
    noise: dict[str, object] = {"data.augment.noise": 0.6}
    return [
        Remedy(
            {**penalty, **stop},
            "Let weights cost something, so that none grows that the data do not hold in place, "
            "and stop when the validation loss has stopped falling.",
            seen,
        ),
        Remedy(
            {**penalty, **noise, **stop},
            "Besides, noise on the inputs, new in each epoch: with it, learning by heart pays less "
            "(Bishop 1995).",
            seen,
        ),
        Remedy(
            {**noise, **stop},
            "Noise on the inputs, new in each epoch: with it, learning by heart pays less.",
            seen,
        ),
        Remedy(
            {"training.early_stopping": 2},
            "Stop when the validation loss has stopped falling: what is learned first is what the "
            "data have in common.",
            seen,
        ),
        Remedy(
            {"model.hidden_size": max(4, recipe.model.hidden_size // 4), **penalty, **stop},
            "Fewer units can hold less of the noise.",
            seen,
        ),
        Remedy(
            {"model.head_dropout": 0.5, **penalty, **stop},
            "Drop units before the head, so that none can rely on another (Srivastava et al. "
            "2014).",
            seen,
        ),
    ]


def _grow(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Against underfitting: more units, more time, another cell."""
    units, epochs = recipe.model.hidden_size, recipe.training.epochs
    more = max(USUAL_UNITS, 4 * units)
    seen = "The loss falls further, and the network explains what a regression explains."
    longer = Remedy(
        {"training.epochs": 4 * epochs},
        f"After {epochs} epochs the loss was still falling.",
        seen,
    )
    larger = Remedy(
        {"model.hidden_size": more},
        f"{units} units cannot hold what the task asks for.",
        seen,
    )
    both = Remedy(
        {"model.hidden_size": more, "training.epochs": 4 * epochs},
        "More units, and time to use them.",
        seen,
    )
    offers = [longer, both] if finding.evidence.get("kind") == "unfinished" else [larger, both]
    if recipe.model.cell == "rnn":
        offers.append(
            Remedy(
                {"model.cell": "gru", "model.hidden_size": more, "training.epochs": 2 * epochs},
                "Gates decide what is kept, which a plain state cannot.",
                seen,
            )
        )
    offers.append(
        Remedy(
            {
                "model.num_layers": recipe.model.num_layers + 1,
                "model.hidden_size": more,
                "training.epochs": 2 * epochs,
            },
            "A second layer makes of the first one's states what one layer cannot.",
            seen,
        )
    )
    return offers


OFFERS: dict[str, Offer] = {
    "over-regularised": _unregularise,
    "overfitting": _generalise,
    "underfitting": _grow,
}

WOULD_NOT_HELP: dict[str, tuple[Advice, ...]] = {
    "over-regularised": (
        Advice(
            "regularise against constant outputs (L2 with glorot, dropout)",
            "That is the illness here: every regulariser makes the answers smaller, and these are "
            "too small already.",
        ),
        Advice(
            "train longer, or with more units",
            "The weights have come to rest where the penalty and the data balance; more of them "
            "cost more.",
        ),
        CLIPPING,
    ),
    "overfitting": (
        Advice(
            "train longer, or with more units",
            "The training loss falls already. What rises is the loss on data not seen, and it "
            "rises further.",
        ),
        Advice(
            "clip the gradient",
            "The steps are not too large: they lead, well behaved, to the noise of these "
            "sequences.",
        ),
        Advice(
            "set dropout= in a network of one layer",
            "It acts between layers, so there it does nothing; head_dropout does.",
        ),
    ),
    "underfitting": (
        Advice(
            "stop early",
            "It keeps a network from learning too much, and this one has learned too little.",
        ),
        Advice(
            "add dropout, L2 or more data",
            "They narrow the gap between training data and others. Here it is the training data "
            "that are not learned.",
        ),
        CLIPPING,
    ),
}
