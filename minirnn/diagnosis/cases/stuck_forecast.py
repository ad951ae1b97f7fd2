"""Article 003: an autoregressive LSTM stuck on a value. Blamed: feedback, data, regularisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.diagnosis.cases import data
from minirnn.diagnosis.cases.case import Case, Fix, Tables
from minirnn.diagnosis.cases.measures import R2, SWING

WINDOW = {"data.window": 32, "model.activation": "tanh"}


def forecast(seed: int, window: int, **model: Any) -> Tables:
    """The article's second and third example: LSTM(32) on a noisy sine, and a free run."""
    values = data.noisy_sine(seed, n=900, turns=18)
    return {
        "data": {**data.series(values), "window": window},
        "model": {"hidden_size": 32, **model},
        "training": {"learning_rate": 5e-3, "epochs": 12},
        "generation": {"steps": 600},
    }


def narrow(seed: int, low: float = 0.4, high: float = 0.6) -> Tables:
    """The first example: the numbers from 0.4 to 0.6, each one a sequence and its own target."""
    x = np.linspace(low, high, 100, dtype=np.float32)
    return {
        "data": {"x": x[:, None, None], "y": x[:, None], "seed": seed},
        "model": {"hidden_size": 32, "activation": "relu"},
        "training": {"learning_rate": 1e-3, "epochs": 100},
    }


def beyond(seed: int) -> Tables:
    """Trained from 0.4 to 0.6, and asked from 0 to 1."""
    asked = data.rng_of(seed, "beyond").random(100)
    x = np.r_[np.linspace(0.4, 0.6, 100), asked].astype(np.float32)
    tables = narrow(seed)
    made = {"x": x[:, None, None], "y": x[:, None], "split": "last", "validation": 0.5}
    return {**tables, "data": made, "training": {"learning_rate": 1e-2, "epochs": 200}}


def over_the_range(seed: int) -> dict[str, object]:
    """Trained from 0 to 1 as well."""
    asked = data.rng_of(seed, "beyond").random(100)
    x = np.r_[np.linspace(0.0, 1.0, 100), asked].astype(np.float32)
    return {"data.x": x[:, None, None], "data.y": x[:, None]}


def quiet(seed: int) -> Tables:
    """A price in a quiet time, then in a wild one."""
    rng = data.rng_of(seed, "price")
    level = np.sin(np.arange(500) / 6) + 0.1 * rng.normal(size=500)
    level[:400] *= 0.15
    return {
        "data": {**data.series(level), "window": 20},
        "model": {"hidden_size": 20},
        "training": {"learning_rate": 1e-2, "epochs": 20},
    }


def both_times(seed: int) -> Tables:
    """The same with some of the wild time among what is trained on."""
    rng = data.rng_of(seed, "price")
    level = np.sin(np.arange(500) / 6) + 0.1 * rng.normal(size=500)
    level[:250] *= 0.15
    return {**quiet(seed), "data": {**data.series(level), "window": 20}}


def crash(seed: int) -> Tables:
    """The shapes of the second and third example: 999 rows of inputs, 998 of targets."""
    values = data.noisy_sine(seed).astype(np.float32)
    return {
        "data": {"x": values[:-1, None, None], "y": values[2:, None]},
        "model": {"hidden_size": 32, "activation": "relu"},
        "training": {"epochs": 20},
    }


NORMALISED = {"model.norm": "batch"}
AGAINST_ONE_STEP = (
    Fix("relu", "Use relu", ("does nothing",), {"model.activation": "relu"}, covers=("fix: relu",)),
    Fix(
        "batch",
        "Normalise over the batch",
        ("does nothing",),
        NORMALISED,
        covers=("fix: batch normalisation",),
    ),
    Fix(
        "layer",
        "Normalise over the layer",
        ("does nothing",),
        {"model.norm": "layer"},
        covers=("fix: advanced normalisation",),
    ),
    Fix(
        "dropout",
        "Dropout 0.2 before the head",
        ("does nothing",),
        {"model.head_dropout": 0.2},
        covers=("fix: dropout",),
    ),
    Fix(
        "decay",
        "Weight decay of 0.01",
        ("does nothing",),
        {"training.weight_decay": 0.01},
        covers=("fix: weight decay",),
    ),
    Fix(
        "sampling",
        "Scheduled sampling",
        ("does nothing",),
        {"training.scheduled_sampling": 0.5},
        covers=("fix: scheduled sampling", "fix: teacher forcing"),
    ),
    Fix(
        "more",
        "Twice the data",
        ("does nothing",),
        instead=lambda seed: longer(seed),
        covers=("fix: diverse data",),
    ),
    Fix("window", "Let it read 32 steps", ("cures", "helps"), WINDOW, ours=True),
)

