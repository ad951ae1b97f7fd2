"""state-collapse: what differs between the inputs is so little that all states are alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants.tasks_by_lag import Task, cue, mean, pick, recall, recipe, seed
from bench.corpus.sample import Sample

SYMPTOM = "state-collapse"
# From states that are alike only one answer can be read, and the loss stays at that of a constant.
BROUGHT = frozenset({"constant-output", "stalled-loss", "underfitting"})


def faulty(rng: np.random.Generator) -> Sample:
    """Inputs that lie close together on a level of a few units, as a pH or a voltage does."""
    cell, activation = pick(rng, (("lstm", "tanh"), ("gru", "tanh"), ("rnn", "sigmoid")))
    level, deviation = float(rng.uniform(2.5, 4.5)), float(rng.uniform(0.01, 0.025))
    task, words = _task(rng, level, deviation)
    layers = int(rng.integers(1, 3))
    both = bool(rng.random() < 0.3)
    model = {
        "cell": cell,
        "activation": activation,
        "hidden_size": int(rng.integers(12, 33)),
        "num_layers": layers,
        "bidirectional": both,
    }
    training = {
        "learning_rate": float(rng.choice([2e-3, 3e-3])),
        "epochs": int(rng.integers(12, 17)),
        "seed": seed(rng),
    }
    shape = f"{layers} layer(s){', both directions' if both else ''}"
    what = f"{cell}, {activation}, {shape}, inputs {level:.1f} +- {deviation:.3f}; {words}"
    return Sample(SYMPTOM, what, recipe(task, model, training), also=BROUGHT)


def _task(rng: np.random.Generator, level: float, deviation: float) -> tuple[Task, str]:
    T, lag = int(rng.integers(8, 21)), int(rng.integers(1, 4))
    task = pick(rng, (recall, mean, cue))(rng, 500, T, lag, lengths=bool(rng.random() < 0.3))
    x = task.data["x"]
    ends = task.data.get("lengths", np.full(len(x), T))
    inside = np.arange(T)[None, :, None] < ends[:, None, None]
    task.data["x"] = np.where(inside, level + deviation * x, 0).astype(np.float32)
    return task, f"{task.words}, T = {T}{', lengths' if 'lengths' in task.data else ''}"


def healthy(rng: np.random.Generator) -> Sample:
    """A level with enough on it; states in few dimensions; states that may well be alike."""
    words, made = pick(rng, (_enough, _few_dimensions, _silent_end))(rng)
    return Sample(None, words, made)


def _training(rng: np.random.Generator, rate: float = 1e-2) -> dict[str, Any]:
    return {"learning_rate": rate, "epochs": 30, "seed": seed(rng)}


def _enough(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    level, deviation = float(rng.uniform(0.5, 1.5)), float(rng.uniform(0.3, 0.6))
    task, words = _task(rng, level, deviation)
    cell = pick(rng, ("lstm", "gru", "rnn"))
    model = {"cell": cell, "hidden_size": int(rng.integers(16, 33))}
    what = f"{cell}, inputs {level:.1f} +- {deviation:.2f}; {words}"
    return what, recipe(task, model, _training(rng))


def _few_dimensions(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """One number to keep for a step: a state needs no more than two dimensions for it."""
    cell = pick(rng, ("lstm", "gru", "rnn"))
    T = int(rng.integers(8, 21))
    task = recall(rng, 500, T, 2, lengths=bool(rng.random() < 0.3))
    model = {
        "cell": cell,
        "hidden_size": int(rng.integers(24, 33)),
        "init": {"recurrent": pick(rng, ("zeros", "normal"))},
    }
    return f"{cell}, weak recurrence; {task.words}, T = {T}", recipe(task, model, _training(rng))


def _silent_end(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """An answer at every step, the last input; at the end nothing comes, and nothing is left."""
    cell = pick(rng, ("lstm", "gru", "rnn"))
    T, silent = int(rng.integers(14, 21)), int(rng.integers(6, 9))
    x = rng.normal(size=(400, T, 1)).astype(np.float32)
    x[:, -silent:] = 0.0
    y = np.zeros_like(x)
    y[:, 1:] = x[:, :-1]
    task = Task("the input before at every step", {"x": x, "y": y}, {"readout": "all"})
    model = {
        "cell": cell,
        "hidden_size": int(rng.integers(16, 33)),
        "init": {"recurrent": pick(rng, ("normal", "orthogonal"))},
    }
    return f"{cell}, {silent} silent steps at the end of {T}; {task.words}", recipe(
        task, model, _training(rng)
    )
