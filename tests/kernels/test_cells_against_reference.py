"""The cells' equations and derived derivatives, run in NumPy, against the reference's by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_cases import BY_HAND, Case, expected, random_case

from minirnn.kernels import cells
from minirnn.kernels.cells.cell import Cell


def products(cell: Cell, case: Case, operand: Any = None) -> dict[str, Any]:
    """z of every slot of the only step, from the weights' blocks."""
    W_ih, W_hh, b_ih, b_hh = case.weights
    by_x = np.split(case.x[0] @ W_ih.T + b_ih, len(cell.input_slots), axis=1)
    by_h = [
        (operand if slot in cell.second_slots and operand is not None else case.state[0]) @ W.T + b
        for slot, W, b in zip(
            cell.hidden_slots, *(np.split(a, len(cell.hidden_slots)) for a in (W_hh, b_hh)),
            strict=True,
        )
    ]  # fmt: skip
    z: dict[str, Any] = dict.fromkeys(cell.slots, 0.0)
    for slots, blocks in ((cell.input_slots, by_x), (cell.hidden_slots, by_h)):
        for slot, block in zip(slots, blocks, strict=True):
            z[slot] = z[slot] + block
    return z


def through_h(cell: Cell, case: Case, dz: dict[str, Any], slots: Any) -> Any:
    """What arrives at h, or at what takes its place, through the products of some slots."""
    blocks = np.split(case.weights.weight_hh, len(cell.hidden_slots))
    return sum(dz[slot] @ blocks[cell.hidden_slots.index(slot)] for slot in slots)


def step_of_cell(cell: Cell, case: Case) -> dict[str, Any]:
    """One step and its backward by the cell's own expressions, under the reference's names."""
    last = dict(zip(cell.states, case.state, strict=True))
    step = cell.evaluate(products(cell, case), last)
    if cell.operand is not None:
        operand = cell.operand_of(step.gates, step.states, last)
        step = cell.evaluate(products(cell, case, operand), last)
    grads = dict(zip(cell.states, case.dstate or (), strict=True))
    grads["h"] = grads["h"] + case.doutput[0]
    if cell.operand is not None:
        grads["operand"] = 0.0
        _, slots, _ = cell.backward_step(step.gates, step.states, last, grads)
        grads["operand"] = through_h(cell, case, slots, cell.second_slots)
    totals, slots, direct = cell.backward_step(step.gates, step.states, last, grads)
    # A slot without influence has the number 0 for a gradient.
    slots = {slot: np.broadcast_to(g, case.state[0].shape) for slot, g in slots.items()}
    first = [slot for slot in cell.hidden_slots if slot not in cell.second_slots]
    direct["h"] = direct["h"] + through_h(cell, case, slots, first)
    named = {}
    for prefix, arrays in (
        ("gates", step.gates), ("states", step.states), ("grad_states", totals),
        ("grad_slots", slots), ("grad.state", direct),
    ):  # fmt: skip
        named |= {f"{prefix}.{n}": a for n, a in arrays.items()}
    return named


def assert_step_matches(cell: Cell, case: Case) -> None:
    """One step by `cell` against the reference's of the case, every array to 1e-12."""
    wanted = expected(case).arrays()
    for name, array in step_of_cell(cell, case).items():
        reference = wanted[name] if name.startswith("grad.state.") else wanted[name][0]
        error = np.abs(array - reference) / np.maximum(1, np.abs(reference))
        assert error.max() <= 1e-12, f"{name}: {error.max():.2e}"


@pytest.mark.parametrize("gain", [1.0, 8.0])
@pytest.mark.parametrize("name", BY_HAND)
def test_one_step_equals_the_reference(name: str, gain: float) -> None:
    case = random_case(BY_HAND[name], T=1, B=6, I=5, H=7, gain=gain, seed=4)
    assert_step_matches(case.cell, case)


@pytest.mark.parametrize("name", BY_HAND)
def test_at_the_kink_the_derivative_is_the_reference_s(name: str) -> None:
    case = random_case(BY_HAND[name], T=1)
    zero = case
    for array in ("x", *(n for n in case.inputs() if n.startswith(("bias", "state")))):
        zero = zero.with_input(array, np.zeros_like(case.inputs()[array]))
    assert_step_matches(zero.cell, zero)


def test_the_same_arguments_give_the_same_cell() -> None:
    assert cells.rnn() is cells.rnn("tanh") is cells.rnn(nonlinearity="tanh")
    assert cells.gru() is cells.gru("tanh") is cells.gru(activation="tanh", reset="after")
    assert cells.gru(reset="before") is cells.gru("tanh", "before") is not cells.gru()
    assert cells.lstm() is cells.lstm("tanh") is cells.lstm(activation="tanh")
