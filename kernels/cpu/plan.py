"""What a call works with: the compiled kernels, the sizes, and how the work is cut up."""

from __future__ import annotations

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
    addresses: Array  # of what they call, see `product.ROUTINES`
    layout: Layout
    lanes: int
    slots: int
    no_bias: Array  # (0,) and (0, 0): stand for a bias or a weight gradient that is not there
    no_weight: Array
    dtype: np.dtype[Any]

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
        width = len(layout.order) * layout.vectors * self.lanes * self.dtype.itemsize
        return panel_rows(steps, B, width)


@cache
def plan_of(cell: Cell, dtype: np.dtype[Any]) -> Plan:
    """The plan of a cell in a dtype; compiles on the first call."""
    from minirnn.kernels.cpu import build, product

    kernels, layout = build.kernels_of(cell, dtype.name), layout_of(cell)
    return Plan(
        kernels,
        kernels.addresses,
        layout,
        product.lanes_of(dtype.name),
        len(cell.slots),
        np.empty(0, dtype),
        np.empty((0, 0), dtype),
        dtype,
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


NOTHING = Slice(0, 0, 0, 0)

# A step's product is bound by reading the weights below so many rows, for weights in a core's own
# cache, or beyond it; measured. And what a meeting of a team costs, in multiply-adds of vectors.
ROWS_IN_CACHE, ROWS_BEYOND = 3, 8
CACHE_BYTES = 1 << 20
MEETING = 600


# What the threads of a call meet at and count in, places in an array of int64: in every step, if
# they are a team; between phases; and for each part of backward how many pieces of its products
# are taken. In different cache lines, but for the last.
PHASES, COUNTERS = 8, 16  # steps: 0
PIECES = 4  # of the products over time and batch, for each thread


def meeting_place(parts: int = 0) -> Array:
    """A new one, for so many parts of backward."""
    return np.zeros(COUNTERS + parts, np.int64)


class Cut(NamedTuple):
    """The sequence loop cut for its work; to be released when the call is over.

    Threads that meet need all to be at work, and those of two calls could keep one another from
    starting: so one call at a time in a process has several, and a second one stays in its own.
    """

    slices: list[Slice]  # of rows of the batch, or of units, for a team
    products: int  # threads that products after the loop are worth
    team: int  # how many threads meet at every step: all if the slices are of units, otherwise 1
    reserved: bool = False

    def release(self) -> None:
        """Let others have several threads."""
        if self.reserved:
            threads.release_team()


def cut_up(plan: Plan, sizes: Sizes, operations: float, products: float = 0.0) -> Cut:
    """Cut the sequence loop for so much work, and for so much in products that follow."""
    vectors = sizes.HP // plan.lanes
    if threads.is_small(max(operations, products)):  # most often, where microseconds count
        return Cut([Slice(0, sizes.B, 0, vectors)], 1, 1)
    count, others = threads.parts(operations), threads.parts(products)
    if max(count, others) == 1 or not threads.reserve_team():
        return Cut([Slice(0, sizes.B, 0, vectors)], 1, 1)
    edges = _cut_units(plan, sizes, count) if count > 1 else []
    if edges:
        units = [Slice(0, sizes.B, *pair) for pair in pairwise(edges)]
        return Cut(units, others, len(units), True)
    by_rows = min(count, sizes.B)
    rows = [sizes.B * i // by_rows for i in range(by_rows + 1)]
    return Cut([Slice(*pair, 0, vectors) for pair in pairwise(rows)], others, 1, True)


def _cut_units(plan: Plan, sizes: Sizes, count: int) -> list[int]:
    """Where to cut the units, in vectors; empty if cutting the batch is no slower."""
    vectors, U = sizes.HP // plan.lanes, plan.layout.vectors
    panels = -(-vectors // U)
    team = min(count, threads.cores(), panels)

    def cost(rows: int, panels: int) -> float:
        products = panels * U * plan.layout.fed_by_h * sizes.H
        in_cache = products * plan.lanes * plan.dtype.itemsize <= CACHE_BYTES
        return max(rows, ROWS_IN_CACHE if in_cache else ROWS_BEYOND) * products

    rows = -(-sizes.B // min(count, sizes.B))
    if team == 1 or cost(sizes.B, -(-panels // team)) + MEETING >= cost(rows, panels):
        return []
    return [min(panels * i // team * U, vectors) for i in range(team)] + [vectors]
