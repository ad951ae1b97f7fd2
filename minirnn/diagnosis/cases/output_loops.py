"""Article 000: the output loops. Blamed: gradients, initialisation, the rate, too few units."""

from __future__ import annotations

from typing import Any

from minirnn.diagnosis.cases import data
from minirnn.diagnosis.cases.case import Case, Fix, Tables

CAREFUL = {"learning_rate": 3e-3, "epochs": 25}
QUICK = {"learning_rate": 1e-2, "epochs": 25}
REMEMBERS = {
    "model.init.kernel": "uniform",
    "model.init.recurrent": "orthogonal",
    "training.learning_rate": 3e-3,
}


def recalls(seed: int, T: int = 60, **model: Any) -> Tables:
    """A small network that has to remember T steps."""
    return {
        "data": data.recall(seed, n=400, T=T),
        "model": {"cell": "rnn", "hidden_size": 16, **model},
        "training": QUICK,
    }


def forgetful(seed: int) -> Tables:
    """One whose kernels, the recurrent one too, begin within 0.05; small steps."""
    small = {"kernel": "uniform", "recurrent": "uniform"}
    tables = recalls(seed, T=32, init=small)
    return {**tables, "training": CAREFUL}


def explodes(seed: int) -> Tables:
    """A relu RNN of the identity, in which every input is kept and summed, trained by plain SGD."""
    return {
        "data": data.total(seed),
        "model": {
            "cell": "rnn",
            "hidden_size": 16,
            "activation": "relu",
            "init": {"recurrent": "identity"},
        },
        "training": {"optimizer": "sgd", "learning_rate": 0.02, "epochs": 30},
    }


def initialised(seed: int) -> Tables:
    """The article's second example: SimpleRNN(10), whose input kernel alone begins uniform."""
    return {
        "data": data.summing(seed, T=10),
        "model": {
            "cell": "rnn",
            "hidden_size": 10,
            "readout": "all",
            "init": {"kernel": "uniform"},
        },
        "training": {"learning_rate": 1e-2, "epochs": 20},
    }


def at_rate(seed: int, rate: float) -> Tables:
    """The article's third example: LSTM(50) on 20 steps, at a rate."""
    return {
        "data": data.summing(seed, n=160),
        "model": {"hidden_size": 50, "readout": "all"},
        "training": {"learning_rate": rate, "epochs": 15},
    }


def too_few(seed: int) -> Tables:
    """One unit, where two numbers have to be told from one another."""
    return {
        "data": data.two_sums(seed),
        "model": {"cell": "rnn", "hidden_size": 1},
        "training": {"learning_rate": 1e-2, "epochs": 30},
    }


