"""Mistakes of a training loop, as far as a recipe can hold them; `interop.torch` edits loops."""

from __future__ import annotations

from minirnn.diagnosis.data import given_sequences
from minirnn.diagnosis.evidence.layout import padding_ends
from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies.advice import CLIPPING, DROPOUT, LONGER, RANDOM_STATE, RELU
from minirnn.diagnosis.remedies.offer import Offer, nothing
from minirnn.diagnosis.remedies.room import wider

LEAST_WINDOW = 8


def _turn(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """The arrays' first two axes the other way round."""
    if recipe.data.x is None:
        return []
    return [
        Remedy(
            {"data.time_first": not recipe.data.time_first},
            "Read the first two axes the other way round, so that the recurrence runs along each "
            "sequence's own steps.",
            "Each sequence's answers depend on its own past.",
        )
    ]


def _give_lengths(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Where each sequence ends, read off its padding."""
    if recipe.data.x is None or recipe.data.lengths is not None:
        return []
    ends = padding_ends(given_sequences(recipe)[0].x)
    if ends is None:
        return []
    return [
        Remedy(
            {"data.lengths": ends},
            "Tell the network where each sequence ends; here, where its equal last steps begin. "
            "The lengths you know are better still.",
            "The answer is read at each sequence's own last step.",
        )
    ]


def _look_back(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """A window of as many values as tell something, or the features of one step made steps."""
    if recipe.is_series:
        tell = int(str(finding.evidence.get("steps_that_tell", LEAST_WINDOW)))
        windows = wider(recipe, (max(LEAST_WINDOW, 2 * tell), max(32, 4 * tell)))
        return [
            Remedy(
                {"data.window": window},
                f"A window of {window} values shows where the series comes from, and not only "
                "where it is.",
                "The network uses its past, and the error falls.",
            )
            for window in windows
        ]
    if recipe.data.x is None or not finding.evidence.get("features_are_steps"):
        return []
    x = given_sequences(recipe)[0].x
    return [
        Remedy(
            {"data.x": x.swapaxes(1, 2).copy()},
            f"Feed the {x.shape[2]} features of the one step as steps of one feature.",
            "The network walks along them.",
        )
    ]


def _fresh(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Begin every sequence from zeros."""
    return [
        Remedy(
            {"model.initial_state": "zeros"},
            "What another sequence left behind tells nothing about this one.",
            "The same input gives the same answer, whatever came before.",
        )
    ]


OFFERS: dict[str, Offer] = {
    "batch-time-swap": _turn,
    "no-recurrence": _look_back,
    "shape-broadcast": nothing,
    "reads-padding": _give_lengths,
    "carried-state": _fresh,
    "accumulated-gradients": nothing,
}

WOULD_NOT_HELP: dict[str, tuple[Advice, ...]] = {
    "batch-time-swap": (LONGER, RELU, DROPOUT),
    "no-recurrence": (
        RELU,
        Advice(
            "use an LSTM instead of a plain RNN",
            "Its gates decide what to keep of the past, and there is none to keep.",
        ),
    ),
    "shape-broadcast": (CLIPPING, RELU, LONGER),
    "reads-padding": (
        CLIPPING,
        Advice(
            "pad with another value",
            "The state runs through the padding all the same, whatever stands in it.",
        ),
    ),
    "carried-state": (RANDOM_STATE, LONGER),
    "accumulated-gradients": (
        Advice(
            "lower the learning rate",
            "The sum of all gradients grows without end; a lower rate only puts it off.",
        ),
        CLIPPING,
    ),
}
