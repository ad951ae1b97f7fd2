"""Article 001: identical outputs for different inputs. Blamed: few data, like ones, their shape."""

from __future__ import annotations

import numpy as np

from minirnn.diagnosis.cases import data
from minirnn.diagnosis.cases.case import Case, Fix, Tables
from minirnn.diagnosis.cases.identical_outputs import STANDARD, plain


def scarce(seed: int, n: int = 24, epochs: int = 40) -> Tables:
    """Twenty-four sequences of six features to learn from; some noise in the targets."""
    made = data.recent_sum(seed, n=n + 200, features=6, noise=0.5)
    return {
        "data": {**made, "split": "last", "validation": 200 / (n + 200)},
        "model": {"cell": "rnn", "hidden_size": 32},
        "training": {"learning_rate": 5e-3, "epochs": epochs},
    }


def redundant(seed: int) -> Tables:
    """Four hundred sequences that are copies of twenty; what is held out is not."""
    made = data.recent_sum(seed, n=500, features=3)
    rows = np.r_[np.arange(400) % 20, np.arange(400, 500)]
    return {
        **plain(seed),
        "data": {"x": made["x"][rows], "y": made["y"][rows], "split": "last", "validation": 0.2},
    }


def diverse(seed: int) -> dict[str, object]:
    """Four hundred sequences, each another one."""
    made = data.recent_sum(seed, n=500, features=3)
    return {"data.x": made["x"], "data.y": made["y"]}


def one_step(seed: int) -> Tables:
    """The article's first example is fed (10, 1, 1): sequences of one step."""
    made = data.recent_sum(seed)
    return {**plain(seed), "data": {**made, "x": made["x"][:, -1:]}}


def time_first(seed: int) -> Tables:
    """(T, N, 1) read as (N, T, 1): what the third example's (100, 10, 1) is to a layer."""
    made = data.summing(seed, n=150, T=24)
    turned = {"x": made["x"].swapaxes(0, 1).copy(), "y": made["y"].swapaxes(0, 1).copy()}
    return {
        "data": turned,
        "model": {"cell": "rnn", "hidden_size": 16, "readout": "all"},
        "training": {"learning_rate": 1e-2, "epochs": 20},
    }


def of_the_steps(seed: int) -> dict[str, object]:
    """The sequences with all their steps."""
    return {"data.x": data.recent_sum(seed)["x"]}


CASES = (
    Case(
        "001.scarce",
        "Too little data collapses the gradients: one output for all",
        "Too little data is learned by heart: outputs differ, and are wrong on what was held out.",
        recipe=scarce,
        expect=("overfitting",),
        blames=frozenset({"constant-output", "vanishing-gradient", "state-collapse"}),
        cause=("another cause",),
        covers=("cause: scarce data", "cause: overfitting"),
        fixes=(
            Fix(
                "more",
                "Use thirty times the data",
                ("cures",),
                instead=lambda seed: scarce(seed, 800, epochs=12),
                covers=("fix: more data",),
            ),
        ),
        curable=False,
    ),
    Case(
        "001.redundant",
        "Redundant data teach a trivial solution: one output for all",
        "Copies teach only themselves: what is not among them is answered wrongly, and not alike.",
        recipe=redundant,
        expect=("low-data-diversity", "overfitting"),
        blames=frozenset({"constant-output", "state-collapse", "low-data-diversity"}),
        cause=("true", "another cause"),
        covers=("cause: redundant data",),
        fixes=(
            Fix(
                "diverse",
                "Use data that differ",
                ("cures",),
                diverse,
                covers=("fix: diverse data", "fix: more data"),
            ),
        ),
        curable=False,
    ),
    Case(
        "001.one-step",
        "(left out) its example is fed sequences of length 1",
        "Then there is no recurrence: the state is never used twice.",
        recipe=one_step,
        expect=("no-recurrence",),
        blames=frozenset({"no-recurrence"}),
        cause=("true",),
        covers=("example: length 1",),
        curable=False,
        fixes=(
            Fix(
                "random",
                "Begin with a random state",
                ("does nothing", "makes it worse"),
                {"model.initial_state": "random"},
                covers=("fix: random initial state",),
            ),
            Fix("steps", "Feed the sequences, step by step", ("cures",), of_the_steps, ours=True),
        ),
    ),
    Case(
        "001.time-first",
        "(left out) its view(100, 10, 1) is not (steps, batch, features)",
        "A layer that takes time first reads 100 steps of 10 sequences: the axes are swapped.",
        recipe=time_first,
        expect=("batch-time-swap",),
        blames=frozenset({"batch-time-swap"}),
        cause=("true",),
        covers=("cause: wrong format", "example: view(100, 10, 1)"),
        fixes=(
            Fix(
                "standard", "Standardise", ("does nothing",), STANDARD, covers=("fix: standardise",)
            ),
            Fix(
                "time-first",
                "Say which axis is time",
                ("cures",),
                {"data.time_first": True},
                covers=("fix: reshape",),
            ),
        ),
    ),
)
