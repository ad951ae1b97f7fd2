"""Dead units: those that are off, or stand still, whatever the network is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.inspect import steps
from minirnn.inspect.arguments import check_trace, share

if TYPE_CHECKING:
    from minirnn.inspect.trace import Trace

Array = Any


@dataclass(frozen=True)
class DeadUnits:
    """What each unit of one layer and direction does over all valid steps, on the trace's device.

    zeros    (H,) share of the steps at which its hidden state is exactly 0; NaN without a step
    still    (H,) bool: its hidden state is the same number at every step of every sequence
    dead     (H,) bool: off (zeros >= off), or still at 0: nothing that it is shown gets through it
    """

    zeros: Array
    still: Array
    dead: Array

    @property
    def share(self) -> float:
        """Share of the units that are dead; 0 without a valid step."""
        return float(self.dead.mean())

    @property
    def sparsity(self) -> float:
        """Share of zeros among all units and steps, which is no fault by itself."""
        return float(self.zeros.mean())


def dead_units(trace: Trace, *, off: float = 0.99) -> DeadUnits:
    """Which units of a trace are dead.

    A unit is dead when its hidden state is exactly 0 at `off` of the valid steps, or at all of them
    to the last bit: a relu that is switched off passes no gradient, so that nothing brings it back
    (Lu, Shin, Su and Karniadakis 2020, "Dying ReLU and initialization"). AUTOTRAINER (Zhang et al.
    2021, ICSE) counts zeros of a whole layer, at least 0.7 of them; a layer of healthy, sparse
    units has as many (`sparsity`), so here each unit is asked by itself. A unit that stands still
    at another number is told by `still` alone: it may be saturated.

    Raises: ArgumentError unless 0 < off <= 1.
    """
    check_trace(trace)
    off = share("off", off)
    h = steps.rows(trace.hidden, trace.lengths)
    xp = array_namespace(h)
    if not len(h):
        nothing = xp.zeros(h.shape[1], dtype=bool)
        return DeadUnits(xp.full(h.shape[1], np.nan), nothing, nothing)
    zeros = (h == 0.0).mean(axis=0)
    return DeadUnits(zeros, h.max(axis=0) == h.min(axis=0), zeros >= off)
