"""The GRU as first published (Cho et al. 2014): its reset gate acts before the second product."""

from __future__ import annotations

from functools import cache
from typing import Any

from minirnn.kernels.cells.activation import activation_of
from minirnn.kernels.cells.cell import Cell, Feed
from minirnn.kernels.cells.vocabulary import sigmoid

ACTIVATIONS = ("tanh", "relu", "sigmoid")
SLOTS: dict[str, Feed] = {"reset": "xh", "update": "xh", "new": "xh"}


@cache  # one object a variant: its kernels are compiled once
def gru_before(activation: str) -> Cell:
    """The cell that `gru(activation, reset="before")` gives: z.new is W x + b + U (r h) + b'."""
    f = activation_of("activation", activation, ACTIVATIONS)

    def equations(z: Any, last: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        r, u, n = sigmoid(z.reset), sigmoid(z.update), f(z.new)
        h = (1 - u) * n + u * last.h
        return {"h": h}, {"reset": r, "update": u, "new": n}, {"new": r * last.h}

    return Cell("gru", ("h",), SLOTS, equations, {"activation": activation, "reset": "before"})
