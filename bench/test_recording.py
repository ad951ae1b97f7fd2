"""What it costs to record everything, and what a loop over PyTorch cells takes for the same."""

from __future__ import annotations

from typing import Any

import pytest

import minirnn as mr
from bench.pairs import Repeated
from bench.problem import problem
from bench.shapes import GATES, Shape
from bench.sides import Ours, checked, has_torch

SHAPES = [Shape(100, B, 64, H) for B in (1, 32) for H in (64, 192, 256, 512)]
DTYPE = "float32"


class Recorded:
    """A layer's training step inside `mr.record()`; `read` also takes every array out."""

    def __init__(self, ours: Ours, read: bool) -> None:
        self.ours = ours
        self.read = read

    def training(self) -> mr.Trace:
        with mr.record() as recording:
            self.ours.training()
        (trace,) = recording.traces
        if self.read:
            self.arrays(trace)
        return trace

    def arrays(self, trace: mr.Trace) -> dict[str, Any]:
        """All that the trace keeps, under the reference's names."""
        named = {f"gates.{gate}": array for gate, array in trace.gates.items()}
        named |= {f"grad_slots.{gate}": array for gate, array in trace.grad_gates.items()}
        named |= {"states.h": trace.hidden, "grad_states.h": trace.grad_hidden}
        if self.ours.problem.cell == "lstm":
            named |= {"states.c": trace.cell_state, "grad_states.c": trace.grad_cell}
        return named


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", GATES)
def test_recording(cell: str, shape: Shape, measure: Any) -> None:
    made = problem(cell, shape)
    ours = checked(Ours(made, DTYPE), DTYPE, "training")
    recorded, read = Recorded(ours, read=False), Recorded(ours, read=True)
    made.check("a recording", recorded.arrays(recorded.training()), DTYPE)
    turns = {
        "recorded": Repeated(recorded.training),
        "plain": Repeated(ours.training),
        "read": Repeated(read.training),
    }
    if has_torch():
        from bench.cell_loop import CellLoop

        loop = CellLoop(made, DTYPE)
        made.check("the loop over cells", loop.result(), DTYPE)
        turns["cell loop"] = Repeated(loop.training)
    measure(turns, {"cell": cell, "dtype": DTYPE, "shape": list(shape)})
