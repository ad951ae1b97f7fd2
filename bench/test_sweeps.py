"""An LSTM of minirnn and of PyTorch while T, B or H grows and the rest stays."""

from __future__ import annotations

from typing import Any

import pytest

from bench.pairs import Repeated
from bench.problem import problem
from bench.shapes import Case, sweep_cases
from bench.sides import Ours, Torch, checked


@pytest.mark.parametrize("case", sweep_cases(), ids=str)
def test_growth(case: Case, measure: Any) -> None:
    pytest.importorskip("torch", reason="the other side is PyTorch, which is not installed")
    made = problem(case.cell, case.shape)
    ours = checked(Ours(made, case.dtype), case.dtype, case.mode)
    theirs = checked(Torch(made, case.dtype), case.dtype, case.mode)
    measure(
        {
            "minirnn": Repeated(getattr(ours, case.mode)),
            "torch": Repeated(getattr(theirs, case.mode)),
        },
        {**case._asdict(), "shape": list(case.shape)},
    )
