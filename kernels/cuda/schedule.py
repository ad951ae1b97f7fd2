"""How the steps of a sequence are cut among blocks, and whether one launch can take them all.

See sequence.cuh. The choice depends on sizes and on the GPU. Only `depth`, how a sum is shared
among warps, decides the bits: it follows from the sizes, unless a GPU has too little shared memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from minirnn.errors import DeviceError
from minirnn.kernels.cuda.device import Gpu
from minirnn.kernels.cuda.launch import THREADS
from minirnn.kernels.cuda.packing import ELEMENT_BYTES, PAD_BYTES
from minirnn.kernels.cuda.source import StepTile

WARPS = THREADS // 32
ROWS, UNITS = (8, 16, 32, 64), (4, 8, 16, 32)
# Small pieces of a product leave room for many rows, which is what the multiply-add units need; the
# tensor cores are fed sooner by large ones.
DEPTHS = {
    "float32": (16,), "float64": (16,),
    "tf32": (32, 16), "bfloat16": (64, 32), "float16": (64, 32),
}  # fmt: skip
STAGES = (8, 7, 5, 4, 3, 2)  # places for pieces of a product: all but one are on their way at once
MOST_GROUPS = 65535  # of sequences: the second dimension of a grid ends there
MANY_SLOTS, FEW_UNITS = 8, (1, 2)  # of a cell with more slots, a block may own fewer units
# Sums that a lane holds at once; more would not leave registers for the rest.
MOST_SUMS = {"float32": 64, "float64": 16, "tf32": 64, "bfloat16": 64, "float16": 64}
MOST_PAIRS = 4 * THREADS  # of sequences and units in a tile: what a thread holds of their step

# What a step takes, to choose by, in nanoseconds: fitted to what every tile took on an H200, see
# bench/gpu_tiles.py. Estimates are float64's, twice float32's, and SUMMED: sums were faster since.
MEETING = 1450.0  # of the blocks that have the same sequences
PASS = 650.0  # for some sequences: until what was handed over comes, barriers
FETCHED = 1.3e-4  # for a byte that a block brings from the second-level cache, which all share
SUMMED, PAIRED = 0.15, 1.0  # for a sum of all warps; for a sequence and unit, of 256 at least
# For a product of two numbers; beside it, for one that is fed from shared memory: of each lane, or
# with tensor cores of a warp.
MULTIPLIED = {
    "float32": 0.0037, "float64": 0.0074, "tf32": 0.0011, "bfloat16": 0.0003, "float16": 0.0003,
}  # fmt: skip
FED = {"float32": 0.0069, "float64": 0.0138, "tf32": 0.0095, "bfloat16": 0.0095, "float16": 0.0095}


class Schedule(NamedTuple):
    """A tile, the grid, and the shared memory of a block."""

    tile: StepTile
    grid: tuple[int, int]  # blocks of units, groups of sequences
    shared_bytes: int
    whole: bool  # one launch for all steps, whose blocks meet after each; else a launch a step


@cache
def schedule_of(
    gpu: Gpu, precision: str, slots: int, B: int, H: int, K: int, whole: bool = True
) -> Schedule:
    """The quickest schedule for the product of (B, K) with weights of `slots * H` columns.

    One launch for all steps needs all its blocks at work at once. Where no cut allows that, or the
    GPU or the caller does not (`whole`), every step is a launch of its own.

    Raises: DeviceError for a cell with too many slots for the GPU's shared memory.
    """
    found = schedules(gpu, precision, slots, B, H, K, whole)
    if not found:
        raise DeviceError(
            "device", f"'cuda' with {gpu.shared_bytes:,} bytes of shared memory for a block",
            f"enough of it, and of registers, for a cell of {slots} slots fed by h, in {precision}",
            "Use the CPU for it",
        )  # fmt: skip
    return min(found, key=lambda s: nanoseconds(gpu, s, precision, slots, B, K))


def schedules(
    gpu: Gpu, precision: str, slots: int, B: int, H: int, K: int, whole: bool = True
) -> list[Schedule]:
    """All that `schedule_of` chooses from: those of the greatest depth that can be had."""
    for depth in (d for d in DEPTHS[precision] if d <= step_depth(precision, K)):
        tiles = [t for t in tiles_of(precision, slots) if t.depth == depth]
        found = [s for t in tiles if whole and (s := _whole(gpu, precision, slots, t, B, H, K))]
        if not found:
            found = [s for t in tiles if (s := _stepwise(gpu, precision, slots, t, B, H, K))]
        if found:
            return found
    return []


def _whole(
    gpu: Gpu, precision: str, slots: int, tile: StepTile, B: int, H: int, K: int
) -> Schedule | None:
    """The schedule of one launch with that tile, or None if the GPU cannot have it."""
    shared = shared_bytes(precision, slots, tile, K)
    across, groups = -(-H // tile.units), -(-B // tile.rows)
    if shared > gpu.shared_bytes or across > gpu.multiprocessors or _idle(tile, K):
        return None
    groups = min(groups, gpu.multiprocessors // across)
    if across > 1 and not gpu.cooperative:
        return None
    return Schedule(tile, (across, groups), shared, whole=True)


def _stepwise(
    gpu: Gpu, precision: str, slots: int, tile: StepTile, B: int, H: int, K: int
) -> Schedule | None:
    """The schedule of a launch a step with that tile, or None if the GPU cannot have it."""
    shared = shared_bytes(precision, slots, tile, K)
    if tile.resident or shared > gpu.shared_bytes or _idle(tile, K):
        return None
    groups = min(-(-B // tile.rows), MOST_GROUPS)
    return Schedule(tile, (-(-H // tile.units), groups), shared, whole=False)


def _idle(tile: StepTile, K: int) -> bool:
    """Whether a tile has room for more pieces than a warp takes, and the one that is multiplied."""
    return tile.stages > 1 + -(-K // (WARPS * tile.depth))


def nanoseconds(gpu: Gpu, s: Schedule, precision: str, slots: int, B: int, K: int) -> float:
    """What a step takes, estimated."""
    rows, columns, blocks = s.tile.rows, slots * s.tile.units, s.grid[0] * s.grid[1]
    turns = -(-blocks // gpu.multiprocessors)  # all blocks at work, or in turns
    lines = rows + (0 if s.tile.resident else columns)
    fetched = blocks / turns * lines * K * ELEMENT_BYTES[precision]
    once = PASS + FETCHED * fetched + SUMMED * rows * columns
    once += PAIRED * max(rows * s.tile.units, THREADS)
    once += MULTIPLIED[precision] * rows * columns * K
    if precision in ("float32", "float64"):
        # A lane has every eighth row and every fourth column: see WarpTile in formats.cuh.
        once += FED[precision] * (8 * columns + 4 * rows) * K
    else:
        once += FED[precision] * (rows + columns) * K
    passes = -(-B // (rows * s.grid[1]))
    return float(turns * ((MEETING if s.grid[0] > 1 else 0.0) + passes * once))


def step_depth(precision: str, K: int) -> int:
    """How much of K a warp takes at a time: that with which the busiest warp has least to do."""
    return min(DEPTHS[precision], key=lambda d: (-(-K // (WARPS * d)) * d, -d))


def tiles_of(precision: str, slots: int) -> Iterator[StepTile]:
    """Every tile that a cell's product may be cut into, those of few units first.

    slots   columns of the product for each unit: slots fed by h forward, 1 backward
    """
    lanes = 4 if precision in ("float32", "float64") else 8  # columns come in multiples of it
    for units in (*FEW_UNITS, *UNITS) if slots > MANY_SLOTS else UNITS:
        columns = slots * units
        for rows in ROWS:
            if rows == 8 and lanes == 8:  # the tensor cores take 16
                continue
            # A cell of many slots has no smaller tile than its fewest rows.
            room = 2 if slots > MANY_SLOTS and rows == 2 * lanes else 1
            if columns % lanes or rows * columns > room * 32 * MOST_SUMS[precision]:
                continue
            if rows * units > MOST_PAIRS:
                continue
            for resident in (True, False):
                for depth in DEPTHS[precision]:
                    for stages in STAGES:
                        yield StepTile(rows, units, depth, stages, resident)


def shared_bytes(precision: str, slots: int, tile: StepTile, K: int) -> int:
    """The shared memory of a block, as `Share` in share.cuh lays it out."""
    rows, units, depth, stages, resident = tile
    columns, element = slots * units, ELEMENT_BYTES[precision]
    pieces = stages * (rows if resident else rows + columns) * (depth * element + PAD_BYTES)
    sums = rows * sum_stride(precision, columns) * (8 if precision == "float64" else 4)
    weights = columns * (-(-K // depth) * depth * element + PAD_BYTES) if resident else 0
    return WARPS * max(pieces, sums) + weights


def sum_stride(precision: str, columns: int) -> int:
    """From one row of a warp's sums to the next: `Share::SUM_STRIDE`."""
    spread = 4 if precision in ("float32", "float64") else 8
    return columns + (0 if columns % (2 * spread) else spread)
