"""Article 002, its own three examples, and what is said of them: ten samples, relu, no penalty."""

from __future__ import annotations

from typing import Any

from minirnn.diagnosis.cases import data
from minirnn.diagnosis.cases.case import Case, Fix, Tables
from minirnn.diagnosis.cases.measures import ACCURACY, SPREAD

L2 = {"kernel": 0.01, "recurrent": 0.01}
TOO_MUCH = {"training.l2": L2}


def article(made: data.Data, epochs: int, rate: float = 1e-3, **model: Any) -> Tables:
    """The article's network on some labels: LSTM(50), 20 steps of 10 features, Adam."""
    return {
        "data": made,
        "model": {"hidden_size": 50, **model},
        "training": {"loss": "bce", "learning_rate": rate, "epochs": epochs},
    }


def few_labels(seed: int, n: int) -> data.Data:
    """n random labels to learn from, and 300 to be held against."""
    made = data.random_labels(seed, n + 300)
    return {**made, "split": "last", "validation": 300 / (n + 300)}


def labels(seed: int, n: int) -> data.Data:
    """n labels that can be learned, and 300 to be held against."""
    made = data.learnable_labels(seed, n + 300)
    return {**made, "split": "last", "validation": 300 / (n + 300)}


def usual(seed: int, **changes: Any) -> Tables:
    """An LSTM on a task it can learn."""
    return {
        "data": data.recent_sum(seed),
        "model": {"hidden_size": 24, **changes.pop("model", {})},
        "training": {"learning_rate": 1e-2, "epochs": 20, **changes},
    }


CASES = (
    Case(
        "002.ten-samples",
        "With ten samples the LSTM cannot adjust its weights (example 1)",
        "Its labels are random: nothing can be learned from ten of them, nor from a thousand.",
        recipe=lambda seed: article(few_labels(seed, 10), 60),
        expect=("overfitting",),
        blames=frozenset(),
        cause=("another cause",),
        covers=("cause: scarce data", "example: random labels"),
        measure=ACCURACY,
        curable=False,
        fixes=(
            Fix(
                "more",
                "Get far more data (1000)",
                ("does nothing",),
                instead=lambda seed: article(few_labels(seed, 1000), 60),
                covers=("fix: more data",),
            ),
            Fix(
                "augment",
                "Augment them by noise",
                ("does nothing",),
                {"data.augment.noise": 0.1},
                covers=("fix: augmentation",),
            ),
        ),
    ),
    Case(
        "002.relu",
        "relu in the LSTM lets gradients vanish (example 2)",
        "Its labels are random again: with tanh it learns as little of what was held out.",
        recipe=lambda seed: article(few_labels(seed, 200), 60, activation="relu"),
        expect=("no-signal",),
        blames=frozenset({"vanishing-gradient", "dead-units"}),
        cause=("another cause",),
        covers=("cause: relu", "example: random labels"),
        measure=ACCURACY,
        curable=False,
        fixes=(
            Fix(
                "tanh",
                "Use tanh",
                ("does nothing",),
                {"model.activation": "tanh"},
                covers=("fix: tanh",),
            ),
        ),
    ),
    Case(
        "002.relu-learns",
        "relu in the LSTM lets gradients vanish (labels that can be learned)",
        "An LSTM with relu learns them as well.",
        recipe=lambda seed: article(labels(seed, 900), 15, rate=5e-3, activation="relu"),
        expect=(),
        cause=("false",),
        covers=("cause: relu",),
        measure=ACCURACY,
        fixes=(
            Fix(
                "tanh",
                "Use tanh",
                ("does nothing", "helps"),
                {"model.activation": "tanh"},
                covers=("fix: tanh",),
            ),
        ),
    ),
    Case(
        "002.no-l2",
        "Without L2 the LSTM gives a constant output (example 3)",
        "It does not: it learns the random labels by heart (the sooner with glorot_uniform). L2 of "
        "0.01 is what makes the outputs constant.",
        recipe=lambda seed: article(
            few_labels(seed, 200), 60, rate=5e-3, init={"kernel": "uniform"}
        ),
        expect=("no-signal",),
        blames=frozenset({"constant-output", "vanishing-gradient"}),
        cause=("another cause",),
        covers=("cause: no regularisation", "example: random labels"),
        measure=SPREAD,
        curable=False,
        fixes=(
            Fix("l2", "Add L2 of 0.01", ("makes it worse",), TOO_MUCH, covers=("fix: L2",)),
            Fix(
                "l1",
                "Add L1 of 0.01",
                ("makes it worse",),
                {"training.l1": L2},
                covers=("fix: L1",),
            ),
            Fix(
                "glorot",
                "Initialise by glorot_uniform",
                ("helps", "does nothing"),
                {"model.init.kernel": "glorot_uniform"},
                covers=("fix: glorot",),
            ),
        ),
    ),
    Case(
        "002.l2-learnable",
        "L2 of 0.01 encourages smoother updates (labels that can be learned)",
        "Here it does little harm, and no good.",
        recipe=lambda seed: article(labels(seed, 900), 15, rate=5e-3),
        expect=(),
        cause=("false",),
        covers=("cause: no regularisation",),
        measure=ACCURACY,
        fixes=(
            Fix(
                "l2",
                "Add L2 of 0.01",
                ("does nothing", "makes it worse"),
                TOO_MUCH,
                covers=("fix: L2",),
            ),
        ),
    ),
    Case(
        "002.over-regularised",
        "(left out) its third example, as it stands: L2 of 0.01",
        "The penalty outweighs what the data have to say: the cure is the illness.",
        recipe=lambda seed: {
            **usual(seed),
            "training": {
                "learning_rate": 1e-2,
                "epochs": 20,
                "l2": {"kernel": 0.3, "recurrent": 0.3},
            },
        },
        expect=("over-regularised",),
        blames=frozenset({"over-regularised"}),
        cause=("true",),
        fixes=(Fix("without", "Take L2 away", ("cures",), {"training.l2": 0.0}, ours=True),),
    ),
)
