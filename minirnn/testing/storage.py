"""Arrays stored in fewer bits than float32: what they can hold, and what that costs.

Such a kernel sums its products in float32 and rounds to the storage format what it writes down:
z and the gates, what stands between them, the states, the gradients. The tolerance is

    (min(n, 4 √n) x the format's epsilon + min(terms, 4 √terms) x float32's epsilon) x scale

with terms and scale from the first table of `minirnn.testing.tolerances`, the format's epsilon
2^-10 (float16) or 2^-7 (bfloat16), and

    array                            n
    -------------------------------  ------------------
    output, state, states, gates     s T
    every gradient                   4 s T + 1

* `STORED_ROUNDINGS`, s = 8, is a step's share. Each rounding moves a number by half an epsilon.
  Before a sigmoid or tanh lie at most five (two products, two biases, their sum), relative to |z|;
  a slope of at most 1 and the sum of a cell's gates at most double them, as `tolerances` shows for
  narrow operands; six more fall on gates, products of gates and states. 2·5 + 6 halves are 8.
* Backward multiplies up to three stored values, each as wrong as forward left it, with what
  arrives: 3 s T. Its own chain rounds as often as forward's, another s T, and what a product after
  the loop leaves is rounded once.
* The roundings of different numbers know nothing of each other, so the square root holds here as
  there; sums over k, t and b are the float32 terms. A kernel that sums in float16 rounds K times
  at the format's epsilon, and exceeds this once K is large enough to matter.

float16's subnormal numbers, below 2^-14, are 2^-24 apart: a rounding moves a number by at most
2^-25 there, which an epsilon of a scale of at least 1 covers for forward's arrays. For gradients D
is taken as at least 2^-14.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.kernels.contract import Array
from minirnn.testing.tolerances import bound, scale, terms

if TYPE_CHECKING:
    from minirnn.testing.reference import ReferenceRun

# The dtype of the arrays that hold each. NumPy has no bfloat16: its numbers travel in float32,
# whose upper half they are.
STORAGES: dict[str, Any] = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "bfloat16": np.float32,
}
NARROW_EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
SMALLEST_NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126}
LARGEST = {
    "float16": 65504.0,
    "bfloat16": 3.3895313892515355e38,
    "float32": 3.4028234663852886e38,
    "float64": 1.7976931348623157e308,
}
STORED_ROUNDINGS = 8


def stored(array: Array, storage: str) -> Array:
    """The array's numbers as that storage holds them, to the nearest, in the dtype that holds it.

    >>> float(stored(np.array([1 + 2.0**-9]), "bfloat16")[0])
    1.0
    """
    if storage != "bfloat16":
        return array.astype(STORAGES[storage])
    single = array.astype(np.float32)
    bits = single.view(np.uint32)
    # To the nearest; half-way cases to the even one of the two upper halves.
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) & np.uint32(0xFFFF0000)
    return np.where(np.isfinite(single), rounded.view(np.float32), single).astype(np.float32)


def tolerance(run: ReferenceRun, name: str, storage: str, precision: str | None = None) -> float:
    """The largest difference from the reference that rounding explains, for arrays so stored."""
    if precision is not None:
        return run.tolerance(name, np.float32, precision)
    factor = scale(name, run.magnitudes)
    if storage not in NARROW_EPSILON:
        return bound(STORAGES[storage], terms(name, run.sizes), factor)
    gradient = name.startswith("grad")
    n = (4 if gradient else 1) * STORED_ROUNDINGS * run.sizes.T + gradient
    narrow = min(n, 4.0 * math.sqrt(n)) * NARROW_EPSILON[storage]
    least = SMALLEST_NORMAL[storage] if gradient else 0.0
    return narrow * max(factor, least) + bound(np.float32, terms(name, run.sizes), factor)
