"""minirnn's layers and PyTorch's: every cell, shape, precision and mode of the grid, in turns."""

from __future__ import annotations

from typing import Any

import pytest

from bench.pairs import Repeated
from bench.peak import fma_peak
from bench.problem import problem
from bench.shapes import Case, grid_cases
from bench.sides import Ours, Torch, checked

QUICK = ("100x32x32x64", "100x64x128x128", "50x7x5x96")


def parameters_of(case: Case) -> dict[str, Any]:
    return {**case._asdict(), "shape": list(case.shape)}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=str(case),
            marks=[pytest.mark.quick] if str(case.shape) in QUICK and "32" in case.dtype else [],
        )
        for case in grid_cases()
    ],
)
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
        parameters_of(case),
    )
