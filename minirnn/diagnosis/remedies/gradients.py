"""What helps where gradients die, explode, or stop at a gate."""

from __future__ import annotations

from dataclasses import replace

from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies.advice import CLIPPING, DROPOUT, LONGER, RELU
from minirnn.diagnosis.remedies.common import initialise, scale, slower
from minirnn.diagnosis.remedies.offer import Advised, Offer
from minirnn.diagnosis.wording import counted, number

LARGE = 2.0  # root mean square of inputs from which on a scale is the first thing to try
SMALL = ("uniform", "normal", "zeros")  # initialisers that make a state forget within a few steps
HALF_LIFE = 4.5  # steps, of an LSTM's cell state with forget bias 1 at the start (measured)
CAREFUL = 3e-3  # a rate at which a plain RNN keeps an orthogonal start: at 1e-2 half lose it
HOT = 2e-2  # a rate of Adam from which on relu units are switched off by steps (measured)
BRISK = 1e-2  # one at which Adam finds what to keep: in three times the epochs 30 of 36 times


MORE_UNITS = Advice(
    "use more units, layers or epochs",
    "None of them is told of what stands beyond the cut: some of it may be kept by chance, and no "
    "step makes it more.",
)
CHRONO = Advice(
    "start with gates that are open (chrono, forget bias 1)",
    "They let a gradient pass, and here none is sent so far.",
)


