"""Mistakes of a training loop, which a recipe cannot make: `interop.torch` edits the loop."""

from __future__ import annotations

from minirnn.diagnosis.finding import Advice
from minirnn.diagnosis.remedies.advice import CLIPPING, DROPOUT, LONGER, RANDOM_STATE, RELU
from minirnn.diagnosis.remedies.offer import Offer, nothing

OFFERS: dict[str, Offer] = {
    "batch-time-swap": nothing,
    "no-recurrence": nothing,
    "shape-broadcast": nothing,
    "reads-padding": nothing,
    "carried-state": nothing,
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
