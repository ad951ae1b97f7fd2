"""low-data-diversity: the training part shows little of what is asked for later."""

from __future__ import annotations

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample

SYMPTOM = "low-data-diversity"
# What was not shown lies outside of what was, and the network is at home in that alone.
BROUGHT = frozenset({"outside-training-range", "overfitting"})


def faulty(rng: np.random.Generator) -> Sample:
    """One regime of several: a machine at idle, small signals first, classes one by one."""
    kind = ("idle series", "small first", "by class", "one feature")[int(rng.integers(4))]
    if kind == "idle series":
        values = learnable.wave(rng, int(rng.integers(420, 560)))
        n = len(values)
        # At idle for most of the record; what comes at the end swings ten times as far.
        idle = np.arange(n) < rng.uniform(0.79, 0.8) * n
        level = float(rng.uniform(-0.5, 0.5))
        values = np.where(idle, level + rng.uniform(0.04, 0.08) * values, 1.5 * values)
        scale = "standard"
        table = learnable.of_series(rng, values, {"scale": scale}, {"learning_rate": 1e-2})
        words = learnable.told(f"{kind}, scale {scale}", table, f"{n} values")
        return Sample(SYMPTOM, words, table, also=BROUGHT)
    if kind == "by class":
        problem = learnable.which_class(rng)
        # The last of the sorted classes is nearly all that is held out, and hardly trained on.
        x = problem.x
        score = x[:, -3:, 0].sum(axis=1)
        edges = np.quantile(score, [0.4, float(rng.uniform(0.8, 0.82))])
        labels = np.digitize(score, edges).astype(np.int64)
        order = np.argsort(labels, kind="stable")
        what = f"3 classes by the last 3 of {x.shape[1]} steps"
        problem = learnable.Problem(x[order], labels[order], what, "cross_entropy")
        table = learnable.recipe(rng, problem, {"split": "last"})
        return Sample(SYMPTOM, learnable.told(kind, table, problem.what), table, also=BROUGHT)
    n, T = int(rng.integers(400, 600)), int(rng.integers(8, 16))
    features = int(rng.integers(2, 4)) if kind == "one feature" else int(rng.integers(1, 3))
    wide = rng.normal(size=(n, T, features))
    early = np.arange(n) < 0.8 * n
    small = np.where(early, rng.uniform(0.02, 0.05), 1.0)[:, None]
    # Bent within what is asked, straight within what is shown.
    bend = float(rng.uniform(1.6, 2.1))
    if kind == "small first":
        wide = wide * small[:, :, None]
        y = np.sin(bend * wide[:, -2:, 0].sum(axis=1, keepdims=True) / np.sqrt(2))
        what = f"a bent sum of the last 2 of {T} steps, small signals first"
    else:
        wide[:, :, 1] *= small
        y = wide[:, -1:, 0] * 0.5 + np.sin(bend * wide[:, -1:, 1]) + wide[:, -1:, 1]
        what = f"two of {features} features at the last of {T} steps, one hardly varied"
    problem = learnable.Problem(wide, y, what)
    table = learnable.recipe(rng, problem, {"split": "last"}, {"learning_rate": 1e-2, "epochs": 35})
    return Sample(SYMPTOM, learnable.told(kind, table, problem.what), table, also=BROUGHT)


def healthy(rng: np.random.Generator) -> Sample:
    """Small but sufficient data; a small range that is asked for again; wider in training."""
    kind = ("few", "narrow alike", "wider first", "narrow and straight", "by class, at random")[
        int(rng.integers(5))
    ]
    if kind == "narrow alike":
        values = 0.5 + 0.1 * learnable.wave(rng) / 2
        table = learnable.of_series(rng, values, {"scale": str(rng.choice(["standard", "minmax"]))})
        words = learnable.told("0.4 to 0.6 in both parts", table, f"waves, {len(values)} values")
        return Sample(None, words, table)
    if kind == "wider first":
        values = learnable.wave(rng)
        late = np.arange(len(values)) > 0.8 * len(values)
        values = np.where(late, 0.5, 1.0) * values
        table = learnable.of_series(rng, values)
        words = learnable.told("half the swing at the end", table, f"waves, {len(values)} values")
        return Sample(None, words, table)
    if kind == "by class, at random":
        problem = learnable.which_class(rng)
        order = np.argsort(problem.y, kind="stable")
        problem = problem.spoilt(x=problem.x[order], y=problem.y[order])
        table = learnable.recipe(rng, problem)
        return Sample(None, learnable.told(kind, table, problem.what), table)
    if kind == "narrow and straight":
        # Shown at half the size, and asked in a straight line: what was learned goes on.
        n, T = int(rng.integers(400, 600)), int(rng.integers(8, 16))
        x = rng.normal(size=(n, T, 1)) * np.where(np.arange(n) < 0.8 * n, 0.3, 0.6)[:, None, None]
        y = x[:, -2:, 0].sum(axis=1, keepdims=True)
        problem = learnable.Problem(x, y, f"sum of the last 2 of {T} steps")
        table = learnable.recipe(rng, problem, {"split": "last"})
        return Sample(None, learnable.told(kind, table, problem.what), table)
    problem = learnable.recent_mix(rng, int(rng.integers(110, 150)))
    table = learnable.recipe(rng, problem, training={"epochs": 60, "batch_size": 16})
    return Sample(None, learnable.told(f"{len(problem.x)} sequences", table, problem.what), table)
