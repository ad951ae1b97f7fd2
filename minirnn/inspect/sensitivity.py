"""How much each input moves the state that a sequence ends in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minirnn.device import array_namespace
from minirnn.inspect import steps
from minirnn.inspect.arguments import check_trace
from minirnn.inspect.norms import norm

if TYPE_CHECKING:
    from minirnn.inspect.trace import Trace

Array = Any


def input_sensitivity(trace: Trace) -> Array:
    """(T, B) float64: Frobenius norm of d h_end / d x_t of each sequence, zero outside `valid`.

    h_end is the hidden state after the last step that a sequence takes in the trace's direction.
    By the chain rule d h_end / d x_t = J_end ... J_{t+1} d state_t / d x_t, with the Jacobians of
    `Trace.jacobian` and `Trace.input_jacobian`: a property of the network on these inputs, for
    which neither a loss nor backward is needed. It costs what H backward passes would.

    Raises: TraceError if the trace came from a file without its cell's equations.
    """
    check_trace(trace)
    T, B, H = trace.shape
    xp = array_namespace(trace.weights.weight_hh)
    result = xp.zeros((T, B))
    ends = xp.asarray(steps.distance(T, trace.lengths, trace.reverse) == 0)
    moved = {state: xp.zeros((B, H, H)) for state in trace.cell.states}  # d h_end / d state_t
    for t in range(T) if trace.reverse else range(T - 1, -1, -1):
        moved["h"] = xp.where(ends[t][:, None, None], xp.eye(H), moved["h"])
        moved, by_input = trace.carry_back(t, moved)
        result[t] = norm(by_input, (1, 2))
    return result
