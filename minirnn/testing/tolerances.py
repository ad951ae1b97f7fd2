"""How far a kernel may stand from the reference: one table, derived, never widened to pass a test.

A tolerance is `min(terms, 4 √terms) x machine epsilon x scale`:

* `terms` counts the roundings that can add up on the way to a number. A product of K terms
  rounds K times, in whatever order it is summed; a step's activations and arithmetic round
  `STEP_ROUNDINGS` times (at most three activations in series, each to 4 units in the last place,
  and 12 operations between them); each of T steps does so again. At worst all of them point the
  same way [1]. Roundings that know nothing of each other add up to λ √terms halves of epsilon
  instead, except with probability 2 exp(-λ²/2) [2]; λ = 8 makes that 3e-14 a number.
* `scale` is what a relative rounding is relative to: the sum of the magnitudes that were added up,
  which cancellation can leave far above the result.

For one layer in one direction, with T steps, B sequences, I inputs, H units and Gi, Gh slots fed by
x and by h:

    array                          terms                       scale
    -----------------------------  --------------------------  ---------------------------------
    output, state, states, gates   F = T (I + H + s)           S = max(1, |z|) max(1, |stored|)
    grad_states, grad_slots,       R = F + T (Gh H + s)        D = S max(|dh|, |dc|, |dq|, |dz|,
      grad_direct, grad.state                                        |dz| |W_hh|)
    grad.x                         R + Gi H                    D max(1, column sum of |W_ih|)
    grad.weight_ih                 R + T B                     D max(1, sum over t, b of |x|)
    grad.weight_hh                 R + T B                     D max(1, sum over t, b of |h|)
    grad.bias_ih, grad.bias_hh     R + T B                     D T B

where s = `STEP_ROUNDINGS`, |z| = |x| |W_ih| + |b_ih| + |h| |W_hh| + |b_hh|, and |stored| stands for
gates and states. Every maximum is over the whole array, taken from the reference's own run. A cell
whose second product takes what comes of the first (GRU with the reset gate before the product) has
2 (H + s) in place of H + s in F, and 2 s in place of s in R.

Why the factor T suffices. Let an error e_t of the state obey e_t <= r e_{t-1} + d, with d one
step's rounding. If a step does not expand errors, r <= 1, then e_T <= T d. Networks at default
initialisation are such: entries uniform in ±1/√H have variance 1/(3H), so the spectral radius of
W_hh is about 1/√3 (circular law), slopes are at most 1, and gates only shrink. With large gains
r > 1 and e_T grows like r^T whatever the kernel does; there `reference_step_by_step` starts every
step from the kernel's own state: T steps of B sequences are then B T sequences of one step, and the
table applies to those. Its backward takes the kernel's own gates, and the products after the loop
the kernel's own dz, so that these are held to what [1] says of a product and nothing else:

    array                          terms                       scale
    -----------------------------  --------------------------  ---------------------------------
    grad.x                         Gi H                        |dz| |W_ih|
    grad.weight_ih, weight_hh      T B                         |dz|ᵀ |x|, |dz|ᵀ |h|
    grad.bias_ih, grad.bias_hh     T B                         sum over t, b of |dz|

Float64 has room to spare, so whole runs at default initialisation are held to the flat
`FLOAT64_WHOLE_RUN`, relative to the larger of 1 and the array's largest value.

Narrow products. The GPU's modes "tf32", "bfloat16" and "float16" round the operands of every
product to 11, 8 or 11 significant bits, to the nearest: each by at most half the format's epsilon,
2^-10, 2^-7 or 2^-10. The rest is float32. So the tolerance is

    (operand terms x the format's epsilon + terms x float32's epsilon) x scale

    array                          operand terms
    -----------------------------  -----------------
    output, state, states, gates   F' = 2 T
    grad_states, grad_slots,       R' = 3 F' + 2 T
      grad_direct, grad.state
    grad.x, grad.weight_ih,        R' + 1
      grad.weight_hh
    grad.bias_ih, grad.bias_hh     R'

Of single steps there are 2 in the first line as well. Behind it, where the gates are the kernel's
own, only the products are left: 1 for grad.x and the weights, relative to the scale of the second
table; 1 for grad_states and grad.state, relative to |dz| |W_hh|; 0 for grad_slots and the biases.

* A second product in a step doubles F' and what R' adds to it.
* Both operands of a product together move z by one epsilon of |z| (and a quarter of its square:
  (1 + epsilon/2)^2 - 1). Behind z a step at most doubles that: slopes are at most 1, a sigmoid's
  1/4, so that an LSTM's h moves by at most 1 + 3/4 |stored| times as much, a GRU's no more. A
  backward step multiplies what arrives by up to three stored values (dz_f = dc c f (1 - f)), each
  as wrong as forward left it, and has a product of its own.
* Operand terms are added up as they are, without the square root: a weight's rounding is the same
  at every step, so these know of each other. `terms` goes without it too: tensor cores cut off what
  does not fit while they add [3], always towards zero.
* float16's numbers below 2^-14 are as far apart as those above, so there an operand's magnitude
  counts as at least that much in |z|. The products of gradients are "tf32" in that mode. What
  exceeds 65504 is infinite, and no bound is meant for it.

For a whole run that is the worst that can happen, and soon says little; and where a relu's z is
nearly 0, a run may take the other side, whose slope no bound knows. Of many steps, compare each by
itself (`reference_step_by_step`).

[1] N. J. Higham, Accuracy and Stability of Numerical Algorithms (2nd ed., SIAM 2002), section 3.1:
    |fl(xᵀy) - xᵀy| <= γ_K |x|ᵀ|y| in any order of summation, γ_K = Ku / (1 - Ku).
[2] N. J. Higham and T. Mary, A New Approach to Probabilistic Rounding Error Analysis (SIAM J. Sci.
    Comput. 41(5), 2019), theorem 2.4: λ√K u + O(u²) in place of γ_K.
[3] M. Fasi, N. J. Higham, M. Mikaitis and S. Pranesh, Numerical Behavior of NVIDIA Tensor Cores
    (PeerJ Computer Science 7:e330, 2021), sections 4 and 5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minirnn.kernels.contract import Array, Record, Weights

FLOAT64_WHOLE_RUN = 1e-12

# What the GPU rounds a product's operands to: the distance from 1 to the next number.
OPERAND_EPSILON = {"tf32": 2.0**-10, "bfloat16": 2.0**-7, "float16": 2.0**-10}
PRECISIONS = ("float32", *OPERAND_EPSILON)
FLOAT16_SMALLEST_NORMAL = 2.0**-14

# Three activations in series to 4 ulp each, and a dozen operations between and after them.
STEP_ROUNDINGS = 24


class Sizes(NamedTuple):
    """The dimensions that the table counts with."""

    T: int
    B: int
    I: int  # noqa: E741
    H: int
    Gi: int
    Gh: int
    products: int = 1  # with h, one after the other in a step


def bound(dtype: Any, terms: int, scale: float = 1.0) -> float:
    """`terms` roundings of numbers as large as `scale`, in a float dtype.

    >>> bound("float32", 100) == 4 * 10 * 2.0**-23
    True
    """
    return min(terms, 4.0 * math.sqrt(terms)) * float(np.finfo(dtype).eps) * scale


def product_bound(
    dtype: Any, precision: str | None, array: str, sizes: Sizes, magnitudes: Mapping[str, float]
) -> float:
    """The tolerance of a product after the loop, of single steps; `magnitudes` has its scale.

    Raises: KeyError for an array or a precision that the tables do not have.
    """
    summed = sizes.Gi * sizes.H if array == "grad.x" else sizes.T * sizes.B
    if precision not in OPERAND_EPSILON:
        return bound(dtype, summed, magnitudes[array])
    rounded = 0.0 if array.startswith("grad.bias") else _two_operands(precision)
    return (rounded + summed * float(np.finfo(dtype).eps)) * magnitudes[array]


def narrow_bound(
    precision: str, array: str, sizes: Sizes, magnitudes: Mapping[str, float]
) -> float:
    """The tolerance of a float32 array whose products had operands of that precision.

    Raises: KeyError for an array or a precision that the tables do not have.
    """
    rounding = _two_operands(precision)
    summed = terms(array, sizes) * float(np.finfo(np.float32).eps) * scale(array, magnitudes)
    if array.startswith("grad") and "dz W_hh" in magnitudes:  # of single steps
        carried = array.split(".")[0] == "grad_states" or array.startswith("grad.state")
        return summed + (rounding * magnitudes["dz W_hh"] if carried else 0.0)
    rounded = operand_terms(array, sizes) * rounding * scale(array, magnitudes)
    # An operand counts in |z|, and so in S, as float16 rounds it.
    wider = magnitudes["S in float16"] / magnitudes["S"] if precision == "float16" else 1.0
    return rounded * wider + summed


def _two_operands(precision: str) -> float:
    """By how much of itself a product of two numbers changes when both are rounded."""
    epsilon = OPERAND_EPSILON[precision]
    return epsilon + epsilon**2 / 4


def operand_terms(array: str, sizes: Sizes) -> int:
    """The second column of the table of narrow products, for a whole run."""
    forward = 2 * sizes.T * sizes.products
    backward = 3 * forward + 2 * sizes.T * sizes.products
    if not array.startswith("grad"):
        return forward
    return backward + (array in ("grad.x", "grad.weight_ih", "grad.weight_hh"))


def terms(array: str, sizes: Sizes) -> int:
    """The second column of the table for an array of that name ("states.h", "grad.weight_ih", …).

    Raises: KeyError for a name that the table does not have.
    """
    T, B, I, H, Gi, Gh, series = sizes  # noqa: E741
    forward = T * (I + series * (H + STEP_ROUNDINGS))
    backward = forward + T * (Gh * H + series * STEP_ROUNDINGS)
    products = {
        "grad.x": backward + Gi * H,
        "grad.weight_ih": backward + T * B,
        "grad.weight_hh": backward + T * B,
        "grad.bias_ih": backward + T * B,
        "grad.bias_hh": backward + T * B,
    }
    families = {
        "output": forward,
        "state": forward,
        "states": forward,
        "gates": forward,
        "grad_states": backward,
        "grad_slots": backward,
        "grad_direct": backward,
        "grad": backward,
    }
    return products[array] if array in products else families[array.split(".")[0]]


def scale(array: str, magnitudes: Mapping[str, float]) -> float:
    """The third column of the table, from :func:`magnitudes_of` a run."""
    if not array.startswith("grad"):
        return magnitudes["S"]
    factors = {
        "grad.x": magnitudes["column sum of W_ih"],
        "grad.weight_ih": magnitudes["sum of x"],
        "grad.weight_hh": magnitudes["sum of h"],
        "grad.bias_ih": magnitudes["T B"],
        "grad.bias_hh": magnitudes["T B"],
    }
    return magnitudes["D"] * max(1.0, factors.get(array, 1.0))


def magnitudes_of(
    hidden_slots: Sequence[str], x: Array, state: Sequence[Array], weights: Weights, record: Record
) -> dict[str, float]:
    """What the table's scales are made of, from a run of the reference.

    x (T, B, I), zero past a sequence's end; `state` the initial states; `record` with gradients.
    """

    def largest(*arrays: Array) -> float:
        return max(float(np.abs(array).max(initial=0.0)) for array in arrays)

    W_ih, W_hh = np.abs(weights.weight_ih), np.abs(weights.weight_hh)
    grad_slots, grad_states = record.grad_slots or {}, record.grad_states or {}
    # Every h that enters a step: those that left one, and the initial state.
    h = np.concatenate([record.states["h"], state[0][None]])
    dz_h = np.concatenate([grad_slots[slot] for slot in hidden_slots], axis=2)
    biases = [bias for bias in weights[2:] if bias is not None]
    stored = largest(*record.gates.values(), *record.states.values(), *state)

    operands = (x, h, W_ih, W_hh)

    def scale_of(least: float) -> float:
        """S, where no operand but 0 counts as less than `least`."""
        a, b, W_x, W_h = (np.where(m == 0.0, 0.0, np.maximum(np.abs(m), least)) for m in operands)
        z = sum([largest(a @ W_x.T), largest(b @ W_h.T), *map(largest, biases)])
        return max(1.0, z) * max(1.0, stored)

    S = scale_of(0.0)
    return {
        "S": S,
        "S in float16": scale_of(FLOAT16_SMALLEST_NORMAL),
        "D": S * largest(*grad_slots.values(), *grad_states.values(), np.abs(dz_h) @ W_hh),
        "column sum of W_ih": largest(W_ih.sum(axis=0)),
        "sum of x": largest(np.abs(x).sum(axis=(0, 1))),
        "sum of h": largest(np.abs(h).sum(axis=(0, 1))),
        "T B": float(x.shape[0] * x.shape[1]),
    }
