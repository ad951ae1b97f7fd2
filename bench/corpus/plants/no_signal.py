"""no-signal: targets that their inputs do not tell."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample

SYMPTOM = "no-signal"
# Noise is learned by heart, or not at all: then one answer, or a loss that stays, is the best.
BROUGHT = frozenset({"overfitting", "underfitting", "stalled-loss", "slow-learning"}) | {
    "constant-output",
    "state-collapse",
    "vanishing-gradient",
    "oscillating-loss",
}


def faulty(rng: np.random.Generator) -> Sample:
    """Labels drawn at random, shuffled targets, targets of other inputs, a series of noise."""
    kind = ("random labels", "shuffled", "of other inputs", "white noise")[int(rng.integers(4))]
    if kind == "white noise":
        values = rng.normal(size=int(rng.integers(400, 600)))
        table = learnable.of_series(rng, values)
        words = learnable.told(kind, table, f"a series of {len(values)} values")
        return Sample(SYMPTOM, words, table, also=BROUGHT, curable=False)
    problem = learnable.any_of(rng)
    x, y = problem.x, problem.y
    loss = problem.loss
    if kind == "random labels":
        y = rng.integers(0, int(rng.integers(2, 5)), len(x))
        loss = "cross_entropy"
    elif kind == "shuffled":
        y = y[rng.permutation(len(y))]
    else:
        x = rng.normal(size=x.shape)
    table = learnable.recipe(rng, problem.spoilt(x=x, y=y, loss=loss))
    words = learnable.told(kind, table, problem.what)
    return Sample(SYMPTOM, words, table, also=BROUGHT, curable=False)


def healthy(rng: np.random.Generator) -> Sample:
    """A weak but real signal, a parity of few bits, an order, a class that is rare."""
    kind = ("half noise", "parity", "which first", "rare", "all clear")[int(rng.integers(5))]
    n, T = int(rng.integers(500, 700)), int(rng.integers(5, 12))
    training: dict[str, Any] = {}
    if kind == "half noise":
        # As much noise as signal in the target, and little enough training to keep to the signal.
        x = rng.normal(size=(n, T, 1))
        signal = x[:, -2:, 0].sum(axis=1) / np.sqrt(2)
        y = (0.85 * signal + 0.53 * rng.normal(size=n))[:, None]
        problem = learnable.Problem(x, y, f"the last 2 of {T} steps, and 28% noise")
        training = {"epochs": 8}
    elif kind == "parity":
        bits = rng.integers(0, 2, (n, T))
        y = bits[:, -2:].sum(axis=1) % 2
        problem = learnable.Problem(
            2.0 * bits[..., None] - 1, y, f"whether the last 2 of {T} signs agree", "cross_entropy"
        )
        training = {"learning_rate": 1e-2, "epochs": 40}
    elif kind == "which first":
        T = max(T, 8)
        x = np.zeros((n, T, 2))
        first = rng.integers(0, T // 2, n)
        second = first + rng.integers(1, T // 2, n)
        y = rng.integers(0, 2, n)
        x[np.arange(n), first, y] = 1.0
        x[np.arange(n), second, 1 - y] = 1.0
        problem = learnable.Problem(x, y, f"which of two came first in {T} steps", "cross_entropy")
        training = {"learning_rate": 1e-2, "epochs": 35}
    elif kind == "rare":
        x = rng.normal(size=(n, T, 1))
        score = x[:, -3:, 0].sum(axis=1)
        y = (score > np.quantile(score, 0.8)).astype(np.int64)
        problem = learnable.Problem(x, y, f"a class of a fifth, by 3 of {T} steps", "cross_entropy")
        training = {"epochs": 8}
    else:
        problem = learnable.any_of(rng)
    table = learnable.recipe(rng, problem, training=training)
    return Sample(None, learnable.told(kind, table, problem.what), table)
