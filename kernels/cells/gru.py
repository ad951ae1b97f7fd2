"""The gated recurrent unit (Cho et al. 2014), reset after the product as in PyTorch and cuDNN."""

from __future__ import annotations

from functools import cache
from typing import Any

from minirnn.kernels.cells.activation import activation_of
from minirnn.kernels.cells.cell import Cell, Feed
from minirnn.kernels.cells.vocabulary import sigmoid

ACTIVATIONS = ("tanh", "relu", "sigmoid")
SLOTS: dict[str, Feed] = {"reset": "xh", "update": "xh", "new": "x", "recurrent_new": "h"}


def gru(activation: str = "tanh") -> Cell:
    """The GRU cell; `activation` ("tanh", "relu", "sigmoid") is the candidate's."""
    activation_of("activation", activation, ACTIVATIONS)
    return _make(activation)


@cache  # one object a variant: its kernels are compiled once
def _make(activation: str) -> Cell:
    f = activation_of("activation", activation, ACTIVATIONS)

    def equations(z: Any, last: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        r, u, q = sigmoid(z.reset), sigmoid(z.update), z.recurrent_new
        n = f(z.new + r * q)
        h = (1 - u) * n + u * last.h
        return {"h": h}, {"reset": r, "update": u, "new": n, "recurrent_new": q}

    return Cell("gru", ("h",), SLOTS, equations, {"activation": activation})
