"""What helps where training's steps are too large, too small or too few, or explode.

A step that moves the weights by about 1% of their size is usual at the start (Karpathy, CS231n:
0.1% once it is under way): from what a step was, and the rate it was made at, follows a rate.
"""

from __future__ import annotations

import math

from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies.advice import DROPOUT, RELU
from minirnn.diagnosis.remedies.common import clip, initialise, scale
from minirnn.diagnosis.remedies.offer import Advised, Offer
from minirnn.diagnosis.remedies.season import see_a_season

USUAL_STEP = 0.01  # |update| / |parameters| at the start
ADAPTIVE = (3e-3, 1e-3)  # rates of the optimisers that divide by the gradient's size
HIGHEST_OF_SGD, LOWEST_OF_SGD = 0.3, 1e-3
FEW, TINY = 300, 5e-4  # steps, and updates: fewer and no smaller, time is the first thing to give
MORE = 4  # times the epochs


def figure(finding: Finding, name: str) -> float:
    """A number that the finding shows; NaN where it shows none."""
    value = finding.evidence.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def _size_of_step(finding: Finding) -> float:
    """|update| / |parameters|, as the finding tells it; where it is of time, "step" is a place."""
    name = "first_update" if finding.symptom == "non-finite" else "step"
    return figure(finding, name)


def usual_rate(recipe: Recipe, step: float) -> float:
    """The rate at which a step of SGD would be of usual size, to one digit; NaN is no size."""
    rate = recipe.training.learning_rate * USUAL_STEP / step if step else math.nan
    if not math.isfinite(rate):
        rate = LOWEST_OF_SGD
    return float(f"{min(max(rate, LOWEST_OF_SGD), HIGHEST_OF_SGD):.1g}")


def _rate(recipe: Recipe, rate: float, reason: str, **more: object) -> Remedy:
    edit: dict[str, object] = {"training.learning_rate": rate}
    edit |= {f"training.{key}": value for key, value in more.items()}
    return Remedy(edit, reason, "The loss comes down, and stays there.")


