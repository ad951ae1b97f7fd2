"""outside-training-range: the held-out part lies where nothing was trained on."""

from __future__ import annotations

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample

SYMPTOM = "outside-training-range"


def faulty(rng: np.random.Generator) -> Sample:
    """A series that climbs out of its range, or falls, faster and faster, or exponentially."""
    kind = ("climbs", "falls", "grows")[int(rng.integers(3))]
    n = int(rng.integers(420, 600))
    values, t = learnable.wave(rng, n), np.arange(n) / n
    # Far enough for the level to matter more than the waves on it.
    rise = float(rng.uniform(15, 27))
    if kind == "grows":
        values = values + np.exp(float(rng.uniform(2.6, 3.0)) * t)
    else:
        values = values + (rise if kind == "climbs" else -rise) * t**2
    data = {"scale": str(rng.choice(["standard", "robust"])), "validation": 0.3}
    training = {"epochs": 35, "learning_rate": 7e-3}
    table = learnable.of_series(rng, values, data, training)
    words = learnable.told(f"{kind}, scale {data['scale']}", table, f"waves, {n} values")
    return Sample(SYMPTOM, words, table, also=frozenset({"overfitting"}))


def healthy(rng: np.random.Generator) -> Sample:
    """A climb that is fed as changes; a slight one; peaks a little beyond."""
    kind = ("changes", "slight", "higher peaks", "arrays")[int(rng.integers(4))]
    n = int(rng.integers(420, 600))
    if kind == "arrays":
        problem = learnable.any_of(rng, learnable.NUMBERS)
        table = learnable.recipe(rng, problem)
        return Sample(None, learnable.told("dealt out at random", table, problem.what), table)
    values, t = learnable.wave(rng, n), np.arange(n) / n
    data = {"scale": str(rng.choice(["standard", "minmax"]))}
    if kind == "changes":
        values = values + float(rng.uniform(8, 20)) * t
        data = {"scale": "standard", "transform": "change"}
    elif kind == "slight":
        values = values + float(rng.uniform(0.1, 0.4)) * t
    else:
        values = values * (1 + 0.15 * (t > 0.8))
    table = learnable.of_series(rng, values, data)
    return Sample(None, learnable.told(kind, table, f"waves, {n} values"), table)
