"""Optimisers, schedulers of the learning rate, and gradient clipping."""

from __future__ import annotations

from minirnn.optim import schedulers
from minirnn.optim.adam import Adam
from minirnn.optim.adamw import AdamW
from minirnn.optim.clipping import clip_grad_norm, clip_grad_value
from minirnn.optim.optimizer import Optimizer
from minirnn.optim.rmsprop import RMSprop
from minirnn.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm",
    "clip_grad_value",
    "schedulers",
]
