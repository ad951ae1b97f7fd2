"""Activations and their derivatives, for the reference only.

Each works on float64 and on complex128, where it is the analytic continuation of itself: no
absolute value or maximum of a complex number, so that complex-step derivatives come out exact.
Derivatives are given in terms of the activated value y = φ(z), which is what a pass keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.kernels.contract import Array


class Activation(NamedTuple):
    """φ, and φ' as a function of the activated value."""

    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + exp(-z)), by whichever of its two forms cannot overflow."""
    right = z.real >= 0
    e = np.exp(np.where(right, -z, z))
    # σ(z) = 1 / (1 + exp(-z)) = exp(z) / (1 + exp(z))
    return np.where(right, 1, e) / (1 + e)


def sigmoid_derivative(y: Array) -> Array:
    """σ'(z) = σ(z)·(1 - σ(z))."""
    return y * (1 - y)


def tanh_derivative(y: Array) -> Array:
    """tanh'(z) = 1 - tanh(z)²."""
    return 1 - y * y


def relu(z: Array) -> Array:
    """max(0, z), decided by the real part; NaN stays NaN."""
    return np.where(z.real <= 0, 0, z)


def relu_derivative(y: Array) -> Array:
    """1 where z > 0, 0 where z <= 0 (PyTorch's choice at the kink)."""
    return np.where(y.real <= 0, 0.0, 1.0)


ACTIVATIONS = {
    "tanh": Activation(np.tanh, tanh_derivative),
    "sigmoid": Activation(sigmoid, sigmoid_derivative),
    "relu": Activation(relu, relu_derivative),
    "identity": Activation(np.copy, np.ones_like),
}


def named(name: str) -> Activation:
    """The activation of that name.

    Raises: ArgumentError if there is none.
    """
    if name not in ACTIVATIONS:
        raise ArgumentError("activation", repr(name), f"one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
