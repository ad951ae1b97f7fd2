"""Article 001: identical outputs for different inputs. Blamed: state, scale, activation."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.diagnosis.build import build_model
from minirnn.diagnosis.cases import data, scripts
from minirnn.diagnosis.cases.case import Case, Fix, Tables
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.recipe import Recipe

USUAL = {"learning_rate": 1e-2, "epochs": 20}
STANDARD = {"data.scale": "standard"}


def plain(seed: int, **model: Any) -> Tables:
    """The article's network, RNN(32) that reads the last step, on a task it can learn."""
    return {
        "data": data.recent_sum(seed),
        "model": {"cell": "rnn", "hidden_size": 32, **model},
        "training": {"learning_rate": 3e-3, "epochs": 20},
    }


def unscaled(seed: int) -> Tables:
    """The same values around 1000."""
    made = data.recent_sum(seed)
    made["x"] = (1000 + 10 * made["x"]).astype(np.float32)
    return {**plain(seed), "data": made}


def wild(seed: int) -> Tables:
    """Two features, one of them a thousand times as large as the one that tells."""
    made = data.recent_sum(seed, features=2)
    made["x"][:, :, 1] *= 1000
    return {**plain(seed), "data": made}


def more_unscaled(seed: int) -> dict[str, object]:
    """Four times as many sequences around 1000."""
    made = data.recent_sum(seed, n=1600)
    return {"data.x": (1000 + 10 * made["x"]).astype(np.float32), "data.y": made["y"]}


def dying(seed: int) -> Tables:
    """Positive inputs, and of a relu RNN of three units those weights that switch all of them off.

    One draw in eight has them; the first from 1000 times the seed on is taken.
    """
    made = data.recent_sum(seed, T=8)
    made["x"] = np.abs(made["x"] + 2) + np.float32(0.01)
    made["y"] = made["x"][:, -3:, 0].sum(axis=1, keepdims=True) - 6
    tables = {**plain(seed, activation="relu", hidden_size=3), "data": made}
    first = 1000 * seed
    return {
        **tables,
        "training": {"learning_rate": 1e-2, "epochs": 30, "seed": _all_off(tables, first)},
    }


def _all_off(tables: Tables, first: int) -> int:
    recipe = Recipe.from_dict(tables)
    prepared = prepare(recipe)
    for number in range(first, first + 1000):
        model = build_model(recipe.edit({"training.seed": number}), prepared)
        if (model.recurrent.state_dict()["weight_ih_l0"] < 0).all():
            return number
    raise AssertionError("no draw of a thousand")


