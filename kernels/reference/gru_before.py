"""The gated recurrent unit as first published (Cho et al. 2014, equations 5 to 8), where the reset
gate acts before the product (ONNX: linear_before_reset=0, Keras: reset_after=False), forward and
backward through time.

x (T, B, I), h (B, H), W_ih (3H, I), W_hh (3H, H); rows in blocks r, u, n, which the slots call
reset, update, new. The update gate u keeps the old state, as in `gru.py`. φ is tanh unless
`activation` says otherwise.

    r = σ(z_r),  z_r = W_ir x_t + b_ir + W_hr h_{t-1} + b_hr
    u = σ(z_u),  z_u = W_iu x_t + b_iu + W_hu h_{t-1} + b_hu
    n = φ(z_n),  z_n = W_in x_t + b_in + W_hn (r ∘ h_{t-1}) + b_hn
    h_t = (1 - u) ∘ n + u ∘ h_{t-1}

"t-1" is the step before t in the order of time, which in a reverse direction is t+1.
"""

from __future__ import annotations

import numpy as np

from minirnn.kernels.contract import Array, Weights
from minirnn.kernels.reference.activations import named, sigmoid, sigmoid_derivative
from minirnn.kernels.reference.sequence import ReferenceTape, before, bias_or_zero, steps_like

STATES = ("h",)
INPUT_SLOTS = ("reset", "update", "new")
HIDDEN_SLOTS = ("reset", "update", "new")


def forward(
    x: Array,
    state: tuple[Array, ...],
    weights: Weights,
    valid: Array,
    order: list[int],
    *,
    activation: str,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The gates, and the states after each step (carried on past a sequence's end)."""
    phi = named(activation)
    W_ih, W_hh = weights.weight_ih, weights.weight_hh
    b_ih, b_hh = bias_or_zero(weights.bias_ih, W_ih), bias_or_zero(weights.bias_hh, W_hh)
    W_hr, W_hu, W_hn = np.split(W_hh, 3)
    b_hr, b_hu, b_hn = np.split(b_hh, 3)
    (h,) = state
    gates = steps_like(x, W_hh, "reset", "update", "new")
    states = steps_like(x, W_hh, "h")

    for t in order:
        # by x: W_ir x_t + b_ir, W_iu x_t + b_iu, W_in x_t + b_in
        x_r, x_u, x_n = np.split(x[t] @ W_ih.T + b_ih, 3, axis=1)
        # r = σ(z_r),  u = σ(z_u)
        r = sigmoid(x_r + h @ W_hr.T + b_hr)
        u = sigmoid(x_u + h @ W_hu.T + b_hu)
        # n = φ(z_n),  z_n = W_in x_t + b_in + W_hn (r ∘ h_{t-1}) + b_hn
        n = phi.value(x_n + (r * h) @ W_hn.T + b_hn)
        # h_t = (1 - u) ∘ n + u ∘ h_{t-1}
        h_new = (1 - u) * n + u * h

        on = valid[t]  # past a sequence's end states stay
        h = np.where(on, h_new, h)
        gates["reset"][t], gates["update"][t], gates["new"][t] = r, u, n
        states["h"][t] = h
    return gates, states


def backward(
    doutput: Array,
    dlast: tuple[Array, ...],
    tape: ReferenceTape,
    order: list[int],
    *,
    activation: str,
) -> tuple[dict[str, Array], dict[str, Array], tuple[Array, ...]]:
    """dL/dz of every slot, total dL/dh_t, dL/d of the initial state."""
    phi = named(activation)
    W_hh = tape.weights.weight_hh
    W_hr, W_hu, W_hn = np.split(W_hh, 3)
    gates = tape.gates
    h_before = before(tape.states["h"], tape.state[0], tape.reverse)
    (dh_later,) = dlast  # dL/dh_t by way of what comes after step t
    dz = steps_like(tape.x, W_hh, "reset", "update", "new")
    dstates = steps_like(tape.x, W_hh, "h")

    for t in reversed(order):
        r, u, n = gates["reset"][t], gates["update"][t], gates["new"][t]
        # h_t is seen by y_t = h_t and by the next step:  dh_t = dy_t + dh_t(later)
        dh = doutput[t] + dh_later
        # h_t = (1 - u) ∘ n + u ∘ h_{t-1}  =>  dz_n = dh_t ∘ (1 - u) ∘ φ'(z_n)
        #                                      dz_u = dh_t ∘ (h_{t-1} - n) ∘ σ'(z_u)
        dz_n = dh * (1 - u) * phi.derivative(n)
        dz_u = dh * (h_before[t] - n) * sigmoid_derivative(u)
        # z_n = … + W_hn m + b_hn,  m = r ∘ h_{t-1}  =>  dm = W_hnᵀ dz_n
        #                                                dz_r = dm ∘ h_{t-1} ∘ σ'(z_r)
        dm = dz_n @ W_hn
        dz_r = dm * h_before[t] * sigmoid_derivative(r)
        # h_{t-1} is seen directly, by the products of r and u, and by m:
        # dh_{t-1}(later) = u ∘ dh_t + W_hrᵀ dz_r + W_huᵀ dz_u + r ∘ dm
        dh_before = u * dh + dz_r @ W_hr + dz_u @ W_hu + r * dm

        on = tape.valid[t]  # past a sequence's end gradients wait, as states did
        dh_later = np.where(on, dh_before, dh_later)
        dz["reset"][t], dz["update"][t], dz["new"][t] = dz_r, dz_u, dz_n
        dstates["h"][t] = dh
    return dz, dstates, (dh_later,)


def operands(gates: dict[str, Array], h_before: Array) -> dict[str, Array]:
    """What each slot's product with W_hh takes, (T, B, H): z_r and z_u h_{t-1}, z_n r ∘ h_{t-1}."""
    return {"reset": h_before, "update": h_before, "new": gates["reset"] * h_before}
