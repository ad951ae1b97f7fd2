"""A kernel with narrow products, in NumPy: what a tensor core's operands do to a whole layer.

The cell's equations run step by step in float32; every product rounds its operands first. It shares
the rounding of the formats with nobody: the bits are cut here.
"""

from __future__ import annotations

import numpy as np

from minirnn.kernels.contract import Gradients, Record
from minirnn.testing.reference import named_arrays


def tf32(a):
    """To 10 bits of mantissa, ties away from zero."""
    bits = np.asarray(a, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def bfloat16(a):
    """To 7 bits of mantissa, ties to even."""
    bits = np.asarray(a, np.float32).view(np.uint32)
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return ((bits + half) & np.uint32(0xFFFF0000)).view(np.float32)


def float16(a):
    """To float16, its subnormals included."""
    return np.asarray(a, np.float32).astype(np.float16).astype(np.float32)


FORWARD = {"tf32": tf32, "bfloat16": bfloat16, "float16": float16}
BACKWARD = {"tf32": tf32, "bfloat16": bfloat16, "float16": tf32}


def _float32(arrays):
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


def run(cell, x, state, weights, doutput, dstate, precision):
    """Forward and backward, (T, B, H). Returns the arrays by name, and the record."""
    W_ih, W_hh, b_ih, b_hh = weights
    T, B, _ = x.shape
    H = W_hh.shape[1]

    def product(round_to, a, b):
        return round_to(a) @ round_to(b)

    near, back = FORWARD[precision], BACKWARD[precision]
    states, gates, entering = [], [], []
    last = dict(zip(cell.states, state, strict=True))
    for t in range(T):
        z = dict.fromkeys(cell.slots, np.float32(0.0))
        for slots, fed, W, b in (
            (cell.input_slots, x[t], W_ih, b_ih),
            (cell.hidden_slots, last["h"], W_hh, b_hh),
        ):
            whole = product(near, fed, W.T) + b
            for k, slot in enumerate(slots):
                z[slot] = z[slot] + whole[:, k * H : (k + 1) * H]
        step = cell.evaluate(z, last)
        entering.append(last)
        last = dict(step.states)
        states.append(last)
        gates.append(step.gates)

    carried = dict(zip(cell.states, dstate, strict=True))
    totals, dzs = [None] * T, [None] * T
    direct = doutput.copy()
    direct[-1] += dstate[0]
    for t in reversed(range(T)):
        arriving = carried | {"h": carried["h"] + doutput[t]}
        total, dz, through = map(
            _float32, cell.backward_step(gates[t], states[t], entering[t], arriving)
        )
        totals[t], dzs[t] = total, dz
        dz_h = np.concatenate([dz[slot] for slot in cell.hidden_slots], axis=1)
        carried = {name: 0 * total[name] + g for name, g in through.items()}
        carried["h"] = carried["h"] + product(back, dz_h, W_hh)

    dz_x = np.stack([np.concatenate([dz[s] for s in cell.input_slots], axis=1) for dz in dzs])
    dz_h = np.stack([np.concatenate([dz[s] for s in cell.hidden_slots], axis=1) for dz in dzs])
    h_before = np.stack([each["h"] for each in entering])
    gradients = Gradients(
        product(back, dz_x, W_ih),
        tuple(carried[name] for name in cell.states),
        product(back, dz_x.reshape(T * B, -1).T, x.reshape(T * B, -1)),
        product(back, dz_h.reshape(T * B, -1).T, h_before.reshape(T * B, -1)),
        dz_x.sum(axis=(0, 1)),
        dz_h.sum(axis=(0, 1)),
    )

    def over_time(steps):
        return {name: np.stack([step[name] for step in steps]) for name in steps[0]}

    record = Record(over_time(gates), over_time(states), over_time(totals), over_time(dzs), direct)
    final = tuple(states[-1][name] for name in cell.states)
    return named_arrays(cell, record.states["h"], final, gradients, record), record
