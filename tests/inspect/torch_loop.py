"""The oracle: stacked, bidirectional RNN, GRU and LSTM as a PyTorch loop over plain operations.

Every gate's pre-activation, every state and every output is a tensor of its own that retains its
gradient, so that autograd gives what a trace claims. Nothing here comes from minirnn.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the oracle is PyTorch")

SLOTS = {
    "rnn": (("new",), ("new",)),
    "gru": (("reset", "update", "new"), ("reset", "update", "recurrent_new")),
    "lstm": (("input", "forget", "cell", "output"),) * 2,
}
STATES = {"rnn": ("h",), "gru": ("h",), "lstm": ("h", "c")}


def equations(kind, x, last, W, activation=torch.tanh):
    """One step. Returns pre-activations, gates, and the new states; W is (ih, hh, b_ih, b_hh)."""
    by_x = named(SLOTS[kind][0], x @ W[0].T + W[2])
    by_h = named(SLOTS[kind][1], last["h"] @ W[1].T + W[3])
    z = {name: by_x[name] + by_h[name] for name in by_x if name in by_h}
    if kind == "rnn":
        z = {"new": kept(z["new"])}
        a = {"new": activation(z["new"])}
        return z, a, {"h": a["new"]}
    if kind == "gru":
        z = {name: kept(value) for name, value in z.items()}
        a = {name: torch.sigmoid(value) for name, value in z.items()}
        q = kept(by_h["recurrent_new"])
        z["new"] = kept(by_x["new"] + a["reset"] * q)
        a["new"] = activation(z["new"])
        z["recurrent_new"] = q
        return z, a, {"h": (1 - a["update"]) * a["new"] + a["update"] * last["h"]}
    z = {name: kept(value) for name, value in z.items()}
    a = {n: activation(v) if n == "cell" else torch.sigmoid(v) for n, v in z.items()}
    c = kept(a["forget"] * last["c"] + a["input"] * a["cell"])
    return z, a, {"h": a["output"] * activation(c), "c": c}


def named(names, tensor):
    return dict(zip(names, tensor.chunk(len(names), dim=-1), strict=True))


def kept(tensor):
    if tensor.requires_grad:
        tensor.retain_grad()
    return tensor


@dataclass
class Direction:
    """One layer in one direction: per step lists, filled by `run`."""

    kind: str
    reverse: bool
    lengths: np.ndarray
    weights: tuple[torch.Tensor, ...]
    initial: dict[str, torch.Tensor]
    x: torch.Tensor = None
    z: list = field(default_factory=list)
    gates: list = field(default_factory=list)
    new: list = field(default_factory=list)  # states computed at a step, whether or not it is valid
    before: list = field(default_factory=list)
    seen: list = field(default_factory=list)  # h as the outside sees it
    copies: list = field(default_factory=list)  # the step's own copies of the weights
    final: dict = field(default_factory=dict)

    def run(self, x):
        T, B, _ = x.shape
        self.x = kept(x * 1.0)
        for name in ("z", "gates", "new", "before", "seen", "copies"):
            setattr(self, name, [None] * T)
        last = self.initial
        output = [None] * T
        for t in reversed(range(T)) if self.reverse else range(T):
            on = torch.tensor(self.lengths > t)[:, None]
            self.copies[t] = tuple(kept(w * 1.0) for w in self.weights)
            self.before[t] = last
            self.z[t], self.gates[t], new = equations(self.kind, self.x[t], last, self.copies[t])
            self.new[t] = {name: kept(value * 1.0) for name, value in new.items()}
            if "c" in new:
                self.new[t]["c"] = new["c"]  # the c that h was computed from
            self.seen[t] = kept(self.new[t]["h"] * 1.0)
            output[t] = torch.where(on, self.seen[t], 0.0)
            last = {name: torch.where(on, self.new[t][name], last[name]) for name in last}
        self.final = {name: kept(value * 1.0) for name, value in last.items()}
        return torch.stack(output) if T else x.new_zeros(0, B, self.weights[1].shape[1])

    @property
    def valid(self):
        return (np.arange(len(self.new))[:, None] < self.lengths)[:, :, None]

    def values(self, steps):
        """(T, B, H) of a list of tensors, zero outside valid."""
        return np.where(self.valid, np.stack([step.detach().numpy() for step in steps]), 0.0)

    def gradients(self, steps):
        zeros = np.zeros_like(steps[0].detach().numpy())
        grads = [zeros if step.grad is None else step.grad.numpy() for step in steps]
        return np.where(self.valid, np.stack(grads), 0.0)

    def direct(self):
        """What enters h from outside: of the output, and of h_n at the last step taken."""
        direct = self.gradients(self.seen)
        end = self.final["h"].grad.numpy()
        for b, length in enumerate(self.lengths):
            if length:
                direct[0 if self.reverse else length - 1, b] += end[b]
        return direct

    def jacobian(self, t):
        """(B, S, S), by autograd of the step alone."""
        names = STATES[self.kind]
        before = torch.cat([self.before[t][name].detach() for name in names], dim=1)
        B, S = before.shape
        x, W = self.x[t].detach(), [w.detach() for w in self.weights]

        def step(state, b):
            last = named(names, state)
            _, _, new = equations(self.kind, x[b], last, W)
            return torch.cat([new[name] for name in names], dim=-1)

        result = np.tile(np.eye(S), (B, 1, 1))
        for b in np.flatnonzero(self.lengths > t):
            result[b] = torch.autograd.functional.jacobian(
                lambda state, b=b: step(state, b), before[b]
            ).numpy()
        return result
