"""Article 004, of the data: gaps, outliers, scales, padding, leakage, features, labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.diagnosis.cases import data
from minirnn.diagnosis.cases.case import Case, Fix, Tables
from minirnn.diagnosis.cases.measures import ACCURACY, SKILL

CLIP = {"training.clip_norm": 0.5}


def usual(seed: int, made: data.Data | None = None, cell: str = "lstm", **training: Any) -> Tables:
    """A network that learns its task."""
    return {
        "data": data.recent_sum(seed) if made is None else made,
        "model": {"cell": cell, "hidden_size": 24},
        "training": {"learning_rate": 1e-2, "epochs": 20, **training},
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
    """Sequences of 4 to 10 steps, padded with zeros to 110, and read at the last step."""
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
    made = data.classes(seed, n=1000)
    score = made["x"][:, -3:, 0].sum(axis=1)
    labels = (score > np.quantile(score, 0.8)).astype(np.int64)
    return {
        "data": {**made, "y": labels},
        "model": {"hidden_size": 20},
        "training": {"loss": "cross_entropy", "learning_rate": 3e-5, "epochs": 12},
    }


CASES = (
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
                "minmax",
                "Scale to 0..1 (MinMaxScaler)",
                ("does nothing", "makes it worse"),
                {"data.scale": "minmax"},
                covers=("fix: normalise",),
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
                ("cures", "helps"),
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
        measure=SKILL,
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
)
