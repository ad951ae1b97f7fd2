"""The simple recurrent network (Elman 1990): h_t = f(W x_t + b + U h_{t-1} + b')."""

from __future__ import annotations

from functools import cache
from typing import Any

from minirnn.kernels.cells.activation import activation_of
from minirnn.kernels.cells.cell import Cell

NONLINEARITIES = ("tanh", "relu", "sigmoid", "identity")


def rnn(nonlinearity: str = "tanh") -> Cell:
    """The RNN cell; nonlinearity "tanh", "relu", "sigmoid" or "identity"."""
    activation_of("nonlinearity", nonlinearity, NONLINEARITIES)
    return _make(nonlinearity)


@cache  # one object a variant: its kernels are compiled once
def _make(nonlinearity: str) -> Cell:
    f = activation_of("nonlinearity", nonlinearity, NONLINEARITIES)

    def equations(z: Any, last: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        n = f(z.new)
        return {"h": n}, {"new": n}

    return Cell("rnn", ("h",), {"new": "xh"}, equations, {"nonlinearity": nonlinearity})
