"""Arrays stored in fewer bits than float32: what they can hold, and what that costs.

A kernel on float16 or bfloat16 arrays adds up its products in float32 and rounds to the format what
it stores: at most every product, sum and activation of the equations, once. What that does to a
result depends on the path that each rounding takes to it. A bound that holds on every path, as the
tables of `minirnn.testing.tolerances` do, is no test here: with an epsilon of 2^-7 (bfloat16) it
admits swapped gates. So the paths are tried: the reference's own code runs with arrays whose every
operation is off by a random relative error, uniform within half an epsilon of the format on either
side, which is what roundings that know nothing of each other are like. (Monte Carlo arithmetic [1];
the reference's steps, written out, are the roundings that a kernel may have.) The tolerance is

    SPREAD x (root mean square over RUNS runs of an array's largest deviation)  +  float32's own

with float32's own from the first table of `tolerances`. `SPREAD` = 6: the largest of an array's
deviations varies by some tenths of itself from run to run, but in an array of one number it is that
number's own, of which 6 standard deviations are one in 5e8, and the root mean square of 8 runs is
itself uncertain by a quarter. A kernel that rounds less stays further below.

What it does not admit: sums kept in the format, which round K times where the reference does once.

float16's subnormal numbers, below 2^-14, lie 2^-24 apart, so each stored number may be off by
2^-25 besides; that is added, times the number of steps, and for a gradient by the terms after them.

[1] D. S. Parker, Monte Carlo Arithmetic: exploiting randomness in floating-point arithmetic
    (UCLA report CSD-970002, 1997), sections 4 and 6.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.kernels import reference as kernels
from minirnn.kernels.contract import Array, Needs, Weights
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
SPREAD, RUNS = 6.0, 8


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


def tolerances(run: ReferenceRun, storage: str, precision: str | None = None) -> dict[str, float]:
    """By array the largest difference from the reference that rounding explains."""
    names = run.arrays()
    if precision is not None:
        return {name: run.tolerance(name, np.float32, precision) for name in names}
    dtype = np.float64 if storage == "float64" else np.float32
    factors = {name: scale(name, run.magnitudes) for name in names}
    own = {name: bound(dtype, terms(name, run.sizes), factors[name]) for name in names}
    if storage not in NARROW_EPSILON:
        return own
    spread = _spread(run, NARROW_EPSILON[storage])
    least = SMALLEST_NORMAL[storage] * NARROW_EPSILON[storage] / 2

    def subnormal(name: str) -> float:
        return least * terms(name, run.sizes) * (1.0 if name.startswith("grad") else run.sizes.T)

    return {name: SPREAD * spread[name] + own[name] + subnormal(name) for name in names}


def _spread(run: ReferenceRun, epsilon: float) -> dict[str, float]:
    """By array, the root mean square over runs of the largest deviation that roundings bring."""
    from minirnn.testing.reference import named_arrays

    call, right = run.call, run.arrays()
    assert call is not None
    cell = call.cell
    squares = dict.fromkeys(right, 0.0)
    rng = np.random.default_rng(0)

    def rounded(array: Array | None) -> Array | None:
        if array is None:
            return None
        view = np.asarray(array).view(Rounded)
        view.rounding = (rng, epsilon / 2)
        return view

    x, weights = rounded(call.x), Weights(*map(rounded, call.weights))
    dstate = None if call.dstate is None else tuple(map(rounded, call.dstate))
    for _ in range(RUNS):
        output, state, tape = kernels.forward(
            cell, x, call.state, weights, lengths=call.lengths, keep="record", reverse=call.reverse
        )
        assert tape is not None
        doutput = rounded(call.doutput)
        gradients = kernels.backward(cell, doutput, dstate, tape, needs=Needs())
        noisy = named_arrays(cell, output, state, gradients, tape.record())
        for name, array in right.items():
            largest = float(np.abs(np.asarray(noisy[name]) - array).max(initial=0.0))
            squares[name] += largest * largest / RUNS
    return {name: math.sqrt(square) for name, square in squares.items()}


class Rounded(np.ndarray[Any, np.dtype[Any]]):
    """An array whose operations are off by a random relative error, as if they rounded.

    `rounding` is the generator, and half the format's epsilon; results of operations inherit it.
    """

    rounding: tuple[np.random.Generator, float] | None = None

    def __array_finalize__(self, source: Any) -> None:
        self.rounding = getattr(source, "rounding", None)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [np.asarray(i) if isinstance(i, Rounded) else i for i in inputs]
        if "out" in options:
            outs = options["out"]
            options["out"] = tuple(np.asarray(o) if isinstance(o, Rounded) else o for o in outs)
        result = getattr(ufunc, method)(*plain, **options)
        rounding = next(i.rounding for i in inputs if isinstance(i, Rounded))
        if not isinstance(result, np.ndarray) or result.dtype.kind != "f" or rounding is None:
            return result
        rng, half = rounding
        if ufunc is not np.negative and ufunc is not np.absolute:  # which are exact
            result = result * (1.0 + rng.uniform(-half, half, result.shape))
        view = result.view(Rounded)
        view.rounding = rounding
        return view

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        # np.where, concatenate, split: numbers moved, not computed. A sum is added up in float32.
        result = super().__array_function__(function, types, args, options)
        if isinstance(result, np.ndarray) and not isinstance(result, Rounded):
            result = result.view(Rounded)
        if isinstance(result, Rounded) and result.rounding is None:
            result.rounding = self.rounding
        return result
