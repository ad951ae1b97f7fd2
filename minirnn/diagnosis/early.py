"""What can be said of a network before its training is over, and when.

A network that has only begun answers the same to everything, explains nothing and has forgotten
what it saw twenty steps ago; that is no illness. So what is judged by how well a network does is
held back as long as its loss falls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minirnn.diagnosis.detectors import DETECTORS, Detector, unscaled_input
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.inspect.dependence import Dependence
from minirnn.training.history import History

LEAST_EPOCHS = 4  # from which on a loss may be said not to fall
LATE_PART = 4  # a fourth of the epochs is what is compared with those before
FALL = 0.02  # of the loss


@dataclass(frozen=True, eq=False)
class Glimpse(Evidence):
    """The evidence of one look while training goes on.

    known  what the data were found to depend on, or None: a look does not ask them itself, as that
           takes longer than all the rest; `asked` says whether a detector would have
    """

    known: Dependence | None = None

    @property
    def dependence(self) -> Dependence | None:
        """What is known."""
        self.__dict__["asked"] = True
        return self.known

    @property
    def asked(self) -> bool:
        """Whether a detector wanted to know what the targets depend on."""
        return bool(self.__dict__.get("asked", False))


@dataclass(frozen=True)
class Early:
    """A symptom that may be said early.

    at_once         seen in one look is enough
    while_learning  an illness is one while the loss falls, too
    """

    detect: Callable[[Evidence], Finding | None]
    at_once: bool = False
    while_learning: bool = False

    def may_be_said(self, finding: Finding, falling: bool) -> bool:
        """Whether a finding may be said of a network whose loss falls, or does not."""
        return not falling or (self.while_learning and finding.severity == "illness")


def falls(history: History) -> bool:
    """Whether the loss falls: the best of the last fourth of the epochs is 2% below all before.

    True as long as there are too few epochs to tell.
    """
    losses = [epoch.loss for epoch in history.epochs]
    if len(losses) < LEAST_EPOCHS:
        return True
    late = max(2, len(losses) // LATE_PART)
    return min(losses[-late:]) < (1.0 - FALL) * min(losses[:-late])


_WHEN: dict[str, dict[str, bool]] = {
    "non-finite": {"at_once": True, "while_learning": True},
    "unscaled-input": {"while_learning": True},
    "oscillating-loss": {"while_learning": True},
    "exploding-gradient": {},
    "saturated-gates": {},
    "dead-units": {},
    "vanishing-gradient": {},
}
# Of targets nothing can be said before training has ended: far ones may still be reached.
_AT_A_GLANCE: dict[str, Detector] = {"unscaled-input": unscaled_input.of_inputs}
EARLY: dict[str, Early] = {
    symptom: Early(_AT_A_GLANCE.get(symptom, detect), **_WHEN[symptom])
    for symptom, detect in DETECTORS.items()
    if symptom in _WHEN
}
