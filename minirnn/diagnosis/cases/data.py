"""The data of the cases: small tasks that show one thing each, made from a seed.

Sequences are x (N, T, I) with y (N, O) or class labels (N,); a series is a file of its own.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Data = dict[str, Any]  # a recipe's [data]


def rng_of(seed: int, what: str = "") -> np.random.Generator:
    """Random numbers of a seed; other ones for each `what`, the same on every machine."""
    return np.random.default_rng([seed, int(hashlib.sha256(what.encode()).hexdigest()[:8], 16)])


def recent_sum(seed: int, n: int = 400, T: int = 12, features: int = 1, noise: float = 0.0) -> Data:
    """The sum of the last three values of one feature, of variance 1; what any network learns."""
    rng = rng_of(seed, "recent sum")
    x = rng.normal(size=(n, T, features))
    y = x[:, -3:, 0].sum(axis=1, keepdims=True) / np.sqrt(3) + noise * rng.normal(size=(n, 1))
    return {"x": x.astype(np.float32), "y": y.astype(np.float32), "seed": seed}


def recall(seed: int, n: int = 500, T: int = 60) -> Data:
    """The first of T values: what can only be answered by remembering T steps."""
    x = rng_of(seed, "recall").normal(size=(n, T, 1)).astype(np.float32)
    return {"x": x, "y": x[:, 0], "seed": seed}


def total(seed: int, n: int = 250, T: int = 40) -> Data:
    """The sum of all T values, of variance 1."""
    x = rng_of(seed, "total").normal(size=(n, T, 1))
    y = x.sum(axis=1) / np.sqrt(T)
    return {"x": x.astype(np.float32), "y": y.astype(np.float32), "seed": seed}


def summing(seed: int, n: int = 200, T: int = 20) -> Data:
    """At every step the sum of the last two values."""
    x = rng_of(seed, "summing").normal(size=(n, T, 1))
    y = (x + np.pad(x, ((0, 0), (1, 0), (0, 0)))[:, :T]) / np.sqrt(2)
    return {"x": x.astype(np.float32), "y": y.astype(np.float32), "seed": seed}


def classes(seed: int, n: int = 400, T: int = 12, features: int = 2) -> Data:
    """Which of two classes: the sign of the last three values' sum."""
    x = rng_of(seed, "classes").normal(size=(n, T, features)).astype(np.float32)
    return {"x": x, "y": (x[:, -3:, 0].sum(axis=1) > 0).astype(np.int64), "seed": seed}


def random_labels(seed: int, n: int, T: int = 20, features: int = 10) -> Data:
    """Article 002's data: uniform numbers, and labels drawn by lot."""
    rng = rng_of(seed, "random labels")
    x = rng.random((n, T, features)).astype(np.float32)
    return {"x": x, "y": rng.integers(0, 2, (n, 1)).astype(np.float32), "seed": seed}


def learnable_labels(seed: int, n: int, T: int = 20, features: int = 10) -> Data:
    """The same inputs, with labels that say something: whether one feature ends above its mean."""
    data = random_labels(seed, n, T, features)
    score = data["x"][:, -3:, 0].mean(axis=1, keepdims=True)
    return {**data, "y": (score > 0.5).astype(np.float32)}


def noisy_sine(seed: int, n: int = 1000, turns: float = 5.0, noise: float = 0.1) -> Array:
    """Article 003's series: a noisy sine, standardised over all of it. (n,)"""
    values = np.sin(np.linspace(0, 2 * np.pi * turns, n))
    values = values + noise * rng_of(seed, "noisy sine").normal(size=n)
    return np.asarray((values - values.mean()) / values.std())


def series(values: Array) -> Data:
    """A series in a file of its own: the `[data]` that reads it."""
    rows = "".join("\n" if np.isnan(value) else f"{value:.6f}\n" for value in values)
    folder = Path(tempfile.gettempdir()) / "minirnn-cases"
    folder.mkdir(exist_ok=True)
    path = folder / f"{hashlib.sha256(rows.encode()).hexdigest()[:20]}.csv"
    if not path.exists():
        # A name of our own first: two processes may want the same file at the same time.
        draft = folder / f"{path.stem}-{os.getpid()}"
        draft.write_text("level\n" + rows, encoding="utf-8")
        draft.replace(path)
    return {"csv": str(path), "column": "level"}


def two_sums(seed: int, n: int = 400, T: int = 10) -> Data:
    """Two targets: the sum of the last two values of a feature, and their difference."""
    x = rng_of(seed, "two sums").normal(size=(n, T, 1))
    last, before = x[:, -1], x[:, -2]
    y = np.concatenate([last + before, last - before], axis=1) / np.sqrt(2)
    return {"x": x.astype(np.float32), "y": y.astype(np.float32), "seed": seed}


def padded_sum(seed: int, n: int = 400, T: int = 110) -> Data:
    """The sum of the last three of 4 to 10 steps, with zeros after them; and their lengths."""
    rng = rng_of(seed, "padded sum")
    ends = rng.integers(4, 11, n)
    x = rng.normal(size=(n, T, 1)).astype(np.float32)
    x[np.arange(T) >= ends[:, None]] = 0
    y = [x[row, end - 3 : end].sum(axis=0) / np.sqrt(3) for row, end in enumerate(ends)]
    return {"x": x, "y": np.asarray(y, np.float32), "lengths": ends, "seed": seed}


def calming(seed: int, n: int = 500) -> Array:
    """A wave that swings more and less, and in its last fifth no more than it ever did. (n,)"""
    t = np.arange(n)
    swing = np.where(t > 0.8 * n, 0.4, 0.4 + 0.6 * np.abs(np.sin(t / 60)))
    return np.asarray(swing * np.sin(t / 4) + 0.03 * rng_of(seed, "calming").normal(size=n))
