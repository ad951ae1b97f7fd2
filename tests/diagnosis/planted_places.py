"""A two-layer bidirectional network with lengths, made by hand, and one fault in one place of it.

The network is well: each layer and direction passes on what it is fed, state and gradient. A fault
is written into the weights of one layer and direction, so that a detector has one place to name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.diagnosis import Diagnosis, Finding, diagnose
from minirnn.nn import SequenceModel

T, B, FEATURES, H = 9, 60, 3, 6
PLACES = [(layer, direction) for layer in (0, 1) for direction in ("forward", "reverse")]


def lengths() -> Any:
    """(B,): from 4 to T steps, of the longest some."""
    ends = np.random.default_rng(0).integers(4, T + 1, B)
    ends[:3] = T
    return ends


def inputs() -> Any:
    """(T, B, FEATURES), noise; what lies behind a sequence's end is large, and must not be seen."""
    x = np.random.default_rng(1).normal(size=(T, B, FEATURES)).astype(np.float32)
    x[np.arange(T)[:, None] >= lengths()[None, :]] = 1e3
    return x


def network(cell: str = "lstm", activation: str = "tanh", seed: int = 3) -> SequenceModel:
    """Two layers, both directions, reading out the last state of each."""
    return SequenceModel(
        cell, input_size=FEATURES, hidden_size=H, output_size=1, num_layers=2, bidirectional=True,
        activation=activation, rng=seed,
    )  # fmt: skip


def parameter(model: SequenceModel, name: str, place: tuple[int, str]) -> Any:
    """The array of "weight_ih", "weight_hh", "bias_ih" or "bias_hh" in one layer and direction."""
    layer, direction = place
    suffix = "_reverse" if direction == "reverse" else ""
    return getattr(model.recurrent, f"{name}_l{layer}{suffix}").data


def examined(model: SequenceModel, x: Any = None, wanted: Any = None) -> Diagnosis:
    """One look, at answers that the network is far from."""
    x = inputs() if x is None else x
    if wanted is None:
        wanted = 5.0 * np.random.default_rng(2).normal(size=(B, 1)).astype(np.float32)
    return diagnose(model, x, wanted, loss="mse", lengths=lengths())


def named(place: tuple[int, str], cell: str) -> str:
    """The name of a trace, as findings write it."""
    layer, direction = place
    return f"{cell.upper()}.l{layer}{'_reverse' if direction == 'reverse' else ''}"


def found_at(found: Finding | None, place: tuple[int, str], cell: str) -> Finding:
    """The finding, after seeing that it names this place and no other."""
    assert found is not None
    assert (found.evidence["layer"], found.evidence["direction"]) == place
    for each in PLACES:
        told = found.where.replace(";", ",").replace(" ", ",").split(",")
        assert (named(each, cell) in told) == (each == place), found.where
    return found