CASES = (
    Case(
        "003.one-step",
        "Feedback, vanishing gradients and no regularisation freeze the forecast (example 3)",
        "Its sequences have length 1: there is no recurrence in it, no time for a gradient to "
        "vanish in, and nothing that tells rising from falling. Context cures it.",
        recipe=lambda seed: forecast(seed, 1, activation="tanh"),
        expect=("no-recurrence",),
        blames=frozenset({"vanishing-gradient", "overfitting", "over-regularised"}),
        cause=("another cause",),
        covers=(
            "cause: feedback",
            "cause: vanishing gradients",
            "cause: no regularisation",
            "cause: overfitting",
            "example: length 1",
        ),
        measure=SWING,
        fixes=AGAINST_ONE_STEP,
    ),
    Case(
        "003.sigmoid",
        "sigmoid makes the LSTM fall back on the mean; relu does not (example 2)",
        "With sequences of length 1 both freeze. The advice contradicts article 002.",
        recipe=lambda seed: forecast(seed, 1, activation="sigmoid"),
        expect=("no-recurrence",),
        blames=frozenset({"vanishing-gradient"}),
        cause=("another cause",),
        covers=("cause: sigmoid",),
        measure=SWING,
        fixes=(AGAINST_ONE_STEP[0], AGAINST_ONE_STEP[-1]),
    ),
    Case(
        "003.context",
        "An autoregressive model without regularisation gets stuck (with 32 steps of context)",
        "With context it goes on swinging, unregularised as it is.",
        recipe=lambda seed: forecast(seed, 32),
        expect=(),
        cause=("false",),
        covers=("cause: feedback", "cause: no regularisation"),
        measure=SWING,
        fixes=(
            Fix(
                "dropout",
                "Dropout 0.2 before the head",
                ("does nothing", "makes it worse"),
                {"model.head_dropout": 0.2},
                covers=("fix: dropout",),
            ),
            Fix(
                "decay",
                "Weight decay of 0.01",
                ("does nothing", "makes it worse"),
                {"training.weight_decay": 0.01},
                covers=("fix: weight decay",),
            ),
            Fix(
                "relu",
                "Use relu",
                ("does nothing", "makes it worse"),
                {"model.activation": "relu"},
                covers=("fix: relu",),
            ),
            Fix(
                "sigmoid",
                "(against its advice) Use sigmoid",
                ("does nothing", "makes it worse"),
                {"model.activation": "sigmoid"},
                covers=("cause: sigmoid",),
            ),
        ),
    ),
    Case(
        "003.narrow",
        "Data of little variance (0.4 to 0.6) make it answer 0.5 to 0.6 (example 1)",
        "It was not trained for long enough, with units that relu leaves off: later it answers 0.6 "
        "to 0.6. Narrow data are no illness while the same range is asked for.",
        recipe=narrow,
        # A step moves the weights by 0.003% of their size: that is why it was not long enough.
        expect=("slow-learning", "underfitting", "dead-units", "vanishing-gradient"),
        blames=frozenset({"low-data-diversity", "no-recurrence"}),
        cause=("another cause",),
        covers=("cause: low diversity", "cause: low variance", "example: length 1"),
        measure=R2,
        fixes=(
            Fix(
                "longer",
                "Train eight times as long",
                ("cures", "helps"),
                {"training.epochs": 800},
                ours=True,
            ),
            Fix(
                "wide",
                "Train on data from 0 to 1",
                ("helps", "cures"),
                over_the_range,
                covers=("fix: diverse data",),
            ),
        ),
    ),
    Case(
        "003.beyond",
        "Data that do not span the range leave it lost outside of it",
        "Not this map: y = x is carried on beyond 0.6 as well; 003.quiet is where it is so.",
        recipe=beyond,
        expect=(),
        blames=frozenset({"low-data-diversity", "outside-training-range"}),
        cause=("false",),
        covers=("cause: data do not span the range",),
        curable=False,
        fixes=(
            Fix(
                "wide",
                "Train on data from 0 to 1",
                ("does nothing",),
                over_the_range,
                covers=("fix: diverse data",),
            ),
        ),
    ),
    Case(
        "003.quiet",
        "Trained in a quiet time, lost in a wild one",
        "Right; and data of both times cure it.",
        recipe=quiet,
        expect=("low-data-diversity", "outside-training-range"),
        blames=frozenset({"low-data-diversity", "outside-training-range"}),
        cause=("true",),
        covers=("cause: low variance", "cause: data do not span the range"),
        curable=False,
        fixes=(
            Fix(
                "dropout",
                "Dropout 0.2 before the head",
                ("does nothing", "helps"),
                {"model.head_dropout": 0.2},
                covers=("fix: dropout",),
            ),
            Fix(
                "diverse",
                "Train on both times",
                ("cures", "helps"),
                instead=both_times,
                covers=("fix: diverse data",),
            ),
        ),
    ),
    Case(
        "003.crash",
        "(left out) its second and third example: 999 inputs, 998 targets",
        "They stop with an error, which names the array.",
        recipe=crash,
        expect=(),
        cause=("cannot run",),
        covers=("example: 999 against 998 rows",),
        curable=False,
        fixes=(
            Fix(
                "rows",
                "As many targets as inputs",
                ("cures", "helps"),
                instead=lambda seed: whole(seed),
                ours=True,
            ),
        ),
    ),
)


def longer(seed: int) -> Tables:
    """The same series, twice as long."""
    values = data.noisy_sine(seed, n=1800, turns=36)
    return {**forecast(seed, 1, activation="tanh"), "data": {**data.series(values), "window": 1}}


def whole(seed: int) -> Tables:
    """998 rows of each."""
    tables = crash(seed)
    return {**tables, "data": {"x": tables["data"]["x"][:-1], "y": tables["data"]["y"]}}
