"""`recompute=True`: what it saves and what it costs."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest

from bench.pairs import Repeated
from bench.problem import problem
from bench.shapes import GATES, Shape
from bench.sides import Ours, checked
from minirnn.kernels import cpu

SHAPES = [
    Shape(100, 64, 128, 128),
    Shape(200, 64, 128, 256),
    Shape(77, 48, 40, 200),
    Shape(1000, 1, 8, 48),
]
DTYPE = "float32"


def floats_kept(side: Ours) -> float:
    """Floats that the kernel's tape holds after forward, per step and sequence, in units of H."""
    forward = cpu.forward
    tapes: list[Any] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        result = forward(*arguments, **options)
        tapes.append(result[2])
        return result

    with mock.patch.object(cpu, "forward", watched):
        side.layer(side.x)
    (tape,) = tapes
    T, B, _, H = side.problem.shape
    return float(tape.nbytes / (np.dtype(DTYPE).itemsize * T * B * H))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", GATES)
def test_recomputing(cell: str, shape: Shape, measure: Any) -> None:
    made = problem(cell, shape)
    plain = checked(Ours(made, DTYPE), DTYPE, "training")
    again = checked(Ours(made, DTYPE, recompute=True), DTYPE, "training")
    first, second = plain.result("training"), again.result("training")
    facts = {
        "floats_kept": {"plain": floats_kept(plain), "recompute": floats_kept(again)},
        "same_bits": all(np.array_equal(first[name], second[name]) for name in first),
    }
    turns = {"recompute": Repeated(again.training), "plain": Repeated(plain.training)}
    measure(turns, {"cell": cell, "dtype": DTYPE, "shape": list(shape)}, facts)
