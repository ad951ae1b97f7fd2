"""Gate saturation: how often each unit of a gate stands at the end of its range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minirnn.device import array_namespace
from minirnn.errors import ArgumentError
from minirnn.inspect import steps
from minirnn.inspect.arguments import check_trace
from minirnn.inspect.source import activations
from minirnn.real import is_real

if TYPE_CHECKING:
    from minirnn.inspect.trace import Trace

Array = Any


@dataclass(frozen=True)
class GateSaturation:
    """Shares of the valid steps of all sequences, per unit.

    gate        the gate's name; `activation` what it ends in: "sigmoid", "tanh" or "relu"
    left        (H,) share at the low end: sigmoid < 0.1, tanh < -0.9, relu exactly 0 (switched off)
    right       (H,) share at the high end: sigmoid > 0.9, tanh > 0.9; a relu has none, so 0

    On the trace's device; NaN where the trace has no valid step. What an end means is the gate's
    own affair: a forget gate at its right end remembers, and is well.
    """

    gate: str
    activation: str
    left: Array
    right: Array

    @property
    def either(self) -> Array:
        """(H,) share at either end."""
        return self.left + self.right

    @property
    def share(self) -> float:
        """Share of all activations of the gate that stand at either end."""
        return float(self.either.mean())


def gate_saturation(
    trace: Trace, *, low: float = 0.1, high: float = 0.9
) -> dict[str, GateSaturation]:
    """Saturation of each gate of a trace, by the gate's name.

    A unit is left- or right-saturated where its activation is less than `low` or more than `high`
    (Karpathy, Johnson & Fei-Fei 2015, "Visualizing and Understanding Recurrent Networks", section
    4.2). That is for sigmoid gates, whose range is (0, 1). The range of tanh is (-1, 1), where 0 is
    the middle: its ends are a < -high and a > high. Of a relu only exact zeros count, where it
    passes no gradient. Gates that end in something else (an identity has no ends) are left out.

    Raises: ArgumentError unless 0 < low < high < 1.
    """
    check_trace(trace)
    if not (is_real(low) and is_real(high) and 0.0 < low < high < 1.0):
        raise ArgumentError("low, high", f"{low!r}, {high!r}", "0 < low < high < 1")
    result: dict[str, GateSaturation] = {}
    kinds = activations(trace.cell)
    for gate, array in trace.gates.items():
        xp = array_namespace(array)
        a = steps.rows(array, trace.lengths)
        if kinds[gate] == "sigmoid":
            ends = a < low, a > high
        elif kinds[gate] == "tanh":
            ends = a < -high, a > high
        elif kinds[gate] == "relu":
            ends = a == 0.0, xp.zeros_like(a, dtype=bool)
        else:
            continue
        left, right = (
            end.mean(axis=0) if len(end) else xp.full(end.shape[1], xp.nan) for end in ends
        )
        result[gate] = GateSaturation(gate, kinds[gate], left, right)
    return result
