"""The gated recurrent unit (Cho et al. 2014) in PyTorch's and cuDNN's variant, where the reset gate
acts after the product (ONNX: linear_before_reset=1), forward and backward through time.

x (T, B, I), h (B, H), W_ih (3H, I), W_hh (3H, H); rows in blocks r, u, n, which the slots call
reset, update, new. The update gate is u here (PyTorch writes z), for z is a pre-activation. The
last block of W_hh gives q, the slot `recurrent_new`. φ is tanh unless `activation` says otherwise.

    r = σ(z_r),  z_r = W_ir x_t + b_ir + W_hr h_{t-1} + b_hr
    u = σ(z_u),  z_u = W_iu x_t + b_iu + W_hu h_{t-1} + b_hu
    q = W_hn h_{t-1} + b_hn
    n = φ(z_n),  z_n = W_in x_t + b_in + r ∘ q
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
HIDDEN_SLOTS = ("reset", "update", "recurrent_new")


def forward(
    x: Array,
    state: tuple[Array, ...],
    weights: Weights,
    valid: Array,
    order: list[int],
    *,
    activation: str,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The gates and q, and the states after each step (carried on past a sequence's end)."""
    phi = named(activation)
    W_ih, W_hh = weights.weight_ih, weights.weight_hh
    b_ih, b_hh = bias_or_zero(weights.bias_ih, W_ih), bias_or_zero(weights.bias_hh, W_hh)
    (h,) = state
    gates = steps_like(x, W_hh, "reset", "update", "new", "recurrent_new")
    states = steps_like(x, W_hh, "h")

    for t in order:
        # by x: W_ir x_t + b_ir, W_iu x_t + b_iu, W_in x_t + b_in
        x_r, x_u, x_n = np.split(x[t] @ W_ih.T + b_ih, 3, axis=1)
        # by h: W_hr h_{t-1} + b_hr, W_hu h_{t-1} + b_hu, q = W_hn h_{t-1} + b_hn
        h_r, h_u, q = np.split(h @ W_hh.T + b_hh, 3, axis=1)
        # r = σ(z_r),  u = σ(z_u)
        r, u = sigmoid(x_r + h_r), sigmoid(x_u + h_u)
        # n = φ(z_n),  z_n = W_in x_t + b_in + r ∘ q
        n = phi.value(x_n + r * q)
        # h_t = (1 - u) ∘ n + u ∘ h_{t-1}
        h_new = (1 - u) * n + u * h

        on = valid[t]  # past a sequence's end states stay
        h = np.where(on, h_new, h)
        gates["reset"][t], gates["update"][t], gates["new"][t] = r, u, n
        gates["recurrent_new"][t] = q
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
    """dL/dz of every slot (dL/dq for `recurrent_new`), total dL/dh_t, dL/d of the initial state."""
    phi = named(activation)
    W_hh = tape.weights.weight_hh
    gates = tape.gates
    h_before = before(tape.states["h"], tape.state[0], tape.reverse)
    (dh_later,) = dlast  # dL/dh_t by way of what comes after step t
    dz = steps_like(tape.x, W_hh, "reset", "update", "new", "recurrent_new")
    dstates = steps_like(tape.x, W_hh, "h")

    for t in reversed(order):
        r, u = gates["reset"][t], gates["update"][t]
        n, q = gates["new"][t], gates["recurrent_new"][t]
        # h_t is seen by y_t = h_t and by the next step:  dh_t = dy_t + dh_t(later)
        dh = doutput[t] + dh_later
        # h_t = (1 - u) ∘ n + u ∘ h_{t-1}  =>  dz_n = dh_t ∘ (1 - u) ∘ φ'(z_n)
        #                                      dz_u = dh_t ∘ (h_{t-1} - n) ∘ σ'(z_u)
        dz_n = dh * (1 - u) * phi.derivative(n)
        dz_u = dh * (h_before[t] - n) * sigmoid_derivative(u)
        # z_n = … + r ∘ q  =>  dq = dz_n ∘ r,  dz_r = dz_n ∘ q ∘ σ'(z_r)
        dq = dz_n * r
        dz_r = dz_n * q * sigmoid_derivative(r)
        # h_{t-1} is seen directly and by the three products:
        # dh_{t-1}(later) = u ∘ dh_t + W_hrᵀ dz_r + W_huᵀ dz_u + W_hnᵀ dq
        dh_before = u * dh + np.concatenate([dz_r, dz_u, dq], axis=1) @ W_hh

        on = tape.valid[t]  # past a sequence's end gradients wait, as states did
        dh_later = np.where(on, dh_before, dh_later)
        dz["reset"][t], dz["update"][t], dz["new"][t] = dz_r, dz_u, dz_n
        dz["recurrent_new"][t] = dq
        dstates["h"][t] = dh
    return dz, dstates, (dh_later,)
