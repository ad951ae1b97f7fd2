"""What helps against each symptom, as edits of a recipe, best first; and what does not, and why.

The order is by expected effect, as far as this project has measured it; the doctor tries them in
this order and believes none before it has trained again.
"""

from __future__ import annotations

from collections.abc import Callable

from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.errors import RecipeError

LARGE = 10.0  # root mean square of inputs from which on they saturate gates (`unscaled_input`)

# Mistakes of a training loop, which a recipe cannot make: `interop.torch` edits the loop.
OF_A_LOOP = (
    "shape-broadcast",
    "accumulated-gradients",
    "batch-time-swap",
    "carried-state",
    "no-recurrence",
    "reads-padding",
)

Offer = Callable[[Recipe, Finding], list[Remedy]]

CLIPPING = Advice(
    "clip the gradient",
    "Clipping makes large gradients smaller. It cannot make a gradient that has died larger.",
)
RANDOM_STATE = Advice(
    "start from a random hidden state",
    "It only adds noise, the same for every input, and is forgotten after some tens of steps; a "
    "state of zeros merges nothing.",
)
RELU = Advice(
    "use ReLU inside the recurrent cell",
    "The gates stay sigmoids, and a state without bounds is fed back at every step: it explodes "
    "where tanh would hold it.",
)
DROPOUT = Advice(
    "add dropout",
    "It fights overfitting, which this is not; and dropout= between layers does nothing at all in "
    "a network of one layer.",
)
LONGER = Advice(
    "train longer, or with more units",
    "What is lost before the gradient arrives is not brought back by more steps of the same.",
)

WOULD_NOT_HELP: dict[str, tuple[Advice, ...]] = {
    "unscaled-input": (CLIPPING, RANDOM_STATE, DROPOUT),
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
    "exploding-gradient": (
        RELU,
        Advice(
            "use smaller batches",
            "The gradient grows along time, within each sequence, however many are averaged.",
        ),
    ),
    "state-collapse": (RANDOM_STATE, RELU, LONGER),
    "constant-output": (RANDOM_STATE, RELU, DROPOUT),
    "outside-training-range": (
        LONGER,
        DROPOUT,
        Advice(
            "fit the scaler on the whole series",
            "That shows the future to the network during training: the error falls on paper only, "
            "and the next year is outside again.",
        ),
    ),
    "missing-values": (
        Advice(
            "put zeros where values are missing",
            "A zero is a measurement like any other to the network: among values around 340 it is "
            "a crash that never happened.",
        ),
        Advice(
            "drop the missing rows",
            "The steps that are left would no longer be equally far apart, and nothing tells "
            "the network.",
        ),
    ),
    "non-finite": (
        Advice(
            "replace NaN by 0 in the loss",
            "The parameters are lost already; only the message goes away.",
        ),
    ),
    "shape-broadcast": (CLIPPING, RELU, LONGER),
    "accumulated-gradients": (
        Advice(
            "lower the learning rate",
            "The sum of all gradients grows without end; a lower rate only puts it off.",
        ),
        CLIPPING,
    ),
    "batch-time-swap": (LONGER, RELU, DROPOUT),
    "carried-state": (RANDOM_STATE, LONGER),
    "no-recurrence": (
        RELU,
        Advice(
            "use an LSTM instead of a plain RNN",
            "Its gates decide what to keep of the past, and there is none to keep.",
        ),
    ),
    "reads-padding": (
        CLIPPING,
        Advice(
            "pad with another value",
            "The state runs through the padding all the same, whatever stands in it.",
        ),
    ),
    "oscillating-loss": (CLIPPING, DROPOUT),
    "slow-learning": (CLIPPING, DROPOUT),
    "stalled-loss": (CLIPPING, DROPOUT),
}


def with_remedies(
    finding: Finding, recipe: Recipe | None
) -> tuple[tuple[Remedy, ...], tuple[Advice, ...]]:
    """The remedies for a finding that would change the recipe, and the advice that would not help.

    Without a recipe the remedies are those for the default one: what to do, in a recipe's words.
    """
    if not finding.harmful:
        return (), ()
    base = recipe if recipe is not None else Recipe()
    offer = OFFERS.get(finding.symptom)
    offered = offer(base, finding) if offer is not None else []
    return (
        tuple(remedy for remedy in offered if recipe is None or changes(recipe, remedy)),
        WOULD_NOT_HELP.get(finding.symptom, ()),
    )


