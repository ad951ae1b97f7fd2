"""Keras's layout of recurrent weights, and minirnn's.

    Keras                             minirnn
    kernel            (I, G*H)        weight_ih (G*H, I)
    recurrent_kernel  (H, G*H)        weight_hh (G*H, H)
    bias              (G*H,)          bias_ih; bias_hh is zero and frozen
    bias, reset after (2, G*H)        bias_ih, bias_hh

Blocks of gates: LSTM input, forget, cell, output in both. GRU update z, reset r, candidate h in
Keras; reset, update, new here. The update gate keeps the old state in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minirnn.device import array_namespace
from minirnn.kernels.contract import Array, Weights
from minirnn.tensor import Tensor

Read = Callable[[Tensor], Array]  # a parameter's value, or its gradient

ORDERS = {"rnn": (0,), "lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}  # each its own inverse


@dataclass(frozen=True)
class Layout:
    """How the weights of one Keras cell lie: `kind` "rnn", "gru" or "lstm"; 0, 1 or 2 biases."""

    kind: str
    biases: int

    def shapes(self, units: int) -> list[tuple[int | None, ...]]:
        """Of Keras's weights of a cell of that many units; None is the input size."""
        rows = len(ORDERS[self.kind]) * units
        shapes: list[tuple[int | None, ...]] = [(None, rows), (units, rows)]
        if self.biases:
            shapes.append((rows,) if self.biases == 1 else (2, rows))
        return shapes

    def into(self, arrays: list[Array], weights: Weights) -> None:
        """Copy Keras's weights into the parameters of a layer; a second bias becomes zero."""
        kernel, recurrent, *bias = arrays
        halves = bias[0] if self.biases == 2 else [*bias, *(np.zeros_like(b) for b in bias)]
        for parameter, value in zip(weights, (kernel.T, recurrent.T, *halves), strict=False):
            if parameter is not None:
                xp = array_namespace(parameter.data)
                parameter.data[...] = xp.asarray(self._ordered(value).astype(parameter.dtype))
        if self.biases == 1 and weights.bias_hh is not None:
            # One bias in Keras: two that are trained would learn twice as fast.
            weights.bias_hh.requires_grad = False

    def out_of(self, weights: Weights, read: Read, *, gradients: bool) -> list[Array]:
        """Keras's weights of a layer's parameters, or the gradients with respect to them."""
        kernel, recurrent = (self._ordered(read(w)).T for w in weights[:2])
        found = [kernel, recurrent]
        if self.biases and weights.bias_ih is not None and weights.bias_hh is not None:
            bias_ih = self._ordered(read(weights.bias_ih))
            if self.biases == 2:
                bias_hh = self._ordered(read(weights.bias_hh))
                found.append(array_namespace(bias_ih).stack([bias_ih, bias_hh]))
            else:  # the sum of both acts; its gradient is that of either
                found.append(bias_ih if gradients else bias_ih + read_value(weights.bias_hh, self))
        return found

    def _ordered(self, rows: Array) -> Array:
        order = ORDERS[self.kind]
        blocks = rows.reshape(len(order), -1, *rows.shape[1:])
        mixed: Array = blocks[list(order)].reshape(rows.shape)
        return mixed


def read_value(parameter: Tensor, layout: Layout) -> Array:
    """A parameter's value in Keras's order of gates."""
    return layout._ordered(parameter.data)
