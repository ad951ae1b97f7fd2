"""Small traces for the tests of figures and pages, computed by the reference kernels."""

from __future__ import annotations

import numpy as np

from minirnn.inspect import Trace
from minirnn.inspect.source import TraceSource
from minirnn.kernels import cells, reference
from minirnn.kernels.contract import Needs, Weights


def make_trace(
    cell: str = "lstm",
    *,
    T: int = 20,
    B: int = 3,
    H: int = 5,
    gain: float = 1.0,
    backward: bool = True,
    lengths: np.ndarray | None = None,
    name: str | None = None,
    reverse: bool = False,
    everywhere: bool = False,
) -> Trace:
    """A recorded pass of one layer; `gain` scales its inputs.

    The gradient enters at the last step taken, or `everywhere`.
    """
    kind = {"lstm": cells.lstm, "gru": cells.gru, "rnn": cells.rnn}[cell]()
    rng = np.random.default_rng(7)
    Gi, Gh = len(kind.input_slots), len(kind.hidden_slots)
    weights = Weights(
        rng.normal(size=(Gi * H, 1)),
        rng.normal(size=(Gh * H, H)) / np.sqrt(H),
        np.zeros(Gi * H),
        np.zeros(Gh * H),
    )
    x = gain * rng.normal(size=(T, B, 1))
    state = tuple(np.zeros((B, H)) for _ in kind.states)
    output, _, tape = reference.forward(
        kind, x, state, weights, lengths=lengths, keep="record", reverse=reverse
    )
    if backward:
        dstate = (np.ones((B, H)), *(None for _ in kind.states[1:]))
        doutput = np.full_like(output, float(everywhere))
        reference.backward(kind, doutput, dstate, tape, needs=Needs())
    source = TraceSource(kind, tape, x, state, weights, lengths, 0, name or cell.upper())
    return Trace(source, 0)
