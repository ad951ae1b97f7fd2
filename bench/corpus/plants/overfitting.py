"""overfitting: few, noisy sequences, many units, and time enough to learn each by heart."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.plants.learnable import Problem
from bench.corpus.sample import Sample

SYMPTOM = "overfitting"


def faulty(rng: np.random.Generator) -> Sample:
    """Some 70 to 120 sequences, 30% to 45% of whose targets is noise, and no brake."""
    problem = noisy(rng, int(rng.integers(130, 220)), float(rng.uniform(0.65, 0.9)))
    model = {"hidden_size": int(rng.integers(28, 49)), "num_layers": int(rng.integers(1, 3))}
    training = {
        "epochs": int(rng.integers(70, 100)),
        "learning_rate": 5e-3,
        "batch_size": 16,
        "clip_norm": 1.0,
    }
    table = _recipe(rng, problem, model, training, brake="none")
    return Sample(SYMPTOM, learnable.told("no brake", table, problem.what), table)


def healthy(rng: np.random.Generator) -> Sample:
    """As few or as noisy, but not both; or with a brake: stopped early, or not trained so long."""
    kind = ("few", "noisy", "stopped", "short", "braked")[int(rng.integers(5))]
    sigma = 0.0 if kind == "few" else float(rng.uniform(0.6, 0.9))
    count = int(rng.integers(700, 1000) if kind == "noisy" else rng.integers(130, 220))
    # A brake keeps noise out, and puts nothing in: of a target that depends on two of many steps,
    # there have to be sequences enough. Of what there is, 11 of 115 networks with a brake explained
    # less than 0.6 of 4,000 fresh sequences, as those without one do (0.5 in the median), where
    # there were as few sequences for 44 input values as for 10; with ten for each value 4 of 133.
    braked = kind in ("stopped", "short", "braked")
    problem = noisy(rng, count, sigma, signs=kind != "few", for_each=10 if braked else 0)
    model: dict[str, Any] = {"hidden_size": int(rng.integers(28, 49))}
    training: dict[str, Any] = {"epochs": 60, "learning_rate": 5e-3, "batch_size": 16}
    brake = "none"
    if kind == "noisy":
        training["epochs"] = 8
    elif kind == "stopped":
        brake = "early_stopping"
    elif kind == "short":
        training["epochs"] = 7
    elif kind == "braked":
        model["head_dropout"] = 0.5
        # The loss of two classes begins at a log 2: there the same penalty holds back more.
        training |= {"l2": 1e-2 if problem.loss == "mse" else 5e-3, "epochs": 25}
    table = _recipe(rng, problem, model, training, brake=brake)
    return Sample(None, learnable.told(kind, table, problem.what), table)


def noisy(
    rng: np.random.Generator, n: int, sigma: float, signs: bool = True, for_each: int = 0
) -> Problem:
    """A target of unit variance from the last two steps, and noise of deviation sigma beside it.

    signs      whether it may be the sign alone, of which more sequences are needed
    for_each   at least so many sequences for each input value of one (T times features)
    """
    T, features = int(rng.integers(5, 12)), int(rng.integers(2, 5))
    n = max(n, for_each * T * features)
    x = rng.normal(size=(n, T, features))
    weights = rng.normal(size=(2, features))
    signal = (x[:, -2:] * weights / np.sqrt((weights**2).sum())).sum(axis=(1, 2))
    classes = signs and rng.random() < 0.25
    if classes:
        # A sign tells less than a number: of a hundred, with as much noise, nothing can be learned.
        n, sigma = 2 * n, 0.6 * sigma
        x, signal = np.concatenate([x, -x]), np.concatenate([signal, -signal])
    y = signal + sigma * rng.normal(size=n)
    what = f"the last 2 of {T} steps of {features} features with noise {sigma:.2f}, {n} sequences"
    if classes:
        return Problem(x, (y > 0).astype(np.int64), f"sign of {what}", "cross_entropy")
    return Problem(x, y[:, None], what)


def _recipe(
    rng: np.random.Generator,
    problem: Problem,
    model: dict[str, Any],
    training: dict[str, Any],
    brake: str,
) -> dict[str, Any]:
    if brake == "early_stopping":
        training = training | {"early_stopping": 3}
    # As many held out as trained on: what is lost on them is no chance then.
    data = {"validation": 0.45}
    return learnable.recipe(rng, problem, data, training, model)
