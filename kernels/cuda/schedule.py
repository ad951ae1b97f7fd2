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
from minirnn.kernels.cuda.products import ELEMENT_BYTES, PADDING
from minirnn.kernels.cuda.source import StepTile

WARPS = THREADS // 32
ROWS, UNITS, DEPTHS = (8, 16, 32, 64), (4, 8, 16, 32), (128, 64, 32)
MOST_GROUPS = 65535  # of sequences: the second dimension of a grid ends there
MANY_SLOTS, FEW_UNITS = 8, (1, 2)  # of a cell with more slots, a block may own fewer units
# Sums that a lane holds at once; more would not leave registers for the rest.
MOST_SUMS = {"float32": 48, "float64": 16, "tf32": 48, "bfloat16": 48, "float16": 48}


# What a step takes of a multiprocessor, in cycles, to choose by: the wait for h and for the others,
# multiply-adds a cycle, and bytes of weights a cycle from the second-level cache. Estimates.
WAIT = 2500
MULTIPLY_ADDS = {"float32": 128, "float64": 64, "tf32": 512, "bfloat16": 1024, "float16": 1024}
CACHED_BYTES = 32


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
    for depth in (d for d in DEPTHS if d <= step_depth(precision, slots, K)):
        tiles = [t for t in tiles_of(precision, slots) if t.depth == depth]
        found = [s for t in tiles if whole and (s := _whole(gpu, precision, slots, t, B, H, K))]
        if not found:
            found = [s for t in tiles if (s := _stepwise(gpu, precision, slots, t, B, H, K))]
        if found:
            return min(found, key=lambda s: _cycles(gpu, s, precision, slots, B, K))
    raise DeviceError(
        "device", f"'cuda' with {gpu.shared_bytes:,} bytes of shared memory for a block",
        f"enough for a cell of {slots} slots fed by h, in {precision}", "Use the CPU for it",
    )  # fmt: skip


def _whole(
    gpu: Gpu, precision: str, slots: int, tile: StepTile, B: int, H: int, K: int
) -> Schedule | None:
    """The schedule of one launch with that tile, or None if the GPU cannot have it."""
    shared = shared_bytes(precision, slots, tile, K)
    across, groups = -(-H // tile.units), -(-B // tile.rows)
    if shared > gpu.shared_bytes or across > gpu.multiprocessors:
        return None
    groups = min(groups, gpu.multiprocessors // across)
    if across * groups > 1 and not gpu.cooperative:
        return None
    return Schedule(tile, (across, groups), shared, whole=True)


def _stepwise(
    gpu: Gpu, precision: str, slots: int, tile: StepTile, B: int, H: int, K: int
) -> Schedule | None:
    """The schedule of a launch a step with that tile, or None if the GPU cannot have it."""
    shared = shared_bytes(precision, slots, tile, K)
    if tile.resident or shared > gpu.shared_bytes:
        return None
    groups = min(-(-B // tile.rows), MOST_GROUPS)
    return Schedule(tile, (-(-H // tile.units), groups), shared, whole=False)


def _cycles(gpu: Gpu, s: Schedule, precision: str, slots: int, B: int, K: int) -> float:
    """What a step takes, estimated."""
    passes = -(-B // (s.tile.rows * s.grid[1]))
    columns = slots * s.tile.units
    once = s.tile.rows * columns * K / MULTIPLY_ADDS[precision]
    if not s.tile.resident:
        once += columns * K * ELEMENT_BYTES[precision] / CACHED_BYTES
    turns = -(-s.grid[0] * s.grid[1] // gpu.multiprocessors)  # all blocks at work, or in turns
    return turns * (WAIT + passes * (WAIT / 2 + once))


def step_depth(precision: str, slots: int, K: int) -> int:
    """How much of K a warp takes at a time: little enough to occupy all, enough to be worth it."""
    if K <= WARPS * 32:
        return 32
    # Many rows of weights that cannot stay in shared memory need their room while they pass.
    crowded = slots >= 3 and K > WARPS * 128
    return 64 if K <= WARPS * 64 or precision == "float64" or crowded else 128


def tiles_of(precision: str, slots: int) -> Iterator[StepTile]:
    """Every tile that a cell's product may be cut into, those of few units first.

    slots   columns of the product for each unit: slots fed by h forward, 1 backward
    """
    lanes = 4 if precision in ("float32", "float64") else 8  # columns come in multiples of it
    for units in (*FEW_UNITS, *UNITS) if slots > MANY_SLOTS else UNITS:
        columns = slots * units
        for resident in (True, False):
            for rows in ROWS:
                for depth in DEPTHS:
                    if columns % lanes or rows * columns > 32 * MOST_SUMS[precision]:
                        continue
                    if rows == 8 and lanes == 8:  # the tensor cores take 16
                        continue
                    # More would not have its numbers in registers while they are on their way.
                    if depth == 128 and (precision == "float64" or rows == 64):
                        continue
                    if depth == 64 and precision == "float64" and rows > 16:
                        continue
                    yield StepTile(rows, units, depth, resident)


def shared_bytes(precision: str, slots: int, tile: StepTile, K: int) -> int:
    """The shared memory of a block, as `Share` in sequence.cuh lays it out."""
    rows, units, depth, resident = tile
    columns, pad = slots * units, PADDING[precision]
    element, real = ELEMENT_BYTES[precision], 8 if precision == "float64" else 4
    sums = WARPS * rows * columns * real
    staged = WARPS * rows * (depth + pad) * element
    span = WARPS * depth
    if resident:
        weights = columns * (-(-K // span) * span + pad) * element
    else:
        weights = WARPS * columns * (depth + pad) * element
    return sums + staged + weights
