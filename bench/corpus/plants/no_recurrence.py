"""no-recurrence: sequences of one step, or windows of one value, where the past matters."""

from __future__ import annotations

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample
from minirnn.diagnosis.cases.training_loop import training_loop

SYMPTOM = "no-recurrence"


def _loop(rng: np.random.Generator, axis: int) -> tuple[str, str]:
    """A loop's text, and its cell: the window is unsqueezed at an axis, 1 makes it features."""
    T, cell = int(rng.integers(6, 12)), str(rng.choice(["LSTM", "GRU", "RNN"]))
    H, k = int(rng.integers(16, 33)), int(rng.integers(2, 4))
    text = training_loop(
        f"nn.{cell}({T if axis == 1 else 1}, {H}, batch_first=True)",
        H,
        f"x = torch.randn(640, {T})\ny = x[:, -{k}:].sum(1, keepdim=True)",
        batch=int(rng.choice([32, 48, 64])),
        rate=float(rng.choice([5e-3, 1e-2])),
        forward=f"out, _ = self.cell(x.unsqueeze({axis}))\nreturn self.head(out[:, -1])",
    )
    return text.replace("SEED", str(learnable.seed(rng)), 1), cell


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
