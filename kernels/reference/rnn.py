"""The simple recurrent network (Elman 1990), forward and backward through time.

x (T, B, I), h (B, H), W_ih (H, I), W_hh (H, H); φ is tanh, relu, sigmoid or the identity.

    z_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
    h_t = φ(z_t)

"t-1" is the step before t in the order of time, which in a reverse direction is t+1.
"""

from __future__ import annotations

import numpy as np

from minirnn.kernels.contract import Array, Weights
from minirnn.kernels.reference.activations import named
from minirnn.kernels.reference.sequence import ReferenceTape, bias_or_zero, steps_like

STATES = ("h",)
INPUT_SLOTS = ("new",)
HIDDEN_SLOTS = ("new",)


def forward(
    x: Array,
    state: tuple[Array, ...],
    weights: Weights,
    valid: Array,
    order: list[int],
    *,
    nonlinearity: str,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The gates, and the states after each step (carried on unchanged past a sequence's end)."""
    phi = named(nonlinearity)
    W_ih, W_hh = weights.weight_ih, weights.weight_hh
    b_ih, b_hh = bias_or_zero(weights.bias_ih, W_ih), bias_or_zero(weights.bias_hh, W_hh)
    (h,) = state
    gates = steps_like(x, W_hh, "new")
    states = steps_like(x, W_hh, "h")

    for t in order:
        # z_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        z = x[t] @ W_ih.T + b_ih + h @ W_hh.T + b_hh
        # h_t = φ(z_t)
        new = phi.value(z)

        on = valid[t]  # past a sequence's end states stay
        h = np.where(on, new, h)
        gates["new"][t] = new
        states["h"][t] = h
    return gates, states


def backward(
    doutput: Array,
    dlast: tuple[Array, ...],
    tape: ReferenceTape,
    order: list[int],
    *,
    nonlinearity: str,
) -> tuple[dict[str, Array], dict[str, Array], tuple[Array, ...]]:
    """dL/dz of every slot, total dL/dh_t of every step, and dL/d of the initial state."""
    phi = named(nonlinearity)
    W_hh = tape.weights.weight_hh
    (dh_later,) = dlast  # dL/dh_t by way of what comes after step t
    dz = steps_like(tape.x, W_hh, "new")
    dstates = steps_like(tape.x, W_hh, "h")

    for t in reversed(order):
        new = tape.gates["new"][t]
        # h_t is seen by y_t = h_t and by the next step:  dh_t = dy_t + dh_t(later)
        dh = doutput[t] + dh_later
        # h_t = φ(z_t)  =>  dz_t = dh_t ∘ φ'(z_t)
        dz["new"][t] = dh * phi.derivative(new)
        # z_t = … + W_hh h_{t-1}  =>  dh_{t-1}(later) = W_hhᵀ dz_t
        dh_before = dz["new"][t] @ W_hh

        on = tape.valid[t]  # past a sequence's end gradients wait, as states did
        dh_later = np.where(on, dh_before, dh_later)
        dstates["h"][t] = dh
    return dz, dstates, (dh_later,)
