"""Article 000, the loops themselves: a text, and a series, that go on from their own answers."""

from __future__ import annotations

from minirnn.diagnosis.cases.case import Case, Fix, Tables
from minirnn.diagnosis.cases.measures import REPEATED, SWING

DRAWN = {"generation.sample": "temperature", "generation.temperature": 1.0}


def characters(seed: int) -> Tables:
    """A character LSTM, left to continue its text with the likeliest character each time."""
    return {
        "data": {"builtin": "text", "characters": 6000, "window": 40},
        "model": {"hidden_size": 48, "readout": "all"},
        "training": {"loss": "cross_entropy", "learning_rate": 1e-2, "epochs": 12},
        "generation": {"steps": 300},
    }


def periodic(seed: int) -> Tables:
    """A series that is periodic: its right continuation is a loop."""
    return {
        "data": {"builtin": "sine", "window": 30, "seed": seed},
        "model": {"cell": "gru", "hidden_size": 16},
        "training": {"learning_rate": 1e-2, "epochs": 20},
        "generation": {"steps": 150},
    }


CASES = (
    Case(
        "000.characters",
        "The network gets stuck in a state and repeats its last words",
        "Its gradients are well, and its loss came down: a loop in generation is no oscillating "
        "loss. The likeliest character, time after time, is no likely text: draw it.",
        recipe=characters,
        expect=("output-loop",),
        blames=frozenset({"vanishing-gradient", "exploding-gradient", "oscillating-loss"}),
        cause=("another cause",),
        covers=("cause: stuck in a state", "cause: vanishing gradients"),
        measure=REPEATED,
        fixes=(
            Fix(
                "rate",
                "Lower the learning rate",
                ("does nothing", "makes it worse"),
                {"training.learning_rate": 1e-3},
                covers=("fix: lower rate",),
            ),
            Fix(
                "plateau",
                "Lower it on plateaus",
                ("does nothing",),
                {"training.scheduler": {"name": "plateau", "factor": 0.5, "patience": 2}},
                covers=("fix: scheduler",),
            ),
            Fix(
                "early",
                "Stop early (patience 2)",
                ("does nothing", "makes it worse"),
                {"training.early_stopping": 2},
                covers=("fix: early stopping",),
            ),
            Fix("gru", "Use a GRU", ("does nothing",), {"model.cell": "gru"}, covers=("fix: GRU",)),
            Fix(
                "longer",
                "Train three times as long",
                ("helps", "does nothing"),
                {"training.epochs": 36},
                ours=True,
            ),
            Fix("draw", "Draw each character at temperature 1", ("cures",), DRAWN, ours=True),
        ),
    ),
    Case(
        "000.periodic",
        "An output that repeats a pattern is a failure",
        "Not where the series is periodic: its right continuation is a loop.",
        recipe=periodic,
        expect=(),
        cause=("false",),
        covers=("cause: a repeated pattern",),
        measure=SWING,
    ),
)
