"""Forward on the processor: allocate, pack, cut the work in slices, call the loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minirnn.kernels import staged
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Keep, Weights, check_call
from minirnn.kernels.cpu import pool, threads
from minirnn.kernels.cpu.clock import Watch
from minirnn.kernels.cpu.layout import CHUNK_ROWS
from minirnn.kernels.cpu.plan import (
    NO_LENGTHS,
    Plan,
    Sizes,
    cut_up,
    meeting_place,
    plain,
    plan_of,
)
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
    workspace = forward_workspace(plan, sizes)
    given = [plan.no_bias if w is None else plain(w) for w in weights]
    checkpoints = [pool.empty((-(-T // interval), B, H), dtype) for _ in buffers[1:] if interval]
    cut = cut_up(plan, sizes, 2.0 * T * B * plan.slots * H * (width + H))
    try:
        count = len(cut.slices)
        most = max([part.last - part.first for part in cut.slices])
        z_steps = T if keeps else max(1, min(T, CHUNK_ROWS // most))
        z_rows = plan.z_rows(z_steps, B)
        z = pool.empty((z_rows * plan.slots * sizes.HP,), dtype)
        meeting = meeting_place()

        def share(member: int) -> None:
            part, met, ticks = cut.slices[member], 0, watch.ticks()
            for step in range(0, T, interval) if interval else (0,):
                end = min(T, step + interval) if interval else T
                for s, kept in zip(buffers[1:], checkpoints, strict=False):
                    entry = (T - step if reverse else step) % depth
                    units = slice(part.v0 * lanes, part.v1 * lanes)
                    some = slice(part.first, part.last)
                    kept[step // interval, some, units] = s[entry, some, units]
                met = plan.kernels.forward_share(
                    plan.addresses, *given, x, workspace, z, output, finals, flat_lengths, masked,
                    shortest, reverse, keeps, False, step == 0, step, end, z_steps, z_rows, 0,
                    *part, member, count, cut.team, meeting, met, ticks, *sizes, depth, *buffers,
                )  # fmt: skip

        threads.run_each(share, count, meeting)
    finally:
        cut.release()
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
    step_bytes: int = sizes.B * plan.slots * sizes.HP * plan.dtype.itemsize
    return max(1, min(sizes.T, max(REBUILT_STEPS[0], CACHED_BYTES // step_bytes)))


def rebuilt_steps(plan: Plan, sizes: Sizes) -> int:
    """How many steps' gates backward rebuilds at a time, which is as far apart checkpoints are."""
    return min(REBUILT_STEPS[1], cached_steps(plan, sizes))


def forward_workspace(plan: Plan, sizes: Sizes) -> Array:
    """Room for packed weights and bias."""
    _, _, width, H, HP = sizes
    layout = plan.layout
    size = (layout.fed_by_x * width + layout.fed_by_h * H + plan.slots) * HP
    return pool.aligned(size, plan.dtype)
