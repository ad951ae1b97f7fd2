"""Article 002: an LSTM with a constant output. Blamed: gates, long pasts, the rate, the data."""

from __future__ import annotations

import numpy as np

from minirnn.diagnosis.cases import data
from minirnn.diagnosis.cases.case import Case, Fix, Tables
from minirnn.diagnosis.cases.lstm_examples import TOO_MUCH, article, labels, usual
from minirnn.diagnosis.cases.measures import ACCURACY


def saturated(seed: int) -> Tables:
    """Inputs near 300, fed as they are."""
    made = data.recent_sum(seed)
    made["x"] = (300 + 12 * made["x"]).astype(np.float32)
    return {**usual(seed), "data": made}


def remembers(seed: int) -> Tables:
    """Forget gates that begin at 0.99: what the article takes for the illness."""
    return {
        "data": data.recall(seed, n=400, T=32),
        "model": {"hidden_size": 24, "init": {"forget_bias": 5.0}},
        "training": {"learning_rate": 1e-2, "epochs": 40},
    }


def forgets(seed: int) -> Tables:
    """Forget gates that begin at 1/2 where 60 steps have to be remembered."""
    return {
        "data": data.recall(seed, n=400, T=60),
        "model": {"hidden_size": 16, "init": {"kernel": "uniform", "forget_bias": 0.0}},
        "training": {"learning_rate": 1e-2, "epochs": 25},
    }


def scarce(seed: int, n: int = 30) -> Tables:
    """Thirty sequences whose labels can be learned."""
    return article(labels(seed, n), epochs=40, rate=5e-3)


def flat(seed: int) -> Tables:
    """A series that hardly varies while it is trained on, and then does."""
    values = data.noisy_sine(seed, n=500, turns=12)
    values[:400] *= 0.01
    return {
        "data": {**data.series(values), "window": 20},
        "model": {"hidden_size": 16},
        "training": {"learning_rate": 5e-3, "epochs": 15},
    }


def lively(seed: int) -> Tables:
    """The same series, which varies all the time."""
    values = data.noisy_sine(seed, n=500, turns=12)
    return {**flat(seed), "data": {**data.series(values), "window": 20}}


