"""Whether differences are as large, and as widely spread, as a narrower format makes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minirnn.kernels.contract import Array, Weights
from minirnn.testing.faulty_backward import backward, backward_arrays
from minirnn.testing.faulty_run import Faulty

if TYPE_CHECKING:
    from minirnn.testing.mismatch import Compared
    from minirnn.testing.reference import Call, ReferenceRun

# Significant bits. TF32 has those of float16.
FORMATS = {"float32": 24, "float16 or TF32": 11, "bfloat16": 8}
# Rounding that happens elsewhere, or more often, than in the run it is compared with.
FACTOR = 8.0


def rounded(array: Array, bits: int) -> Array:
    """To so many significant bits, ties to even."""
    mantissa, exponent = np.frexp(array)
    return np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)


def narrower(compared: Sequence[Compared], expected: ReferenceRun) -> Iterator[tuple[str, str]]:
    """The cause "narrow-precision", and which format, if all that differs looks like it.

    A run whose arguments are rounded once to the format shows how large its differences are. Those
    found have to be of that size, within a factor of 8, in every array that differs; and spread
    over it, where a fault sits in one place.
    """
    call = expected.call
    assert call is not None
    failed = [c for c in compared if c.excess > 1.0]
    if not all(np.isfinite(c.excess) and _spread(c.found - c.wanted) for c in failed):
        return
    nearest, of = np.log(FACTOR), ""
    known = expected.arrays()
    for name, bits in FORMATS.items():
        if any(bits >= np.finfo(c.found.dtype).nmant + 1 for c in failed):
            continue
        noisy = _noise(call, bits)
        ratios = [
            _level(c.found - c.wanted) / max(_level(noisy[c.name] - known[c.name]), 1e-300)
            for c in failed
            if c.name in noisy
        ]
        if len(ratios) < len(failed):
            return
        worst = float(np.abs(np.log(ratios)).max())
        if worst <= nearest:
            nearest, of = worst, name
    if of:
        yield "narrow-precision", f"differences as large as rounding to {of} makes them"


def _level(difference: Array) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))


def _spread(difference: Array) -> bool:
    """Whether a fair part of what is not exact is near the level."""
    moved = np.abs(difference[difference != 0])
    return bool(moved.size >= 0.25 * difference.size) and bool(
        (moved > 0.1 * _level(moved)).mean() > 0.25
    )


def _noise(call: Call, bits: int) -> dict[str, Array]:
    weights = Weights(*(None if w is None else rounded(w, bits) for w in call.weights))
    state = tuple(rounded(s, bits) for s in call.state)
    run = Faulty(call._replace(x=rounded(call.x, bits), state=state, weights=weights))
    return run.forward_arrays() | backward_arrays(run, backward(run))
