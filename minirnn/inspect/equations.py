"""A step's slots and Jacobians, rebuilt from what forward stored.

B sequences, I inputs, H units, S = H times the number of states, ordered as `cell.states` (h, c).
A cell works unit by unit once its slots are filled, so with D[a, slot] = d a / d z_slot and
E[a, b] = the part of d a_t / d b_{t-1} that passes through no slot (both diagonal):

    d a_t / d h_{t-1} = diag E[a, h] + sum over slots fed by h of diag D[a, slot] W_hh[slot]
    d a_t / d b_{t-1} = diag E[a, b]                          for another state b
    d a_t / d x_t     = sum over slots fed by x of diag D[a, slot] W_ih[slot]

Where slots of a second product take an operand m in the place of h, d m / d … is written like that
of a state, and diag D[a, slot] W_hh[slot] d m / d … is added for each of them.
"""

from __future__ import annotations

from typing import Any

from minirnn.device import array_namespace
from minirnn.inspect.weight_gradients import rows
from minirnn.kernels.cells.cell import Cell, LocalDerivative
from minirnn.kernels.cells.vocabulary import OPERAND
from minirnn.kernels.contract import Weights

Array = Any


def state_jacobian(cell: Cell, local: LocalDerivative, weight_hh: Array) -> Array:
    """d state_t / d state_{t-1}, (B, S, S)."""
    xp = array_namespace(weight_hh)
    B, H = next(iter(local.last.values())).shape
    S = H * len(cell.states)
    units = xp.arange(H)
    first = [slot for slot in cell.hidden_slots if slot not in cell.second_slots]

    def of(result: str) -> Array:
        """d result / d state_{t-1}, (B, H, S), but for what passes through a second product."""
        part = xp.zeros((B, H, S), dtype=weight_hh.dtype)
        for slot in first:
            block = weight_hh[rows(cell.hidden_slots, slot, H)]
            part[:, :, :H] += local.slots[result, slot][:, :, None] * block
        for column, last in enumerate(cell.states):
            part[:, units, column * H + units] += local.last[result, last]
        return part

    jacobian = xp.concatenate([of(new) for new in cell.states], axis=1)
    _add_second_product(cell, local, weight_hh, jacobian, of)
    return jacobian


def input_jacobian(cell: Cell, local: LocalDerivative, weights: Weights) -> Array:
    """d state_t / d x_t, (B, S, I)."""
    weight_ih = weights.weight_ih
    xp = array_namespace(weight_ih)
    B, H = next(iter(local.last.values())).shape

    def of(result: str) -> Array:
        """d result / d x_t, (B, H, I), but for what passes through a second product."""
        part = xp.zeros((B, H, weight_ih.shape[1]), dtype=weight_ih.dtype)
        for slot in cell.input_slots:
            block = weight_ih[rows(cell.input_slots, slot, H)]
            part += local.slots[result, slot][:, :, None] * block
        return part

    jacobian = xp.concatenate([of(new) for new in cell.states], axis=1)
    _add_second_product(cell, local, weights.weight_hh, jacobian, of)
    return jacobian


def _add_second_product(
    cell: Cell, local: LocalDerivative, weight_hh: Array, jacobian: Array, of: Any
) -> None:
    """Add diag D[a, slot] W_hh[slot] d operand / d … to the rows of every state a."""
    if cell.operand is None:
        return
    H, operand = weight_hh.shape[1], of(OPERAND)
    for row, new in enumerate(cell.states):
        for slot in cell.second_slots:
            through = weight_hh[rows(cell.hidden_slots, slot, H)] @ operand
            jacobian[:, row * H : (row + 1) * H] += local.slots[new, slot][:, :, None] * through


def carry_back(
    cell: Cell, local: LocalDerivative, weights: Weights, carried: dict[str, Array]
) -> tuple[dict[str, Array], Array]:
    """`carried[a]` (B, N, H) for each state a, times the Jacobians above, without building them.

    Returns {b: (B, N, H)} for each state before, and (B, N, I) for x.
    """
    H = weights.weight_hh.shape[1]
    carried = dict(carried)

    def through(slot: str) -> Array:
        """What arrives at h, or at what takes its place, through a slot's product with it."""
        return by_slot[slot] @ weights.weight_hh[rows(cell.hidden_slots, slot, H)]

    by_slot = {
        slot: sum(carried[new] * local.slots[new, slot][:, None, :] for new in cell.states)
        for slot in cell.slots
    }
    if cell.operand is not None:
        carried[OPERAND] = sum(through(slot) for slot in cell.second_slots)
        for slot in cell.slots:
            by_slot[slot] += carried[OPERAND] * local.slots[OPERAND, slot][:, None, :]
    before = {
        last: sum(carried[new] * local.last[new, last][:, None, :] for new in carried)
        for last in cell.states
    }
    for slot in cell.hidden_slots:
        if slot not in cell.second_slots:
            before["h"] += through(slot)
    into_x = sum(
        by_slot[slot] @ weights.weight_ih[rows(cell.input_slots, slot, H)]
        for slot in cell.input_slots
    )
    return before, into_x


def slot_inputs(
    cell: Cell, x: Array, taken: dict[str, Array], weights: Weights
) -> dict[str, Array]:
    """z of every slot, (..., H): W_ih x + b_ih if fed by x, plus W_hh h + b_hh if fed by h.

    `taken` has for each slot fed by h the state before, or what takes its place in the product.
    """
    H = weights.weight_hh.shape[1]
    fed = (
        (cell.input_slots, dict.fromkeys(cell.input_slots, x), weights.weight_ih, weights.bias_ih),
        (cell.hidden_slots, taken, weights.weight_hh, weights.bias_hh),
    )
    z: dict[str, Array] = {}
    for slots, sources, weight, bias in fed:
        for slot in slots:
            block = rows(slots, slot, H)
            product = sources[slot] @ weight[block].T
            if bias is not None:
                product += bias[block]
            z[slot] = z[slot] + product if slot in z else product
    return z
