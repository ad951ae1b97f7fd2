"""The gated recurrent unit (Cho et al. 2014), its reset gate after the product or before it."""

from __future__ import annotations

from functools import cache
from typing import Any

from minirnn.errors import ArgumentError
from minirnn.kernels.cells.activation import activation_of
from minirnn.kernels.cells.cell import Cell, Feed
from minirnn.kernels.cells.gru_before import gru_before
from minirnn.kernels.cells.vocabulary import sigmoid

ACTIVATIONS = ("tanh", "relu", "sigmoid")
SLOTS: dict[str, Feed] = {"reset": "xh", "update": "xh", "new": "x", "recurrent_new": "h"}


def gru(activation: str = "tanh", reset: str = "after") -> Cell:
    """The GRU cell; `activation` ("tanh", "relu", "sigmoid") is the candidate's.

    reset  "after": the candidate is f(W x + b + r q), q = U h + b' (PyTorch, cuDNN, Keras's
           reset_after=True, ONNX's linear_before_reset=1). "before": f(W x + b + U (r h) + b'), of
           two products one after the other (Cho et al. 2014, Keras's False, ONNX's 0)
    """
    activation_of("activation", activation, ACTIVATIONS)
    if reset not in ("after", "before"):
        raise ArgumentError("reset", repr(reset), "'after' or 'before'")
    return _after(activation) if reset == "after" else gru_before(activation)


@cache  # one object a variant: its kernels are compiled once
def _after(activation: str) -> Cell:
    f = activation_of("activation", activation, ACTIVATIONS)

    def equations(z: Any, last: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        r, u, q = sigmoid(z.reset), sigmoid(z.update), z.recurrent_new
        n = f(z.new + r * q)
        h = (1 - u) * n + u * last.h
        return {"h": h}, {"reset": r, "update": u, "new": n, "recurrent_new": q}

    return Cell("gru", ("h",), SLOTS, equations, {"activation": activation})
