"""Bounded memories of a long run: numbers of each step, and what one layer was fed."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from minirnn.diagnosis.evidence.loop import Floats, LayerFed

MOST = 4096  # numbers kept of a run; of a longer one, every second, every fourth, ...
PENDING = 64  # scalars of a device that wait to be brought over together
MOST_SIZES = 64


class Curve:
    """Numbers of each step, evenly thinned out where there are too many.

    A scalar of a GPU waits there until some tens have gathered: each look at one would stop it.
    """

    def __init__(self) -> None:
        self._kept: list[float] = []
        self._pending: list[torch.Tensor | float] = []
        self._stride = 1
        self._count = 0
        self.broken = False  # whether one of those brought over is no number

    def add(self, value: torch.Tensor | float) -> None:
        """Take the next number."""
        self._pending.append(value)
        if len(self._pending) >= PENDING:
            self._settle()

    def _settle(self) -> None:
        there = [value for value in self._pending if isinstance(value, torch.Tensor)]
        if there and there[0].is_cuda:
            host = iter(torch.stack([t.double().reshape(()) for t in there]).tolist())
        else:
            host = iter([float(value) for value in there])
        for value in self._pending:
            number = next(host) if isinstance(value, torch.Tensor) else value
            self.broken = self.broken or not math.isfinite(number)
            if self._count % self._stride == 0:
                self._kept.append(number)
            self._count += 1
        self._pending.clear()
        if len(self._kept) > MOST:
            self._kept = self._kept[::2]
            self._stride *= 2

    def numbers(self) -> Floats:
        """All that are kept, in order."""
        self._settle()
        return np.array(self._kept, dtype=np.float64)


@dataclass
class LayerTally:
    """Counts what one recurrent layer is fed; `LayerFed` tells of the fields."""

    name: str
    batch_first: bool
    bidirectional: bool
    calls: int = 0
    unbatched: int = 0
    steps: Counter[int] = field(default_factory=Counter)
    sequences: Counter[int] = field(default_factory=Counter)
    given: int = 0
    carried: int = 0
    attached: int = 0
    packed: int = 0
    cut: int = 0  # calls without gradients, in a call of the model that has them
    last_states: tuple[Any, ...] = ()
    last_passes: int = 0  # backward passes that there had been when these were made

    def fed(self) -> LayerFed:
        """What was seen."""
        return LayerFed(
            self.name,
            self.batch_first,
            self.bidirectional,
            self.calls,
            self.unbatched,
            dict(self.steps.most_common(MOST_SIZES)),
            dict(self.sequences.most_common(MOST_SIZES)),
            self.given,
            self.carried,
            self.attached,
            self.packed,
        )

    def takes(self, state: tuple[torch.Tensor, ...], passes: int) -> bool:
        """Count a state that was given; whether the last call ended with it, in a batch before.

        passes: backward passes so far. Where there was none since, the sequence simply goes on.
        """
        if not state:
            return False
        self.given += 1
        carried = (
            passes > self.last_passes
            and len(state) == len(self.last_states)
            and all(map(same, state, self.last_states))
        )
        if carried:
            self.carried += 1
            self.attached += any(each.grad_fn is not None for each in state)
        return carried


def same(state: torch.Tensor, last: torch.Tensor) -> bool:
    """Whether a state is that of before, in the same memory or, on the CPU, in a copy."""
    if state.shape != last.shape:
        return False
    if state.data_ptr() == last.data_ptr():
        return True
    return not state.is_cuda and bool(last.any()) and torch.equal(state.detach(), last)
