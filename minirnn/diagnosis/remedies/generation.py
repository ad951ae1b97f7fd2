"""What helps where a free run stops moving or goes round in circles."""

from __future__ import annotations

from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies.advice import CLIPPING, DROPOUT, RANDOM_STATE, RELU
from minirnn.diagnosis.remedies.offer import Offer
from minirnn.diagnosis.remedies.room import wider

WIDER = (4, 8)  # times the window
LEAST_WINDOW = 24
UNIT_ROOT = -2.86  # a Dickey-Fuller t from which on the values have no level to return to (5%)
OFTEN = 0.5  # share of inputs that are the network's own in the end


def _numbers(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """More context first: it says where the data are. Training on its own answers last.

    Measured over 10 seeds of article 003 (`bench/free_runs.py`): of free runs of 600 steps all 10
    freeze that read one value, 1 of 10 that read 32, and 4 of 10 with scheduled sampling besides.

    Where the data wander or climb, changes first. Measured on 13 runs that froze, of a wave on a
    random walk: more context cures 5 of 8, a wider window 10 of 13, both with changes 13 of 13, at
    a held-out error of 0.57 and 0.44 of persistence's.
    """
    offers = _changes(recipe, finding)
    window = recipe.data.window
    generation = recipe.generation
    context = window if generation is None else generation.context or window
    if context < window:
        offers.append(
            Remedy(
                {"generation.context": window},
                f"Each answer is made from {context} value(s), and the network was taught to read "
                f"{window}: from fewer it cannot tell whether the data are rising or falling.",
                "The run goes on moving as the data do.",
            )
        )
    for more in _windows(recipe):
        offers.append(
            Remedy(
                _with_context(recipe, more),
                f"Let it read {more} values: what comes next depends on where in their movement "
                "the data are, and few values do not tell.",
                "The error one step ahead falls, and the run goes on moving.",
            )
        )
    longer = {**_with_context(recipe, window), "training.epochs": recipe.training.epochs * 3}
    if finding.symptom == "frozen-generation":
        reason = (
            "A network that answers a little too small each time comes to rest; the more exact "
            "it is, the longer it goes on."
        )
    else:
        reason = "The more exact each answer is, the later the run leaves the data's own course."
    offers.append(Remedy(longer, reason, "The run keeps the data's swing for longer."))
    if recipe.data.transform == "none":
        offers.append(
            Remedy(
                {"training.scheduled_sampling": OFTEN, **longer},
                "Let it meet its own answers in training already, more and more of them (Bengio "
                "et al. 2015).",
                "It learns to come back to the data's course from where its own errors lead.",
            )
        )
    return offers


def _changes(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Changes, and a window wide enough to show how they go, where there is a unit root."""
    wander = finding.evidence.get("dickey_fuller")
    if recipe.data.transform == "change" or wander is None or not float(str(wander)) > UNIT_ROOT:
        return []
    window = (_windows(recipe) or [recipe.data.window])[0]
    if window < 2:
        return []  # of one value, relative to itself, nothing is left
    edit: dict[str, object] = {"data.transform": "change", **_with_context(recipe, window)}
    if recipe.data.scale == "none":
        edit["data.scale"] = "standard"
    return [
        Remedy(
            edit,
            f"Feed {window} values relative to the last one, and predict the change from it: the "
            "data wander, so that a level tells nothing, and how they move is in their changes "
            "(Box and Jenkins 1970 difference such a series).",
            "The error one step ahead falls, and the run goes on moving.",
        )
    ]


def _windows(recipe: Recipe) -> list[int]:
    """Wider windows that the data have room for."""
    window = recipe.data.window
    return wider(recipe, [max(LEAST_WINDOW, times * window) for times in WIDER])


def _with_context(recipe: Recipe, window: int) -> dict[str, object]:
    """That window, and a free run that uses all of it."""
    edit: dict[str, object] = {}
    if window != recipe.data.window:
        edit["data.window"] = window
    if recipe.generation is not None and recipe.generation.context is not None:
        edit["generation.context"] = window
    return edit


def _loop(recipe: Recipe, finding: Finding) -> list[Remedy]:
    if finding.evidence.get("kind") != "text":
        return _numbers(recipe, finding)
    draw: dict[str, object] = {"generation.sample": "temperature", "generation.temperature": 1.0}
    epochs = recipe.training.epochs
    return [
        Remedy(
            draw,
            "Draw each character from the network's probabilities: the likeliest one, time after "
            "time, is not a likely text (Holtzman et al. 2020).",
            "Phrases come back as rarely as in the text itself.",
        ),
        Remedy(
            {**draw, "training.epochs": epochs * 3},
            "The same, from a network that has learned more.",
            "The same.",
        ),
        Remedy(
            {"training.epochs": epochs * 3},
            "A network that has learned more of the text repeats less of it, also where the "
            "likeliest character is taken.",
            "The loops become longer, and may go.",
        ),
    ]


OFFERS: dict[str, Offer] = {"frozen-generation": _numbers, "output-loop": _loop}

EARLY = Advice(
    "stop training early",
    "A network that has learned less repeats itself more: its answers are fewer, and the likeliest "
    "one is the same more often.",
)
SLOWER = Advice(
    "lower the learning rate, or schedule it",
    "The loss is not what goes round: it comes down. The loop is in how answers are fed back.",
)

WOULD_NOT_HELP: dict[str, tuple[Advice, ...]] = {
    "frozen-generation": (RELU, DROPOUT, RANDOM_STATE, CLIPPING),
    "output-loop": (CLIPPING, EARLY, SLOWER, RANDOM_STATE, DROPOUT),
}
