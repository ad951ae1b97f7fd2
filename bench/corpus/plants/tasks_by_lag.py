"""Sequence tasks whose answer stands a known number of steps before the end, for several plants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Rng = np.random.Generator


@dataclass(frozen=True)
class Task:
    """What to write into a recipe: `data`, and the keys of model and training that go with it."""

    words: str
    data: dict[str, Any]
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


def recipe(task: Task, model: dict[str, Any], training: dict[str, Any]) -> dict[str, Any]:
    """The recipe of a task for a network and its training."""
    return {
        "data": task.data,
        "model": {**task.model, **model},
        "training": {**task.training, **training},
    }


def noise(rng: Rng, n: int, T: int, features: int) -> Any:
    """(n, T, features): independent standard normal numbers."""
    return rng.normal(size=(n, T, features)).astype(np.float32)


def quiet(rng: Rng, n: int, T: int, features: int) -> Any:
    """(n, T, features): weaker noise, among which a number of size 1 stands out."""
    return float(rng.uniform(0.25, 0.5)) * noise(rng, n, T, features)


def recall(rng: Rng, n: int, T: int, lag: int, *, lengths: bool = False) -> Task:
    """A number that came `lag` steps before the end, in the first input; never the last step's."""
    lag = max(lag, 2)  # or the answer would stand in the inputs, which is a fault of its own
    x, ends = quiet(rng, n, T, int(rng.integers(1, 3))), np.full(n, T)
    if lengths:
        x, ends = padded(rng, x, least=max(lag, T // 2))
    y = noise(rng, n, 1, 1)[:, 0]
    x[np.arange(n), ends - lag, :1] = y
    return Task(f"recall of what came {lag} steps back", data_of(x, y, ends))


def mean(rng: Rng, n: int, T: int, lag: int, *, lengths: bool = False) -> Task:
    """The mean of some steps, the last of which stands `lag` steps before the end."""
    width = int(rng.integers(2, 4))
    x, ends = noise(rng, n, T, 1), np.full(n, T)
    if lengths:
        x, ends = padded(rng, x, least=max(lag + width, T // 2))
    steps = (ends - lag)[:, None] - np.arange(width)
    y = x[np.arange(n)[:, None], np.maximum(steps, 0)].mean(axis=1) * np.sqrt(width)
    return Task(f"mean of {width} steps, {lag} back", data_of(x, y.astype(np.float32), ends))


def cue(rng: Rng, n: int, T: int, lag: int, *, lengths: bool = False) -> Task:
    """Which of some signals was shown `lag` steps before the end, among noise: classes."""
    classes = int(rng.integers(2, 4))
    x, ends = 0.6 * noise(rng, n, T, classes), np.full(n, T)
    if lengths:
        x, ends = padded(rng, x, least=max(lag, T // 2))
    y = rng.integers(0, classes, n)
    x[np.arange(n), ends - lag, y] += 2.0
    data = data_of(x, y, ends)
    return Task(
        f"which of {classes} signals came {lag} steps back",
        data,
        training={"loss": "cross_entropy"},
    )


def echo(rng: Rng, n: int, T: int, lag: int, *, lengths: bool = False) -> Task:
    """At every step, the input of `lag` - 1 steps before: one answer a step."""
    x, ends = noise(rng, n, T, 1), np.full(n, T)
    y = np.zeros_like(x)
    y[:, lag - 1 :] = x[:, : T - lag + 1]
    if lengths:
        x, ends = padded(rng, x, least=max(lag + 2, T // 2))
    return Task(f"echo of {lag} steps back at every step", data_of(x, y, ends), {"readout": "all"})


def hold(rng: Rng, n: int, T: int, lag: int, *, lengths: bool = False) -> Task:
    """At every step from then on, the input that stands `lag` steps before the end."""
    x, ends = quiet(rng, n, T, 1), np.full(n, T)
    at = T - lag
    x[:, at] = noise(rng, n, 1, 1)[:, 0]
    y = np.zeros_like(x)
    y[:, at:] = x[:, at : at + 1]
    if lengths:
        x, ends = padded(rng, x, least=T - 3)
    words = f"the input of {lag} steps before the end, held"
    return Task(words, data_of(x, y, ends), {"readout": "all"})


def padded(rng: Rng, x: Any, least: int) -> tuple[Any, Any]:
    """x with an end at which each sequence stops, zeros after it, and these lengths (n,)."""
    n, T = x.shape[:2]
    ends = rng.integers(min(least, T), T + 1, n)
    return np.where(np.arange(T)[None, :, None] < ends[:, None, None], x, 0).astype(x.dtype), ends


def data_of(x: Any, y: Any, ends: Any) -> dict[str, Any]:
    """`[data]` of arrays, with lengths where they are not all the same."""
    data = {"x": x, "y": y}
    return data if (ends == x.shape[1]).all() else {**data, "lengths": ends}


def pick(rng: Rng, options: Any) -> Any:
    """One of some options, of any kind."""
    return options[int(rng.integers(len(options)))]


def seed(rng: Rng) -> int:
    """A seed for a recipe."""
    return int(rng.integers(1_000_000))
