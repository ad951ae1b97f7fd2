"""underfitting: too few units for what must be kept, or too little time to learn it."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.plants.learnable import Problem
from bench.corpus.sample import Sample

SYMPTOM = "underfitting"
# Of what cannot be learned with so few units the loss is that of the best they can do.
BROUGHT = frozenset({"stalled-loss"})
# A wave is learned in three epochs, too.
SLOW = (learnable.recent_sum, learnable.recent_mix)


def faulty(rng: np.random.Generator) -> Sample:
    """One or two units where several numbers must be carried, or an end amid the learning."""
    small = rng.random() < 0.6
    # A plain network is done in so few steps, unless they are too small to learn by.
    cell = str(rng.choice(learnable.CELLS if small else ("lstm", "gru")))
    # 80 steps or so: of the same task twice as many sequences are twice as much learning.
    problem = several(rng) if small else learnable.any_of(rng, SLOW, 420)
    model: dict[str, Any] = {"cell": cell}
    if small:
        model["hidden_size"] = int(rng.integers(1, 3))
        training = {"epochs": int(rng.integers(28, 36)), "learning_rate": 1e-2, "batch_size": 16}
    else:
        rate = 7e-4 if cell == "gru" else 9e-4
        rate = 1e-3 if problem.y.shape[1] > 1 else rate
        training = {"epochs": 4, "learning_rate": rate, "batch_size": 16}
    table = learnable.recipe(rng, problem, None, training, model)
    rest = f"{training['epochs']} epochs of a rate of {training['learning_rate']:g}"
    what = "too few units" if small else rest
    return Sample(SYMPTOM, learnable.told(what, table, problem.what), table, also=BROUGHT)


def healthy(rng: np.random.Generator) -> Sample:
    """Small, but large enough; short, but long enough; or noisy, and at what noise allows."""
    kind = ("small", "short", "noisy")[int(rng.integers(3))]
    if kind == "small":
        problem = learnable.any_of(rng, (learnable.recent_sum, learnable.wave_ahead))
        model: dict[str, Any] = {"hidden_size": int(rng.integers(4, 7)), "cell": "gru"}
        training = {"epochs": 30, "learning_rate": 1e-2, "batch_size": 16}
    elif kind == "short":
        problem = learnable.any_of(rng, learnable.NUMBERS)
        model = {"hidden_size": 28}
        training = {"epochs": 10, "learning_rate": 1e-2, "batch_size": 16}
    else:
        problem = learnable.any_of(rng, (learnable.recent_sum, learnable.recent_mix))
        sigma = float(rng.uniform(0.7, 1.2))
        noise = sigma * rng.normal(size=problem.y.shape)
        problem = problem.spoilt(y=problem.y + noise, what=f"{problem.what}, noise {sigma:.1f}")
        model = {"hidden_size": int(rng.integers(8, 16))}
        training = {"epochs": 8, "learning_rate": 5e-3, "batch_size": 16}
    table = learnable.recipe(rng, problem, None, training, model)
    return Sample(None, learnable.told(kind, table, problem.what), table)


def several(rng: np.random.Generator) -> Problem:
    """Three to five numbers of the last steps to be told at the end, or one of some steps ago."""
    n, T = int(rng.integers(350, 500)), int(rng.integers(8, 16))
    features = int(rng.integers(3, 6))
    x = rng.normal(size=(n, T, features))
    if rng.random() < 0.5:
        # Turned: no target is itself among the inputs.
        turn = np.linalg.qr(rng.normal(size=(features, features)))[0]
        return Problem(x, x[:, -1] @ turn, f"all {features} features of the last of {T} steps")
    lag = int(rng.integers(4, 6))
    x = x[:, :, :1]
    turn = np.linalg.qr(rng.normal(size=(lag, lag)))[0]
    y = x[:, -lag:, 0] @ turn
    return Problem(x, y, f"each of the last {lag} of {T} values")
