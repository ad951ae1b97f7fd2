"""constant-output: one answer for every input, from states that differ.

It is the root where the loss itself asks for it. Mostly it follows from something else, which is
planted there: a gradient that dies, states that merge, a rate that is too low, a penalty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants.tasks_by_lag import Task, cue, mean, padded, pick, recall, recipe, seed
from bench.corpus.sample import Sample

SYMPTOM = "constant-output"
# One answer for all scores what the best constant scores, from where the loss does not fall.
BROUGHT = frozenset({"stalled-loss", "underfitting"})


def faulty(rng: np.random.Generator) -> Sample:
    """The absolute error, whose best constant is the median: 0, where most targets are 0."""
    task = (_rare_events if rng.random() < 0.6 else _rare_steps)(rng)
    cell = pick(rng, ("lstm", "gru"))
    layers, both = int(rng.integers(1, 3)), bool(rng.random() < 0.3)
    model = {
        "cell": cell,
        "hidden_size": int(rng.integers(12, 33)),
        "num_layers": layers,
        "bidirectional": both,
    }
    training = {"loss": "l1", "learning_rate": 2e-3, "epochs": 6, "seed": seed(rng)}
    shape = f"{layers} layer(s){', both directions' if both else ''}"
    what = f"{cell}, {shape}, absolute error; {task.words}"
    return Sample(SYMPTOM, what, recipe(task, model, training), also=BROUGHT)


def _rare_events(rng: np.random.Generator) -> Task:
    """Targets that are 0 but for a few, which a threshold on one input tells."""
    T, lag = int(rng.integers(8, 17)), int(rng.integers(2, 4))
    part, size = float(rng.uniform(0.05, 0.095)), float(rng.uniform(2.0, 5.0))
    x = rng.normal(size=(1500, T, int(rng.integers(1, 4)))).astype(np.float32)
    decides = x[:, T - lag, 0]
    y = np.where(decides > np.quantile(decides, 1 - part), size, 0.0).astype(np.float32)
    words = f"an event in {part:.0%} of the sequences, {lag} steps back, T = {T}"
    return Task(words, {"x": x, "y": y[:, None]})


def _rare_steps(rng: np.random.Generator) -> Task:
    """The same at every step: the answer is 0 but after a large input."""
    T = int(rng.integers(8, 17))
    part, size = float(rng.uniform(0.05, 0.095)), float(rng.uniform(2.0, 5.0))
    x, ends = rng.normal(size=(600, T, int(rng.integers(1, 4)))).astype(np.float32), None
    if rng.random() < 0.5:
        x, ends = padded(rng, x, least=T // 2)
    y = np.zeros((600, T, 1), np.float32)
    y[:, 1:, 0] = size * (x[:, :-1, 0] > np.quantile(x[..., 0], 1 - part))
    data = {"x": x, "y": y} | ({} if ends is None else {"lengths": ends})
    words = f"an event at {part:.0%} of the steps{'' if ends is None else ', lengths'}, T = {T}"
    return Task(words, data, {"readout": "all"})


def healthy(rng: np.random.Generator) -> Sample:
    """The same rare events under another loss; the same weights with steps that make them grow."""
    if rng.random() < 0.5:
        task = (_rare_events if rng.random() < 0.6 else _rare_steps)(rng)
        cell = pick(rng, ("lstm", "gru", "rnn"))
        model: dict[str, Any] = {"cell": cell, "hidden_size": int(rng.integers(16, 33))}
        training = {"loss": "mse", "learning_rate": 1e-2, "epochs": 12, "seed": seed(rng)}
        return Sample(None, f"{cell}, squared error; {task.words}", recipe(task, model, training))
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