CASES = (
    Case(
        "002.saturated",
        "Gates near 0 or 1 suppress the gradient",
        "They do where unscaled inputs pin them: the scale is the root. Neither data nor penalty "
        "nor initialisation frees them.",
        recipe=saturated,
        expect=("unscaled-input",),
        blames=frozenset({"saturated-gates"}),
        cause=("a consequence",),
        covers=("cause: saturated gates",),
        fixes=(
            Fix(
                "l2",
                "Add L2 of 0.01",
                ("does nothing",),
                TOO_MUCH,
                covers=("fix: L2",),
            ),
            Fix(
                "more",
                "Use four times the data",
                ("does nothing",),
                lambda seed: _scaled_up(seed),
                covers=("fix: more data",),
            ),
            Fix(
                "standard",
                "Standardise the inputs",
                ("cures",),
                {"data.scale": "standard"},
                ours=True,
            ),
        ),
    ),
    Case(
        "002.forget-near-1",
        "A forget gate near 1 stops the gradient",
        "It is the reverse: near 1 it hands the gradient on unchanged, and the network remembers.",
        recipe=remembers,
        expect=(),
        cause=("false",),
        covers=("cause: saturated gates", "cause: tanh near 0"),
        fixes=(
            Fix(
                "half",
                "Begin with forget gates at 1/2",
                ("makes it worse",),
                {"model.init.forget_bias": 0.0},
                covers=("cause: saturated gates",),
            ),
        ),
    ),
    Case(
        "002.long",
        "Gradients vanish over long sequences, in an LSTM too",
        "Right, with forget gates that begin at 1/2 as PyTorch's do: chrono opens them.",
        recipe=forgets,
        expect=("vanishing-gradient",),
        blames=frozenset({"vanishing-gradient"}),
        cause=("true",),
        covers=("cause: vanishing gradients", "cause: long sequences"),
        fixes=(
            Fix("l2", "Add L2 of 0.01", ("does nothing",), TOO_MUCH, covers=("fix: L2",)),
            Fix(
                "glorot",
                "Initialise by glorot_uniform",
                ("does nothing",),
                {"model.init.kernel": "glorot_uniform"},
                covers=("fix: glorot",),
            ),
            Fix(
                "bias",
                "Forget bias 1",
                ("does nothing", "helps", "cures"),
                {"model.init.forget_bias": 1.0},
                ours=True,
            ),
            Fix(
                "chrono",
                "Gates that begin open (chrono)",
                ("cures", "helps"),
                {
                    "model.init.kernel": "glorot_uniform",
                    "model.init.bias": "chrono",
                    "training.epochs": 60,
                },
                ours=True,
            ),
        ),
    ),
    Case(
        "002.slow",
        "Too low a learning rate looks like a constant output",
        "Right.",
        recipe=lambda seed: usual(seed, learning_rate=1e-5),
        expect=("slow-learning",),
        blames=frozenset({"slow-learning"}),
        cause=("true",),
        covers=("cause: rate too low",),
        fixes=(
            Fix(
                "higher",
                "Raise the rate",
                ("cures",),
                {"training.learning_rate": 1e-2},
                covers=("fix: check the rate",),
            ),
            Fix(
                "more",
                "Use four times the data",
                ("does nothing",),
                lambda seed: _arrays(data.recent_sum(seed, n=1600)),
                covers=("fix: more data",),
            ),
        ),
    ),
    Case(
        "002.fast",
        "Too high a learning rate overshoots",
        "Right.",
        recipe=lambda seed: usual(seed, learning_rate=3.0),
        expect=("oscillating-loss",),
        blames=frozenset({"oscillating-loss"}),
        cause=("true",),
        covers=("cause: rate too high",),
        fixes=(
            Fix(
                "lower",
                "Lower the rate",
                ("cures",),
                {"training.learning_rate": 1e-2},
                covers=("fix: check the rate",),
            ),
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
        "002.scarce",
        "Scarce data (30 sequences with labels that can be learned)",
        "They are learned by heart; the output is not constant. More data do cure it.",
        recipe=scarce,
        expect=("overfitting",),
        blames=frozenset({"constant-output", "vanishing-gradient", "saturated-gates"}),
        cause=("another cause",),
        covers=("cause: scarce data",),
        measure=ACCURACY,
        curable=False,
        fixes=(
            Fix(
                "more",
                "Use thirty times the data",
                ("cures", "helps"),
                instead=lambda seed: scarce(seed, 900),
                covers=("fix: more data",),
            ),
            Fix(
                "augment",
                "Augment them by noise",
                ("does nothing", "helps"),
                {"data.augment.noise": 0.1},
                covers=("fix: augmentation",),
            ),
        ),
    ),
    Case(
        "002.variability",
        "Data that hardly vary teach nothing",
        "Right: what is asked later lies outside of what was seen.",
        recipe=flat,
        expect=("outside-training-range", "low-data-diversity"),
        blames=frozenset({"outside-training-range", "low-data-diversity"}),
        cause=("true",),
        covers=("cause: low variability",),
        curable=False,
        fixes=(
            Fix(
                "lively",
                "Train on data that vary",
                ("cures",),
                instead=lively,
                covers=("fix: more data",),
            ),
        ),
    ),
    Case(
        "002.initialisation",
        "Poor initialisation gives a constant output",
        "An LSTM whose input kernel begins within 0.05 learns as well.",
        recipe=lambda seed: usual(seed, model={"init": {"kernel": "uniform"}}),
        expect=(),
        cause=("false",),
        covers=("cause: poor initialisation",),
        fixes=(
            Fix(
                "glorot",
                "Initialise by glorot_uniform",
                ("does nothing",),
                {"model.init.kernel": "glorot_uniform"},
                covers=("fix: glorot",),
            ),
        ),
    ),
)


def _arrays(made: data.Data) -> dict[str, object]:
    return {"data.x": made["x"], "data.y": made["y"]}


def _scaled_up(seed: int) -> dict[str, object]:
    made = data.recent_sum(seed, n=1600)
    return {"data.x": (300 + 12 * made["x"]).astype(np.float32), "data.y": made["y"]}
