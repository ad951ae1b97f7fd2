"""vanishing-gradient: what decides the answer stands farther back than the gradient lives."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants.tasks_by_lag import (
    Task,
    cue,
    echo,
    hold,
    mean,
    pick,
    recall,
    recipe,
    seed,
)
from bench.corpus.sample import Sample

SYMPTOM = "vanishing-gradient"
# What a network that cannot reach the answer shows besides: its loss stays at that of the best
# constant answer, so that it gives one; and where a contracting network forgets what came early,
# the states that it ends in are alike.
BROUGHT = frozenset({"stalled-loss", "constant-output", "state-collapse", "underfitting"})


def faulty(rng: np.random.Generator) -> Sample:
    """Weights through which the gradient dies before it gets to the step that counts."""
    fault, model, least = pick(rng, FAULTS)(rng)
    task, words = _builtin(rng) if rng.random() < 0.25 else _far(rng, least, model["cell"])
    layers, both = 1, False
    # Two layers of GRU get there now and then, and so does a loss that looks at every step.
    if rng.random() < 0.3 and model["cell"] != "gru" and "readout" not in task.model:
        layers = 2
    elif rng.random() < 0.2 and "builtin" not in task.data and task.model.get("readout") is None:
        task, words = _middle(rng, least)
        both = True
    # These get there in the end, step by step from the late inputs on.
    hasty = model["cell"] == "gru" or model["init"].get("recurrent") in ("normal", "uniform")
    model |= {"num_layers": layers, "bidirectional": both, "hidden_size": int(rng.integers(12, 33))}
    training = {
        "learning_rate": 3e-3 if hasty else float(rng.choice([3e-3, 5e-3])),
        "epochs": int(rng.integers(5, 8) if hasty else rng.integers(10, 14)),
        "seed": seed(rng),
    }
    return Sample(
        SYMPTOM,
        f"{model['cell']}, {fault}; {_shape(layers, both)}; {words}",
        recipe(task, model, training),
        also=BROUGHT,
    )


def _shape(layers: int, both: bool) -> str:
    return f"{layers} layer(s){', both directions' if both else ''}"


def _lstm_shut(rng: np.random.Generator) -> tuple[str, dict[str, Any], int]:
    bias = float(np.round(rng.uniform(-3.0, -1.5), 1))
    return f"forget bias {bias:g}", {"cell": "lstm", "init": {"forget_bias": bias}}, 25


def _gru_usual(rng: np.random.Generator) -> tuple[str, dict[str, Any], int]:
    how = pick(rng, ("orthogonal", "glorot_uniform", "normal", "uniform"))
    return f"recurrent {how}", {"cell": "gru", "init": {"recurrent": how}}, 30


def _rnn_small(rng: np.random.Generator) -> tuple[str, dict[str, Any], int]:
    how = pick(rng, ("normal", "uniform"))
    return f"recurrent {how}", {"cell": "rnn", "init": {"recurrent": how}}, 20


def _rnn_sigmoid(rng: np.random.Generator) -> tuple[str, dict[str, Any], int]:
    how = pick(rng, ("orthogonal", "glorot_uniform", "identity"))
    model = {"cell": "rnn", "activation": "sigmoid", "init": {"recurrent": how}}
    return f"sigmoid, recurrent {how}", model, 20


FAULTS = (_lstm_shut, _gru_usual, _rnn_small, _rnn_sigmoid)


def _far(rng: np.random.Generator, least: int, cell: str) -> tuple[Task, str]:
    """A task that needs at least so many steps."""
    n = int(rng.integers(600, 801))
    T = int(rng.integers(least, 35)) + 2
    lag = int(rng.integers(least, T - 1))
    with_lengths = bool(rng.random() < 0.3)
    # A gated cell that is told at every step what to keep gets there.
    task = pick(rng, (recall, cue, hold) if cell == "rnn" else (recall, cue))(
        rng, n, T, lag, lengths=with_lengths
    )
    return task, f"{task.words}, T = {T}{', lengths' if 'lengths' in task.data else ''}"


def _builtin(rng: np.random.Generator) -> tuple[Task, str]:
    """The field's own long tasks: two marked numbers, or the order of two signals."""
    if rng.random() < 0.5:
        length = int(rng.integers(22, 31))
        data = {"builtin": "adding", "length": length, "samples": 800, "seed": seed(rng)}
        return Task("", data), f"adding, T = {length}"
    length = int(rng.integers(28, 35))
    data = {"builtin": "temporal_order", "length": length, "samples": 700, "seed": seed(rng)}
    return Task("", data, training={"loss": "cross_entropy"}), f"temporal order, T = {length}"


