"""unscaled-input: inputs so large, or so small, that the gates see little but their size."""

from __future__ import annotations

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample
from minirnn.diagnosis.cases.training_loop import training_loop

SYMPTOM = "unscaled-input"
# Gates at the end of their range pass neither what differs nor gradient, and one answer is left.
BROUGHT = frozenset(
    {"saturated-gates", "vanishing-gradient", "dead-units", "state-collapse", "constant-output"}
) | {"stalled-loss", "underfitting", "slow-learning", "exploding-gradient", "oscillating-loss"}


def _loop(rng: np.random.Generator, level: float, swing: float) -> tuple[str, str]:
    cell, features = str(rng.choice(["LSTM", "GRU", "RNN"])), int(rng.integers(1, 4))
    H, T, k = int(rng.integers(20, 33)), int(rng.integers(6, 14)), int(rng.integers(2, 4))
    text = training_loop(
        f"nn.{cell}({features}, {H}, batch_first=True)",
        H,
        f"x = torch.randn(640, {T}, {features})\ny = x[:, -{k}:, 0].sum(1, keepdim=True)\n"
        f"x = {level} + {swing} * x",
        batch=int(rng.choice([32, 48])),
        rate=float(rng.choice([5e-3, 1e-2])),
    ).replace("SEED", str(learnable.seed(rng)), 1)
    return text, f"{cell} loop, inputs of {level:g} +- {swing:g}"


def faulty(rng: np.random.Generator) -> Sample:
    """A level far from zero, a large swing, tiny numbers; arrays, series, classes, loops."""
    kind = ("level", "swing", "tiny", "series", "loop")[int(rng.integers(5))]
    if kind == "loop":
        level = float(rng.choice([-1, 1]) * rng.integers(150, 900))
        text, what = _loop(rng, level, round(abs(level) * float(rng.uniform(0.01, 0.04)), 2))
        return Sample(SYMPTOM, what, script=text, also=BROUGHT)
    if kind == "series":
        level = float(rng.uniform(150, 900))
        values = level + level * float(rng.uniform(0.02, 0.05)) * learnable.wave(rng)
        table = learnable.of_series(rng, values, model={"init": {"head_bias": "target_mean"}})
        words = learnable.told("", table, f"waves around {level:.0f}, {len(values)} values")
        return Sample(SYMPTOM, words, table, also=BROUGHT)
    problem = learnable.any_of(rng)
    if kind == "level":
        level = float(rng.choice([-1, 1]) * rng.uniform(150, 900))
        x = level + abs(level) * float(rng.uniform(0.01, 0.04)) * problem.x
    elif kind == "swing":
        x = float(rng.uniform(1e3, 1e5)) * problem.x
        level = 0.0
    else:
        x = float(10.0 ** rng.uniform(-6, -4)) * problem.x
    size = float(np.sqrt((x**2).mean()))
    table = learnable.recipe(rng, problem.spoilt(x=x))
    words = learnable.told(f"{kind}, inputs of size {size:.3g}", table, problem.what)
    return Sample(SYMPTOM, words, table, also=BROUGHT)


def healthy(rng: np.random.Generator) -> Sample:
    """The same, scaled by the recipe; and large or small inputs that a network copes with."""
    kind = ("scaled", "somewhat large", "somewhat small", "series", "loop")[int(rng.integers(5))]
    if kind == "loop":
        text, what = _loop(rng, round(float(rng.uniform(-2, 2)), 2), round(rng.uniform(0.5, 2), 2))
        return Sample(None, what, script=text)
    if kind == "series":
        values = float(rng.uniform(150, 900)) * (1 + 0.03 * learnable.wave(rng))
        scale = str(rng.choice(["standard", "minmax", "robust"]))
        table = learnable.of_series(rng, values, {"scale": scale})
        words = learnable.told(f"scale {scale}", table, f"waves, {len(values)} values")
        return Sample(None, words, table)
    problem = learnable.any_of(rng)
    data = {}
    x = problem.x
    if kind == "scaled":
        x = float(rng.uniform(200, 900)) + float(rng.uniform(5, 30)) * x
        data["scale"] = str(rng.choice(["standard", "minmax", "robust"]))
        if data["scale"] == "minmax":
            # Between 0 and 1 the same takes more steps, and no more than that.
            problem = problem.spoilt(x=x)
            table = learnable.recipe(rng, problem, data, {"learning_rate": 1e-2, "epochs": 45})
            return Sample(None, learnable.told("scale minmax", table, problem.what), table)
    elif kind == "somewhat large":
        x = float(rng.uniform(1.5, 2.5)) * x
    else:
        x = float(rng.uniform(0.3, 0.6)) * x
    table = learnable.recipe(rng, problem.spoilt(x=x), data)
    return Sample(None, learnable.told(kind, table, problem.what), table)
