"""The last batches of a training loop, as copies, bounded in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from minirnn.interop.torch.loop import losses

MOST_SEQUENCES = 240  # kept of the last batches: enough for shares to 1%
MOST_BYTES = 4 << 20  # kept of one batch's inputs, and of what was compared
MOST_BATCHES = 64


@dataclass(eq=False)
class Batch:
    """Copies of one training batch: what the first recurrent layer was fed, and what was compared.

    x (T, B, I) time-major; lengths (B,) or None; loss as it was called, of these sequences; value
    of the loss, of all, and whether it is the root of what was called
    """

    x: torch.Tensor
    lengths: torch.Tensor | None
    loss: losses.LossCall | None
    layer: str
    value: torch.Tensor
    root: bool


class Batches:
    """The last batches that a backward pass went through, some `MOST_SEQUENCES` sequences."""

    def __init__(self) -> None:
        self._kept: deque[Batch] = deque(maxlen=MOST_BATCHES)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def keep(
        self,
        layer: str,
        x: torch.Tensor,
        lengths: torch.Tensor | None,
        call: losses.LossCall | None,
        loss: torch.Tensor,
    ) -> None:
        """Copy a batch, x (T, B, I), or sequences evenly spread over it."""
        B = x.shape[1]
        if B == 0 or x.shape[0] == 0:  # the rest of an epoch, of which nothing was left
            return
        per_sequence = max(1, x[:, :1].numel() * x.element_size())
        most = max(1, min(MOST_SEQUENCES, B, MOST_BYTES // per_sequence))
        at = torch.linspace(0, B - 1, most, device=x.device).round().long()
        kept = None if call is None else call.part(B, at)
        if kept is not None and kept.nbytes > MOST_BYTES:
            kept = None
        self._kept.append(
            Batch(
                x.index_select(1, at),
                None if lengths is None else lengths.index_select(0, at.cpu()),
                kept,
                layer,
                loss.detach(),
                losses.is_root(loss),
            )
        )
        held = sum(batch.x.shape[1] for batch in self._kept)
        while held - self._kept[0].x.shape[1] >= MOST_SEQUENCES:
            held -= self._kept.popleft().x.shape[1]
