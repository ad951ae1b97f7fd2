"""Where a cell's slots lie in memory: in panels, so that a product's tile is also a cell's input.

A panel holds all slots of a few units, for every step and sequence:

  z  (panels, rows, width)    rows = T * B, and perhaps a few more; width = slots * units of a panel

In a row of a panel, slot after slot has its vectors of units, in the order of `slots`: what a
product with x fills is the first part of a row and what a product with h fills is the last; the row
just filled holds everything that the cell's equations need for its units, in the cache; and the
rows of a panel, one after the other through time and batch, are already the packed operand of the
weight gradients.

H hidden size, V elements in a vector, HP = H padded to whole vectors; all panels are equally wide
but the last, which may hold fewer units.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.slots import slot_order

# A cell of few slots shares a panel among several vectors of units, up to so many vectors in all:
# the width of a tile, or, where vectors are narrow, of several, since a product over dz goes panel
# by panel and each has to be worth beginning.
PANEL_VECTORS, NARROW_PANEL_VECTORS = 4, 16
# Rows of z that the input product fills at a time, so that they are in the cache when the recurrent
# product comes to them, and W is read once for so many; more where all h are known, and both
# products go over the same rows. A thread with at least half so many sequences goes step by step.
CHUNK_ROWS, KNOWN_ROWS = 32, 192
# Up to so many sequences the equations of one panel, a chain of operations that wait for one
# another, run together with those of the others.
FEW_ROWS = 2


class Layout(NamedTuple):
    """The order of a cell's slots in a row of a panel (see `slots`), and a panel's width."""

    order: tuple[str, ...]  # slots as they lie in a row
    fed_by_x: int  # the first so many of them
    fed_by_h: int  # the last so many
    vectors: int  # vectors of units in a full panel
    x_blocks: tuple[int, ...]  # block of weight_ih for each slot fed by x, in row order
    h_blocks: tuple[int, ...]  # block of weight_hh for each slot fed by h, in row order

    def place(self, slot: str) -> int:
        """Position of a slot in a row."""
        return self.order.index(slot)


@cache
def layout_of(cell: Cell) -> Layout:
    """The layout of a cell; independent of dtype and sizes."""
    from minirnn.kernels.cpu.vector import vector_bytes  # late: it imports LLVM

    panel = PANEL_VECTORS if vector_bytes() == 64 else NARROW_PANEL_VECTORS
    order, fed_by_x, fed_by_h, x_blocks, h_blocks = slot_order(cell)
    vectors = max(1, panel // len(order))
    return Layout(order, fed_by_x, fed_by_h, vectors, x_blocks, h_blocks)


# Panels that begin at the same place of a cache's sets would drive each other out of it, and a
# power of two in T or B makes them do so: such panels are moved apart by so many bytes.
SAME_PLACE = 1 << 14
APART = (1 << 13) + 64


def panel_rows(steps: int, B: int, width_bytes: int) -> int:
    """How many rows to set aside for a panel of so many steps, a row being so wide."""
    rows = steps * B
    if rows == 0 or rows * width_bytes % SAME_PLACE:
        return rows
    return rows + -(-APART // width_bytes)
