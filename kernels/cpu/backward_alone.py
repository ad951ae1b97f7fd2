"""Backward for work that is not worth a second thread: three compiled calls, whatever is needed."""

from __future__ import annotations

import numpy as np

from minirnn.kernels.contract import Array, Gradients, Needs
from minirnn.kernels.cpu import pool
from minirnn.kernels.cpu.clock import Watch
from minirnn.kernels.cpu.plan import GRADIENT_ROWS, NO_LENGTHS, plain, plan_of
from minirnn.kernels.cpu.tape import CpuTape


def backward_alone(
    tape: CpuTape, needs: Needs, doutput: Array | None, dstates: tuple[Array | None, ...]
) -> Gradients:
    """All gradients of a tape, in the caller's thread: arguments as `backward`'s, checked."""
    watch = Watch("backward")
    cell, weights, sizes = tape.cell, tape.weights, tape.sizes
    T, B, width, H, HP = sizes
    dtype = tape.x.dtype
    plan = plan_of(cell, dtype)
    layout, slots, U = plan.layout, plan.slots, plan.layout.vectors
    records, masked, lengths = tape.keep == "record", tape.lengths is not None, tape.lengths
    if lengths is None:
        lengths = NO_LENGTHS
    zeros = np.zeros(max(width, HP, slots * U * plan.lanes), dtype)
    nothing = zeros.reshape(1, 1, -1)
    dz = pool.empty(tape.z.shape, dtype) if records else tape.z
    empty = pool.zeros if masked else pool.empty
    totals, carries, per_state = [], [], []
    for s, gradient in zip(tape.states, dstates, strict=True):
        carry = np.zeros((B, HP), dtype)
        if gradient is not None:
            carry[:, :H] = gradient
        total = empty((T if records else 1, B, H), dtype)
        carries.append(carry)
        totals.append(total)
        per_state += [s, carry, total]
    columns = -(-width // plan.lanes) * plan.lanes if needs.x else 0
    after_h = layout.fed_by_h * HP * HP
    scratch = pool.aligned(after_h + layout.fed_by_x * HP * columns, dtype)
    packed_h, packed_x = scratch[:after_h], scratch[after_h:]
    weight_ih, weight_hh = plain(weights.weight_ih), plain(weights[1])
    plan.shared.pack_backward_alone(
        plan.routines, weight_ih, weight_hh, plan.x_blocks, plan.h_blocks, U, H, HP, width, needs.x,
        packed_x, packed_h,
    )  # fmt: skip
    watch.lap("pack")
    has_doutput = doutput is not None
    plan.kernels.backward_rows(
        plan.routines, plain(doutput) if has_doutput else nothing, zeros, tape.z, dz,
        packed_h, lengths, masked, int(lengths.min()) if masked else T, tape.reverse, records,
        has_doutput, 0, T, tape.z_rows, 0, 0, B, 0, HP // plan.lanes, lengths, 1, watch.ticks(),
        T, B, H, HP, T + 1, *per_state,
    )  # fmt: skip
    watch.lap()
    dx = pool.empty((T, B, width), dtype) if needs.x else None
    wanted = [
        np.empty(w.shape, dtype) if need and w is not None else None
        for w, need in zip(weights, needs[2:], strict=True)
    ]
    none = (plan.no_weight, plan.no_weight, plan.no_bias, plan.no_bias)
    targets = [n if w is None else w for w, n in zip(wanted, none, strict=True)]
    wants = tuple([w is not None for w in wanted])
    wants_bias = wants[2] or wants[3]
    rows = T * B
    chunk = min(GRADIENT_ROWS, rows)
    sums = pool.aligned((width + H + 1) * slots * HP if any(wants) else 0, dtype)
    clean = np.empty(chunk * (width + H), dtype) if masked else plan.no_bias
    turned = np.empty(chunk * plan.tiled_width, dtype)
    plan.shared.gradients_alone(
        plan.routines, dz, tape.z_rows, packed_x, zeros, plan.one, tape.x.reshape(rows, width),
        plan.no_weight if dx is None else dx.reshape(rows, width), tape.states[0].reshape(-1, H),
        B * H if tape.reverse else 0, plan.x_blocks, plan.h_blocks, B, width, H, HP, U, slots,
        lengths, masked, tape.reverse, needs.x, wants[0], wants[1], wants_bias, chunk, clean, turned, sums,
        *targets, watch.ticks(),
    )  # fmt: skip
    watch.lap()
    if records:
        tape.dz, tape.totals = dz, tuple(totals)
        tape.doutput, tape.dstate_h = doutput, dstates[0]
    else:
        tape.forget()
    state = tuple([carry[:, :H].copy() for carry in carries]) if needs.state else None
    watch.stop()
    return Gradients(dx, state, *wanted)
