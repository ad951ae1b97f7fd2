"""What a user of PyTorch writes to see inside: a loop over cells that keeps what they compute.

nn.LSTMCell and its like return states alone, so the equations are written out. Every gate,
pre-activation and state of every step stays in a list; where its gradient is wanted, autograd is
told to keep that too. Gates that autograd makes as one tensor are kept as one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import linear

from bench.problem import PARAMETERS, Problem, named_result

Array = Any
Step = dict[str, torch.Tensor]


def lstm_step(x: torch.Tensor, last: Step, W: list[torch.Tensor]) -> Step:
    """z = W x + b + U h + b';  i, f, o = σ(z), g = tanh(z);  c' = f c + i g;  h' = o tanh(c')."""
    z = kept(linear(x, W[0], W[2]) + linear(last["h"], W[1], W[3]))
    i, f, g, o = z.chunk(4, dim=1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    c = kept(f * last["c"] + i * g)
    h = kept(o * c.tanh())
    return {"z": z, "input": i, "forget": f, "cell": g, "output": o, "c": c, "h": h}


def gru_step(x: torch.Tensor, last: Step, W: list[torch.Tensor]) -> Step:
    """r, u = σ(W x + b + U h + b');  q = U h + b', n = tanh(W x + b + r q);  h' = n + u (h - n)."""
    H = last["h"].shape[1]
    by_x, by_h = linear(x, W[0], W[2]), linear(last["h"], W[1], W[3])
    z = kept(by_x[:, : 2 * H] + by_h[:, : 2 * H])
    r, u = z.sigmoid().chunk(2, dim=1)
    q = kept(by_h[:, 2 * H :])
    new = kept(by_x[:, 2 * H :] + r * q)
    n = new.tanh()
    h = kept(n + u * (last["h"] - n))
    return {"z": z, "z_new": new, "reset": r, "update": u, "new": n, "recurrent_new": q, "h": h}


def rnn_step(x: torch.Tensor, last: Step, W: list[torch.Tensor]) -> Step:
    """h' = tanh(W x + b + U h + b')."""
    z = kept(linear(x, W[0], W[2]) + linear(last["h"], W[1], W[3]))
    h = kept(z.tanh())
    return {"z": z, "new": h, "h": h}


def kept(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself, which will keep its gradient."""
    tensor.retain_grad()
    return tensor


STEPS = {"lstm": lstm_step, "gru": gru_step, "rnn": rnn_step}
STATES = {"lstm": ("h", "c"), "gru": ("h",), "rnn": ("h",)}
GATES = {
    "lstm": ("input", "forget", "cell", "output"),
    "gru": ("reset", "update", "new", "recurrent_new"),
    "rnn": ("new",),
}


class CellLoop:
    """Forward and backward by such a loop; `steps` holds what it kept."""

    def __init__(self, problem: Problem, dtype: str) -> None:
        self.problem = problem
        weights = [problem.state_dict[f"{name}_l0"].astype(dtype) for name in PARAMETERS]
        self.weights: list[Any] = [torch.from_numpy(w).requires_grad_() for w in weights]
        self.x: Any = torch.from_numpy(problem.x.astype(dtype)).requires_grad_()
        self.dy = torch.from_numpy(problem.dy.astype(dtype))
        self.steps: list[Step] = []

    def training(self) -> Any:
        """Run the loop and backpropagate; returns the output (T, B, H)."""
        for leaf in (self.x, *self.weights):
            leaf.grad = None
        cell = self.problem.cell
        _, B, _, H = self.problem.shape
        last = {state: self.x.new_zeros(B, H) for state in STATES[cell]}
        step, self.steps = STEPS[cell], []
        for x in self.x.unbind(0):
            last = step(x, last, self.weights)
            self.steps.append(last)
        output: Any = torch.stack([each["h"] for each in self.steps])
        output.backward(self.dy)
        return output

    def result(self) -> dict[str, Array]:
        """All that it computes and keeps, under the reference's names."""
        output = self.training().detach().numpy()
        cell = self.problem.cell
        states = tuple(self.steps[-1][state].detach().numpy()[None] for state in STATES[cell])
        gradients = {"x": self.x.grad.numpy()}
        gradients |= {p: w.grad.numpy() for p, w in zip(PARAMETERS, self.weights, strict=True)}
        named = named_result(cell, output, states if cell == "lstm" else states[0], gradients)
        named |= {f"gates.{gate}": self._stacked(gate) for gate in GATES[cell]}
        for state in STATES[cell]:
            named[f"states.{state}"] = self._stacked(state)
            named[f"grad_states.{state}"] = self._stacked(state, gradient=True)
        return named | {f"grad_slots.{gate}": dz for gate, dz in self._grad_slots().items()}

    def _grad_slots(self) -> dict[str, Array]:
        cell, H = self.problem.cell, self.problem.shape.H
        dz = self._stacked("z", gradient=True)
        blocks = {g: dz[..., n * H : (n + 1) * H] for n, g in enumerate(GATES[cell])}
        if cell == "gru":
            blocks["new"] = self._stacked("z_new", gradient=True)
            blocks["recurrent_new"] = self._stacked("recurrent_new", gradient=True)
        return blocks

    def _stacked(self, name: str, gradient: bool = False) -> Array:
        tensors: list[Any] = [
            step[name].grad if gradient else step[name].detach() for step in self.steps
        ]
        return torch.stack(tensors).numpy()
