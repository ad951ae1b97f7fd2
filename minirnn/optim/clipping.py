"""Clipping of gradients, by their norm or by value."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.kernels.contract import Array
from minirnn.optim.optimizer import checked_parameters
from minirnn.tensor import Tensor


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients together so that their joint Euclidean norm is at most `max_norm`.

    Returns the norm before clipping, summed in float64; parameters without a gradient count as
    zero. If it is not finite, no gradient is touched: there is no right scale, and what was wrong
    stays to be seen. The caller sees it in what is returned, and should skip the step.

    max_norm: above 0; infinity only measures. Source: Pascanu et al. 2013 (ICML), algorithm 1.

    Raises: ArgumentError that names the argument.
    """
    max_norm = _above_zero("max_norm", max_norm)
    gradients = [p.grad for p in checked_parameters(parameters) if p.grad is not None]
    norm = math.hypot(*(_norm(gradient) for gradient in gradients))
    if math.isfinite(norm) and norm > max_norm:
        for gradient in gradients:
            gradient *= max_norm / norm
    return norm


def clip_grad_value(parameters: Iterable[Tensor], max_value: float) -> None:
    """Clip every element of every gradient to [-max_value, max_value]; NaN stays NaN.

    max_value: above 0.

    Raises: ArgumentError that names the argument.
    """
    max_value = _above_zero("max_value", max_value)
    for parameter in checked_parameters(parameters):
        if parameter.grad is not None:
            np.clip(parameter.grad, -max_value, max_value, out=parameter.grad)


def _norm(array: Array) -> float:
    """Euclidean norm of all elements; neither overflows nor underflows before the result does."""
    flat = array.reshape(-1)
    # No BLAS: its sums depend on the number of threads.
    squares = float(np.einsum("i,i->", flat, flat, dtype=np.float64))
    if 1e-280 < squares < math.inf:
        return math.sqrt(squares)
    largest = float(np.abs(flat).max(initial=0.0))
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    scaled = flat / largest
    return largest * math.sqrt(float(np.einsum("i,i->", scaled, scaled, dtype=np.float64)))


def _above_zero(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number > 0.0:
        raise ArgumentError(name, repr(value), "a number above 0")
    return number
