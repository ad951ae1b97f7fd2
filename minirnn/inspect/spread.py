"""How far apart different sequences are: whether a network still tells its inputs apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.inspect import steps

if TYPE_CHECKING:
    from minirnn.inspect.trace import Trace

Array = Any


@dataclass(frozen=True)
class Spread:
    """The spread of a quantity between the sequences of a batch, in the quantity's own units.

    by_step     (T,) standard deviation over the sequences valid at each step, root mean square over
                units (features); NaN where fewer than two sequences are valid
    at_end      the same over each sequence's last step; NaN with fewer than two sequences
    size        root mean square of the quantity itself, over all valid steps; NaN with none
    """

    by_step: Array
    at_end: float
    size: float

    @property
    def relative(self) -> float:
        """at_end / size: 0 where all sequences end alike; 0 too where the quantity is all zero."""
        return 0.0 if self.size == 0.0 else self.at_end / self.size


def spread_between_sequences(trace: Trace, of: str = "hidden") -> Spread:
    """How far apart the sequences of a trace are.

    of: "hidden", "cell", "inputs", or the cell's own name of a state. The state of a network that
    has collapsed has next to no spread where its inputs have one. The deviation is that of the
    batch itself (divided by B, not B - 1).

    Raises: TraceError if the cell has no such state.
    """
    T = trace.shape[0]
    values = np.asarray(trace.inputs if of == "inputs" else trace.state(of), dtype=np.float64)
    valid = trace.valid
    by_step = np.full(T, math.nan)
    for t in np.flatnonzero(valid.sum(axis=1) >= 2):
        by_step[t] = _deviation(values[t, valid[t]])
    ends = steps.distance(T, trace.lengths, trace.reverse) == 0
    return Spread(by_step, _deviation(values[ends]), _root_mean_square(values[valid]))


def _deviation(values: Array) -> float:
    """Of rows (N, F): standard deviation over rows, root mean square over columns."""
    if len(values) < 2:
        return math.nan
    with np.errstate(invalid="ignore"):  # inf - inf
        return _root_mean_square(values - values.mean(axis=0))


def _root_mean_square(values: Array) -> float:
    if values.size == 0:
        return math.nan
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.mean(values**2)))