CASES = (
    Case(
        "001.zero-state",
        "A constant initial state makes all inputs end in the same state",
        "Inputs move the state away from wherever it began; a random start only adds noise, which "
        "is forgotten within some tens of steps.",
        recipe=plain,
        expect=(),
        cause=("false",),
        covers=("cause: constant initial state",),
        fixes=(
            Fix(
                "random",
                "Begin each sequence with a random state",
                ("does nothing",),
                {"model.initial_state": "random"},
                covers=("fix: random initial state",),
            ),
            Fix(
                "learned",
                "Learn the state it begins with",
                ("does nothing",),
                {"model.initial_state": "learned"},
                ours=True,
            ),
        ),
    ),
    Case(
        "001.carried-state",
        "The state is not reset for each sequence",
        "Right: a state carried between sequences that have nothing in common is noise; outputs "
        "differ all the same.",
        recipe=lambda seed: carried(seed),
        expect=("carried-state",),
        blames=frozenset({"carried-state"}),
        cause=("true",),
        covers=("cause: state not reset",),
        fixes=(
            Fix(
                "zeros",
                "Begin each sequence with zeros",
                ("cures",),
                {"model.initial_state": "zeros"},
                covers=("fix: zero state per sequence",),
            ),
        ),
    ),
    Case(
        "001.unscaled",
        "Unscaled inputs (near 1000) make outputs alike",
        "Right: they saturate the units, whose outputs are then the same for every input. "
        "Only scaling helps.",
        recipe=unscaled,
        expect=("unscaled-input",),
        blames=frozenset({"unscaled-input"}),
        cause=("true",),
        covers=("cause: unscaled data", "cause: vanishing or exploding gradients"),
        fixes=(
            Fix(
                "standard",
                "Standardise (StandardScaler)",
                ("cures",),
                STANDARD,
                covers=("fix: standardise",),
            ),
            Fix(
                "minmax",
                "Normalise to 0..1",
                ("cures", "helps"),
                {"data.scale": "minmax"},
                covers=("fix: normalise",),
            ),
            Fix(
                "sigmoid",
                "Use sigmoid",
                ("does nothing",),
                {"model.activation": "sigmoid"},
                covers=("fix: sigmoid",),
            ),
            Fix(
                "relu",
                "Use relu",
                ("does nothing",),
                {"model.activation": "relu"},
                covers=("fix: relu",),
            ),
            Fix(
                "random",
                "Begin with a random state",
                ("does nothing",),
                {"model.initial_state": "random"},
                covers=("fix: random initial state",),
            ),
            Fix(
                "more",
                "Use four times the data",
                ("does nothing",),
                more_unscaled,
                covers=("fix: more data",),
            ),
        ),
    ),
    Case(
        "001.variance",
        "High variance without standardisation hides the pattern",
        "Right: the large feature saturates the units, and the other is not seen.",
        recipe=wild,
        expect=("unscaled-input",),
        blames=frozenset({"unscaled-input"}),
        cause=("true",),
        covers=("cause: high variance",),
        fixes=(Fix("standard", "Standardise", ("cures",), STANDARD, covers=("fix: standardise",)),),
    ),
    Case(
        "001.tanh",
        "tanh saturates and makes outputs alike; try sigmoid",
        "On scaled inputs tanh learns this; sigmoid, with a slope of 1/4 at most, is slower.",
        recipe=plain,
        expect=(),
        cause=("false",),
        covers=("cause: tanh",),
        fixes=(
            Fix(
                "sigmoid",
                "Use sigmoid",
                ("makes it worse", "does nothing"),
                {"model.activation": "sigmoid"},
                covers=("fix: sigmoid",),
            ),
            Fix(
                "relu",
                "Use relu",
                ("does nothing",),
                {"model.activation": "relu"},
                covers=("fix: relu",),
            ),
        ),
    ),
    Case(
        "001.nonlinearity",
        "nn.RNN(nonlinearity='sigmoid') lets one compare",
        "PyTorch's RNN knows tanh and relu; the example stops with an error.",
        script=scripts.SIGMOID,
        expect=(),
        cause=("cannot run",),
        covers=("fix: sigmoid",),
        curable=False,
        fixes=(
            Fix(
                "tanh",
                "nonlinearity='tanh'",
                ("cures",),
                (("'sigmoid'", "'tanh'"),),
                covers=("fix: tanh",),
            ),
            Fix(
                "relu",
                "nonlinearity='relu'",
                ("cures", "helps"),
                (("'sigmoid'", "'relu'"),),
                covers=("fix: relu",),
            ),
        ),
    ),
    Case(
        "001.dying-relu",
        "Units of a relu die and stop updating",
        "Right: a unit that is off for every input has no gradient to come back by, and where all "
        "are, one answer is left. tanh has no such end; steps of another size change nothing.",
        recipe=dying,
        expect=("dead-units",),
        blames=frozenset({"dead-units"}),
        cause=("true",),
        covers=("cause: dying relu",),
        fixes=(
            Fix(
                "tanh",
                "Use tanh",
                ("cures", "helps"),
                {"model.activation": "tanh"},
                covers=("fix: tanh",),
            ),
            Fix(
                "sigmoid",
                "Use sigmoid",
                ("helps", "cures"),
                {"model.activation": "sigmoid"},
                covers=("fix: sigmoid",),
            ),
            Fix(
                "random",
                "Begin with a random state",
                ("does nothing", "helps"),
                {"model.initial_state": "random"},
                covers=("fix: random initial state",),
            ),
            Fix(
                "standard",
                "Standardise the inputs, so that some are negative",
                ("cures", "helps", "does nothing"),
                {"data.scale": "standard"},
                covers=("fix: standardise",),
            ),
        ),
    ),
)


def carried(seed: int) -> Tables:
    """A state carried from batch to batch, though the sequences have nothing in common."""
    return {
        "data": data.total(seed, n=512, T=6),
        "model": {"cell": "lstm", "hidden_size": 24, "initial_state": "carried"},
        "training": {"learning_rate": 1e-2, "epochs": 12, "batch_size": 64},
    }
