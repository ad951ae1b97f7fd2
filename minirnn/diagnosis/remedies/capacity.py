"""What helps where a network learns too much of its data, too little, or is kept from learning."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies.advice import CLIPPING
from minirnn.diagnosis.remedies.offer import Offer
from minirnn.diagnosis.remedies.season import see_a_season
from minirnn.diagnosis.wording import counted

USUAL_UNITS, USUAL_BATCH = 32, 32
USUAL_STEPS = 300  # in which a usual rate learns an ordinary task, and running averages settle
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
    """Against overfitting, in the order of what each does for R2 on held-out data.

    In twelve runs of the corpus: the penalty +0.29 (11 cured), with noise +0.25 (11), noise alone
    +0.20 (10), stopping alone +0.18 (10), fewer units +0.16 (8), dropout before the head +0.15 (6).
    In ten more, mostly of LSTM, where the penalty held half of the networks back: it cured 4, a
    third of it with noise 7, noise alone 9, both with a longer patience; a GRU with the penalty 8.
    """
    seen = "The validation loss no longer rises, and the held-out error falls."
    stop: dict[str, object] = {"training.early_stopping": 5}
    # Under noise the validation loss is longer on its way, and rests now and then.
    later: dict[str, object] = {"training.early_stopping": 10}
    penalty: dict[str, object] = {"training.l2": 1e-2}
    noise: dict[str, object] = {"data.augment.noise": 0.6}
    offers = [
        Remedy(
            {**penalty, **stop},
            "Let weights cost something, so that none grows that the data do not hold in place, "
            "and stop when the validation loss has stopped falling.",
            seen,
        ),
        Remedy(
            {"training.l2": 3e-3, **noise, **later},
            "A weaker penalty, and noise on the inputs, new in each epoch: with it, learning by "
            "heart pays less (Bishop 1995).",
            seen,
        ),
        Remedy(
            {**noise, **later},
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
    if recipe.model.cell == "lstm":
        fewer = Remedy(
            {"model.cell": "gru", **penalty, **stop},
            "A GRU has three quarters of the weights, and finds in fewer steps what few sequences "
            "have in common.",
            seen,
        )
        offers.insert(3, fewer)
    return offers


def _grow(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Against underfitting: more units, more time, another cell; what its kind asks for, first."""
    kind = finding.evidence.get("kind")
    if kind == "running statistics":
        return _normalise_otherwise(recipe, finding)
    first = _from_the_last_value(recipe) if kind == "behind" else []
    return [*first, *see_a_season(recipe, finding), *_larger_or_longer(recipe, finding)]


def _normalise_otherwise(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """A norm that keeps no averages; or averages that have the time and the batches to settle."""
    epochs, size = recipe.training.epochs, recipe.training.batch_size
    seen = "The network answers after training as well as in it."
    layer: dict[str, object] = {"model.norm": "layer"}
    time: dict[str, object] = {"training.epochs": _longer(recipe, finding)}
    offers = [
        Remedy(
            layer,
            "Layer norm normalises each sequence by itself, in training and after it alike: it has "
            "no averages that could be wrong.",
            seen,
        ),
        Remedy({**layer, **time}, "The same, with time to learn.", seen),
        Remedy(
            time,
            f"After {counted(epochs, 'epoch')} the running averages, of which a tenth is new with "
            "each step, have not settled.",
            seen,
        ),
    ]
    if size < USUAL_BATCH:
        # As many steps as before: an epoch of larger batches has fewer.
        epochs = math.ceil(epochs * USUAL_BATCH / size)
        offers.append(
            Remedy(
                {"training.batch_size": USUAL_BATCH, "training.epochs": epochs},
                f"The mean of {size} is hardly that of the data; the mean of {USUAL_BATCH} is.",
                seen,
            )
        )
    offers.append(Remedy({"model.norm": "none", **time}, "Learn without a norm.", seen))
    return offers


def _longer(recipe: Recipe, finding: Finding) -> int:
    """Four times as many epochs, or as many as are `USUAL_STEPS`."""
    steps, epochs = finding.evidence.get("steps"), recipe.training.epochs
    taken = max(1, steps) if isinstance(steps, int) else USUAL_STEPS
    return max(4 * epochs, math.ceil(USUAL_STEPS / taken * epochs))


def _from_the_last_value(recipe: Recipe) -> list[Remedy]:
    """To predict changes: an answer of 0 is then as good as the last value."""
    if not recipe.is_series or recipe.data.transform == "change":
        return []
    edit: dict[str, object] = {"data.transform": "change"}
    if recipe.data.scale == "none":
        edit["data.scale"] = "standard"
    return [
        Remedy(
            edit,
            "Feed each window relative to its last value, and predict the change from it: what "
            "the last value tells need not be learned then.",
            "The held-out error comes down to that of the last value, or below.",
        )
    ]


def _larger_or_longer(recipe: Recipe, finding: Finding) -> list[Remedy]:
    units, epochs = recipe.model.hidden_size, recipe.training.epochs
    more, time = max(USUAL_UNITS, 4 * units), _longer(recipe, finding)
    seen = "The loss falls further, and the network explains what a regression explains."
    longer = Remedy(
        {"training.epochs": time},
        f"After {_time_taken(recipe, finding)} the loss was still falling, or had hardly begun to.",
        seen,
    )
    larger = Remedy(
        {"model.hidden_size": more},
        (
            f"{counted(units, 'unit')} cannot hold what the task asks for."
            if _at_the_ceiling(finding)
            else f"With {counted(units, 'unit')} the loss has come to rest: more can hold more."
        ),
        seen,
    )
    both = Remedy(
        {"model.hidden_size": more, "training.epochs": time},
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
    if recipe.is_series and recipe.data.scale == "none":
        offers.append(
            Remedy(
                {"data.scale": "standard", "model.hidden_size": more, "training.epochs": time},
                "Values around 0 and of size 1 are what the first weights are made for: with them, "
                "none has to be spent on the level.",
                seen,
            )
        )
    return offers


def _time_taken(recipe: Recipe, finding: Finding) -> str:
    """The steps that were made, which early stopping may have ended before the epochs did."""
    steps = finding.evidence.get("steps")
    if isinstance(steps, int):
        return counted(steps, "step")
    return counted(recipe.training.epochs, "epoch")


def _at_the_ceiling(finding: Finding) -> bool:
    """Whether so few units cannot explain what a regression does, whatever they hold."""
    ceiling, known = (finding.evidence.get(k) for k in ("ceiling", "predictable_by_regression"))
    return isinstance(ceiling, float) and isinstance(known, float) and ceiling < known


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
