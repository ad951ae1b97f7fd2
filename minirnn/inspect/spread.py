"""How far apart different sequences are: whether a network still tells its inputs apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.inspect import steps
from minirnn.inspect.arguments import check_trace
from minirnn.inspect.host import fetch

if TYPE_CHECKING:
    from minirnn.inspect.trace import Trace

Array = Any


@dataclass(frozen=True)
class Spread:
    """The spread of a quantity between the sequences of a batch, in the quantity's own units.

    by_step     (T,) standard deviation over the sequences valid at each step, root mean square over
                units (features), on the trace's device; NaN where fewer than two are valid
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
    check_trace(trace)
    T = trace.shape[0]
    given = trace.inputs if isinstance(of, str) and of == "inputs" else trace.state(of)
    xp = array_namespace(given)
    values = xp.asarray(given, dtype=np.float64)
    by_step = xp.full(T, math.nan)
    for t in range(T):
        here = steps.at_step(values, t, trace.lengths)
        if len(here) >= 2:
            by_step[t] = _deviation(here)
    ends = xp.asarray(steps.distance(T, trace.lengths, trace.reverse) == 0)
    whole = _root_mean_square(steps.rows(values, trace.lengths))
    at_end, size = fetch(_deviation(values[ends]), whole)
    return Spread(by_step, at_end, size)


def _deviation(values: Array) -> Array:
    """Of rows (N, F): standard deviation over rows, root mean square over columns."""
    if len(values) < 2:
        return array_namespace(values).full((), math.nan)
    with np.errstate(invalid="ignore"):  # inf - inf
        return _root_mean_square(values - values.mean(axis=0))


def _root_mean_square(values: Array) -> Array:
    xp = array_namespace(values)
    if values.size == 0:
        return xp.full((), math.nan)
    with np.errstate(over="ignore"):
        return xp.sqrt(xp.mean(values**2))
