"""Small problems whose sickness and cure are known, and recipes for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minirnn.diagnosis import Diagnosis, Recipe, doctor


def recall(n: int, T: int, at: int, seed: int = 0) -> dict[str, Any]:
    """Sequences (n, T, 1) of noise, to be answered with the value at step `at`."""
    x = np.random.default_rng(seed).normal(size=(n, T, 1)).astype(np.float32)
    return {"x": x, "y": x[:, at]}


def write_csv(path: Path, values: Any) -> dict[str, Any]:
    """A series as a CSV file; NaN as an empty cell."""
    cells = ["" if np.isnan(value) else f"{value:.6f}" for value in values]
    path.write_text("time,level\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))
    return {"csv": str(path), "column": "level"}


def wave(n: int = 500, level: float = 0.0, slope: float = 0.0, noise: float = 0.05) -> Any:
    """A sine of amplitude 1 and period 25 on a level and a slope, with a little noise."""
    t = np.arange(n)
    rest = noise * np.random.default_rng(0).normal(size=n)
    return level + slope * t + np.sin(2 * np.pi * t / 25) + rest


def recipe(data: dict[str, Any], edits: dict[str, object] | None = None) -> Recipe:
    """A small network on these data, with some keys changed."""
    base = {"data": data, "model": {"hidden_size": 16}, "training": {"learning_rate": 1e-2}}
    return Recipe.from_dict(base).edit(edits or {})


def examine(which: Recipe, *, repair: bool = False, trainings: int = 8) -> Diagnosis:
    """The doctor, in silence."""
    return doctor(which, repair=repair, trainings=trainings, progress=False)


def harm(diagnosis: Diagnosis) -> set[str]:
    """The symptoms above a note."""
    return {finding.symptom for finding in diagnosis.findings if finding.harmful}
