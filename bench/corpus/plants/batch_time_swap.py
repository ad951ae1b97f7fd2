"""batch-time-swap: what the network takes for time is the batch."""

from __future__ import annotations

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample
from minirnn.diagnosis.cases.training_loop import training_loop

SYMPTOM = "batch-time-swap"


def _loop(rng: np.random.Generator, *, swapped: bool) -> tuple[str, str]:
    """A loop's text, and its cell: batch-first data, and a layer that takes them so or not."""
    every, k = bool(rng.integers(2)), int(rng.integers(2, 4))
    cell, T = str(rng.choice(["LSTM", "GRU", "RNN"])), int(rng.integers(6, 14))
    features, H = int(rng.integers(1, 4)), int(rng.integers(16, 33))
    target = f"x[:, -{k}:, 0].sum(1, keepdim=True)"
    if every:
        target = "x[:, :, :1] + torch.nn.functional.pad(x[:, :-1, :1], (0, 0, 1, 0))"
    text = training_loop(
        f"nn.{cell}({features}, {H}{'' if swapped else ', batch_first=True'})",
        H,
        f"x = torch.randn(640, {T}, {features})\ny = {target}",
        batch=int(rng.choice([32, 48, 64])),
        rate=float(rng.choice([5e-3, 1e-2])),
        forward=f"out, _ = self.cell(x)\nreturn self.head({'out' if every else 'out[:, -1]'})",
    ).replace("SEED", str(learnable.seed(rng)), 1)
    return text, f"{cell} loop, a target {'a step' if every else 'a sequence'}"


def _series(rng: np.random.Generator, n: int = 0) -> learnable.Problem:
    """Smooth series of random phases, at each step what comes two steps later."""
    n = n or int(rng.integers(150, 300))
    T, period = int(rng.integers(16, 30)), float(rng.uniform(7, 14))
    whole = np.sin(2 * np.pi * np.arange(T + 1) / period + rng.uniform(0, 2 * np.pi, (n, 1)))
    whole = (whole + 0.05 * rng.normal(size=whole.shape))[..., None]
    return learnable.Problem(
        whole[:, :T], whole[:, 1:], f"at each of {T} steps a wave's next value"
    )


TASKS = (learnable.each_step, _series)


def faulty(rng: np.random.Generator) -> Sample:
    """Arrays given with time first, (T, N, I); or a loop whose layer takes time first."""
    if rng.integers(2):
        text, what = _loop(rng, swapped=True)
        return Sample(SYMPTOM, f"{what}; without batch_first", script=text)
    problem = learnable.any_of(rng, TASKS)
    turned = problem.spoilt(x=problem.x.swapaxes(0, 1).copy(), y=problem.y.swapaxes(0, 1).copy())
    table = learnable.recipe(rng, turned)
    words = learnable.told(f"given as {turned.x.shape}", table, problem.what)
    # Some tens of "sequences" whose past tells nothing: known by heart, or not learned at all.
    also = frozenset({"overfitting", "underfitting", "stalled-loss", "slow-learning"})
    return Sample(SYMPTOM, words, table, also=also)


def healthy(rng: np.random.Generator) -> Sample:
    """The same the right way round; sliding windows of one series, smooth along both axes."""
    kind = int(rng.integers(4))
    if kind == 0:
        text, what = _loop(rng, swapped=False)
        return Sample(None, f"{what}; with batch_first", script=text)
    problem = learnable.any_of(rng, TASKS)
    if kind == 1:
        table = learnable.recipe(rng, problem)
        return Sample(None, learnable.told(f"{problem.x.shape}", table, problem.what), table)
    if kind == 2:
        turned = problem.spoilt(
            x=problem.x.swapaxes(0, 1).copy(), y=problem.y.swapaxes(0, 1).copy()
        )
        table = learnable.recipe(rng, turned, {"time_first": True})
        words = learnable.told(f"{turned.x.shape}, and time_first", table, problem.what)
        return Sample(None, words, table)
    # Few sequences of a state that drifts slowly from one to the next: a batch with an order.
    n, T = int(rng.integers(150, 250)), int(rng.integers(12, 20))
    level = np.cumsum(rng.normal(size=n)) * 0.1
    level -= level.mean()
    own = 0.5 * rng.normal(size=(n, T))
    x = (level[:, None] / max(1e-9, level.std()) + own)[..., None]
    y = (x + np.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))) / 2
    problem = learnable.Problem(x, y, f"sequences that drift slowly, one to the next, {T} steps")
    table = learnable.recipe(rng, problem)
    return Sample(None, learnable.told(f"{x.shape}", table, problem.what), table)