def _middle(rng: np.random.Generator, least: int) -> tuple[Task, str]:
    """The answer in the middle, as far from one end as from the other."""
    T = 2 * least + int(rng.integers(0, 6))
    task = pick(rng, (recall, cue))(rng, int(rng.integers(600, 701)), T, T // 2)
    return task, f"{task.words}, T = {T}"


def healthy(rng: np.random.Generator) -> Sample:
    """A gradient as short, where the answer is near; or a long lag, and weights that carry it."""
    words, made = pick(rng, NEAR_MISSES)(rng)
    return Sample(None, words, made)


def _near(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """The faults' own networks, asked about the last few steps."""
    fault, model, least = pick(rng, FAULTS)(rng)
    T, lag = int(rng.integers(least, 41)), int(rng.integers(2, 4))
    task = pick(rng, (recall, mean, cue, echo))(rng, 600, T, lag, lengths=bool(rng.random() < 0.3))
    layers = int(rng.integers(1, 3)) if model["cell"] != "rnn" else 1
    both = bool(rng.random() < 0.3)
    model |= {"num_layers": layers, "bidirectional": both, "hidden_size": int(rng.integers(16, 33))}
    training = {"learning_rate": 1e-2, "epochs": 20, "seed": seed(rng)}
    words = f"{model['cell']}, {fault}; {_shape(layers, both)}"
    return f"{words}; {task.words}, T = {T}", recipe(task, model, training)


def _carried(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """A far answer, and weights that carry the gradient there."""
    how, model = pick(
        rng,
        (
            ("chrono", {"cell": "lstm", "init": {"bias": "chrono"}}),
            ("chrono", {"cell": "gru", "init": {"bias": "chrono"}}),
            ("orthogonal", {"cell": "rnn", "init": {"recurrent": "orthogonal"}}),
        ),
    )
    T = int(rng.integers(15, 26) if model["cell"] == "rnn" else rng.integers(20, 36))
    lag = int(rng.integers(T - 4, T + 1))
    task = pick(rng, (recall, mean, cue))(rng, 700, T, lag, lengths=bool(rng.random() < 0.3))
    model |= {"hidden_size": int(rng.integers(20, 33))}
    rate = 3e-3 if model["cell"] == "rnn" else 1e-2
    training = {"learning_rate": rate, "epochs": 36, "seed": seed(rng)}
    return f"{model['cell']}, {how}; {task.words}, T = {T}", recipe(task, model, training)


def _carried_builtin(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """The long tasks, and gates that begin open for long."""
    task, words = _builtin(rng)
    cell = pick(rng, ("lstm", "gru"))
    model = {"cell": cell, "hidden_size": int(rng.integers(20, 33)), "init": {"bias": "chrono"}}
    training = {"learning_rate": 1e-2, "epochs": 36, "seed": seed(rng)}
    return f"{cell}, chrono; {words}", recipe(task, model, training)


def _grammar(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """The faults' own networks on a grammar of short memory."""
    fault, model, _ = pick(rng, FAULTS)(rng)
    data = {"builtin": "reber", "length": 20, "samples": 500, "seed": seed(rng)}
    task = Task("", data, {"readout": "all"}, {"loss": "bce"})
    model |= {"hidden_size": int(rng.integers(20, 33))}
    training = {"learning_rate": 1e-2, "epochs": 30, "seed": seed(rng)}
    return f"{model['cell']}, {fault}; reber", recipe(task, model, training)


def _other_end(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """The first steps, asked of a network that reads from there too."""
    fault, model, least = pick(rng, FAULTS)(rng)
    T = int(rng.integers(least, 41))
    task = pick(rng, (recall, cue))(rng, 600, T, T)
    model |= {"bidirectional": True, "hidden_size": int(rng.integers(16, 33))}
    training = {"learning_rate": 1e-2, "epochs": 20, "seed": seed(rng)}
    return (
        f"{model['cell']}, {fault}, both directions; {task.words}, T = {T}",
        recipe(task, model, training),
    )


NEAR_MISSES = (_near, _carried, _other_end, _grammar, _carried_builtin)
