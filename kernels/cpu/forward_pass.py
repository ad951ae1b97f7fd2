"""Forward on the processor: allocate, pack, cut the work in slices, call the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.kernels import staged
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Keep, Weights, check_call
from minirnn.kernels.cpu import pool, threads
from minirnn.kernels.cpu.clock import Watch
from minirnn.kernels.cpu.layout import CHUNK_ROWS
from minirnn.kernels.cpu.plan import NO_LENGTHS, Plan, Sizes, plain, plan_of, run_slices, sliced
from minirnn.kernels.cpu.tape import CpuTape
from minirnn.kernels.staged import StagedTape

# Gates that backward goes through at a time take about so many bytes: they should stay in a cache.
CACHED_BYTES = 1 << 22
REBUILT_STEPS = 8, 256  # at least, so that checkpoints are few; at most


def forward(
    cell: Cell,
    x: Array,
    state: Sequence[Array],
    weights: Weights,
    *,
    lengths: Array | None = None,
    keep: Keep = "nothing",
    reverse: bool = False,
) -> tuple[Array, tuple[Array, ...], CpuTape | StagedTape | None]:
    """Run a cell over a sequence; arguments, results and errors as in `contract`."""
    if cell.operand is not None:
        return staged.forward(
            forward, np, cell, x, state, weights, lengths=lengths, keep=keep, reverse=reverse
        )
    T, B, width, H = check_call(cell, x, state, weights, lengths, keep)
    watch = Watch("forward")
    dtype = x.dtype
    plan = plan_of(cell, dtype)
    lanes = plan.lanes
    sizes = Sizes(T, B, width, H, -(-H // lanes) * lanes)
    x = plain(x)
    masked = lengths is not None
    flat_lengths = np.array(lengths, dtype=np.int64) if masked else NO_LENGTHS
    shortest = int(flat_lengths.min()) if masked else T

    keeps = keep in ("tape", "record")
    interval = rebuilt_steps(plan, sizes) if keep == "checkpoints" and T else 0
    depth = T + 1 if keeps else 2
    initial = T if reverse else 0
    buffers = []
    for name, values in zip(cell.states, state, strict=True):
        entries = T + 1 if name == "h" else depth
        buffer = pool.empty((entries, B, H), dtype)
        buffer[initial % entries] = values
        buffers.append(buffer)
    h = buffers[0]
    output = pool.zeros((T, B, H), dtype) if masked else (h[:T] if reverse else h[1:])
    finals = np.empty((len(buffers), B, H), dtype)
    workspace = forward_workspace(plan, sizes, dtype)
    given = [plan.no_bias if w is None else plain(w) for w in weights]
    operations = 2.0 * T * B * plan.slots * H * (width + H)
    checkpoints = []
    if not interval and threads.parts(B * H, operations) == 1:
        z_steps = T if keeps else max(1, min(T, CHUNK_ROWS // B))
        z_rows = plan.z_rows(z_steps, B)
        z = pool.empty((z_rows * plan.slots * sizes.HP,), dtype)
        plan.kernels.forward_alone(
            plan.routines, *given, x, workspace, z, output, finals, flat_lengths, masked, shortest,
            reverse, keeps, z_steps, z_rows, watch.ticks(), *sizes, depth, *buffers,
        )  # fmt: skip
        watch.lap()
    else:
        packed = pack_forward(plan, sizes, given, workspace)
        watch.lap("pack")
        if interval:
            checkpoints = [pool.empty((-(-T // interval), B, H), dtype) for _ in buffers[1:]]
        with sliced(plan, sizes, operations) as cut:
            rows = max(each.last - each.first for each in cut)
            z_steps = T if keeps else max(1, min(T, CHUNK_ROWS // rows))
            z_rows = plan.z_rows(z_steps, B)
            z = pool.empty((z_rows * plan.slots * sizes.HP,), dtype)

            def run(part: Any, barrier: Array, team: int) -> None:
                ticks = watch.ticks()
                for step in range(0, T, interval or max(T, 1)):
                    end = min(T, step + interval) if interval else T
                    for s, kept in zip(buffers[1:], checkpoints, strict=False):
                        entry = (T - step if reverse else step) % depth
                        units = slice(part.v0 * lanes, part.v1 * lanes)
                        rows = slice(part.first, part.last)
                        kept[step // interval, rows, units] = s[entry, rows, units]
                    plan.kernels.forward_rows(
                        plan.routines, x, *packed, z, output, finals, flat_lengths, masked,
                        shortest, reverse, keeps, False, step, end, z_steps, z_rows, 0,
                        *part, barrier, team, ticks, *sizes, depth, *buffers,
                    )  # fmt: skip

            run_slices(run, cut)
        watch.lap()
    watch.stop()
    last_state = tuple(finals)
    if keep == "nothing":
        return output, last_state, None
    tape = CpuTape(
        cell, keep, reverse, sizes, x, weights, flat_lengths if masked else None,
        z if keeps else plan.no_bias, z_rows, (h, *checkpoints) if interval else tuple(buffers),
        lanes, interval,
    )  # fmt: skip
    return output, last_state, tape


def cached_steps(plan: Plan, sizes: Sizes) -> int:
    """How many steps' gates fit a cache."""
    step_bytes: int = sizes.B * plan.slots * sizes.HP * plan.one.itemsize
    return max(1, min(sizes.T, max(REBUILT_STEPS[0], CACHED_BYTES // step_bytes)))


def rebuilt_steps(plan: Plan, sizes: Sizes) -> int:
    """How many steps' gates backward rebuilds at a time, which is as far apart checkpoints are."""
    return min(REBUILT_STEPS[1], cached_steps(plan, sizes))


def forward_workspace(plan: Plan, sizes: Sizes, dtype: np.dtype[Any]) -> Array:
    """Room for packed weights and bias."""
    _, _, width, H, HP = sizes
    layout = plan.layout
    return pool.aligned((layout.fed_by_x * width + layout.fed_by_h * H + plan.slots) * HP, dtype)


def pack_forward(
    plan: Plan, sizes: Sizes, weights: Sequence[Array], workspace: Array
) -> tuple[Array, Array, Array]:
    """Both weights in panels, and what enters each slot."""
    _, _, width, H, HP = sizes
    after_x = plan.layout.fed_by_x * HP * width
    after_h = after_x + plan.layout.fed_by_h * HP * H
    packed = workspace[:after_x], workspace[after_x:after_h], workspace[after_h:]

    def some(part: int, parts: int) -> None:
        plan.shared.pack_forward(
            plan.routines, *weights, plan.x_blocks, plan.h_blocks, plan.layout.vectors, plan.slots,
            H, HP, width, *packed, part, parts,
        )  # fmt: skip

    threads.run_parts(some, plan.panels(HP), threads.MOVING * workspace.size)
    return packed
