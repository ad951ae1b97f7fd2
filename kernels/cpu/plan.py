"""What a call works with: the compiled kernels, the sizes, and how the work is cut up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array
from minirnn.kernels.cpu import threads
from minirnn.kernels.cpu.layout import Layout, layout_of, panel_rows

# Rows of x, h and dz that the weight gradients take at a time: they stay in the cache while every
# row of the weights passes over them.
GRADIENT_ROWS = 256

NO_LENGTHS = np.zeros(1, dtype=np.int64)


def plain(array: Array) -> Array:
    """The array as the kernels take it: C-contiguous, aligned, writable; copied if it is not."""
    return array if array.flags.carray else np.array(array, order="C")


class Plan(NamedTuple):
    """What depends only on the cell and the dtype."""

    kernels: Any  # `build.Kernels`
    shared: Any  # `build.Shared`
    routines: Array
    layout: Layout
    lanes: int
    slots: int
    x_blocks: Array  # (nx,) int64, see `Layout`
    h_blocks: Array
    no_bias: Array  # (0,) and (0, 0): stand for a bias or a weight gradient that is not there
    no_weight: Array
    one: Array

    @property
    def tiled_width(self) -> int:
        """Columns of dz that are packed for the weight gradients; 0 if a panel is one tile."""
        from minirnn.kernels.cpu.product import WIDEST

        vectors = self.slots * self.layout.vectors
        return vectors * self.lanes if vectors > WIDEST else 0

    def panels(self, HP: int) -> int:
        """How many panels hold so many units."""
        return -(-HP // (self.lanes * self.layout.vectors))

    def z_rows(self, steps: int, B: int) -> int:
        """Rows in a panel of z for so many steps."""
        layout = self.layout
        width = len(layout.order) * layout.vectors * self.lanes * self.one.itemsize
        return panel_rows(steps, B, width)


@cache
def plan_of(cell: Cell, dtype: np.dtype[Any]) -> Plan:
    """The plan of a cell in a dtype; compiles on the first call."""
    from minirnn.kernels.cpu import build, product

    shared, layout = build.shared_of(dtype.name), layout_of(cell)
    return Plan(
        build.kernels_of(cell, dtype.name),
        shared,
        shared.routines,
        layout,
        product.lanes_of(dtype.name),
        len(cell.slots),
        np.array(layout.x_blocks, dtype=np.int64),
        np.array(layout.h_blocks, dtype=np.int64),
        np.empty(0, dtype),
        np.empty((0, 0), dtype),
        np.ones(1, dtype),
    )


class Sizes(NamedTuple):
    """The sizes of a call; HP is H in whole vectors."""

    T: int
    B: int
    width: int  # I
    H: int
    HP: int


class Slice(NamedTuple):
    """A thread's share of the sequence loop: rows of the batch, vectors of units."""

    first: int
    last: int
    v0: int
    v1: int


# A step's product is bound by reading the weights below so many rows, for weights in a core's own
# cache, or beyond it; measured. And what a meeting of a team costs, in multiply-adds of vectors.
ROWS_IN_CACHE, ROWS_BEYOND = 3, 8
CACHE_BYTES = 1 << 20
MEETING = 600


@contextmanager
def sliced(plan: Plan, sizes: Sizes, operations: float) -> Iterator[list[Slice]]:
    """The sequence loop cut for so much work: by rows of the batch, or by units, for a team."""
    vectors = sizes.HP // plan.lanes
    count = threads.parts(1 << 30, operations)
    if count == 1:
        yield [Slice(0, sizes.B, 0, vectors)]
        return
    edges = _cut_units(plan, sizes, count)
    if not edges or not threads.reserve_team():
        by_rows = min(count, sizes.B)
        rows = [sizes.B * i // by_rows for i in range(by_rows + 1)]
        yield [Slice(*pair, 0, vectors) for pair in pairwise(rows)]
        return
    try:
        yield [Slice(0, sizes.B, *pair) for pair in pairwise(edges)]
    finally:
        threads.release_team()


def _cut_units(plan: Plan, sizes: Sizes, count: int) -> list[int]:
    """Where to cut the units, in vectors; empty if cutting the batch is no slower."""
    vectors, U = sizes.HP // plan.lanes, plan.layout.vectors
    panels = -(-vectors // U)
    team = min(count, threads.cores(), panels)

    def cost(rows: int, panels: int) -> float:
        products = panels * U * plan.layout.fed_by_h * sizes.H
        in_cache = products * plan.lanes * plan.one.itemsize <= CACHE_BYTES
        return max(rows, ROWS_IN_CACHE if in_cache else ROWS_BEYOND) * products

    rows = -(-sizes.B // min(count, sizes.B))
    if team == 1 or cost(sizes.B, -(-panels // team)) + MEETING >= cost(rows, panels):
        return []
    return [min(panels * i // team * U, vectors) for i in range(team)] + [vectors]


def is_team(cut: list[Slice]) -> bool:
    """Whether the slices are of units, so that they wait for one another."""
    return len(cut) > 1 and cut[0].last == cut[1].last


def run_slices(work: Callable[[Slice, Array, int], None], cut: list[Slice]) -> None:
    """Call `work(slice, barrier, team)` for all slices at once."""
    barrier = np.zeros(1, np.int64)
    team = len(cut) if is_team(cut) else 1
    threads.run_each(lambda i: work(cut[i], barrier, team), len(cut), barrier)
