"""Clipping of gradients, by their norm or by value."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minirnn.device import array_namespace
from minirnn.errors import ArgumentError
from minirnn.gpu import cupy_array
from minirnn.kernels.contract import Array
from minirnn.optim.optimizer import checked_parameters
from minirnn.real import is_real
from minirnn.tensor import Tensor


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients together so that their joint Euclidean norm is at most `max_norm`.

    Returns the norm before clipping, summed in float64; parameters without a gradient count as
    zero. If it is not finite, no gradient is touched: there is no right scale, and what was wrong
    stays to be seen. The caller sees it in what is returned, and should skip the step. On the GPU
    it waits for the gradients, since it returns a number; no array is fetched.

    max_norm: above 0; infinity only measures. Source: Pascanu et al. 2013 (ICML), algorithm 1.

    Raises: ArgumentError that names the argument.
    """
    max_norm = _above_zero("max_norm", max_norm)
    gradients = [p.grad for p in checked_parameters(parameters) if p.grad is not None]
    norm = _joint_norm(gradients)
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
            xp = array_namespace(parameter.grad)
            xp.clip(parameter.grad, -max_value, max_value, out=parameter.grad)


def _joint_norm(gradients: list[Array]) -> float:
    """Euclidean norm of all elements of all arrays."""
    if gradients and all(map(cupy_array, gradients)):
        # Put together on the GPU, so that one number is waited for, not one for each array.
        total = float(sum(_squares(gradient) for gradient in gradients))
        if _in_range(total):
            return math.sqrt(total)
    return math.hypot(*map(_norm, gradients))


def _norm(array: Array) -> float:
    """Euclidean norm of all elements; neither overflows nor underflows before the result does."""
    squares = float(_squares(array))
    if _in_range(squares):
        return math.sqrt(squares)
    largest = float(abs(array).max()) if array.size else 0.0
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(float(_squares(array / largest)))


def _squares(array: Array) -> Array:
    """The sum of the squares of all elements, in float64; a single element, still on its device."""
    flat = array.reshape(-1)
    xp = array_namespace(array)
    if xp is np:  # no BLAS: its sums depend on the number of threads
        return np.einsum("i,i->", flat, flat, dtype=np.float64)
    return xp.multiply(flat, flat, dtype=np.float64).sum()


def _in_range(squares: float) -> bool:
    """Whether a sum of squares has lost nothing to overflow or underflow."""
    return 1e-280 < squares < math.inf


def _above_zero(name: str, value: float) -> float:
    number = float(value) if is_real(value) else math.nan
    if not number > 0.0:
        raise ArgumentError(name, repr(value), "a number above 0")
    return number
