"""no-recurrence: sequences of one step, or windows of one value, where the past matters."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample

SYMPTOM = "no-recurrence"

LOOP = """
import torch
from torch import nn

torch.manual_seed(SEED)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.{cell}({T}, {H}, batch_first=True)
        self.head = nn.Linear({H}, 1)

    def forward(self, x):
        out, _ = self.cell(x.unsqueeze({axis}))
        return self.head(out[:, -1])


x = torch.randn(640, {T})
y = x[:, -{k}:].sum(1, keepdim=True)
loader = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(x[:512], y[:512]), batch_size={batch}, shuffle=True
)
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr={rate})
with watch(model) as watched:
    for epoch in range(10):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
with torch.no_grad():
    given, wanted = model(x[512:]).reshape(-1), y[512:].reshape(-1)
    skill = float(1 - ((given - wanted) ** 2).mean() / wanted.var(unbiased=False))
"""


def _loop(rng: np.random.Generator, axis: int) -> tuple[str, str]:
    """A loop's text, and its cell: the window is unsqueezed at an axis, 1 makes it features."""
    T = int(rng.integers(6, 12))
    chosen: dict[str, Any] = {
        "cell": str(rng.choice(["LSTM", "GRU", "RNN"])),
        "T": T,
        "H": int(rng.integers(16, 33)),
        "k": int(rng.integers(2, 4)),
        "batch": int(rng.choice([32, 48, 64])),
        "rate": float(rng.choice([5e-3, 1e-2])),
        "axis": axis,
    }
    text = LOOP.format(**chosen).replace("SEED", str(learnable.seed(rng)), 1)
    return (text if axis == 1 else text.replace(f"({T}, ", "(1, ", 1)), str(chosen["cell"])


def faulty(rng: np.random.Generator) -> Sample:
    """A series read through windows of one value; steps thrown away; a window fed as features."""
    kind = int(rng.integers(4))
    if kind in (0, 1):
        text, cell = _loop(rng, 1)
        return Sample(
            SYMPTOM, f"{cell} loop; a window fed as the features of one step", script=text
        )
    if kind == 2:
        values = learnable.wave(rng)
        table = learnable.of_series(rng, values, {"window": 1})
        words = learnable.told("data.window = 1", table, f"two waves, {len(values)} values")
        # What one value cannot tell stays unexplained, as in a network that is too small.
        return Sample(SYMPTOM, words, table, also=frozenset({"underfitting", "frozen-generation"}))
    k = int(rng.integers(3, 6))
    problem = learnable.recent_sum(rng)
    whole = problem.x
    y = whole[:, -k - 2 : -2, 0].sum(axis=1, keepdims=True) / np.sqrt(k)
    table = learnable.recipe(rng, problem.spoilt(x=whole[:, -1:], y=y))
    words = learnable.told("only the last step is fed", table, "a sum of earlier steps")
    # With the steps thrown away nothing is left that tells the target, and no edit brings it back.
    also = frozenset({"no-signal", "overfitting", "underfitting", "stalled-loss", "slow-learning"})
    also |= {"constant-output", "state-collapse"}
    return Sample(SYMPTOM, words, table, also=also, curable=False)


def healthy(rng: np.random.Generator) -> Sample:
    """One step that is enough; a series in which only the last value tells; short windows."""
    kind = int(rng.integers(5))
    if kind == 0:
        text, cell = _loop(rng, 2)
        return Sample(None, f"{cell} loop; a window fed step by step", script=text)
    if kind == 1:
        problem = learnable.recent_sum(rng)
        x = rng.normal(size=(len(problem.x), 1, int(rng.integers(2, 6))))
        y = x[:, 0, :1] - 0.7 * x[:, 0, 1:2]
        table = learnable.recipe(rng, problem.spoilt(x=x, y=y))
        return Sample(None, learnable.told("", table, "one step that tells the target"), table)
    if kind == 2:
        n, held = int(rng.integers(400, 600)), float(rng.uniform(0.85, 0.95))
        values = np.zeros(n)
        for t in range(1, n):
            values[t] = held * values[t - 1] + rng.normal() * np.sqrt(1 - held**2)
        table = learnable.of_series(rng, values, {"window": 1})
        words = learnable.told("data.window = 1", table, f"AR(1) of {held:.2f}, {n} values")
        return Sample(None, words, table)
    if kind == 3:
        values = learnable.wave(rng)
        table = learnable.of_series(rng, values, {"window": int(rng.integers(5, 8))})
        words = learnable.told("a short window", table, f"two waves, {len(values)} values")
        return Sample(None, words, table)
    problem = learnable.recent_mix(rng)
    table = learnable.recipe(rng, problem.spoilt(x=problem.x[:, -2:]))
    return Sample(None, learnable.told("two steps", table, problem.what), table)
