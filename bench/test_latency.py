"""The smallest of work: one step of a stream, and a layer called on one step of one sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.pairs import Repeated
from bench.problem import Problem
from bench.shapes import GATES, MODES, Shape
from bench.sides import Ours, Torch, checked, has_torch

DTYPE = "float32"
STREAM = Shape(50, 1, 16, 64)
CALL = Shape(1, 1, 32, 32)


@pytest.mark.parametrize("cell", GATES)
def test_streaming_step(cell: str, measure: Any) -> None:
    """One step at a time: a stream of ours, our layer at T = 1, and PyTorch's cell at T = 1."""
    made = Problem(cell, STREAM)
    ours = Ours(made, DTYPE)
    stream = ours.layer.stream(batch=STREAM.B)
    outputs = np.stack([np.array(stream.step(x)) for x in made.x])
    made.check("a stream", {"output": outputs}, DTYPE)
    x = made.x[0]
    call = Ours(Problem(cell, STREAM._replace(T=1)), DTYPE)
    turns = {
        "stream": Repeated(lambda: stream.step(x)),
        "layer": Repeated(call.inference),
    }
    if has_torch():
        turns["torch cell"] = Repeated(torch_cell(made))
    measure(turns, {"cell": cell, "dtype": DTYPE, "shape": list(STREAM)})


def torch_cell(made: Problem) -> Any:
    """One step of nn.LSTMCell and its like, which carries its states on; checked on all steps."""
    import torch

    kind = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn": torch.nn.RNNCell}[made.cell]
    _, B, I, H = made.shape  # noqa: E741
    cell = kind(I, H)
    cell.load_state_dict(
        {k.removesuffix("_l0"): torch.from_numpy(v) for k, v in made.state_dict.items()}
    )
    zeros = torch.zeros(B, H)
    state = (zeros, zeros) if made.cell == "lstm" else zeros

    def step(x: Any) -> Any:
        nonlocal state
        with torch.no_grad():
            state = cell(x, state)
        return state[0] if made.cell == "lstm" else state

    outputs = np.stack([step(x).numpy() for x in torch.from_numpy(made.x)])
    made.check("PyTorch's cell", {"output": outputs}, DTYPE)
    x = torch.from_numpy(made.x[0])
    return lambda: step(x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cell", GATES)
def test_layer_call(cell: str, mode: str, measure: Any) -> None:
    """A layer called on T = B = 1, where all of the time is the call's own."""
    made = Problem(cell, CALL)
    turns = {"minirnn": Repeated(getattr(checked(Ours(made, DTYPE), DTYPE, mode), mode))}
    if has_torch():
        turns["torch"] = Repeated(getattr(checked(Torch(made, DTYPE), DTYPE, mode), mode))
    measure(turns, {"cell": cell, "dtype": DTYPE, "shape": list(CALL), "mode": mode})
