"""The same layer in PyTorch's own operations, for gradients that are to be differentiated again.

Our kernels give first derivatives. `create_graph=True` (gradient penalties, Hessians) and batches
of gradients need operations that PyTorch can differentiate and transform: these, step by step and
slow, with the equations of `minirnn.kernels.reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from minirnn.interop.torch.function import Inputs, Run

Tensor = Any
States = tuple[Tensor, ...]


def gradients(
    run: Run, inputs: Inputs, arriving: Sequence[Tensor | None], wants: Sequence[bool]
) -> list[Tensor | None]:
    """dL/d each tensor of `inputs` that `wants` names, with a graph if grad mode is on.

    arriving    dL/d output and the last states; None where none arrives
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Each seen through a view of its own: a weight that x, too, was computed from is to be
        # differentiated only where it enters here.
        given = [inputs.x, *inputs.states, *inputs.weights]
        seen = [None if t is None else t.view_as(t) for t in given]
        output, last = run_steps(run, seen)
        pairs = [
            (result, gradient)
            for result, gradient in zip((output, *last), arriving, strict=True)
            if gradient is not None and result.requires_grad
        ]
        wanted = [t for t, want in zip(seen, wants, strict=True) if want and t is not None]
        found = iter(
            torch.autograd.grad(
                [result for result, _ in pairs],
                wanted,
                [gradient for _, gradient in pairs],
                create_graph=again,
                allow_unused=True,
            )
        )
    return [
        next(found) if want and t is not None else None for t, want in zip(seen, wants, strict=True)
    ]


def run_steps(run: Run, tensors: Sequence[Tensor]) -> tuple[Tensor, States]:
    """The layer from its flat inputs (x, states, weights): output (T, B, H) and last states."""
    count = len(run.cell.states)
    x, states, weights = tensors[0], tuple(tensors[1 : 1 + count]), tensors[1 + count :]
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    step = _STEPS[run.cell.name](run.cell.options)
    lengths = None
    if run.lengths is not None:
        lengths = torch.as_tensor(run.lengths, device=x.device)[:, None]
    zx = torch.nn.functional.linear(x, weight_ih, bias_ih)
    outputs: list[Tensor] = []
    for t in reversed(range(len(x))) if run.reverse else range(len(x)):
        zh = torch.nn.functional.linear(states[0], weight_hh, bias_hh)
        after = step(zx[t], zh, states)
        if lengths is None:
            outputs.append(after[0])
            states = after
        else:
            valid = t < lengths
            outputs.append(torch.where(valid, after[0], torch.zeros_like(after[0])))
            states = tuple(
                [torch.where(valid, new, old) for new, old in zip(after, states, strict=True)]
            )
    if run.reverse:
        outputs.reverse()
    return torch.stack(outputs), states


Step = Callable[[Tensor, Tensor, States], States]


def _rnn(options: dict[str, str]) -> Step:
    f = {"tanh": torch.tanh, "relu": torch.relu}[options["nonlinearity"]]

    def step(zx: Tensor, zh: Tensor, last: States) -> States:
        return (f(zx + zh),)

    return step


def _gru(options: dict[str, str]) -> Step:
    def step(zx: Tensor, zh: Tensor, last: States) -> States:
        (x_r, x_z, x_n), (h_r, h_z, q) = zx.chunk(3, -1), zh.chunk(3, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * q)
        return ((1 - z) * n + z * last[0],)

    return step


def _lstm(options: dict[str, str]) -> Step:
    def step(zx: Tensor, zh: Tensor, last: States) -> States:
        z_i, z_f, z_g, z_o = (zx + zh).chunk(4, -1)
        c = torch.sigmoid(z_f) * last[1] + torch.sigmoid(z_i) * torch.tanh(z_g)
        return torch.sigmoid(z_o) * torch.tanh(c), c

    return step


_STEPS: dict[str, Callable[[dict[str, str]], Step]] = {"rnn": _rnn, "gru": _gru, "lstm": _lstm}
