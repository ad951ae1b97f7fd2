"""outliers: a few values far from all others take the scale or the loss for themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample

SYMPTOM = "outliers"


def _glitches(rng: np.random.Generator, values: Any, part: float, size: float) -> Any:
    """Some of the values replaced by others, `size` to 5 `size` away, on either side."""
    hit = rng.random(values.shape) < part
    hit.flat[rng.integers(values.size, size=2)] = True
    signs = rng.choice([-1.0, 1.0], values.shape)
    return np.where(hit, size * rng.uniform(1, 5, values.shape) * signs, values)


def faulty(rng: np.random.Generator) -> Sample:
    """Glitches in inputs, in targets, in both, or in a series."""
    kind = ("inputs", "targets", "both", "series")[int(rng.integers(4))]
    scale = str(rng.choice(["none", "standard", "minmax"]))
    # What a fault of the data brings by its nature: a network that cannot see or cannot hear the
    # ordinary values learns nothing of them, and is thrown about by the others.
    also = frozenset({"unscaled-input", "exploding-gradient", "oscillating-loss", "stalled-loss"})
    also |= {"saturated-gates", "vanishing-gradient", "slow-learning", "underfitting"}
    also |= {"constant-output", "state-collapse", "overfitting", "outside-training-range"}
    if kind == "series":
        values = learnable.wave(rng)
        values = _glitches(rng, values, 0.008, float(rng.uniform(60, 200)))
        table = learnable.of_series(rng, values, {"scale": scale})
        words = learnable.told(f"glitches, scale {scale}", table, f"waves, {len(values)} values")
        return Sample(SYMPTOM, words, table, also=also)
    problem = learnable.any_of(rng, learnable.NUMBERS if kind != "inputs" else learnable.TASKS)
    x, y = problem.x, problem.y
    if kind != "targets":
        # Where the network would not meet them otherwise it does not suffer from the scale.
        x = _glitches(rng, x, float(rng.choice([0.01, 0.015])), float(rng.uniform(200, 800)))
        scale = "standard" if scale == "none" else scale
    if kind != "inputs":
        y = _glitches(rng, y, float(rng.choice([0.01, 0.02])), float(rng.uniform(60, 300)))
    table = learnable.recipe(rng, problem.spoilt(x=x, y=y), {"scale": scale})
    words = learnable.told(f"glitches in {kind}, scale {scale}", table, problem.what)
    return Sample(SYMPTOM, words, table, also=also)


def healthy(rng: np.random.Generator) -> Sample:
    """Long tails that are learned; spikes that are the signal; glitches with robust settings."""
    kind = ("tails", "spikes", "robust", "skewed", "one")[int(rng.integers(5))]
    n, T = int(rng.integers(450, 600)), int(rng.integers(8, 16))
    training: dict[str, Any] = {}
    data: dict[str, Any] = {}
    if kind == "tails":
        k = int(rng.integers(2, 4))
        x = rng.standard_t(4, size=(n, T, 1))
        y = np.tanh(x[:, -k:, 0] / 2).sum(axis=1, keepdims=True)
        problem = learnable.Problem(x, y, f"inputs of Student's t, the last {k} of {T} steps")
    elif kind == "spikes":
        # Rare events in noise, and the question is how large the last ones were.
        spikes = (rng.random((n, T)) < 0.03) * rng.uniform(8, 16, (n, T))
        spikes[:, -3:] *= rng.random((n, 3)) < 0.9
        x = (spikes + 0.3 * rng.normal(size=(n, T)))[..., None]
        y = (spikes[:, -3:].sum(axis=1, keepdims=True) > 0).astype(np.int64)[:, 0]
        hit = rng.permutation(n)[: n // 2]
        x[hit, -2, 0] = rng.uniform(8, 16, len(hit))
        y[hit] = 1
        problem = learnable.Problem(x, y, f"was there a spike in 3 of {T} steps", "cross_entropy")
    elif kind == "skewed":
        x = np.exp(0.6 * rng.normal(size=(n, T, 1)))
        y = np.log(x[:, -2:, 0]).sum(axis=1, keepdims=True)
        problem = learnable.Problem(x, y, f"log-normal inputs, the last 2 of {T} steps")
    elif kind == "one":
        problem = learnable.any_of(rng, learnable.NUMBERS)
        x = problem.x.copy()
        x[int(rng.integers(len(x))), 0, 0] = 25.0
        problem = problem.spoilt(x=x)
    else:
        problem = learnable.any_of(rng, learnable.NUMBERS)
        x = _glitches(rng, problem.x, 0.002, 100.0)
        problem = problem.spoilt(x=x, y=_glitches(rng, problem.y, 0.01, 60.0))
        data, training = {"scale": "robust", "clip": 5.0}, {"loss": "huber"}
    table = learnable.recipe(rng, problem, data, training)
    return Sample(None, learnable.told(kind, table, problem.what), table)
