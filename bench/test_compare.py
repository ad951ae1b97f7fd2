"""minirnn's layers and PyTorch's: every cell, shape, precision and mode of the grid, in turns."""

from __future__ import annotations

from typing import Any

import pytest

from bench.pairs import Repeated
from bench.peak import fma_peak
from bench.problem import problem
from bench.shapes import Case, grid_cases
from bench.sides import Ours, Torch, checked


@pytest.mark.parametrize("case", grid_cases(), ids=str)
def test_layers(case: Case, measure: Any) -> None:
    pytest.importorskip("torch", reason="the other side is PyTorch, which is not installed")
    made = problem(case.cell, case.shape)
    ours = checked(Ours(made, case.dtype), case.dtype, case.mode)
    theirs = checked(Torch(made, case.dtype), case.dtype, case.mode)
    measure(
        {
            "minirnn": Repeated(getattr(ours, case.mode)),
            "torch": Repeated(getattr(theirs, case.mode)),
            "fma_peak": fma_peak(case.dtype),
        },
        {**case._asdict(), "shape": list(case.shape)},
    )
