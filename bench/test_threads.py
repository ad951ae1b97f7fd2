"""One thread and as many as were asked for, on both sides; the same bits on ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minirnn as mr
from bench.pairs import Repeated
from bench.problem import problem
from bench.shapes import GATES, Shape
from bench.sides import Ours, Torch, checked, has_torch

SHAPES = [Shape(100, 64, 128, 128), Shape(200, 64, 128, 256), Shape(100, 1, 128, 512)]
DTYPE = "float32"


class WithThreads(Repeated):
    """A turn taken with a number of threads of its own."""

    def __init__(
        self, choose: Callable[[int], None], count: int, call: Callable[[], object]
    ) -> None:
        self.choose, self.count = choose, count
        choose(count)
        super().__init__(call)

    def __call__(self) -> float:
        self.choose(self.count)
        return super().__call__()


def threads_of_torch() -> Callable[[int], None] | None:
    """PyTorch's function that sets the number of threads, if PyTorch is there."""
    if not has_torch():
        return None
    import torch

    return torch.set_num_threads


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", GATES)
def test_threads(cell: str, shape: Shape, threads: int, measure: Any) -> None:
    if threads == 1:
        pytest.skip("one thread is all there is to compare")
    made = problem(cell, shape)
    ours = checked(Ours(made, DTYPE), DTYPE, "training")
    turns: dict[str, Any] = {}
    choose_torch = threads_of_torch()
    try:
        several = ours.result("training")
        for count in (threads, 1):
            turns[f"minirnn, {count}"] = WithThreads(mr.set_num_threads, count, ours.training)
        alone = ours.result("training")
        assert all(np.array_equal(alone[name], several[name]) for name in several)
        if choose_torch is not None:
            theirs = checked(Torch(made, DTYPE), DTYPE, "training")
            for count in (threads, 1):
                turns[f"torch, {count}"] = WithThreads(choose_torch, count, theirs.training)
        measure(turns, {"cell": cell, "dtype": DTYPE, "shape": list(shape)})
    finally:
        mr.set_num_threads(threads)
        if choose_torch is not None:
            choose_torch(threads)
