"""leakage: what was held out was known in training."""

from __future__ import annotations

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample

SYMPTOM = "leakage"


def _recording(rng: np.random.Generator, stride: int) -> learnable.Problem:
    """Windows of one long series, `stride` apart, and what comes after each."""
    T = int(rng.integers(10, 20))
    values = learnable.wave(rng, 420 if stride == 1 else 300 * stride)
    starts = np.arange(0, len(values) - T, stride)
    x = np.stack([values[start : start + T] for start in starts])[..., None]
    y = values[starts + T][:, None]
    return learnable.Problem(x, y, f"windows of {T} steps of a series, {stride} apart")


def faulty(rng: np.random.Generator) -> Sample:
    """Copies on both sides; overlapping windows; the target among the inputs; a scaled whole."""
    kind = ("copies", "overlap", "target", "scaled")[int(rng.integers(4))]
    if kind == "scaled":
        values = learnable.wave(rng)
        # The level, or the swing, of the last part is another one, and the scale knows of it.
        late = np.arange(len(values)) > 0.8 * len(values)
        values = values * np.where(late, rng.uniform(1.3, 1.6), 1.0)
        values += np.where(late, rng.uniform(0.3, 0.6), 0.0)
        if rng.integers(2):
            values = (values - values.mean()) / values.std()
        else:
            values = (values - values.min()) / np.ptp(values)
        table = learnable.of_series(rng, values)
        words = learnable.told("scaled as a whole", table, f"waves, {len(values)} values")
        # What the common scale hid: the last part lies outside the range trained on.
        also = frozenset({"outside-training-range"})
        return Sample(SYMPTOM, words, table, also=also)
    if kind == "overlap":
        problem = _recording(rng, int(rng.integers(1, 3)))
        table = learnable.recipe(rng, problem)
        words = learnable.told("dealt out at random", table, problem.what)
        return Sample(SYMPTOM, words, table)
    problem = learnable.any_of(rng)
    if kind == "copies":
        # Augmented by copies, or logged more than once, before the split.
        more = rng.integers(0, len(problem.x), int(rng.uniform(0.3, 1.0) * len(problem.x)))
        x, y = (np.concatenate([each, each[more]]) for each in (problem.x, problem.y))
        order = rng.permutation(len(x))
        problem = problem.spoilt(x=x[order], y=y[order])
        words = f"{len(more)} copies"
    else:
        answer = problem.y[..., None] if problem.loss == "cross_entropy" else problem.y[..., :1]
        if problem.per_step:
            told = answer.astype(float)
        else:
            told = rng.normal(size=(*problem.x.shape[:2], 1))
            told[:, -1] = answer
        told = told * rng.uniform(0.5, 2.0) + rng.uniform(-1, 1)
        if rng.integers(2):
            problem = problem.spoilt(x=np.concatenate([told, problem.x], axis=2))
        else:
            problem = problem.spoilt(x=np.concatenate([problem.x, told], axis=2))
        words = "the target among the inputs"
    table = learnable.recipe(rng, problem)
    return Sample(SYMPTOM, learnable.told(words, table, problem.what), table)


def healthy(rng: np.random.Generator) -> Sample:
    """Windows far apart, or held out in order; symbols that meet by chance; a telling feature."""
    kind = ("apart", "in order", "symbols", "telling", "own scale")[int(rng.integers(5))]
    if kind == "own scale":
        values = learnable.wave(rng)
        first = values[: round(0.8 * len(values))]
        values = (values - first.mean()) / first.std()
        table = learnable.of_series(rng, values)
        words = learnable.told("scaled by its first part", table, f"waves, {len(values)} values")
        return Sample(None, words, table)
    if kind == "apart":
        problem = _recording(rng, 20)
        table = learnable.recipe(rng, problem)
        return Sample(None, learnable.told(kind, table, problem.what), table)
    if kind == "in order":
        problem = _recording(rng, 1)
        table = learnable.recipe(rng, problem, {"split": "last"})
        return Sample(None, learnable.told(kind, table, problem.what), table)
    if kind == "symbols":
        n, T = int(rng.integers(400, 600)), int(rng.integers(5, 8))
        bits = rng.integers(0, 2, (n, T))
        y = (bits[:, -3:].sum(axis=1) >= 2).astype(np.int64)
        x = 2.0 * bits[..., None] - 1
        problem = learnable.Problem(x, y, f"most of the last 3 of {T} bits", "cross_entropy")
    else:
        problem = learnable.any_of(rng, learnable.NUMBERS)
        # A feature that tells much of the target, and not all: a good instrument.
        extra = rng.normal(size=(*problem.x.shape[:2], 1))
        extra[:, -1] = problem.y[:, :1] + 0.3 * rng.normal(size=(len(problem.y), 1))
        problem = problem.spoilt(x=np.concatenate([problem.x, extra], axis=2))
    table = learnable.recipe(rng, problem)
    return Sample(None, learnable.told(kind, table, problem.what), table)
