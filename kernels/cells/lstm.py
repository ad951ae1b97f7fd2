"""The long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000)."""

from __future__ import annotations

from functools import cache
from typing import Any

from minirnn.kernels.cells.activation import activation_of
from minirnn.kernels.cells.cell import Cell, Feed
from minirnn.kernels.cells.vocabulary import sigmoid

ACTIVATIONS = ("tanh", "relu", "sigmoid")
SLOTS: dict[str, Feed] = {"input": "xh", "forget": "xh", "cell": "xh", "output": "xh"}


def lstm(activation: str = "tanh") -> Cell:
    """The LSTM cell; `activation` ("tanh", "relu", "sigmoid") serves cell gate and output."""
    activation_of("activation", activation, ACTIVATIONS)
    return _make(activation)


@cache  # one object a variant: its kernels are compiled once
def _make(activation: str) -> Cell:
    f = activation_of("activation", activation, ACTIVATIONS)

    def equations(z: Any, last: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        i, forget, g, o = sigmoid(z.input), sigmoid(z.forget), f(z.cell), sigmoid(z.output)
        c = forget * last.c + i * g
        h = o * f(c)
        return {"h": h, "c": c}, {"input": i, "forget": forget, "cell": g, "output": o}

    return Cell("lstm", ("h", "c"), SLOTS, equations, {"activation": activation})