def _oscillating(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """A rate with which a step is of usual size; then with more time for it, or a bound."""
    training = recipe.training
    reason = f"Steps of {training.learning_rate:g} throw the weights to where gates are pinned."
    epochs = training.epochs * MORE
    if training.optimizer != "sgd":
        lower = [rate for rate in ADAPTIVE if rate < training.learning_rate]
        lower = lower or [training.learning_rate / 10]
        return [
            *(_rate(recipe, rate, reason) for rate in lower),
            _rate(recipe, lower[0], "The same, with more time for smaller steps.", epochs=epochs),
            _rate(
                recipe, lower[0], "Small, and smaller to the end: the last of the swinging goes.",
                epochs=epochs, scheduler="cosine",
            ),
        ]  # fmt: skip
    rate = usual_rate(recipe, _size_of_step(finding))
    return [
        _rate(
            recipe, 0.1, f"{reason} Where a gradient is long for once, its length is bounded.",
            clip_norm=1.0,
        ),
        _rate(
            recipe, 0.1, "The same, with more time for smaller steps.", clip_norm=1.0, epochs=epochs
        ),
        _rate(recipe, rate, reason, epochs=epochs),
        _rate(
            recipe, ADAPTIVE[0], "Adam's steps do not depend on how long the gradient is.",
            optimizer="adam", epochs=epochs,
        ),
    ]  # fmt: skip


def _slow(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """What made the steps small or few, first; then more of everything."""
    training = recipe.training
    offers: list[Remedy] = []
    clipped = figure(finding, "clipped_share") > 0.5 and training.optimizer == "sgd"
    sgd = training.optimizer == "sgd"
    faster = 0.1 if sgd else 5e-3
    epochs = training.epochs * MORE
    if training.early_stopping:
        offers.append(
            Remedy(
                {"training.early_stopping": 0},
                "It stopped before it had begun: the first epochs are not always the best.",
                "Training goes on until the loss has come down.",
            )
        )
    if clipped:
        offers.append(
            Remedy(
                {"training.clip_norm": 1.0, "training.learning_rate": faster},
                f"A bound of {training.clip_norm:g} cuts every gradient, and with it every step.",
                "Only a gradient that is long for once is cut.",
            )
        )
    if figure(finding, "steps") < FEW and not figure(finding, "update") < TINY:
        longer = max(epochs, math.ceil(FEW / max(figure(finding, "steps"), 1.0)) * training.epochs)
        offers.append(
            Remedy(
                {"training.epochs": longer},
                f"After {training.epochs} epoch(s) it has simply not been anywhere yet.",
                "The loss falls, and the answers begin to differ.",
            )
        )
        epochs = longer
    more: dict[str, object] = {"clip_norm": 1.0} if clipped or sgd else {}
    reason = f"At a rate of {training.learning_rate:g} the weights hardly leave where they began."
    if training.learning_rate < faster:
        offers.append(_rate(recipe, faster, reason, **more))
    offers += [
        _rate(
            recipe, max(faster, training.learning_rate), "The same, with more time.",
            epochs=epochs, **more,
        ),
        _rate(
            recipe, 5e-3, "Adam's steps do not depend on how short the gradient is.",
            optimizer="adam", epochs=epochs,
        ),
    ]  # fmt: skip
    return offers


def _stalled(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """What keeps it from moving, where that is known; else larger steps, more time, a new start."""
    training, kind = recipe.training, finding.evidence.get("kind")
    longer = {"training.epochs": training.epochs * MORE}
    faster = max(5e-3 if training.optimizer != "sgd" else 0.1, training.learning_rate)
    moving: dict[str, object] = {"training.learning_rate": faster}
    start = initialise(recipe, finding)
    if kind == "start":
        edit = dict(start[0].edit)
        reason = "Begin with weights that differ from unit to unit: each can become another."
        return [
            Remedy(edit, reason, "A gradient passes the head from the first step on."),
            Remedy({**edit, **moving, **longer}, "The same, with more time.", start[0].expected),
        ]
    if kind == "rate taken":
        slowly = "Let the rate come down over the whole of training, not at its beginning."
        goes_on = "The loss goes on falling."
        return [
            Remedy({"training.scheduler": "cosine"}, slowly, goes_on),
            Remedy({"training.scheduler": "none"}, "Keep the rate to the end.", goes_on),
            Remedy(
                {"training.scheduler": "cosine", **moving},
                "The same, with larger steps.",
                goes_on,
            ),
            Remedy(
                {"training.scheduler": "cosine", **moving, **longer},
                "The same, with more time.",
                goes_on,
            ),
        ]
    offers = [
        Remedy(
            moving,
            "Larger steps leave a plateau that small ones do not.",
            "The loss falls, and the answers begin to differ.",
        ),
        Remedy(
            {**moving, **longer},
            f"After {training.epochs} epochs it may simply not have begun to learn.",
            "The loss falls, and the answers begin to differ.",
        ),
    ]
    if training.optimizer == "sgd":
        offers.insert(
            0,
            Remedy(
                {"training.optimizer": "adam", "training.learning_rate": 5e-3},
                "On a plateau SGD's steps shrink with the gradient; Adam divides by its size.",
                "The loss leaves the plateau.",
            ),
        )
    return see_a_season(recipe, finding) + offers + start


def _exploding(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """A start that neither grows nor fades, with a bound; then an activation that has one.

    Measured on 50 relu networks that explode: the first cured all, tanh all but one, the start
    alone all but two, the bound alone half, and a tenth of the rate hardly any.
    """
    bound = clip(recipe, finding)
    leaps = "leap" in finding.evidence and not {"growth", "power"} & finding.evidence.keys()
    start = dict(initialise(recipe, finding)[0].edit)
    usual = all(recipe.get(key) == value for key, value in start.items())
    offers = [
        Remedy(
            {**start, "training.clip_norm": 1.0},
            "An orthogonal matrix neither stretches nor shrinks what passes it (Saxe et al. 2014), "
            "and a bound on the gradient's length keeps its direction (Pascanu et al. 2013).",
            "The gradient arrives at the size it began with, and no batch throws the weights away.",
        )
    ]
    if recipe.model.activation == "relu":
        offers.append(
            Remedy(
                {"model.activation": "tanh"},
                "A relu has no upper end: the state grows with every step, and the gradient too.",
                "The state stays between -1 and 1.",
            )
        )
        offers.append(
            Remedy(
                {"model.activation": "tanh", **start, "training.clip_norm": 1.0},
                "All three.",
                "The state stays between -1 and 1.",
            )
        )
    adam: dict[str, object] = {"training.optimizer": "adam", "training.learning_rate": 3e-3}
    if recipe.training.optimizer == "sgd":
        offers.append(
            Remedy(
                {**start, "training.clip_norm": 1.0, **adam},
                "The same start and bound, with steps that do not depend on the gradient's length.",
                "What was bounded arrives in fewer steps.",
            )
        )
    offers.append(
        Remedy(
            {
                **start,
                "training.clip_norm": 1.0,
                "training.epochs": recipe.training.epochs * MORE,
            },
            "The same start and bound, with more time.",
            "What was bounded arrives.",
        )
    )
    if usual or leaps:
        return [*bound, *offers]
    return [*offers, *bound]


def _non_finite(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """What is infinite in the data, then what the steps make so."""
    offers: list[Remedy] = []
    seen = finding.evidence
    size = figure(finding, "size_of_the_finite")
    if "infinite_inputs" in seen and size > 0.0:
        bound = float(f"{4.0 * size:.1g}")
        offers.append(
            Remedy(
                {"data.clip": bound},
                f"Move inputs that are no measurement to {bound:g}, four times the usual size.",
                "Every sum is a number.",
            )
        )
    if "largest_target" in seen and recipe.data.scale == "none":
        offers += scale(recipe, finding)
    if "first_update" in seen:
        offers += _oscillating(recipe, finding)
    return offers or _oscillating(recipe, finding) + clip(recipe, finding)


OFFERS: dict[str, Offer] = {
    "oscillating-loss": _oscillating,
    "slow-learning": _slow,
    "stalled-loss": _stalled,
    "exploding-gradient": _exploding,
    "non-finite": _non_finite,
}

BOUND_FOR_LARGE_STEPS = Advice(
    "clip the gradient",
    "Adam and its kin divide by the gradient's size: a shorter gradient makes the same step. SGD's "
    "step is the rate times the bound, which is as far too large as the rate is.",
)
PLATEAU = Advice(
    "lower the rate when the loss stops improving",
    "It comes too late: the first steps have thrown the weights to where gates are pinned, and "
    "small ones do not bring them back.",
)
SMALL_BATCHES = Advice(
    "use smaller batches",
    "The gradient grows along time, within each sequence, however many are averaged.",
)
LOWER_RATE = Advice(
    "lower the learning rate",
    "The network explodes before the first step is made. At a tenth of the rate hardly one of 50 "
    "networks tried fared better, and most fared worse: what has to be undone takes ten times as "
    "long.",
)
BOUND_FOR_SMALL_STEPS = Advice(
    "clip the gradient", "Clipping makes large steps smaller. These are too small already."
)


def _against_oscillation(recipe: Recipe, finding: Finding) -> tuple[Advice, ...]:
    together = recipe.training.optimizer != "sgd"
    return (BOUND_FOR_LARGE_STEPS, PLATEAU, DROPOUT) if together else (PLATEAU, DROPOUT)


def _against_explosion(recipe: Recipe, finding: Finding) -> tuple[Advice, ...]:
    """Against a leap of an SGD under way a lower rate may help; not before the first step."""
    at_first = "power" in finding.evidence or " before training" in finding.where
    return (LOWER_RATE, RELU, SMALL_BATCHES) if at_first else (RELU, SMALL_BATCHES)


WOULD_NOT_HELP: dict[str, Advised] = {
    "oscillating-loss": _against_oscillation,
    "slow-learning": (BOUND_FOR_SMALL_STEPS, DROPOUT),
    "stalled-loss": (BOUND_FOR_SMALL_STEPS, DROPOUT),
    "exploding-gradient": _against_explosion,
    "non-finite": (
        Advice(
            "replace NaN by 0 in the loss",
            "The parameters are lost already; only the message goes away.",
        ),
    ),
}
