"""Article 004: the loss does not decrease. Blamed here: fit, gradients, architecture, the rate.

What it blames of the data is in `unclean_data.py`.
"""

from __future__ import annotations

from minirnn.diagnosis.cases import data, scripts
from minirnn.diagnosis.cases.case import Case, Fix, Tables
from minirnn.diagnosis.cases.output_loops import explodes, recalls, too_few
from minirnn.diagnosis.cases.unclean_data import CLIP, usual


def overfitted(seed: int, n: int = 280, epochs: int = 60) -> Tables:
    """Eighty noisy sequences, and a network with room to learn them by heart."""
    made = data.recent_sum(seed, n=n, T=10, features=2, noise=0.6)
    return {
        "data": {**made, "split": "last", "validation": 200 / n},
        "model": {"hidden_size": 48},
        "training": {"learning_rate": 5e-3, "epochs": epochs},
    }


CASES = (
    Case(
        "004.overfitting",
        "Overfitting keeps the loss from decreasing",
        "The training loss falls all the while; what is learned by heart does not serve others.",
        recipe=overfitted,
        expect=("overfitting",),
        blames=frozenset({"stalled-loss", "slow-learning", "underfitting"}),
        cause=("another cause",),
        covers=("cause: overfitting", "cause: overly complex architecture"),
        fixes=(
            Fix(
                "l1", "L1 of 0.003", ("helps", "cures"), {"training.l1": 3e-3}, covers=("fix: L1",)
            ),
            Fix("l2", "L2 of 0.01", ("helps", "cures"), {"training.l2": 1e-2}, covers=("fix: L2",)),
            Fix(
                "kernel",
                "L2 of 0.01 of the kernels alone",
                ("helps", "does nothing"),
                {"training.l2": {"kernel": 1e-2}},
                covers=("fix: L2",),
            ),
            Fix(
                "decay",
                "AdamW, weight decay of 0.1",
                ("does nothing",),
                {"training.optimizer": "adamw", "training.weight_decay": 0.1},
                covers=("fix: L2",),
            ),
            Fix(
                "dropout",
                "dropout=0.5 of the one-layer LSTM",
                ("cannot run",),
                {"model.dropout": 0.5},
                covers=("fix: dropout", "fix: LSTM with dropout"),
            ),
            Fix(
                "head",
                "Dropout 0.5 before the head",
                ("helps", "does nothing", "cures"),
                {"model.head_dropout": 0.5},
                covers=("fix: dropout", "fix: LSTM with dropout"),
            ),
            Fix(
                "augment",
                "Augment by noise of 0.5",
                ("helps", "does nothing", "cures"),
                {"data.augment.noise": 0.5},
                covers=("fix: augmentation",),
            ),
            Fix(
                "simpler",
                "A simpler model: 4 units",
                ("helps", "does nothing", "cures"),
                {"model.hidden_size": 4},
                covers=("fix: simpler model",),
            ),
            Fix(
                "early",
                "Stop early (patience 5)",
                ("helps", "cures", "does nothing"),
                {"training.early_stopping": 5},
                ours=True,
            ),
            Fix(
                "more",
                "Ten times the data, as many steps",
                ("cures", "helps"),
                instead=lambda seed: overfitted(seed, 1000, epochs=6),
                ours=True,
            ),
        ),
    ),
    Case(
        "004.one-layer",
        "nn.LSTM(..., dropout=0.5) regularises, in one layer",
        "It acts between layers: in one layer PyTorch warns, and the network is the same to the "
        "last digit. minirnn refuses it, and says why.",
        script=scripts.PLAIN,
        expect=(),
        cause=("false",),
        covers=("fix: LSTM with dropout",),
        fixes=(
            Fix(
                "dropout",
                "dropout=0.5 in one layer",
                ("does nothing",),
                (("batch_first=True", "batch_first=True, dropout=0.5"),),
                covers=("fix: dropout", "fix: LSTM with dropout"),
            ),
        ),
    ),
    Case(
        "004.underfitting",
        "Underfitting: the model is too simple",
        "Right.",
        recipe=too_few,
        expect=("underfitting",),
        blames=frozenset({"underfitting"}),
        cause=("true",),
        covers=("cause: underfitting",),
        fixes=(
            Fix(
                "units",
                "More hidden units (16)",
                ("cures",),
                {"model.hidden_size": 16},
                covers=("fix: more units",),
            ),
            Fix(
                "layers",
                "More layers (3)",
                ("does nothing", "makes it worse"),
                {"model.num_layers": 3},
                covers=("fix: more layers",),
            ),
            Fix(
                "rate",
                "Tune: a lower rate, more epochs",
                ("does nothing",),
                {"training.learning_rate": 3e-3, "training.epochs": 60},
                covers=("fix: tune",),
            ),
            Fix(
                "lstm",
                "Use an LSTM",
                ("does nothing", "makes it worse"),
                {"model.cell": "lstm"},
                covers=("fix: LSTM",),
            ),
        ),
    ),
    Case(
        "004.vanishing",
        "Vanishing gradients, in a simple RNN on long sequences",
        "Right. Clipping bounds what is too large and makes nothing larger.",
        recipe=recalls,
        expect=("vanishing-gradient",),
        blames=frozenset({"vanishing-gradient"}),
        cause=("true",),
        covers=("cause: vanishing gradients", "cause: simple RNN on long sequences"),
        fixes=(
            Fix(
                "clip",
                "Clip the gradient's norm to 0.5",
                ("does nothing",),
                CLIP,
                covers=("fix: clipping",),
            ),
            Fix(
                "lstm",
                "Use an LSTM",
                ("does nothing", "helps"),
                {"model.cell": "lstm"},
                covers=("fix: LSTM",),
            ),
            Fix("gru", "Use a GRU", ("does nothing",), {"model.cell": "gru"}, covers=("fix: GRU",)),
            Fix(
                "init",
                "Careful initialisation: orthogonal, small inputs, small steps",
                ("cures", "helps"),
                {"model.init.kernel": "uniform", "training.learning_rate": 3e-3},
                covers=("fix: initialisation",),
            ),
            Fix(
                "chrono",
                "A GRU whose gates begin open (chrono)",
                ("cures", "helps"),
                {"model.cell": "gru", "model.init.bias": "chrono"},
                ours=True,
            ),
        ),
    ),
    Case(
        "004.exploding",
        "Exploding gradients keep it from converging",
        "Right, and clipping cures it.",
        recipe=explodes,
        expect=("exploding-gradient", "non-finite"),
        blames=frozenset({"exploding-gradient", "non-finite"}),
        cause=("true",),
        covers=("cause: exploding gradients",),
        fixes=(
            Fix(
                "clip",
                "Clip the gradient's norm to 0.5",
                ("cures",),
                CLIP,
                covers=("fix: clipping",),
            ),
            Fix(
                "lstm",
                "Use an LSTM",
                ("cures", "helps"),
                {"model.cell": "lstm", "model.activation": "tanh"},
                covers=("fix: LSTM",),
            ),
            Fix(
                "init",
                "Careful initialisation: orthogonal",
                ("does nothing", "helps"),
                {"model.init.recurrent": "orthogonal"},
                covers=("fix: initialisation",),
            ),
        ),
    ),
    Case(
        "004.rate",
        "Hyperparameters: far too high a rate",
        "Right. A scheduler that waits for a plateau comes too late, or lowers too little.",
        recipe=lambda seed: usual(seed, learning_rate=3.0),
        expect=("oscillating-loss",),
        blames=frozenset({"oscillating-loss"}),
        cause=("true",),
        covers=("cause: hyperparameters",),
        fixes=(
            Fix(
                "lower",
                "Tune the rate",
                ("cures",),
                {"training.learning_rate": 1e-2},
                covers=("fix: tune",),
            ),
            Fix(
                "plateau",
                "ReduceLROnPlateau, factor 0.5, patience 5",
                ("does nothing", "makes it worse"),
                {"training.scheduler": {"name": "plateau", "factor": 0.5, "patience": 5}},
                covers=("fix: scheduler",),
            ),
            Fix(
                "steep",
                "ReduceLROnPlateau, factor 0.05, patience 1",
                ("helps", "does nothing"),
                {"training.scheduler": {"name": "plateau", "factor": 0.05, "patience": 1}},
                covers=("fix: scheduler",),
            ),
            Fix(
                "clip",
                "Clip the gradient",
                ("does nothing", "makes it worse"),
                CLIP,
                covers=("fix: clipping",),
            ),
        ),
    ),
)
