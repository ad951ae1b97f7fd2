"""Whether differences are those that a narrower format makes.

That they are as large, and as widely spread, proves nothing: weights off by one in a hundred look
like bfloat16 in that. But the operands of a product are the same in every implementation, and so is
what rounding does to them: a run with rounded operands is off in the same places the same way. Or
what was found is itself of few bits, stored so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minirnn.kernels.contract import Array, Weights
from minirnn.testing.causes.faulty_backward import backward, backward_arrays
from minirnn.testing.causes.faulty_run import Faulty, Forward, rounded

if TYPE_CHECKING:
    from minirnn.testing.mismatch import Compared
    from minirnn.testing.reference import Call, ReferenceRun

# Significant bits. TF32 has those of float16.
FORMATS = {"float32": 24, "float16 or TF32": 11, "bfloat16": 8}
# Rounding that happens elsewhere, or more often, than in the run it is compared with.
FACTOR = 8.0
# The least mean cosine. In calls of a hundred numbers it is above 0.94 where operands are rounded,
# and was below 0.6 for other faults.
ALIKE = 0.8


def narrower(
    compared: Sequence[Compared], expected: ReferenceRun
) -> tuple[list[tuple[str, str]], list[str]]:
    """The cause "narrow-precision" and which format, or else a note that it may be.

    A run whose operands are rounded to the format shows what its differences are. Those found have
    to be of that size, within a factor of 8, in every array that differs, and spread over it, where
    a fault sits in one place. It is the cause if they also go along with that run's (`ALIKE`), or
    if no number found has more bits than the format. float32 within float64 needs no such proof:
    little else is off by so little.
    """
    call = expected.call
    assert call is not None
    failed = [c for c in compared if c.excess > 1.0]
    if not all(np.isfinite(c.excess) and _spread(c.found - c.wanted) for c in failed):
        return [], []
    nearest, of, proven = np.log(FACTOR), "", False
    known = expected.arrays()
    for name, bits in FORMATS.items():
        if any(bits >= np.finfo(c.found.dtype).nmant + 1 for c in failed):
            continue
        noisy = _noise(call, bits)
        noise = {c.name: noisy[c.name] - known[c.name] for c in failed if c.name in noisy}
        if len(noise) < len(failed):
            return [], []
        moved = {c.name: c.found - c.wanted for c in failed}
        ratios = [_level(moved[n]) / max(_level(noise[n]), 1e-300) for n in noise]
        worst = float(np.abs(np.log(ratios)).max())
        if worst <= nearest:
            nearest, of = worst, name
            alike = float(np.mean([_alike(moved[n], noise[n]) for n in noise]))
            proven = bits == 24 or alike > ALIKE or all(_of_few(c.found, bits) for c in failed)
    if not of:
        return [], []
    told = f"differences as large as rounding to {of} makes them"
    return ([("narrow-precision", told)], []) if proven else ([], [told])


def _alike(a: Array, b: Array) -> float:
    """The cosine between two arrays: 1 if one is a positive multiple of the other."""
    return float((a * b).sum() / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300))


def _of_few(found: Array, bits: int) -> bool:
    """Whether no number has more significant bits than that."""
    return bool((rounded(found, bits) == found).all())


def _level(difference: Array) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))


def _spread(difference: Array) -> bool:
    """Whether a fair part of what is not exact is near the level."""
    moved = np.abs(difference[difference != 0])
    return bool(moved.size >= 0.25 * difference.size) and bool(
        (moved > 0.1 * _level(moved)).mean() > 0.25
    )


def _noise(call: Call, bits: int) -> dict[str, Array]:
    """A run whose products read operands of so many bits."""
    W_ih, W_hh, *biases = call.weights
    weights = Weights(rounded(W_ih, bits), rounded(W_hh, bits), *biases)
    run = Faulty(call._replace(x=rounded(call.x, bits), weights=weights), Forward(bits=bits))
    return run.forward_arrays() | backward_arrays(run, backward(run))
