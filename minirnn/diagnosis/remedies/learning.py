"""What helps where training gets nowhere, or to one answer for everything."""

from __future__ import annotations

from minirnn.diagnosis.finding import Advice
from minirnn.diagnosis.remedies.advice import DROPOUT, LONGER, RANDOM_STATE, RELU
from minirnn.diagnosis.remedies.common import faster, initialise, scale, unlearn_decay
from minirnn.diagnosis.remedies.offer import Offer

OFFERS: dict[str, Offer] = {
    "state-collapse": lambda r, f: (
        unlearn_decay(r, f) + scale(r, f) + initialise(r, f) + faster(r, f)
    ),
    "constant-output": lambda r, f: (
        unlearn_decay(r, f) + scale(r, f) + faster(r, f) + initialise(r, f)
    ),
}

WOULD_NOT_HELP: dict[str, tuple[Advice, ...]] = {
    "state-collapse": (RANDOM_STATE, RELU, LONGER),
    "constant-output": (RANDOM_STATE, RELU, DROPOUT),
}
