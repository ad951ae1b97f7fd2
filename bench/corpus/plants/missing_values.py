"""missing-values: NaN, or a number that stands for one, among what is fed or asked for."""

from __future__ import annotations

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample

SYMPTOM = "missing-values"


def faulty(rng: np.random.Generator) -> Sample:
    """NaN in inputs, in targets, or in both; or -999 and the like in their place."""
    kind = ("inputs", "targets", "both", "a mark")[int(rng.integers(4))]
    tasks = learnable.TASKS if kind in ("inputs", "a mark") else learnable.NUMBERS
    problem = learnable.any_of(rng, tasks)
    # Rates at which most sequences keep most of their steps, and some batch of each epoch has one.
    # A mark does harm only where it is met often; one NaN in a batch is always enough.
    part = float(rng.choice([0.06, 0.1] if kind == "a mark" else [0.002, 0.01, 0.04]))
    mark = float(rng.choice([-999.0, -9999.0, 999.0, -99.0])) if kind == "a mark" else np.nan
    x, y = problem.x.copy(), problem.y.copy()
    if kind != "targets":
        x[rng.random(x.shape) < part] = mark
        x[rng.integers(len(x), size=6), rng.integers(x.shape[1], size=6)] = mark
    if kind in ("targets", "both"):
        y[rng.random(len(y)) < max(part, 0.02)] = np.nan
        y[int(rng.integers(len(y)))] = np.nan
    table = learnable.recipe(rng, problem.spoilt(x=x, y=y))
    words = f"missing in {kind}" if kind != "a mark" else f"{mark:g} for a missing input"
    # A loss that is NaN ends the training. -999 is an input of size 100, too: it saturates.
    also = frozenset({"non-finite"} if kind != "a mark" else {"unscaled-input", "saturated-gates"})
    return Sample(SYMPTOM, learnable.told(words, table, problem.what), table, also=also)


def healthy(rng: np.random.Generator) -> Sample:
    """Few gaps, filled by the recipe; sequences left out; or zeros and -1 that are measurements."""
    kind = ("filled", "left out", "zeros", "whole numbers", "padded")[int(rng.integers(5))]
    problem = learnable.any_of(rng)
    x, data = problem.x.copy(), {}
    if kind in ("filled", "left out"):
        x[rng.random(x.shape) < 0.004] = np.nan
        x[:, 0] = problem.x[:, 0]
        data["missing"] = "interpolate" if kind == "filled" else "drop"
    elif kind == "zeros":
        x[:, : x.shape[1] // 2][rng.random((len(x), x.shape[1] // 2)) < 0.3] = 0.0
    elif kind == "whole numbers":
        x = np.concatenate([x, rng.integers(-1, 4, (*x.shape[:2], 1)).astype(float)], axis=2)
    elif kind == "padded" and not problem.per_step:
        # NaN after a sequence's end is never read.
        ahead = int(rng.integers(2, 6))
        x = np.concatenate([x, np.zeros((len(x), ahead, x.shape[2]))], axis=1)
        data["lengths"] = np.full(len(x), problem.x.shape[1])
    table = learnable.recipe(rng, problem.spoilt(x=x), data)
    return Sample(None, learnable.told(kind, table, problem.what), table)
