"""Each detector that looks into a network names the layer, the direction, the units and the step.

One fault in one place of a two-layer bidirectional network with lengths; the others are well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from planted_places import (
    PLACES,
    B,
    H,
    T,
    examined,
    found_at,
    inputs,
    lengths,
    network,
    parameter,
)

from minirnn.diagnosis.detectors.state_collapse import merging
from minirnn.inspect import gradient_probe

SEEN = pytest.mark.parametrize("place", PLACES)
Place = tuple[int, str]
UNITS = [0, 1, 3, 4]  # of six: more than the thresholds ask for


def rows(cell: str, slot: str, units: list[int]) -> np.ndarray[Any, Any]:
    """The rows of those units in a gate's block of the weights."""
    model = network(cell)
    return model.recurrent.cell.input_slots.index(slot) * H + np.array(units)


def test_the_network_is_well_without_a_fault() -> None:
    for cell in ("rnn", "gru", "lstm"):
        found = examined(network(cell)).symptoms
        assert not found & {
            "saturated-gates", "dead-units", "vanishing-gradient", "exploding-gradient",
            "state-collapse", "unscaled-input",
        }  # fmt: skip


@SEEN
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_saturated_gates(place: Place, cell: str) -> None:
    model = network(cell)
    slots = model.recurrent.cell.input_slots
    for slot in slots:
        parameter(model, "bias_ih", place)[rows(cell, slot, UNITS)] = -40.0
    found = found_at(examined(model).finding("saturated-gates"), place, cell)
    assert found.severity == "illness"
    assert found.evidence["units"] == dict.fromkeys(slots, UNITS)
    assert found.evidence["share"] == pytest.approx(4 / 6)


@SEEN
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_dead_units(place: Place, cell: str) -> None:
    model = network(cell, "relu")
    for each in PLACES:  # on now and then, all of them
        parameter(model, "bias_ih", each)[...] = 1.0
    slot = {"rnn": "new", "gru": "new", "lstm": "cell"}[cell]
    parameter(model, "bias_ih", place)[rows(cell, slot, UNITS)] = -1e4
    found = found_at(examined(model).finding("dead-units"), place, cell)
    assert found.evidence["units"] == UNITS
    assert found.evidence["dead"] == pytest.approx(4 / 6)


@SEEN
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_gradient_that_dies_at_the_gate(place: Place, cell: str) -> None:
    model = network(cell)
    bias = parameter(model, "bias_ih", place)
    for slot in model.recurrent.cell.input_slots:
        bias[rows(cell, slot, UNITS)] = -90.0
    found = found_at(examined(model).finding("vanishing-gradient"), place, cell)
    assert found.evidence["kind"] == "at the gate"
    assert found.evidence["units"] == UNITS


def linear(read: str, weight: float) -> Any:
    """A linear network whose first layer multiplies its state by `weight` at each step in the
    direction that is read; the second passes on what it is fed, and has no memory."""
    model = network("rnn", "identity")
    for place in PLACES:
        parameter(model, "weight_hh", place)[...] = 0.0
        if place[1] != read:
            parameter(model, "weight_ih", place)[...] = 0.0
    parameter(model, "weight_hh", (0, read))[...] = weight * np.eye(H)
    passed = parameter(model, "weight_ih", (1, read))
    passed[...] = 0.0
    passed[:, H * (read == "reverse") :][:, :H] = np.eye(H)
    return model


def far(read: str) -> Any:
    """(B, 1): the input that lies farthest from where the direction ends."""
    x = inputs()
    at = lengths() - 1 if read == "reverse" else np.zeros(B, int)
    return x[at, np.arange(B), :1].copy()


@pytest.mark.parametrize("read", ["forward", "reverse"])
def test_a_gradient_that_dies_through_time(read: str) -> None:
    found = examined(linear(read, 0.25), wanted=far(read)).finding("vanishing-gradient")
    found_at(found, (0, read), "rnn")
    assert found is not None
    assert found.evidence["kind"] == "through time"
    # 0.25^3 = 0.016 is left after three steps, 0.004 after four.
    assert found.evidence["lost_after_steps"] == {"h": 4}
    # Not exactly ln 2 / ln 4: what is farthest is measured on the longest sequences alone.
    assert found.evidence["half_life"]["h"] == pytest.approx(0.5, rel=0.02)
    well = examined(linear(read, 0.9), wanted=far(read))
    assert well.finding("vanishing-gradient") is None


