"""constant-output: one answer for every input, from states that differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants.tasks_by_lag import Task, cue, mean, pick, recall, recipe, seed
from bench.corpus.sample import Sample

SYMPTOM = "constant-output"
# One answer for all scores what the best constant scores, from where the loss does not fall.
BROUGHT = frozenset({"stalled-loss", "underfitting"})


def faulty(rng: np.random.Generator) -> Sample:
    """A loss for which one answer is nearly best; or weights too small to tell inputs apart."""
    words, made = (_rare if rng.random() < 0.7 else _faint)(rng)
    return Sample(SYMPTOM, words, made, also=BROUGHT)


def _rare_events(rng: np.random.Generator) -> tuple[Task, str]:
    """Targets that are 0 but for a few, which a threshold on one input tells."""
    T, lag = int(rng.integers(8, 17)), int(rng.integers(2, 4))
    part, size = float(rng.uniform(0.06, 0.12)), float(rng.uniform(2.0, 5.0))
    x = rng.normal(size=(1500, T, int(rng.integers(1, 4)))).astype(np.float32)
    decides = x[:, T - lag, 0]
    y = np.where(decides > np.quantile(decides, 1 - part), size, 0.0).astype(np.float32)
    words = f"an event in {part:.0%} of the sequences, {lag} steps back, T = {T}"
    return Task(words, {"x": x, "y": y[:, None]}), words


def _rare(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """The absolute error, whose best constant is the median: 0, where most targets are 0."""
    task, words = _rare_events(rng)
    cell = pick(rng, ("lstm", "gru"))
    model = {
        "cell": cell,
        "hidden_size": int(rng.integers(12, 33)),
        "num_layers": int(rng.integers(1, 3)),
        "bidirectional": bool(rng.random() < 0.3),
    }
    training = {"loss": "l1", "learning_rate": 2e-3, "epochs": 6, "seed": seed(rng)}
    return f"{cell}, absolute error; {words}", recipe(task, model, training)


def _faint(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """Kernels of size 0.05, sigmoid units, and steps too few to make them grow."""
    T, lag = int(rng.integers(8, 17)), int(rng.integers(1, 3))
    task = pick(rng, (recall, mean))(rng, 400, T, lag, lengths=bool(rng.random() < 0.3))
    kernel = "normal"
    recurrent = pick(rng, ("orthogonal", "glorot_uniform"))
    model = {
        "cell": "rnn",
        "activation": "sigmoid",
        "hidden_size": int(rng.integers(12, 33)),
        "init": {"kernel": kernel, "recurrent": recurrent},
    }
    training = {"learning_rate": 1e-3, "epochs": int(rng.integers(7, 10)), "seed": seed(rng)}
    return f"rnn, sigmoid, kernel {kernel}; {task.words}, T = {T}", recipe(task, model, training)


def healthy(rng: np.random.Generator) -> Sample:
    """The same rare events under another loss; the same weights with steps that make them grow."""
    if rng.random() < 0.5:
        task, words = _rare_events(rng)
        cell = pick(rng, ("lstm", "gru", "rnn"))
        model: dict[str, Any] = {"cell": cell, "hidden_size": int(rng.integers(16, 33))}
        training = {"loss": "mse", "learning_rate": 1e-2, "epochs": 12, "seed": seed(rng)}
        return Sample(None, f"{cell}, squared error; {words}", recipe(task, model, training))
    T, lag = int(rng.integers(8, 17)), int(rng.integers(1, 3))
    task = pick(rng, (recall, mean, cue))(rng, 500, T, lag, lengths=bool(rng.random() < 0.3))
    cell = pick(rng, ("lstm", "gru", "rnn"))
    model = {
        "cell": cell,
        "activation": "sigmoid" if cell == "rnn" else "tanh",
        "hidden_size": int(rng.integers(16, 33)),
        "init": {"kernel": pick(rng, ("normal", "uniform"))},
    }
    training = {"learning_rate": 1e-2, "epochs": 30, "seed": seed(rng)}
    words = f"{cell}, small kernels at a rate of 0.01; {task.words}, T = {T}"
    return Sample(None, words, recipe(task, model, training))
