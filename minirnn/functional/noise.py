"""Dropout."""

from __future__ import annotations

import numpy as np

from minirnn.device import Array, array_namespace
from minirnn.errors import ArgumentError
from minirnn.functional.operands import floating
from minirnn.tensor import Operand, Tensor, apply


def dropout(x: Operand, p: float, rng: np.random.Generator) -> Tensor:
    """x with each element set to 0 with probability p, and the others divided by 1 - p.

    The expected value stays x, so nothing is to be done at evaluation. Source: Srivastava et al.,
    "Dropout", JMLR 15 (2014), section 10 ("inverted" dropout).

    Raises: DTypeError; ArgumentError if p is not in 0 <= p <= 1, or rng is no Generator.
    """
    tensor = floating(x)
    check_probability(p, "p")
    if not isinstance(rng, np.random.Generator):
        raise ArgumentError("rng", f"a {type(rng).__name__}", "a numpy.random.Generator")
    if p == 0:
        return tensor
    data = tensor.data
    xp = array_namespace(data)
    dropped = xp.asarray(rng.random(data.shape, np.float32) < p)
    scale = data.dtype.type(0 if p == 1 else 1 / (1 - p))
    factors: Array = xp.where(dropped, data.dtype.type(0), scale)
    # Multiplied, so that a NaN is seen even where it is dropped.
    with np.errstate(all="ignore"):
        out = data * factors
    return apply("dropout", (tensor,), (out,), lambda g: (g * factors,))[0]


def check_probability(p: object, argument: str) -> None:
    """Check that `p` is a number with 0 <= p <= 1. Raises: ArgumentError."""
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
        raise ArgumentError(argument, repr(p), "a probability, 0 <= p <= 1")
