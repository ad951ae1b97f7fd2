"""Where a training step's time goes where the share of peak is promised: phase by phase."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bench.peak import fma_peak
from bench.problem import problem
from bench.shapes import GATES, GRID, Shape, is_large
from bench.sides import Ours, checked
from minirnn.kernels.cpu import clock

DTYPE = "float32"


class Phases:
    """A turn of one training step; what its kernels say of themselves is kept, in rounds' order."""

    def __init__(self, ours: Ours) -> None:
        self.ours = ours
        self.seconds: dict[str, list[float]] = {}

    def __call__(self) -> float:
        start = time.perf_counter()
        with clock.measured() as times:
            self.ours.training()
        took = time.perf_counter() - start
        latest = {f"forward: {name}": s for name, s in times.forward.items()}
        latest |= {f"backward: {name}": s for name, s in times.backward.items()}
        latest["outside the kernels"] = took - sum(times.kernel.values())
        for name, seconds in latest.items():
            self.seconds.setdefault(name, []).append(seconds)
        return took


@pytest.mark.parametrize("shape", [shape for shape in GRID if is_large(shape)], ids=str)
@pytest.mark.parametrize("cell", GATES)
def test_phases(cell: str, shape: Shape, measure: Any) -> None:
    phases = Phases(checked(Ours(problem(cell, shape), DTYPE), DTYPE, "training"))
    measure(
        {"minirnn": phases, "fma_peak": fma_peak(DTYPE)},
        {"cell": cell, "dtype": DTYPE, "shape": list(shape)},
        {"phases": phases.seconds},
    )
