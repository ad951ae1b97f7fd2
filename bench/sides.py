"""The two sides: a minirnn layer and the PyTorch layer with its weights, called alike.

A side has `inference()` and `training()`, which are what is timed, and `result(mode)`, which runs
one of them once and gives its arrays under the reference's names.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import minirnn as mr
from bench.problem import LAYERS, PARAMETERS, Problem, named_result

Array = Any


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return find_spec("torch") is not None


class Ours:
    """A minirnn layer, through its public call and its tape. `options` go to the layer."""

    def __init__(self, problem: Problem, dtype: str, **options: Any) -> None:
        self.problem = problem
        _, _, I, H = problem.shape  # noqa: E741
        self.layer: Any = LAYERS[problem.cell](I, H, dtype=dtype, **options)
        self.layer.load_state_dict({k: v.astype(dtype) for k, v in problem.state_dict.items()})
        self.x = mr.Tensor(problem.x.astype(dtype), requires_grad=True)
        self.dy = problem.dy.astype(dtype)

    def inference(self) -> Any:
        """Forward alone: nothing is kept."""
        with mr.no_grad():
            return self.layer(self.x)

    def training(self) -> tuple[mr.Tensor, Any]:
        """Forward and backward: gradients of every parameter and of x."""
        self.layer.zero_grad()
        self.x.grad = None
        output, last = self.layer(self.x)
        output.backward(self.dy)
        return output, last

    def result(self, mode: str) -> dict[str, Array]:
        """The arrays that a call gives, under the reference's names."""
        output, last = getattr(self, mode)()
        states = tuple(s.data for s in last) if isinstance(last, tuple) else last.data
        gradients = None
        if mode == "training":
            gradients = {p: getattr(self.layer, f"{p}_l0").grad for p in PARAMETERS}
            gradients["x"] = self.x.grad
        return named_result(self.problem.cell, output.data, states, gradients)


class Torch:
    """The PyTorch layer of the same weights."""

    def __init__(self, problem: Problem, dtype: str) -> None:
        import torch

        self.problem = problem
        _, _, I, H = problem.shape  # noqa: E741
        layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[problem.cell]
        self.layer: Any = layer(I, H, dtype=getattr(torch, dtype))
        self.layer.load_state_dict(
            {k: torch.from_numpy(v.astype(dtype)) for k, v in problem.state_dict.items()}
        )
        self.x: Any = torch.from_numpy(problem.x.astype(dtype)).requires_grad_()
        self.dy = torch.from_numpy(problem.dy.astype(dtype))
        self.no_grad = torch.no_grad

    def inference(self) -> Any:
        """Forward alone: nothing is kept."""
        with self.no_grad():
            return self.layer(self.x)

    def training(self) -> tuple[Any, Any]:
        """Forward and backward: gradients of every parameter and of x."""
        self.layer.zero_grad(set_to_none=True)
        self.x.grad = None
        output, last = self.layer(self.x)
        output.backward(self.dy)
        return output, last

    def result(self, mode: str) -> dict[str, Array]:
        """The arrays that a call gives, under the reference's names."""
        output, last = getattr(self, mode)()
        states = last if isinstance(last, tuple) else (last,)
        arrays = tuple(s.detach().numpy() for s in states)
        gradients = None
        if mode == "training":
            gradients = {p: getattr(self.layer, f"{p}_l0").grad.numpy() for p in PARAMETERS}
            gradients["x"] = self.x.grad.numpy()
        cell = self.problem.cell
        last = arrays if cell == "lstm" else arrays[0]
        return named_result(cell, output.detach().numpy(), last, gradients)


def checked(side: Ours | Torch, dtype: str, *modes: str) -> Any:
    """The side itself, once each mode's result has been held to the reference.

    Raises: bench.problem.WrongResultError.
    """
    for mode in modes:
        side.problem.check(type(side).__name__, side.result(mode), dtype)
    return side
