"""Which batches brought a NaN or an infinity with them, and which of their parts held it.

Looked at from the first loss on that is no number: while all is well nothing is looked at but the
loss itself, and of a GPU's loss only when some tens have gathered (`Curve`). What is asked is what
went into the model, and what it was compared with: a layer's own input may be broken by the
weights in front of it, which one bad step has made NaN.
"""

from __future__ import annotations

import math

import torch

from minirnn.diagnosis.evidence.loop import Unsound
from minirnn.interop.torch.loop.losses import LossCall
from minirnn.interop.torch.loop.tallies import Curve


class SoundnessWatch:
    """Counts batches that are not whole, from the first loss on that is no number."""

    def __init__(self) -> None:
        self._alarmed = False
        self._passes = 0
        self._looked = self._with_nan = self._with_infinity = 0
        self._first: tuple[int, int, int, int, int] | None = None

    def see(
        self,
        loss: torch.Tensor,
        values: Curve,
        given: torch.Tensor | None,
        call: LossCall | None,
    ) -> None:
        """A backward pass: its loss, the losses before it, the model's input, what was compared."""
        self._passes += 1
        if not self._alarmed:
            on_host = loss.device.type == "cpu" and loss.numel() == 1
            self._alarmed = not math.isfinite(float(loss)) if on_host else values.broken
        if not self._alarmed:
            return
        self._looked += 1
        inputs = counts(given)
        targets = (0, 0) if call is None else counts(_of_the_users(call))
        self._with_nan += inputs[0] + targets[0] > 0
        self._with_infinity += inputs[1] + targets[1] > 0
        if self._first is None and any(inputs + targets):
            self._first = (self._passes, *inputs, *targets)

    def seen(self) -> Unsound | None:
        """What was seen; None where every loss was a number."""
        if not self._alarmed:
            return None
        first = self._first or (0, 0, 0, 0, 0)
        return Unsound(self._looked, self._with_nan, self._with_infinity, *first)


def _of_the_users(call: LossCall) -> torch.Tensor:
    """The target; of one worked out from the difference, what a sound answer tells of it."""
    target = call.target
    if call.kind == "by hand" and target.shape == call.prediction.shape:
        return target[torch.isfinite(call.prediction)]
    return target


def counts(tensor: torch.Tensor | None) -> tuple[int, int]:
    """NaN and infinities in a tensor; none in one of whole numbers, or where there is none."""
    if tensor is None or not tensor.is_floating_point():
        return 0, 0
    with torch.no_grad():
        tensor = tensor.detach()
        return int(torch.isnan(tensor).sum()), int(torch.isinf(tensor).sum())
