"""Layers: `Module`, `Linear`, `Dropout`, `Sequential`, the recurrent layers, `SequenceModel`."""

from __future__ import annotations

from minirnn.nn.dropout import Dropout
from minirnn.nn.linear import Linear
from minirnn.nn.module import Module
from minirnn.nn.recurrent import GRU, LSTM, RNN, Recurrent
from minirnn.nn.sequence_model import SequenceModel
from minirnn.nn.sequential import Sequential
from minirnn.nn.stream import Stream

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Dropout",
    "Linear",
    "Module",
    "Recurrent",
    "SequenceModel",
    "Sequential",
    "Stream",
]
