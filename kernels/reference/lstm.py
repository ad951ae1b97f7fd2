"""Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins
2000), in PyTorch's order of gates, forward and backward through time.

x (T, B, I), h and c (B, H), W_ih (4H, I), W_hh (4H, H); rows in blocks i, f, g, o, which the slots
call input, forget, cell, output. φ is tanh unless the layer's `activation` says otherwise.

    z_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh       in four blocks z_i, z_f, z_g, z_o
    i, f, g, o = σ(z_i), σ(z_f), φ(z_g), σ(z_o)
    c_t = f ∘ c_{t-1} + i ∘ g
    h_t = o ∘ φ(c_t)

"t-1" is the step before t in the order of time, which in a reverse direction is t+1.
"""

from __future__ import annotations

import numpy as np

from minirnn.kernels.contract import Array, Weights
from minirnn.kernels.reference.activations import named, sigmoid, sigmoid_derivative
from minirnn.kernels.reference.sequence import ReferenceTape, before, bias_or_zero, steps_like

STATES = ("h", "c")
INPUT_SLOTS = ("input", "forget", "cell", "output")
HIDDEN_SLOTS = ("input", "forget", "cell", "output")


def forward(
    x: Array,
    state: tuple[Array, ...],
    weights: Weights,
    valid: Array,
    order: list[int],
    *,
    activation: str,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The gates, and the states after each step (carried on unchanged past a sequence's end)."""
    phi = named(activation)
    W_ih, W_hh = weights.weight_ih, weights.weight_hh
    b_ih, b_hh = bias_or_zero(weights.bias_ih, W_ih), bias_or_zero(weights.bias_hh, W_hh)
    h, c = state
    gates = steps_like(x, W_hh, *INPUT_SLOTS)
    states = steps_like(x, W_hh, "h", "c")

    for t in order:
        # z_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        z = x[t] @ W_ih.T + b_ih + h @ W_hh.T + b_hh
        z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
        # i, f, g, o = σ(z_i), σ(z_f), φ(z_g), σ(z_o)
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), phi.value(z_g), sigmoid(z_o)
        # c_t = f ∘ c_{t-1} + i ∘ g
        c_new = f * c + i * g
        # h_t = o ∘ φ(c_t)
        h_new = o * phi.value(c_new)

        on = valid[t]  # past a sequence's end states stay
        h, c = np.where(on, h_new, h), np.where(on, c_new, c)
        gates["input"][t], gates["forget"][t], gates["cell"][t], gates["output"][t] = i, f, g, o
        states["h"][t], states["c"][t] = h, c
    return gates, states


def backward(
    doutput: Array,
    dlast: tuple[Array, ...],
    tape: ReferenceTape,
    order: list[int],
    *,
    activation: str,
) -> tuple[dict[str, Array], dict[str, Array], tuple[Array, ...]]:
    """dL/dz of every slot, total dL/dh_t and dL/dc_t, and dL/d of the initial states."""
    phi = named(activation)
    W_hh = tape.weights.weight_hh
    gates, states = tape.gates, tape.states
    c_before = before(states["c"], tape.state[1], tape.reverse)
    dh_later, dc_later = dlast  # dL/dh_t and dL/dc_t by way of what comes after step t
    dz = steps_like(tape.x, W_hh, *INPUT_SLOTS)
    dstates = steps_like(tape.x, W_hh, "h", "c")

    for t in reversed(order):
        i, f = gates["input"][t], gates["forget"][t]
        g, o = gates["cell"][t], gates["output"][t]
        phi_c = phi.value(states["c"][t])
        # h_t is seen by y_t = h_t and by the next step:  dh_t = dy_t + dh_t(later)
        dh = doutput[t] + dh_later
        # h_t = o ∘ φ(c_t), and c_t is seen by the next step too:
        # dc_t = dc_t(later) + dh_t ∘ o ∘ φ'(c_t)
        dc = dc_later + dh * o * phi.derivative(phi_c)
        # h_t = o ∘ φ(c_t)  =>  dz_o = dh_t ∘ φ(c_t) ∘ σ'(z_o)
        dz_o = dh * phi_c * sigmoid_derivative(o)
        # c_t = f ∘ c_{t-1} + i ∘ g  =>  dz_i = dc_t ∘ g ∘ σ'(z_i)
        #                                dz_f = dc_t ∘ c_{t-1} ∘ σ'(z_f)
        #                                dz_g = dc_t ∘ i ∘ φ'(z_g)
        dz_i = dc * g * sigmoid_derivative(i)
        dz_f = dc * c_before[t] * sigmoid_derivative(f)
        dz_g = dc * i * phi.derivative(g)
        # dc_{t-1}(later) = f ∘ dc_t
        dc_before = f * dc
        # z_t = … + W_hh h_{t-1}  =>  dh_{t-1}(later) = W_hhᵀ dz_t
        dh_before = np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1) @ W_hh

        on = tape.valid[t]  # past a sequence's end gradients wait, as states did
        dh_later = np.where(on, dh_before, dh_later)
        dc_later = np.where(on, dc_before, dc_later)
        dz["input"][t], dz["forget"][t], dz["cell"][t], dz["output"][t] = dz_i, dz_f, dz_g, dz_o
        dstates["h"][t], dstates["c"][t] = dh, dc
    return dz, dstates, (dh_later, dc_later)
