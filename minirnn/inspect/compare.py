"""Where two traces of the same layer differ most: CPU against GPU, run against run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.device import array_namespace, beside
from minirnn.errors import ArgumentError, ShapeError
from minirnn.inspect.arguments import check_trace
from minirnn.inspect.host import fetch

if TYPE_CHECKING:
    from minirnn.inspect.trace import Trace

Array = Any


@dataclass(frozen=True)
class TraceComparison:
    """The largest difference between two traces, and that of every array.

    Differences are relative to the largest finite value of the array in either trace, so gates and
    tiny gradients are told on one scale; a NaN or an infinity that only one trace has counts as
    inf.

    Attributes:
        differences     the largest relative difference of each array, by name
        gradients       whether both traces had gradients to compare
        array           where the worst difference is: 'gates["forget"]', 'states["h"]', ...
        step, sequence, unit    its indexes in (T, B, H); None, like `array`, if nothing differs
        mine, theirs    the two values there
        difference      their relative difference
    """

    differences: dict[str, float]
    gradients: bool
    array: str | None = None
    step: int | None = None
    sequence: int | None = None
    unit: int | None = None
    mine: float = 0.0
    theirs: float = 0.0
    difference: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether every number is the same (NaN equals NaN)."""
        return self.difference == 0.0

    def __str__(self) -> str:
        scope = "values and gradients" if self.gradients else "values (no gradients to compare)"
        if self.array is None:
            return f"no difference in {scope}"
        return (
            f"largest difference in {scope}: {self.difference:.3g} of the array's largest value, "
            f"at {self.array} step {self.step} sequence {self.sequence} unit {self.unit}: "
            f"{self.mine:.9g} against {self.theirs:.9g}"
        )


def compare(mine: Trace, theirs: Trace) -> TraceComparison:
    """Compare two traces array by array; see `TraceComparison`."""
    check_trace(theirs, "other")
    _check(mine, theirs)
    gradients = mine.has_gradients and theirs.has_gradients
    others = _arrays(theirs, gradients)
    worst = TraceComparison({}, gradients)
    for name, array in _arrays(mine, gradients).items():
        a, b = (values.astype(np.float64) for values in (array, beside(others[name], array)))
        relative = _relative(a, b)
        largest = worst.differences[name] = float(relative.max()) if relative.size else 0.0
        if largest > worst.difference:
            t, sequence, unit = at = np.unravel_index(int(relative.argmax()), relative.shape)
            here, there = fetch(a[at], b[at])
            worst = TraceComparison(
                worst.differences,
                gradients,
                array=name,
                step=int(t),
                sequence=int(sequence),
                unit=int(unit),
                mine=here,
                theirs=there,
                difference=largest,
            )
    return worst


def _check(mine: Trace, theirs: Trace) -> None:
    for trait in ("name", "states", "slots"):
        came, wanted = getattr(theirs.cell, trait), getattr(mine.cell, trait)
        if came != wanted:
            raise ArgumentError("other", f"a cell with {trait} {came!r}", f"{trait} {wanted!r}")
    if theirs.shape != mine.shape:
        raise ShapeError("other", f"(T, B, H) = {theirs.shape}", f"{mine.shape}")
    if theirs.reverse != mine.reverse:
        raise ArgumentError("other", f"direction {theirs.direction!r}", repr(mine.direction))
    if (theirs.lengths != mine.lengths).any():
        raise ShapeError("other", f"lengths {theirs.lengths}", f"{mine.lengths}")


def _arrays(trace: Trace, gradients: bool) -> dict[str, Array]:
    groups = {"gates": trace.gates, "slots": trace.slots, "states": trace.states}
    if gradients:
        groups |= {"grad_states": trace.grad_states, "grad_slots": trace.grad_slots}
    named = {
        f'{group}["{key}"]': a for group, arrays in groups.items() for key, a in arrays.items()
    }
    if gradients:
        named["direct_grad_hidden"] = trace.direct_grad_hidden
    return named


def _relative(a: Array, b: Array) -> Array:
    """|a - b| over the largest finite value of both; inf where only one is not finite."""
    xp = array_namespace(a)
    same = (a == b) | (xp.isnan(a) & xp.isnan(b))
    finite = xp.isfinite(a) & xp.isfinite(b)
    scale = max(map(_largest_finite, (a, b)))
    difference = xp.abs(xp.where(finite, a, 0.0) - xp.where(finite, b, 0.0))
    if scale > 0.0:
        difference = difference / scale
    return xp.where(same, 0.0, xp.where(finite, difference, np.inf))


def _largest_finite(values: Array) -> float:
    xp = array_namespace(values)
    if not values.size:
        return 0.0
    return float(xp.where(xp.isfinite(values), xp.abs(values), 0.0).max())
