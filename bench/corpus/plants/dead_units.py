"""dead-units: relu units that are off for every input, and get no gradient to come back by."""

from __future__ import annotations

from typing import Any

import numpy as np

import minirnn as mr
from bench.corpus.plants.tasks_by_lag import Task, cue, mean, pick, recall, recipe, seed
from bench.corpus.sample import Sample
from minirnn.diagnosis.build import build_model
from minirnn.diagnosis.data import prepare

SYMPTOM = "dead-units"
# A network whose units are off has no gradient, states that are all alike (0) and one answer, and
# its loss stays where the best constant answer has it.
BROUGHT = frozenset(
    {"vanishing-gradient", "state-collapse", "constant-output", "stalled-loss", "underfitting"}
)
SEEDS = 4000  # a quarter of the networks of two units begin dead, one in 250 of those of eight


def faulty(rng: np.random.Generator) -> Sample:
    """Positive inputs, and a seed whose input weights switch the units off from the start on."""
    while True:  # one task in some hundred has no such seed
        sample = _of_one_task(rng)
        if sample is not None:
            return sample


def _of_one_task(rng: np.random.Generator) -> Sample | None:
    if rng.random() < 0.2:
        window = int(rng.integers(8, 17))
        data = {"builtin": "sine", "window": window, "scale": "minmax"}
        task, words = Task("", data), f"a sine scaled to 0 to 1, window {window}"
    else:
        task, words = _task(rng, float(rng.uniform(1.5, 3.0)))
    # Each more input or unit makes it rarer that all begin switched off.
    features = 1 if "builtin" in task.data else task.data["x"].shape[2]
    H = int(rng.integers(3, 7)) if features == 1 else 3
    cell = pick(rng, ("rnn", "gru", "lstm"))
    layers = int(rng.integers(1, 3))
    both = bool(rng.random() < 0.4) and H < 5 and features < 3
    model = {
        "cell": cell,
        "activation": "relu",
        "hidden_size": H,
        "num_layers": layers,
        "bidirectional": both,
        "init": {
            "kernel": pick(
                rng, ("glorot_uniform", "he_normal") if cell == "rnn" else ("glorot_uniform",)
            ),
            "recurrent": pick(rng, ("orthogonal", "identity", "glorot_uniform")),
        },
    }
    made = recipe(task, model, {"learning_rate": 3e-3, "epochs": 14})
    unlucky = _unlucky(made, seed(rng))
    if unlucky is None:
        return None
    made["training"]["seed"] = unlucky
    shape = f"{layers} layer(s){', both directions' if both else ''}"
    what = f"{cell}, {H} relu units, off from the start, {shape}; {words}"
    return Sample(SYMPTOM, what, made, also=BROUGHT)


def _task(rng: np.random.Generator, level: float) -> tuple[Task, str]:
    """The answer a few steps back, and inputs around a level, all of them positive."""
    T, lag = int(rng.integers(8, 21)), int(rng.integers(1, 4))
    task = pick(rng, (recall, mean, cue))(rng, 400, T, lag, lengths=bool(rng.random() < 0.3))
    task.data["x"] = _positive(task.data, level)
    return task, f"{task.words}, T = {T}{', lengths' if 'lengths' in task.data else ''}"


def _positive(data: dict[str, Any], level: float) -> Any:
    x = np.abs(data["x"] + level) + 0.01
    ends = data.get("lengths", np.full(len(x), x.shape[1]))
    return np.where(np.arange(x.shape[1])[None, :, None] < ends[:, None, None], x, 0).astype("f4")


def _unlucky(made: dict[str, Any], first: int) -> int | None:
    """The first seed from there on whose network answers 0 to everything but its head's bias.

    None where none of the next 4,000 does.
    """
    declared = mr.Recipe.from_dict(made)
    data = prepare(declared)
    x = data.training.x[:60]
    lengths = None if data.training.lengths is None else data.training.lengths[:60]
    for number in range(first, first + SEEDS):
        model = build_model(declared.edit({"training.seed": number}), data)
        with mr.no_grad():
            output, _ = model.recurrent(np.ascontiguousarray(x.swapaxes(0, 1)), lengths=lengths)
        if not output.data.any():
            return number
    return None


def healthy(rng: np.random.Generator) -> Sample:
    """Sparse relu units that learn; some of them dead, and the others enough."""
    cell = pick(rng, ("rnn", "gru", "lstm"))
    if cell == "lstm":  # a relu LSTM adds to a cell state without bounds: inputs of both signs
        T = int(rng.integers(8, 21))
        task = pick(rng, (recall, mean))(rng, 400, T, int(rng.integers(1, 4)))
        words = f"{task.words}, T = {T}"
    else:
        task, words = _task(rng, float(rng.uniform(1.0, 2.5)))
    # The larger rates switch many units of a plain RNN off, and leave enough of so many.
    rate = pick(rng, {"rnn": (1e-2, 2e-2, 3e-2), "gru": (1e-2, 2e-2), "lstm": (5e-3, 1e-2)}[cell])
    model = {
        "cell": cell,
        "activation": "relu",
        "hidden_size": int(rng.integers(32, 65)),
        "init": {"recurrent": pick(rng, ("orthogonal", "glorot_uniform"))},
    }
    training = {"learning_rate": rate, "epochs": 30, "seed": seed(rng)}
    return Sample(None, f"{cell}, relu at {rate:g}; {words}", recipe(task, model, training))
