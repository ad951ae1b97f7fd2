"""What helps where a free run stops moving or goes round in circles."""

from __future__ import annotations

from minirnn.diagnosis.finding import Advice
from minirnn.diagnosis.remedies.offer import Offer

OFFERS: dict[str, Offer] = {}

WOULD_NOT_HELP: dict[str, tuple[Advice, ...]] = {}
