"""What helps where gradients die, explode, or stop at a gate."""

from __future__ import annotations

from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies.advice import CLIPPING, DROPOUT, LONGER, RELU
from minirnn.diagnosis.remedies.common import clip, initialise, scale, slower
from minirnn.diagnosis.remedies.offer import Offer

LARGE = 10.0  # root mean square of inputs from which on they saturate gates (`unscaled_input`)


def _remember(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Against a gradient that dies through time: let the state keep it."""
    chrono = Remedy(
        {"model.init.bias": "chrono"},
        "Open the forget gates by different amounts, for memories of 1 to T steps (Tallec and "
        "Ollivier 2018).",
        "The gradient of the cell state lives over the whole sequence.",
    )
    if recipe.model.cell != "rnn":
        longer = Remedy(
            {"model.init.bias": "chrono", "training.epochs": recipe.training.epochs * 3},
            "The same, with more time: what to keep is found late, and then quickly.",
            chrono.expected,
        )
        return [chrono, longer]
    return [
        Remedy(
            {"model.init.recurrent": "orthogonal"},
            "An orthogonal matrix neither shrinks nor stretches what passes it (Saxe et al. 2014).",
            "The gradient fades by the slope of tanh alone.",
        ),
        Remedy(
            {"model.activation": "relu", "model.init.recurrent": "identity"},
            "With relu and the identity the state stays as it is until an input moves it (Le, "
            "Jaitly and Hinton 2015).",
            "The gradient passes unchanged where units are on.",
        ),
        Remedy(
            {"model.cell": "lstm", "model.init.bias": "chrono"},
            "A cell state that is kept by gates, opened for memories of 1 to T steps.",
            "The gradient of the cell state lives over the whole sequence.",
        ),
        Remedy(
            {
                "model.cell": "lstm",
                "model.init.bias": "chrono",
                "training.epochs": recipe.training.epochs * 3,
            },
            "The same, with more time: what to keep is found late, and then quickly.",
            "The gradient of the cell state lives over the whole sequence.",
        ),
    ]


def _saturated(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Scaling first where the inputs are large; where they are not, the weights have grown."""
    large = float(str(finding.evidence.get("input_size", 0.0))) > LARGE
    others = slower(recipe, finding) + initialise(recipe, finding)
    return [*scale(recipe, finding), *others] if large else [*others, *scale(recipe, finding)]


def _vanishing(recipe: Recipe, finding: Finding) -> list[Remedy]:
    if finding.evidence.get("kind") == "through time":
        return _remember(recipe, finding)
    return _saturated(recipe, finding)


def _exploding(recipe: Recipe, finding: Finding) -> list[Remedy]:
    offers = clip(recipe, finding)
    if recipe.model.activation == "relu":
        offers.append(
            Remedy(
                {"model.activation": "tanh"},
                "A relu has no upper end: the state grows with every step, and the gradient too.",
                "The state stays between -1 and 1.",
            )
        )
    offers += initialise(recipe, finding)
    return offers + slower(recipe, finding)


OFFERS: dict[str, Offer] = {
    "exploding-gradient": _exploding,
    "non-finite": lambda r, f: slower(r, f) + clip(r, f) + scale(r, f),
    "saturated-gates": _saturated,
    "vanishing-gradient": _vanishing,
}

WOULD_NOT_HELP: dict[str, tuple[Advice, ...]] = {
    "exploding-gradient": (
        RELU,
        Advice(
            "use smaller batches",
            "The gradient grows along time, within each sequence, however many are averaged.",
        ),
    ),
    "non-finite": (
        Advice(
            "replace NaN by 0 in the loss",
            "The parameters are lost already; only the message goes away.",
        ),
    ),
    "saturated-gates": (CLIPPING, RELU, LONGER),
    "vanishing-gradient": (
        CLIPPING,
        RELU,
        Advice(
            "just use an LSTM",
            "With its usual initialisation an LSTM forgets within a few steps too: its gradient "
            "halves every 1.5 to 5 steps until its forget gates are opened.",
        ),
        DROPOUT,
    ),
}
