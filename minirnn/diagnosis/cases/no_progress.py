"""Article 004: the loss does not decrease. Blamed: nearly everything; each for itself here."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.diagnosis.cases import data
from minirnn.diagnosis.cases.case import Case, Fix, Tables
from minirnn.diagnosis.cases.measures import ACCURACY
from minirnn.diagnosis.cases.output_loops import explodes, recalls, too_few

CLIP = {"training.clip_norm": 0.5}


def usual(seed: int, made: data.Data | None = None, cell: str = "lstm", **training: Any) -> Tables:
    """A network that learns its task."""
    return {
        "data": data.recent_sum(seed) if made is None else made,
        "model": {"cell": cell, "hidden_size": 24},
        "training": {"learning_rate": 1e-2, "epochs": 20, **training},
    }


def overfitted(seed: int, n: int = 280) -> Tables:
    """Eighty noisy sequences, and a network with room to learn them by heart."""
    made = data.recent_sum(seed, n=n, T=10, features=2, noise=0.6)
    return {
        "data": {**made, "split": "last", "validation": 200 / n},
        "model": {"hidden_size": 48},
        "training": {"learning_rate": 5e-3, "epochs": 60},
    }


def with_gaps(seed: int) -> Tables:
    """One value in two hundred is missing."""
    made = data.recent_sum(seed)
    hole = data.rng_of(seed, "gaps").random(made["x"].shape) < 0.005
    made["x"] = np.where(hole, np.nan, made["x"]).astype(np.float32)
    return usual(seed, made)


def marked(seed: int) -> Tables:
    """The same, with -999 for what is missing."""
    tables = with_gaps(seed)
    made = tables["data"]
    filled = np.where(np.isnan(made["x"]), -999, made["x"]).astype(np.float32)
    return {**tables, "data": {**made, "x": filled, "scale": "standard"}}


def with_outliers(seed: int) -> Tables:
    """One target in fifty, and one input in a hundred, a hundred times too large."""
    made = data.recent_sum(seed)
    rng = data.rng_of(seed, "outliers")
    far = rng.random(made["y"].shape) < 0.02
    far[:3] = True
    made["y"] = np.where(far, 150 * rng.uniform(1, 3, far.shape), made["y"]).astype(np.float32)
    return usual(seed, made)


def unscaled(seed: int) -> Tables:
    """Two features, one of them a thousand times larger than the one that tells."""
    made = data.recent_sum(seed, features=2)
    made["x"][:, :, 1] *= 1000
    return usual(seed, made)


def padded(seed: int, known: bool = False) -> Tables:
    """Sequences of 4 to 10 steps, padded with zeros to 80, and read at the last step."""
    made = data.padded_sum(seed)
    if not known:
        del made["lengths"]
    return usual(seed, made, cell="rnn")


def scaled_too_early(seed: int) -> Tables:
    """A series that was standardised as a whole, before its last fifth was held out."""
    values = data.calming(seed)
    return {
        "data": {**data.series((values - values.mean()) / values.std()), "window": 20},
        "model": {"hidden_size": 20},
        "training": {"learning_rate": 1e-2, "epochs": 20},
    }


def scaled_in_time(seed: int) -> Tables:
    """The same series as it was, scaled by its training part, and fed as changes."""
    raw = {**data.series(data.calming(seed)), "window": 20, "scale": "standard"}
    return {**scaled_too_early(seed), "data": raw}


def trending(seed: int) -> Tables:
    """A series that grows out of the range it was trained in."""
    values = np.arange(500) / 40 + np.sin(np.arange(500) / 4)
    values += 0.1 * data.rng_of(seed, "trend").normal(size=500)
    return {
        "data": {**data.series(values), "window": 24, "scale": "standard"},
        "model": {"hidden_size": 20},
        "training": {"learning_rate": 1e-2, "epochs": 20},
    }


def rare(seed: int) -> Tables:
    """Labels of which four in five are the same, and a rate that learns nothing else."""
    made = data.classes(seed, n=700)
    score = made["x"][:, -3:, 0].sum(axis=1)
    labels = (score > np.quantile(score, 0.8)).astype(np.int64)
    return {
        "data": {**made, "y": labels},
        "model": {"hidden_size": 20},
        "training": {"loss": "cross_entropy", "learning_rate": 3e-5, "epochs": 15},
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
                ("helps", "cures"),
                {"training.l2": {"kernel": 1e-2}},
                covers=("fix: L2",),
            ),
            Fix(
                "decay",
                "AdamW, weight decay of 0.1",
                ("helps", "cures", "does nothing"),
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
                "Ten times the data",
                ("cures", "helps"),
                instead=lambda seed: overfitted(seed, 1000),
                ours=True,
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
                ("helps", "does nothing", "cures"),
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
                ("cures", "helps"),
                {"model.init.recurrent": "orthogonal"},
                covers=("fix: initialisation",),
            ),
        ),
    ),
    Case(
        "004.missing",
        "Missing values",
        "Right: one NaN makes everything NaN.",
        recipe=with_gaps,
        expect=("missing-values",),
        blames=frozenset({"missing-values"}),
        cause=("true",),
        covers=("cause: missing values",),
        fixes=(
            Fix(
                "clean",
                "Fill them between their neighbours",
                ("cures",),
                {"data.missing": "interpolate"},
                covers=("fix: cleaning",),
            ),
            Fix(
                "standard",
                "Standardise",
                ("does nothing",),
                {"data.scale": "standard"},
                covers=("fix: standardise",),
            ),
            Fix("clip", "Clip the gradient", ("does nothing",), CLIP, covers=("fix: clipping",)),
        ),
    ),
    Case(
        "004.marks",
        "Inconsistent formats: -999 for what is missing",
        "Right: the mark is taken for a number, which takes the scale for itself.",
        recipe=marked,
        expect=("missing-values", "outliers"),
        blames=frozenset({"missing-values", "outliers"}),
        cause=("true",),
        covers=("cause: inconsistent formats",),
        fixes=(
            Fix(
                "clean",
                "Say that -999 is none, and fill",
                ("cures",),
                {"data.missing_value": -999.0, "data.missing": "interpolate"},
                covers=("fix: cleaning",),
            ),
            Fix(
                "standard",
                "Standardise",
                ("does nothing", "makes it worse"),
                {"data.scale": "standard"},
                covers=("fix: standardise",),
            ),
        ),
    ),
    Case(
        "004.outliers",
        "Outliers",
        "Right: a few of them take the squared error for themselves.",
        recipe=with_outliers,
        expect=("outliers",),
        blames=frozenset({"outliers"}),
        cause=("true",),
        covers=("cause: outliers",),
        fixes=(
            Fix(
                "huber",
                "A loss that bounds their pull (huber)",
                ("cures", "helps"),
                {"training.loss": "huber"},
                covers=("fix: cleaning",),
            ),
            Fix(
                "minmax",
                "Scale to 0..1 (MinMaxScaler)",
                ("does nothing",),
                {"data.scale": "minmax"},
                covers=("fix: normalise",),
            ),
            Fix(
                "standard",
                "Standardise",
                ("does nothing",),
                {"data.scale": "standard"},
                covers=("fix: standardise",),
            ),
        ),
    ),
    Case(
        "004.unscaled",
        "No feature scaling: large features dominate",
        "Right.",
        recipe=unscaled,
        expect=("unscaled-input",),
        blames=frozenset({"unscaled-input"}),
        cause=("true",),
        covers=("cause: no scaling",),
        fixes=(
            Fix(
                "minmax",
                "Scale to 0..1 (MinMaxScaler)",
                ("cures", "helps"),
                {"data.scale": "minmax"},
                covers=("fix: normalise",),
            ),
            Fix(
                "standard",
                "Standardise (StandardScaler)",
                ("cures",),
                {"data.scale": "standard"},
                covers=("fix: standardise",),
            ),
            Fix(
                "layer",
                "Normalise over the layer instead",
                ("does nothing",),
                {"model.norm": "layer"},
                covers=("fix: standardise",),
            ),
            Fix("clip", "Clip the gradient", ("does nothing",), CLIP, covers=("fix: clipping",)),
        ),
    ),
    Case(
        "004.padding",
        "(advised) Pad sequences to one length, read out[:, -1]",
        "out[:, -1] of a padded sequence is read from its padding: the lengths have to be told.",
        recipe=padded,
        expect=("reads-padding",),
        blames=frozenset({"reads-padding"}),
        cause=("true",),
        covers=("fix: padding",),
        curable=False,
        fixes=(
            Fix(
                "head",
                "Dropout before the head",
                ("does nothing",),
                {"model.head_dropout": 0.3},
                covers=("fix: LSTM with dropout",),
            ),
            Fix(
                "lengths",
                "Tell the lengths",
                ("cures",),
                instead=lambda seed: padded(seed, known=True),
                ours=True,
            ),
        ),
    ),
    Case(
        "004.leakage",
        "(advised) scaler.fit_transform(data), then split",
        "The scaler has seen what is held out; its text says so, its example does otherwise.",
        recipe=scaled_too_early,
        expect=("leakage",),
        blames=frozenset({"leakage"}),
        cause=("true",),
        covers=("example: fits the scaler on all data",),
        curable=False,
        fixes=(
            Fix(
                "train",
                "Fit the scaler on the training part",
                ("helps", "does nothing", "cures", "makes it worse"),
                instead=scaled_in_time,
                covers=("fix: same scaling",),
            ),
        ),
    ),
    Case(
        "004.features",
        "Features that do not show the pattern",
        "Right: a level that grows leaves the range of training; its changes do not.",
        recipe=trending,
        expect=("outside-training-range",),
        blames=frozenset({"outside-training-range"}),
        cause=("true",),
        covers=("cause: features",),
        fixes=(
            Fix(
                "change",
                "Engineer the feature: feed the changes",
                ("cures", "helps"),
                {"data.transform": "change"},
                covers=("fix: feature engineering",),
            ),
            Fix(
                "units",
                "More hidden units",
                ("does nothing", "helps"),
                {"model.hidden_size": 64},
                covers=("fix: more units",),
            ),
        ),
    ),
    Case(
        "004.accuracy",
        "The validation accuracy does not improve, at a loss that looks low",
        "Four labels in five are the same: an accuracy of 0.8 is nothing. Measure beside the loss.",
        recipe=rare,
        expect=("slow-learning",),
        blames=frozenset({"slow-learning"}),
        cause=("true",),
        covers=("cause: hyperparameters",),
        measure=ACCURACY,
        fixes=(
            Fix(
                "metric",
                "Watch the accuracy",
                ("does nothing",),
                {"training.metrics": ["accuracy"]},
                covers=("fix: metrics",),
            ),
            Fix(
                "rate",
                "Tune the rate",
                ("cures", "helps"),
                {"training.learning_rate": 1e-2},
                covers=("fix: tune",),
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
                ("does nothing",),
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
            Fix("clip", "Clip the gradient", ("does nothing",), CLIP, covers=("fix: clipping",)),
        ),
    ),
)
