"""Layers: the recurrent ones, what goes around them, and `SequenceModel`, which joins both."""

from __future__ import annotations

from minirnn.nn.dropout import Dropout
from minirnn.nn.embedding import Embedding
from minirnn.nn.linear import Linear
from minirnn.nn.module import Module
from minirnn.nn.normalization import BatchNorm, LayerNorm
from minirnn.nn.recurrent import GRU, LSTM, RNN, Recurrent
from minirnn.nn.sequence_model import SequenceModel
from minirnn.nn.sequential import Sequential
from minirnn.nn.single_step import GRUCell, LSTMCell, RecurrentCell, RNNCell
from minirnn.nn.stream import Stream

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BatchNorm",
    "Dropout",
    "Embedding",
    "GRUCell",
    "LSTMCell",
    "LayerNorm",
    "Linear",
    "Module",
    "RNNCell",
    "Recurrent",
    "RecurrentCell",
    "SequenceModel",
    "Sequential",
    "Stream",
]
