"""The cells: equations and slots in a small vocabulary, and the derivative derived from them."""

from __future__ import annotations

from minirnn.kernels.cells.cell import Cell, cell
from minirnn.kernels.cells.gru import gru
from minirnn.kernels.cells.lstm import lstm
from minirnn.kernels.cells.rnn import rnn
from minirnn.kernels.cells.vocabulary import (
    clip,
    constant,
    divide,
    exp,
    log,
    relu,
    select,
    sigmoid,
    tanh,
)

__all__ = [
    "Cell",
    "cell",
    "clip",
    "constant",
    "divide",
    "exp",
    "gru",
    "log",
    "lstm",
    "relu",
    "rnn",
    "select",
    "sigmoid",
    "tanh",
]
