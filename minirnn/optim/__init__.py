"""Optimisers and gradient clipping."""

from __future__ import annotations

from minirnn.optim.adam import Adam
from minirnn.optim.clipping import clip_grad_norm, clip_grad_value
from minirnn.optim.optimizer import Optimizer
from minirnn.optim.sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer", "clip_grad_norm", "clip_grad_value"]
