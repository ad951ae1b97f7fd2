"""What comes before the first result: imports, compiling, loading what was compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import apart
from bench.pairs import Turn
from bench.sides import has_torch

ACTIVATIONS = {
    "lstm": ("tanh", "relu", "sigmoid"),
    "gru": ("tanh", "relu", "sigmoid"),
    "rnn": ("tanh", "relu", "sigmoid", "identity"),
}
ROUNDS = 5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", ACTIVATIONS)
def test_first_call(cell: str, dtype: str, measure: Any, tmp_path: Path) -> None:
    """All activations with an empty cache; then, in fresh processes, one that is in the cache."""
    cache = {"MINIRNN_CACHE_DIR": str(tmp_path)}
    cold = apart.run("first_call", cell, dtype, *ACTIVATIONS[cell], **cache)

    def cached() -> float:
        seconds: float = apart.run("first_call", cell, dtype, "tanh", **cache)["total"]
        return seconds

    measure({"cached": cached}, {"cell": cell, "dtype": dtype}, {"cold": cold}, rounds=ROUNDS)


def importing(module: str) -> Turn:
    def turn() -> float:
        seconds: float = apart.run("importing", module)
        return seconds

    turn()  # reads the files into memory
    return turn


def test_imports(measure: Any) -> None:
    modules = ["minirnn", "numpy", "numba", *(["torch"] if has_torch() else [])]
    measure({module: importing(module) for module in modules}, {}, rounds=ROUNDS)
