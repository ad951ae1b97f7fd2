"""Small problems that train in a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minirnn.nn import SequenceModel
from minirnn.training import Sequences

MakeModel = Callable[..., SequenceModel]


@pytest.fixture
def make_model() -> MakeModel:
    """Make a small model; always the same one for the same arguments."""

    def make(**options: Any) -> SequenceModel:
        chosen = {"cell": "gru", "input_size": 1, "hidden_size": 6, "output_size": 1, "rng": 0}
        return SequenceModel(**{**chosen, **options})

    return make


@pytest.fixture
def sums() -> Sequences:
    """40 sequences of 5 numbers, to be answered with their mean."""
    x = np.random.default_rng(1).standard_normal((40, 5, 1)).astype(np.float32)
    return Sequences(x, x.mean(axis=1))


@pytest.fixture
def running_sums() -> Sequences:
    """30 sequences of up to 6 numbers, to be answered with their running mean at every step."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((30, 6, 1)).astype(np.float32)
    y = np.cumsum(x, axis=1) / np.arange(1, 7, dtype=np.float32)[:, None]
    return Sequences(x, y, rng.integers(1, 7, 30))
