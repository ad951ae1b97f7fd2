"""`nn.RNNCell`, `nn.GRUCell` and `nn.LSTMCell` by our kernels: one step of a user's own loop."""

from __future__ import annotations

from typing import Any

import torch

from minirnn.interop.torch import modes
from minirnn.interop.torch.equations import cell_of
from minirnn.interop.torch.function import Run, run_layer
from minirnn.interop.torch.traces import Call
from minirnn.kernels.contract import Weights

Tensor = Any


def run_cell(module: Any, input: Tensor, hx: Any, call: Call) -> Any:
    """What `module.forward(input, hx)` gives; or a text, why PyTorch's own has to give it.

    input (B, I), or (I,) unbatched; states likewise. The text is as `layers.run_layers` has it.
    """
    cell = cell_of(module)
    count, H = len(cell.states), module.hidden_size
    states: tuple[Tensor, ...] | None = None
    if hx is not None:
        states = tuple(hx) if count > 1 and isinstance(hx, tuple | list) else (hx,)
        if len(states) != count:
            return modes.THEIRS
    if not all(isinstance(t, torch.Tensor) for t in (input, *(states or ()))):
        return modes.THEIRS
    weights = Weights(module.weight_ih, module.weight_hh, module.bias_ih, module.bias_hh)
    if (why := modes.why_theirs((input, *(states or ()), *weights))) is not None:
        return why
    unbatched = input.dim() == 1
    rows = (H,) if unbatched else (input.shape[0], H)
    if (
        input.dim() not in (1, 2)
        or input.shape[-1] != module.input_size
        or 0 in input.shape
        or any(s.shape != rows for s in states or ())
    ):
        return modes.THEIRS
    if states is None:
        states = (input.new_zeros(rows),) * count
    x = input
    if unbatched:
        x, states = x[None], tuple([s[None] for s in states])
    run = Run(cell, records=call.records)
    _, last = run_layer(run, x[None], states, weights)
    call.step(run, x, states, weights, last)
    if unbatched:
        last = tuple([s[0] for s in last])
    return last if count > 1 else last[0]
