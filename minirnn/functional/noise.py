"""Dropout, and the random numbers behind it."""

from __future__ import annotations

import numpy as np

from minirnn.device import Array, array_namespace
from minirnn.errors import ArgumentError
from minirnn.functional.operands import floating
from minirnn.real import is_real
from minirnn.tensor import Operand, Tensor, apply


def dropout(x: Operand, p: float, rng: np.random.Generator) -> Tensor:
    """x with each element set to 0 with probability p, and the others divided by 1 - p.

    The expected value stays x, so nothing is to be done at evaluation. Source: Srivastava et al.,
    "Dropout", JMLR 15 (2014), section 10 ("inverted" dropout).

    Where x is on the GPU, the mask is drawn there, from a seed that `rng` gives: as reproducible as
    on the CPU, but another mask.

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
    if xp is np:
        dropped = np.asarray(rng.random(data.shape, np.float32) < p)
    else:
        dropped = random_bits(data, int(rng.integers(2**64, dtype=np.uint64))) < np.uint64(
            min(int(p * 2**64), 2**64 - 1)
        )
    scale = data.dtype.type(0 if p == 1 else 1 / (1 - p))
    factors: Array = xp.where(dropped, data.dtype.type(0), scale)
    # Multiplied, so that a NaN is seen even where it is dropped.
    with np.errstate(all="ignore"):
        out = data * factors
    return apply("dropout", (tensor,), (out,), lambda g: (g * factors,))[0]


def random_bits(like: Array, seed: int) -> Array:
    """64 random bits for each element of `like`, as uint64 on its device, told by `seed` alone.

    They are the first outputs of the generator SplitMix64, the k-th a hash of seed + k * gamma,
    so that all can be computed at once, and nothing is kept between calls. All arithmetic is modulo
    2**64. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators"
    (OOPSLA 2014), figure 13 and section 5.
    """
    xp = array_namespace(like)
    z = xp.arange(1, like.size + 1, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(seed)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return z.reshape(like.shape)


def check_probability(p: object, argument: str) -> None:
    """Check that `p` is a number with 0 <= p <= 1. Raises: ArgumentError."""
    if not is_real(p) or not 0 <= p <= 1:
        raise ArgumentError(argument, repr(p), "a probability, 0 <= p <= 1")
