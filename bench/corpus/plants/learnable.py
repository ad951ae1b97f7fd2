"""Tasks that a small network learns in half a second, and networks that learn them: to be spoilt.

Dimensions: N sequences, T steps, I features, O targets.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
CELLS = ("lstm", "gru", "rnn")


@dataclass(frozen=True, eq=False)
class Problem:
    """x (N, T, I), y as a recipe takes it, and what the task is, in a few words."""

    x: Array
    y: Array
    what: str
    loss: str = "mse"

    @property
    def per_step(self) -> bool:
        """Whether y has one answer a step."""
        return self.y.ndim == (2 if self.loss == "cross_entropy" else 3)

    def data(self) -> dict[str, Any]:
        """The recipe's `[data]`: the arrays in float32."""
        y = self.y if self.loss == "cross_entropy" else self.y.astype(np.float32)
        return {"x": self.x.astype(np.float32), "y": y}

    def spoilt(self, **changes: Any) -> Problem:
        """The same with other arrays or words."""
        return replace(self, **changes)


def recent_sum(rng: np.random.Generator, n: int = 0) -> Problem:
    """The sum of the last few values of one feature; the other features are noise."""
    n = n or int(rng.integers(350, 600))
    T, features, k = int(rng.integers(8, 24)), int(rng.integers(1, 4)), int(rng.integers(2, 5))
    x = rng.normal(size=(n, T, features))
    y = x[:, -k:, 0].sum(axis=1, keepdims=True) / np.sqrt(k)
    return Problem(x, y, f"sum of the last {k} of {T} steps, {features} features")


def recent_mix(rng: np.random.Generator, n: int = 0) -> Problem:
    """Two targets: the last value of a feature, and how it differs from the one before."""
    n = n or int(rng.integers(350, 600))
    T, features = int(rng.integers(6, 20)), int(rng.integers(1, 3))
    x = rng.normal(size=(n, T, features))
    y = np.stack([x[:, -1, 0] + 0.5 * x[:, -2, 0], x[:, -1, 0] - x[:, -2, 0]], axis=1)
    return Problem(x, y, f"two targets from the last 2 of {T} steps, {features} features")


def wave_ahead(rng: np.random.Generator, n: int = 0) -> Problem:
    """The next value of a wave of a random phase, with a little noise."""
    n = n or int(rng.integers(350, 600))
    T, period = int(rng.integers(12, 30)), float(rng.uniform(8, 16))
    phase = rng.uniform(0, 2 * np.pi, (n, 1))
    whole = np.sin(2 * np.pi * np.arange(T + 1) / period + phase)
    whole += 0.05 * rng.normal(size=whole.shape)
    return Problem(
        whole[:, :T, None], whole[:, T:], f"a wave's next value after {T} steps of a random phase"
    )


def which_class(rng: np.random.Generator, n: int = 0) -> Problem:
    """Classes by the mean of the last few values."""
    n = n or int(rng.integers(550, 750))
    T, k, classes = int(rng.integers(8, 20)), int(rng.integers(2, 5)), int(rng.integers(2, 4))
    x = rng.normal(size=(n, T, int(rng.integers(1, 3))))
    score = x[:, -k:, 0].sum(axis=1)
    y = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)).astype(np.int64)
    return Problem(x, y, f"{classes} classes by the last {k} of {T} steps", "cross_entropy")


def each_step(rng: np.random.Generator, n: int = 0) -> Problem:
    """At every step the sum of the last two or three values."""
    n = n or int(rng.integers(150, 300))
    T, k = int(rng.integers(12, 28)), int(rng.integers(2, 4))
    x = rng.normal(size=(n, T, int(rng.integers(1, 3))))
    y = sum(np.pad(x[:, :, :1], ((0, 0), (j, 0), (0, 0)))[:, :T] for j in range(k)) / np.sqrt(k)
    return Problem(x, np.asarray(y), f"at each of {T} steps the sum of the last {k} values")


TASKS = (recent_sum, recent_mix, wave_ahead, which_class, each_step)
LAST = (recent_sum, recent_mix, wave_ahead, which_class)
NUMBERS = (recent_sum, recent_mix, wave_ahead)


def csv(values: Array) -> dict[str, Any]:
    """A series in a file of its own: the `[data]` that reads it. NaN is an empty cell."""
    rows = "".join("\n" if np.isnan(value) else f"{value:.6f}\n" for value in values)
    folder = Path(tempfile.gettempdir()) / "minirnn-corpus"
    folder.mkdir(exist_ok=True)
    path = folder / f"{hashlib.sha256(rows.encode()).hexdigest()[:20]}.csv"
    if not path.exists():
        # A name of our own first: two workers may want the same file at the same time.
        draft = folder / f"{path.stem}-{os.getpid()}"
        draft.write_text("level\n" + rows, encoding="utf-8")
        draft.replace(path)
    return {"csv": str(path), "column": "level"}


def any_of(rng: np.random.Generator, tasks: Any = TASKS, n: int = 0) -> Problem:
    """One of some tasks."""
    problem: Problem = tasks[int(rng.integers(len(tasks)))](rng, n)
    return problem


def recipe(
    rng: np.random.Generator,
    problem: Problem,
    data: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A recipe whose network learns the task; with some keys of its tables changed."""
    return {
        "data": {**problem.data(), "seed": seed(rng), **(data or {})},
        "model": {
            **network(rng),
            "readout": "all" if problem.per_step else "last",
            **(model or {}),
        },
        "training": {**_training(rng, problem), **(training or {})},
    }


def of_series(
    rng: np.random.Generator,
    values: Array,
    data: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A recipe that forecasts a series, of numbers of a few units, from windows of it."""
    return {
        "data": {**csv(values), "window": int(rng.integers(10, 24)), **(data or {})},
        "model": {**network(rng), **(model or {})},
        "training": {**usual_training(rng), **(training or {})},
    }


def wave(rng: np.random.Generator, n: int = 0) -> Array:
    """A series of two waves with a little noise, of unit size, some hundred values."""
    n = n or int(rng.integers(350, 600))
    t = np.arange(n)
    slow, fast = rng.uniform(18, 40), rng.uniform(7, 13)
    first = np.sin(2 * np.pi * t / slow + rng.uniform(0, 6))
    second = np.sin(2 * np.pi * t / fast + rng.uniform(0, 6))
    return np.asarray(first + rng.uniform(0.2, 0.6) * second + 0.05 * rng.normal(size=n))


def _training(rng: np.random.Generator, problem: Problem) -> dict[str, Any]:
    """The usual; of classes half as long, for near their borders more is learned by heart."""
    options = {**usual_training(rng), "loss": problem.loss}
    if problem.loss == "cross_entropy":
        options["epochs"] = int(options["epochs"]) // 2
    return options


def network(rng: np.random.Generator) -> dict[str, Any]:
    """A cell and its size."""
    return {"cell": CELLS[int(rng.integers(3))], "hidden_size": int(rng.integers(14, 29))}


def usual_training(rng: np.random.Generator) -> dict[str, Any]:
    """A rate and a number of epochs that are enough for the tasks here."""
    return {
        "learning_rate": float(rng.choice([5e-3, 7e-3, 1e-2])),
        "epochs": int(rng.integers(22, 30)),
        "batch_size": int(rng.choice([16, 32])),
        "seed": seed(rng),
    }


def seed(rng: np.random.Generator) -> int:
    """A recipe's seed."""
    return int(rng.integers(1_000_000))


def told(what: str, of: Mapping[str, Any], problem: str) -> str:
    """A sample in a line."""
    model = of["model"]
    return f"{model['cell']} {model['hidden_size']}, {problem}; {what}"