CASES = (
    Case(
        "000.vanishing",
        "Gradients vanish over a long sequence, so the RNN repeats itself",
        "They do, where the task needs that lag; but an LSTM forgets too, unless its gates begin "
        "open (chrono) or a plain RNN begins orthogonal, with small inputs and steps.",
        recipe=recalls,
        expect=("vanishing-gradient",),
        blames=frozenset({"vanishing-gradient"}),
        cause=("true",),
        covers=("cause: vanishing gradients", "cause: long sequences"),
        fixes=(
            Fix(
                "lstm",
                "Use an LSTM",
                ("does nothing", "helps"),
                {"model.cell": "lstm"},
                covers=("fix: LSTM",),
            ),
            Fix(
                "lstm-forgets",
                "Use an LSTM, forget bias 0 as PyTorch's",
                ("does nothing",),
                {"model.cell": "lstm", "model.init.forget_bias": 0.0},
                covers=("fix: LSTM",),
            ),
            Fix(
                "gru",
                "Use a GRU",
                ("does nothing",),
                {"model.cell": "gru"},
                covers=("fix: GRU",),
            ),
            Fix(
                "chrono",
                "Use a GRU whose gates begin open (chrono)",
                ("cures", "helps"),
                {"model.cell": "gru", "model.init.bias": "chrono"},
                ours=True,
            ),
            Fix(
                "orthogonal",
                "Keep the RNN: orthogonal, small inputs, small steps",
                ("cures", "helps"),
                REMEMBERS,
                ours=True,
            ),
        ),
    ),
    Case(
        "000.exploding",
        "Gradients explode, so nothing far back is learned",
        "They do in a relu RNN that keeps all that it sees: clipping cures it.",
        recipe=explodes,
        expect=("exploding-gradient", "non-finite"),
        blames=frozenset({"exploding-gradient", "non-finite"}),
        cause=("true",),
        covers=("cause: exploding gradients",),
        fixes=(
            Fix(
                "lstm",
                "Use an LSTM",
                ("cures", "helps"),
                {"model.cell": "lstm", "model.activation": "tanh"},
                covers=("fix: LSTM",),
            ),
            Fix(
                "rate",
                "Lower the learning rate tenfold",
                ("cures", "helps", "does nothing"),
                {"training.learning_rate": 2e-3},
                covers=("fix: lower rate",),
            ),
        ),
    ),
    Case(
        "000.initialisation",
        "random_uniform weights make the RNN loop",
        "The example changes the input kernel alone; the recurrent one stays orthogonal, and the "
        "network learns.",
        recipe=initialised,
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
            Fix(
                "he",
                "Initialise by he_normal",
                ("does nothing",),
                {"model.init.kernel": "he_normal"},
                covers=("fix: he",),
            ),
        ),
    ),
    Case(
        "000.recurrent",
        "(left out) the recurrent kernel itself begins small",
        "Then the state forgets within a few steps, whatever the input kernel begins with.",
        recipe=forgetful,
        expect=("vanishing-gradient",),
        blames=frozenset({"vanishing-gradient"}),
        cause=("true",),
        fixes=(
            Fix(
                "glorot",
                "Initialise the kernel by glorot_uniform",
                ("does nothing",),
                {"model.init.kernel": "glorot_uniform"},
                covers=("fix: glorot",),
            ),
            Fix(
                "he",
                "Initialise the kernel by he_normal",
                ("does nothing",),
                {"model.init.kernel": "he_normal"},
                covers=("fix: he",),
            ),
            Fix(
                "orthogonal",
                "Begin with an orthogonal recurrent kernel",
                ("cures", "helps"),
                {"model.init.recurrent": "orthogonal"},
                ours=True,
            ),
        ),
    ),
    Case(
        "000.rate",
        "Adam at 0.05 makes the LSTM oscillate and loop",
        "At 0.05 this network learns its task: the rate is high, and no illness.",
        recipe=lambda seed: at_rate(seed, 0.05),
        expect=(),
        cause=("false",),
        covers=("cause: learning rate",),
        fixes=(
            Fix(
                "lower",
                "Lower it to 0.01",
                ("does nothing",),
                {"training.learning_rate": 0.01},
                covers=("fix: lower rate",),
            ),
            Fix(
                "plateau",
                "Lower it on plateaus (ReduceLROnPlateau)",
                ("does nothing",),
                {"training.scheduler": {"name": "plateau", "factor": 0.5, "patience": 3}},
                covers=("fix: scheduler",),
            ),
        ),
    ),
    Case(
        "000.high-rate",
        "Far too high a rate oscillates around the solution",
        "At 3 the loss goes up and down: an oscillating loss, which is no loop of the output.",
        recipe=lambda seed: at_rate(seed, 3.0),
        expect=("oscillating-loss",),
        blames=frozenset({"oscillating-loss"}),
        cause=("true",),
        covers=("cause: learning rate", "cause: oscillation is a loop"),
        fixes=(
            Fix(
                "lower",
                "Lower it to 0.01",
                ("cures",),
                {"training.learning_rate": 0.01},
                covers=("fix: lower rate",),
            ),
            Fix(
                "tenth",
                "Lower it tenfold",
                ("helps", "cures"),
                {"training.learning_rate": 0.3},
                covers=("fix: lower rate",),
            ),
            Fix(
                "plateau",
                "Lower it on plateaus by 0.1, patience 2",
                ("does nothing", "helps"),
                {"training.scheduler": {"name": "plateau", "factor": 0.1, "patience": 2}},
                covers=("fix: scheduler",),
            ),
            Fix(
                "early",
                "Stop early (patience 3)",
                ("does nothing",),
                {"training.early_stopping": 3},
                covers=("fix: early stopping",),
            ),
        ),
    ),
    Case(
        "000.units",
        "Too few hidden units fall back on repeating patterns",
        "Too few units underfit: the answers are poor, and follow their inputs all the same.",
        recipe=too_few,
        expect=("underfitting",),
        blames=frozenset({"underfitting"}),
        cause=("true",),
        covers=("cause: too few units",),
        fixes=(
            Fix(
                "more",
                "Use 16 units",
                ("cures",),
                {"model.hidden_size": 16},
                covers=("fix: more units",),
            ),
        ),
    ),
    Case(
        "000.activation",
        "The choice of activation functions makes it loop",
        "A sigmoid's slope is at most 1/4: over 25 steps its gradient is gone.",
        recipe=lambda seed: recalls(seed, T=25, activation="sigmoid"),
        expect=("vanishing-gradient",),
        blames=frozenset({"vanishing-gradient"}),
        cause=("true",),
        covers=("cause: activation",),
        fixes=(
            Fix(
                "tanh",
                "Use tanh",
                ("cures", "helps"),
                {"model.activation": "tanh"},
                covers=("fix: activation",),
            ),
            Fix(
                "relu",
                "Use relu",
                ("does nothing",),
                {"model.activation": "relu"},
                covers=("fix: activation",),
            ),
        ),
    ),
)
