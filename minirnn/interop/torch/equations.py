"""Which of our cells computes what a module of PyTorch's computes, and the other way."""

from __future__ import annotations

from typing import Any

from torch import nn

from minirnn.kernels import cells
from minirnn.kernels.cells.cell import Cell

LAYERS = (nn.RNN, nn.GRU, nn.LSTM)
CELLS = (nn.RNNCell, nn.GRUCell, nn.LSTMCell)


def base_of(module: Any) -> Any:
    """The class of PyTorch's recurrent layers or cells that a module is of; None for another."""
    return next((base for base in (*LAYERS, *CELLS) if isinstance(module, base)), None)


def cell_of(module: Any) -> Cell:
    """The cell of an `nn.RNN`, `nn.GRU`, `nn.LSTM`, or of one of PyTorch's cells."""
    if isinstance(module, nn.LSTM | nn.LSTMCell):
        return cells.lstm()
    if isinstance(module, nn.GRU | nn.GRUCell):
        return cells.gru()
    return cells.rnn(module.nonlinearity)