def changes(recipe: Recipe, remedy: Remedy) -> bool:
    """Whether a remedy makes another recipe of this one, and one that is allowed."""
    try:
        return recipe.edit(remedy.edit) != recipe
    except RecipeError:
        return False


def _scale(recipe: Recipe, finding: Finding) -> list[Remedy]:
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


def _slower(recipe: Recipe, finding: Finding) -> list[Remedy]:
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


def _initialise(recipe: Recipe, finding: Finding) -> list[Remedy]:
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


def _unlearn_decay(recipe: Recipe, finding: Finding) -> list[Remedy]:
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


def _faster(recipe: Recipe, finding: Finding) -> list[Remedy]:
    rate = recipe.training.learning_rate
    offers = []
    if rate < 3e-3:
        offers.append(
            Remedy(
                {"training.learning_rate": float(f"{min(rate * 10, 1e-2):.3g}")},
                f"At a rate of {rate:g} the weights have hardly left where they began.",
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
    others = _slower(recipe, finding) + _initialise(recipe, finding)
    return [*_scale(recipe, finding), *others] if large else [*others, *_scale(recipe, finding)]


def _vanishing(recipe: Recipe, finding: Finding) -> list[Remedy]:
    if finding.evidence.get("kind") == "through time":
        return _remember(recipe, finding)
    return _saturated(recipe, finding)


def _clip(recipe: Recipe, finding: Finding) -> list[Remedy]:
    return [
        Remedy(
            {"training.clip_norm": 1.0},
            "Keep the direction of a gradient, and bound its length (Pascanu et al. 2013).",
            "No single batch can throw the weights away.",
        )
    ]


def _exploding(recipe: Recipe, finding: Finding) -> list[Remedy]:
    offers = _clip(recipe, finding)
    if recipe.model.activation == "relu":
        offers.append(
            Remedy(
                {"model.activation": "tanh"},
                "A relu has no upper end: the state grows with every step, and the gradient too.",
                "The state stays between -1 and 1.",
            )
        )
    offers += _initialise(recipe, finding)
    return offers + _slower(recipe, finding)


def _range(recipe: Recipe, finding: Finding) -> list[Remedy]:
    if not recipe.is_series:
        return []
    edit: dict[str, object] = {"data.transform": "change"}
    if recipe.data.scale == "none":
        edit["data.scale"] = "standard"
    change = Remedy(
        edit,
        "Feed each window relative to its last value, and predict the change from it: changes "
        "stay in the range they had, however far the level moves.",
        "The held-out error comes down to what it is in training.",
    )
    unscaled = Remedy(
        {"data.transform": "change", "data.scale": "none"},
        "The same without scaling, where the changes are of ordinary size already, or all equal.",
        change.expected,
    )
    return [change, unscaled]


def _missing(recipe: Recipe, finding: Finding) -> list[Remedy]:
    return [
        Remedy(
            {"data.missing": "interpolate"},
            "Fill each gap by a straight line between its neighbours, in time.",
            "Every window has an answer.",
        )
    ]


OFFERS: dict[str, Offer] = {
    "unscaled-input": _scale,
    "saturated-gates": _saturated,
    "vanishing-gradient": _vanishing,
    "exploding-gradient": _exploding,
    "state-collapse": lambda r, f: (
        _unlearn_decay(r, f) + _scale(r, f) + _initialise(r, f) + _faster(r, f)
    ),
    "constant-output": lambda r, f: (
        _unlearn_decay(r, f) + _scale(r, f) + _faster(r, f) + _initialise(r, f)
    ),
    "outside-training-range": _range,
    "missing-values": _missing,
    "non-finite": lambda r, f: _slower(r, f) + _clip(r, f) + _scale(r, f),
    "oscillating-loss": _slower,
    "slow-learning": _faster,
    "stalled-loss": _faster,
    **dict.fromkeys(OF_A_LOOP, lambda r, f: []),
}
