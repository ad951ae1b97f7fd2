"""A step's slots and Jacobians, rebuilt from what forward stored.

B sequences, I inputs, H units, S = H times the number of states, ordered as `cell.states` (h, c).
A cell works unit by unit once its slots are filled, so with D[a, slot] = d a / d z_slot and
E[a, b] = the part of d a_t / d b_{t-1} that passes through no slot (both diagonal):

    d a_t / d h_{t-1} = diag E[a, h] + sum over slots fed by h of diag D[a, slot] W_hh[slot]
    d a_t / d b_{t-1} = diag E[a, b]                          for another state b
    d a_t / d x_t     = sum over slots fed by x of diag D[a, slot] W_ih[slot]
"""

from __future__ import annotations

from typing import Any

from minirnn.device import array_namespace
from minirnn.inspect.weight_gradients import rows
from minirnn.kernels.cells.cell import Cell, LocalDerivative
from minirnn.kernels.contract import Weights

Array = Any


def state_jacobian(cell: Cell, local: LocalDerivative, weight_hh: Array) -> Array:
    """d state_t / d state_{t-1}, (B, S, S)."""
    xp = array_namespace(weight_hh)
    B, H = next(iter(local.last.values())).shape
    S = H * len(cell.states)
    jacobian = xp.zeros((B, S, S), dtype=weight_hh.dtype)
    units = xp.arange(H)
    for row, new in enumerate(cell.states):
        above = slice(row * H, (row + 1) * H)
        for slot in cell.hidden_slots:
            block = weight_hh[rows(cell.hidden_slots, slot, H)]
            jacobian[:, above, :H] += local.slots[new, slot][:, :, None] * block
        for column, last in enumerate(cell.states):
            jacobian[:, row * H + units, column * H + units] += local.last[new, last]
    return jacobian


def input_jacobian(cell: Cell, local: LocalDerivative, weight_ih: Array) -> Array:
    """d state_t / d x_t, (B, S, I)."""
    B, H = next(iter(local.last.values())).shape
    shape = (B, H * len(cell.states), weight_ih.shape[1])
    jacobian = array_namespace(weight_ih).zeros(shape, dtype=weight_ih.dtype)
    for row, new in enumerate(cell.states):
        for slot in cell.input_slots:
            block = weight_ih[rows(cell.input_slots, slot, H)]
            jacobian[:, row * H : (row + 1) * H] += local.slots[new, slot][:, :, None] * block
    return jacobian


def carry_back(
    cell: Cell, local: LocalDerivative, weights: Weights, carried: dict[str, Array]
) -> tuple[dict[str, Array], Array]:
    """`carried[a]` (B, N, H) for each state a, times the Jacobians above, without building them.

    Returns {b: (B, N, H)} for each state before, and (B, N, I) for x.
    """
    H = weights.weight_hh.shape[1]
    by_slot = {
        slot: sum(carried[new] * local.slots[new, slot][:, None, :] for new in cell.states)
        for slot in cell.slots
    }
    before = {
        last: sum(carried[new] * local.last[new, last][:, None, :] for new in cell.states)
        for last in cell.states
    }
    for slot in cell.hidden_slots:
        before["h"] += by_slot[slot] @ weights.weight_hh[rows(cell.hidden_slots, slot, H)]
    into_x = sum(
        by_slot[slot] @ weights.weight_ih[rows(cell.input_slots, slot, H)]
        for slot in cell.input_slots
    )
    return before, into_x


def slot_inputs(cell: Cell, x: Array, h_before: Array, weights: Weights) -> dict[str, Array]:
    """z of every slot, (..., H): W_ih x + b_ih if fed by x, plus W_hh h + b_hh if fed by h."""
    H = weights.weight_hh.shape[1]
    fed = (
        (cell.input_slots, x, weights.weight_ih, weights.bias_ih),
        (cell.hidden_slots, h_before, weights.weight_hh, weights.bias_hh),
    )
    z: dict[str, Array] = {}
    for slots, source, weight, bias in fed:
        for slot in slots:
            block = rows(slots, slot, H)
            product = source @ weight[block].T
            if bias is not None:
                product += bias[block]
            z[slot] = z[slot] + product if slot in z else product
    return z