@pytest.mark.parametrize("read", ["forward", "reverse"])
@pytest.mark.parametrize("layer", [0, 1])
def test_a_gradient_that_explodes(layer: int, read: str) -> None:
    model = linear(read, 0.0)
    parameter(model, "weight_hh", (layer, read))[...] = 4.0 * np.eye(H)
    found = examined(model).finding("exploding-gradient")
    found_at(found, (layer, read), "rnn")
    assert found is not None
    # 4^3 = 64 is below the threshold of 70, 4^4 above: of the sequences that end at T - 1 (or at
    # 0, in reverse), that is four steps before; sequences that end earlier bring it forward.
    wanted = 4 if read == "reverse" else first_beyond()
    assert found.evidence["step"] == wanted


def first_beyond() -> int:
    """The last step at which the growth of all sequences together is beyond 70, by the formula."""
    ends = lengths() - 1
    own = np.where(np.arange(T)[:, None] <= ends, 4.0 ** (ends - np.arange(T)[:, None]), 0.0)
    size = head_errors()
    total = np.sqrt(((own * size) ** 2).sum(axis=1))
    entered = [np.sqrt((size[ends == t] ** 2).sum()) for t in range(T)]
    growth = total / np.cumsum(entered[::-1])[::-1]
    return int(np.flatnonzero(growth > 70)[-1])


def head_errors() -> Any:
    """(B,): how far the answers are off, which is what enters each sequence's last state."""
    model = linear("forward", 0.0)
    parameter(model, "weight_hh", (0, "forward"))[...] = 4.0 * np.eye(H)
    wanted = 5.0 * np.random.default_rng(2).normal(size=(B, 1)).astype(np.float32)
    return np.abs(model(inputs(), lengths=lengths()).numpy() - wanted)[:, 0]


@SEEN
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_states_that_merge(place: Place, cell: str) -> None:
    model = network(cell)
    parameter(model, "weight_ih", place)[...] *= 1e-5
    found = found_at(examined(model).finding("state-collapse"), place, cell)
    assert found.evidence["merged_units"] == 1.0
    assert found.evidence["merged_after_steps"] == 0


@pytest.mark.parametrize("read", ["forward", "reverse"])
def test_the_step_from_which_on_states_are_alike(read: str) -> None:
    # The first step that is taken tells sequences apart, the others do not; of the state a fifth
    # is kept at each, so that the spread, 0.5 of the state's size at first, is 0.004 after three.
    model = linear(read, 0.2)
    x = np.ones((T, B, 3), np.float32)
    at = lengths() - 1 if read == "reverse" else np.zeros(B, int)
    x[at, np.arange(B)] += np.random.default_rng(4).normal(size=(B, 3)).astype(np.float32)
    y = np.zeros((B, 1), np.float32)
    probe = gradient_probe(model, x, y, lengths=lengths())
    trace = next(each for each in probe.traces if (each.layer, each.direction) == (0, read))
    found = merging(trace)
    assert found is not None
    assert found.after == 3
    assert found.spread < 0.02
    same = gradient_probe(model, np.ones_like(x), y, lengths=lengths())
    assert [merging(each).after for each in same.traces] == [0] * 4  # type: ignore[union-attr]


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_inputs_that_pin_the_gates_of_one_direction(direction: str) -> None:
    model = network("gru")
    other = "reverse" if direction == "forward" else "forward"
    parameter(model, "weight_ih", (0, other))[...] *= 1e-6
    x = inputs()
    x[..., 1] = np.where(x[..., 1] < 900, 500 + x[..., 1], x[..., 1])
    found = examined(model, x).finding("unscaled-input")
    assert found is not None
    assert found.evidence["feature"] == 1
    assert (found.evidence["layer"], found.evidence["direction"]) == (0, direction)
    assert found.evidence["pinned"] > 0.9
    assert found.evidence["largest"] < 600  # not what lies behind the ends
