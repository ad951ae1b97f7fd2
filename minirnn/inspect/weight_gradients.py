"""What the gradients of the slots bring to a layer's inputs and weights, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.inspect.norms import norm

Array = Any


def rows(slots: tuple[str, ...], slot: str, H: int) -> slice:
    """The rows of a weight or bias, stacked in the order of `slots`, which belong to one slot."""
    k = slots.index(slot)
    return slice(k * H, (k + 1) * H)


def grad_input(
    grad_slots: dict[str, Array], input_slots: tuple[str, ...], weight_ih: Array
) -> Array:
    """dL/dx_t = sum over slots fed by x of dL/dz_t W_ih, (T, B, I)."""
    T, B, H = grad_slots[input_slots[0]].shape
    xp = array_namespace(weight_ih)
    total = xp.zeros((T, B, weight_ih.shape[1]), dtype=weight_ih.dtype)
    for slot in input_slots:
        total += grad_slots[slot] @ weight_ih[rows(input_slots, slot, H)]
    return total


def share_norms(
    grad_slots: dict[str, Array], slots: tuple[str, ...], fed: dict[str, Array] | None
) -> Array:
    """(T,) Frobenius norm of each step's share of a weight's gradient.

    The share of step t is, for the rows of each slot, the sum over the batch of dL/dz_t (H) times
    `fed[slot]` (T, B, N) at t: x_t for weight_ih, for weight_hh the state before t, or what takes
    its place in a second product. For a bias `fed` is None and the share is the sum of dL/dz_t.
    """
    xp = array_namespace(grad_slots[slots[0]])
    T = grad_slots[slots[0]].shape[0]
    shares = xp.zeros((len(slots), T))
    for k, slot in enumerate(slots):
        gradient = xp.asarray(grad_slots[slot], dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # a network that diverged
            if fed is None:
                shares[k] = norm(gradient.sum(axis=1), (1,))
                continue
            for t in range(T):
                taken = xp.asarray(fed[slot][t], dtype=np.float64)
                shares[k, t] = norm(gradient[t].T @ taken, (0, 1))
    return norm(shares, (0,))