def _remember(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Against a gradient that dies through time: let the state keep it."""
    epochs = recipe.training.epochs * 3
    start: dict[str, object] = {"model.init.recurrent": "orthogonal"}
    if recipe.model.activation != "tanh":
        start["model.activation"] = "tanh"
    if recipe.model.cell != "rnn":
        # The recurrent weights of a gated cell matter less than its gates, unless they are small.
        small = recipe.model.init.recurrent in SMALL or "model.activation" in start
        return _by_gates(recipe, start if small else {})
    if recipe.training.learning_rate > CAREFUL:
        start["training.learning_rate"] = CAREFUL
    slope = Remedy(
        dict(start),
        "An orthogonal matrix neither shrinks nor stretches what passes it (Saxe et al. 2014), and "
        "tanh has a slope of 1 at 0, four times that of a sigmoid; small steps do not leave it.",
        "The gradient fades by the slope of tanh alone.",
    )
    longer = Remedy(
        {**start, "training.epochs": epochs},
        "The same, with more time: what to keep is found late, and then quickly.",
        slope.expected,
    )
    identity = Remedy(
        {"model.activation": "relu", "model.init.recurrent": "identity"},
        "With relu and the identity the state stays as it is until an input moves it (Le, "
        "Jaitly and Hinton 2015).",
        "The gradient passes unchanged where units are on.",
    )
    start.pop("training.learning_rate", None)
    return [slope, longer, *_by_gates(recipe, {"model.cell": "lstm", **start})[1:], identity]


def _by_gates(recipe: Recipe, start: dict[str, object]) -> list[Remedy]:
    """Gates that begin open for long, with steps that are large enough, and with more time."""
    keep = {**start, "model.init.bias": "chrono"}
    larger = {**keep}
    if recipe.training.optimizer != "sgd" and recipe.training.learning_rate < BRISK:
        larger["training.learning_rate"] = BRISK
    epochs = recipe.training.epochs
    state = "hidden" if recipe.model.cell == "gru" else "cell"
    expected = f"The gradient of the {state} state lives over the whole sequence."
    late = "The same, with more time: what to keep is found late, and then quickly."
    return [
        Remedy(
            larger,
            "Open the gates that keep the state by different amounts, for memories of 1 to T steps "
            "(Tallec and Ollivier 2018); a state that is kept changes slowly, so take large steps.",
            expected,
        ),
        Remedy({**larger, "training.epochs": 3 * epochs}, late, expected),
        Remedy(
            {**keep, "training.epochs": 3 * epochs},
            "The same at the rate it had, with more time.",
            expected,
        ),
        Remedy({**larger, "training.epochs": 10 * epochs}, late, expected),
    ]


def _saturated(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Scaling first where the inputs are large; where they are not, the weights have grown."""
    large = float(str(finding.evidence.get("input_size", 0.0))) > LARGE
    scales, start = scale(recipe, finding), initialise(recipe, finding)
    calm = slower(recipe, finding)
    if recipe.training.learning_rate > HOT:
        return [*scales, *calm, *start] if large else [*calm, *start, *scales]
    # At a usual rate it is not the steps: the sums were too large before the first of them.
    both = (
        [Remedy({**scales[0].edit, **start[0].edit}, scales[0].reason, start[0].expected)]
        if scales
        else []
    )
    return [*scales[:1], *both, *start, *scales[1:], *calm] if large else [*start, *scales, *calm]


def _before_training(remedies: list[Remedy]) -> list[Remedy]:
    """What of them is about the network that training begins with, each once."""
    kept: list[Remedy] = []
    for each in remedies:
        of_the_start = {key: value for key, value in each.edit.items() if key.startswith("model.")}
        if of_the_start and of_the_start not in [other.edit for other in kept]:
            kept.append(replace(each, edit=of_the_start))
    return kept


def _not_truncated(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """The gradient through all steps; or, of long sequences, through as many as are needed."""
    whole: dict[str, object] = {"training.truncate": 0}
    lag = finding.evidence.get("lag_needed")
    expected = "The gradient reaches the steps that the answer depends on."
    offers = [
        Remedy(whole, "Let the gradient go back through all steps of a sequence.", expected),
        Remedy(
            {**whole, "training.epochs": 3 * recipe.training.epochs},
            "The same, with more time: what to keep is found late, and then quickly.",
            expected,
        ),
    ]
    if isinstance(lag, int):
        nearer = Remedy(
            {"training.truncate": 2 * lag},
            f"Twice the {counted(lag, 'step')} that are needed: every answer then sees them, and "
            "less is held in memory than of whole sequences.",
            expected,
        )
        offers.append(nearer)
    return offers


def _vanishing(recipe: Recipe, finding: Finding) -> list[Remedy]:
    if finding.evidence.get("before_training"):
        return _before_training(_remember(recipe, finding))
    if finding.evidence.get("kind") == "truncated":
        return _not_truncated(recipe, finding)
    if finding.evidence.get("kind") == "through time":
        return _remember(recipe, finding)
    return _saturated(recipe, finding)


def _dead(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Units that cannot be switched off for good, and steps that do not throw them there."""
    tanh: dict[str, object] = {"model.activation": "tanh"}
    calm = dict(slower(recipe, finding)[0].edit)
    hot = recipe.training.learning_rate > HOT
    why = (
        "A tanh has a slope on both sides of 0: what is pushed below it still gets a gradient, and "
        "can come back"
    )
    offers = [
        Remedy(
            {**tanh, **calm} if hot else tanh,
            why + ("; and steps this large would drive it to its ends." if hot else "."),
            "All units move with the inputs again.",
        )
    ]
    if hot:
        offers += [
            Remedy(
                calm,
                f"Steps of {recipe.training.learning_rate:g} push every sum below 0 at once.",
                "The units stay where some inputs switch them on.",
            ),
            Remedy(tanh, why + ".", "All units move with the inputs again."),
        ]
    more: dict[str, object] = {**tanh, "training.epochs": 4 * recipe.training.epochs}
    if hot or recipe.training.optimizer == "sgd":
        more |= calm if hot else {}
    else:
        more["training.learning_rate"] = max(BRISK, recipe.training.learning_rate)
    longer = Remedy(more, "The same with more time: it begins anew.", offers[0].expected)
    return [*offers, longer, *scale(recipe, finding), *initialise(recipe, finding)]


OFFERS: dict[str, Offer] = {
    "saturated-gates": _saturated,
    "dead-units": _dead,
    "vanishing-gradient": _vanishing,
}


def _against_vanishing(recipe: Recipe, finding: Finding) -> tuple[Advice, ...]:
    """Of a gate that is shut, what does not open it; of time, what carries nothing through it."""
    if finding.evidence.get("kind") == "truncated":
        return (MORE_UNITS, CHRONO, CLIPPING)
    if finding.evidence.get("kind") != "through time":
        return (CLIPPING, RELU, LONGER)
    if recipe.model.cell != "rnn":
        return (CLIPPING, RELU, DROPOUT)
    left = 0.5 ** (float(str(finding.evidence.get("lag_needed", 0.0))) / HALF_LIFE)
    if left >= 0.01:  # then it may help
        return (CLIPPING, DROPOUT)
    just_an_lstm = Advice(
        "just use an LSTM",
        f"With its usual initialisation an LSTM forgets too: its gradient halves every {HALF_LIFE} "
        f"steps, and over this distance {number(left)} of it would be left. It takes forget gates "
        "that begin open (chrono).",
    )
    return (CLIPPING, just_an_lstm, DROPOUT)


WOULD_NOT_HELP: dict[str, Advised] = {
    "saturated-gates": (CLIPPING, RELU, LONGER),
    "dead-units": (
        LONGER,
        CLIPPING,
        Advice(
            "add more ReLU units",
            "The new ones are pushed below 0 by the same steps and inputs, and are dead too.",
        ),
        RELU,
    ),
    "vanishing-gradient": _against_vanishing,
}
