"""What the cells of the reference have in common: time, padding, the tape, the products.

T time steps, B batch, I input size, H hidden size; Gi and Gh count the slots fed by x and by h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.errors import DTypeError, ShapeError, TraceError
from minirnn.kernels.contract import Array, Gradients, Keep, Needs, Record, Weights


def time_order(T: int, reverse: bool) -> list[int]:
    """The steps in the order in which forward visits them."""
    return list(range(T - 1, -1, -1)) if reverse else list(range(T))


def valid_steps(T: int, B: int, lengths: Array | None) -> Array:
    """(T, B, 1) bool: whether step t lies before the end of sequence b."""
    if lengths is None:
        return np.ones((T, B, 1), dtype=bool)
    return (np.arange(T)[:, None] < lengths[None, :])[:, :, None]


def before(after: Array, initial: Array, reverse: bool) -> Array:
    """(T, B, H): the state that enters each step, from the states after each step."""
    if reverse:
        return np.concatenate([after, initial[None]])[1:]
    return np.concatenate([initial[None], after])[:-1]


def steps_like(x: Array, weight_hh: Array, *names: str) -> dict[str, Array]:
    """For each name an array (T, B, H) to be filled step by step."""
    T, B, _ = x.shape
    return {name: np.zeros((T, B, weight_hh.shape[1]), x.dtype) for name in names}


def bias_or_zero(bias: Array | None, weight: Array) -> Array:
    """The bias, or zeros where the layer has none."""
    return np.zeros(weight.shape[0], weight.dtype) if bias is None else bias


def check_gradient(
    name: str, gradient: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    """The gradient that reaches backward, zeros where none does.

    Raises: ShapeError or DTypeError that names it.
    """
    if gradient is None:
        return np.zeros(shape, dtype)
    if gradient.shape != shape:
        raise ShapeError(name, f"shape {gradient.shape}", f"{shape}")
    if gradient.dtype != dtype:
        raise DTypeError(name, gradient.dtype.name, f"{dtype.name}, the dtype of x")
    return gradient


@dataclass
class ReferenceTape:
    """What forward hands to backward: everything, for the reference saves nothing.

    `gates` and `states` map names to (T, B, H), the states carried on past a sequence's end;
    `valid` is (T, B, 1), `x` is zero where it is False; `state` holds the initial states.
    """

    keep: Keep
    reverse: bool
    valid: Array
    x: Array
    state: tuple[Array, ...]
    weights: Weights
    gates: dict[str, Array]
    states: dict[str, Array]
    used: bool = False
    grad_states: dict[str, Array] | None = None
    grad_slots: dict[str, Array] | None = None
    grad_direct: Array | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the tape keeps alive."""
        gradients = [*(self.grad_states or {}).values(), *(self.grad_slots or {}).values()]
        arrays = [self.valid, self.x, *self.state, *self.weights, self.grad_direct]
        arrays += [*self.gates.values(), *self.states.values(), *gradients]
        return sum(array.nbytes for array in arrays if array is not None)

    def remember(
        self,
        dz: dict[str, Array],
        dstates: dict[str, Array],
        doutput: Array,
        dh_last: Array,
        order: list[int],
    ) -> None:
        """Keep the gradients of a recorded pass."""
        self.grad_slots = dz
        self.grad_states = dstates
        # dstate enters h at the last step that forward processed: step 0 in reverse, else the
        # last valid one. A sequence of length 0 has none.
        direct = doutput.copy()
        for b in range(direct.shape[1]):
            processed = [t for t in order if self.valid[t, b, 0]]
            if processed:
                direct[processed[-1], b] += dh_last[b]
        self.grad_direct = direct

    def record(self) -> Record:
        """Unpack; zero past a sequence's end.

        Raises: TraceError if the tape was not kept as "record".
        """
        if self.keep != "record":
            raise TraceError(f'a tape kept as "{self.keep}" has no record; keep="record" does')
        return Record(
            {name: np.where(self.valid, gate, 0) for name, gate in self.gates.items()},
            {name: np.where(self.valid, state, 0) for name, state in self.states.items()},
            self.grad_states,
            self.grad_slots,
            self.grad_direct,
        )


def gradients_of_products(
    dz_x: Array,
    dz_h: Array,
    dinitial: tuple[Array, ...],
    taken: Sequence[Array],
    tape: ReferenceTape,
    order: list[int],
    needs: Needs,
) -> Gradients:
    """The gradients of what the two products and the biases of every step share.

    dz_x (T, B, Gi*H) and dz_h (T, B, Gh*H) are dL/dz of the slots fed by x and by h, zero past a
    sequence's end. `taken` is what W_hh is multiplied with for each of the latter, (T, B, H): the
    state before, or what the cell puts in its place.
    """
    W_ih, _, b_ih, b_hh = tape.weights
    # Past a sequence's end dz is 0, and what h became before it, infinite perhaps, is nobody's.
    taken = [np.where(tape.valid, each, 0) for each in taken]
    dx = dW_ih = dW_hh = db_ih = db_hh = None
    # z_t = W_ih x_t + b_ih + …  =>  dx_t = W_ihᵀ dz_t
    if needs.x:
        dx = dz_x @ W_ih
    #                                dW_ih = Σ_t dz_t x_tᵀ,  db_ih = Σ_t dz_t
    if needs.weight_ih:
        dW_ih = sum((dz_x[t].T @ tape.x[t] for t in order), np.zeros_like(W_ih))
    if needs.bias_ih and b_ih is not None:
        db_ih = dz_x.sum(axis=(0, 1))
    # z_t = … + W_hh h_{t-1} + b_hh  =>  dW_hh = Σ_t dz_t h_{t-1}ᵀ,  db_hh = Σ_t dz_t
    if needs.weight_hh:
        blocks = zip(np.split(dz_h, len(taken), axis=2), taken, strict=True)
        dW_hh = np.concatenate([
            sum((dz[t].T @ h[t] for t in order), np.zeros((h.shape[2],) * 2, h.dtype))
            for dz, h in blocks
        ])  # fmt: skip
    if needs.bias_hh and b_hh is not None:
        db_hh = dz_h.sum(axis=(0, 1))
    return Gradients(dx, dinitial if needs.state else None, dW_ih, dW_hh, db_ih, db_hh)
