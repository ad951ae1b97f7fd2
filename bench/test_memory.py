"""Peak resident memory of training an LSTM on long sequences, each side in a process of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench import apart
from bench.shapes import Shape
from bench.sides import has_torch

SHORT = Shape(25_000, 8, 16, 128)
LONG = SHORT._replace(T=100_000)


def trained(side: str, shape: Shape) -> dict[str, Any]:
    done: dict[str, Any] = apart.run("training_memory", side, *shape)
    return done


def keep(measure: Any, shape: Shape, runs: dict[str, dict[str, Any]]) -> None:
    """Add what the processes told; their seconds are a single reading each."""
    facts = {
        key: {side: run[key] for side, run in runs.items()} for key in ("losses", "before", "peak")
    }
    turns = {side: lambda run=run: run["seconds"] for side, run in runs.items()}
    measure(turns, {"cell": "lstm", "dtype": "float32", "shape": list(shape)}, facts, rounds=1)


def test_training(measure: Any) -> None:
    sides = ["recompute", "plain", *(["torch"] if has_torch() else [])]
    runs = {side: trained(side, SHORT) for side in sides}
    for run in runs.values():  # the same training on every side, before its memory means anything
        np.testing.assert_allclose(run["losses"], runs["plain"]["losses"], rtol=1e-3)
    keep(measure, SHORT, runs)


def test_long_training(measure: Any) -> None:
    run = trained("recompute", LONG)
    first, second = run["losses"]
    assert np.isfinite([first, second]).all()
    assert second < first, "it did not train"
    keep(measure, LONG, {"recompute": run})
