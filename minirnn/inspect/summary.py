"""A trace in words and numbers that JSON can hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from minirnn.inspect.host import fetch
from minirnn.inspect.steps import rows

if TYPE_CHECKING:
    from minirnn.inspect.trace import Trace


def summary(trace: Trace) -> dict[str, Any]:
    """What ran, on what shapes, and the figures one looks at first.

    Numbers that JSON does not know stand as "nan", "inf" and "-inf". "gradient_norms" and
    "half_life" are null until backward has run.
    """
    T, B, H = trace.shape
    lengths = trace.lengths
    norms = half_lives = None
    if trace.has_gradients:
        norms = {s: [_number(v) for v in fetch(trace.gradient_norms(s))] for s in trace.cell.states}
        half_lives = {s: _number(trace.half_life(s)) for s in trace.cell.states}
    return {
        "name": trace.name,
        "call": trace.call,
        "layer": trace.layer,
        "direction": trace.direction,
        "truncated": trace.truncated,
        "cell": {"name": trace.cell.name, "options": dict(trace.cell.options)},
        "shape": {"T": T, "B": B, "I": int(trace.weights.weight_ih.shape[1]), "H": H},
        "dtype": trace.dtype.name,
        "lengths": [int(length) for length in lengths],
        "gates": {name: _range(rows(array, lengths)) for name, array in trace.gates.items()},
        "states": {name: _range(rows(array, lengths)) for name, array in trace.states.items()},
        "gradient_norms": norms,
        "half_life": half_lives,
    }


def _range(values: Any) -> dict[str, float | str] | None:
    if values.size == 0:
        return None
    found = fetch(values.min(), values.mean(dtype="float64"), values.max())
    return dict(zip(("min", "mean", "max"), map(_number, found), strict=True))


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(float(value))
