"""What helps where training gets nowhere, or to one answer for everything."""

from __future__ import annotations

from minirnn.diagnosis.finding import Advice
from minirnn.diagnosis.remedies.advice import CLIPPING, DROPOUT, LONGER, RANDOM_STATE, RELU
from minirnn.diagnosis.remedies.common import faster, initialise, scale, slower, unlearn_decay
from minirnn.diagnosis.remedies.offer import Offer

OFFERS: dict[str, Offer] = {
    "oscillating-loss": slower,
    "slow-learning": faster,
    "state-collapse": lambda r, f: (
        unlearn_decay(r, f) + scale(r, f) + initialise(r, f) + faster(r, f)
    ),
    "stalled-loss": faster,
    "constant-output": lambda r, f: (
        unlearn_decay(r, f) + scale(r, f) + faster(r, f) + initialise(r, f)
    ),
}

WOULD_NOT_HELP: dict[str, tuple[Advice, ...]] = {
    "oscillating-loss": (CLIPPING, DROPOUT),
    "slow-learning": (CLIPPING, DROPOUT),
    "state-collapse": (RANDOM_STATE, RELU, LONGER),
    "stalled-loss": (CLIPPING, DROPOUT),
    "constant-output": (RANDOM_STATE, RELU, DROPOUT),
}
