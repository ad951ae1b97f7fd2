"""The order in which a cell's slots lie in memory, the same on every device.

Slots fed by x alone come first, then those fed by both, then those fed by h alone. So what a
product with x fills is the first part of a row and what a product with h fills is the last part,
whichever cell it is.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from minirnn.kernels.cells.cell import Cell


class SlotOrder(NamedTuple):
    """The order of a cell's slots in a row, and what each product feeds."""

    slots: tuple[str, ...]  # as they lie in a row
    fed_by_x: int  # the first so many of them
    fed_by_h: int  # the last so many
    x_blocks: tuple[int, ...]  # block of weight_ih for each slot fed by x, in row order
    h_blocks: tuple[int, ...]  # block of weight_hh for each slot fed by h, in row order

    def place(self, slot: str) -> int:
        """Position of a slot in a row."""
        return self.slots.index(slot)


@cache
def slot_order(cell: Cell) -> SlotOrder:
    """The order of a cell's slots."""
    rank = {"x": 0, "xh": 1, "h": 2}
    slots = tuple(sorted(cell.slots, key=lambda s: rank[cell.slots[s]]))  # sorted is stable
    fed_by_x, fed_by_h = len(cell.input_slots), len(cell.hidden_slots)
    return SlotOrder(
        slots,
        fed_by_x,
        fed_by_h,
        tuple(cell.input_slots.index(s) for s in slots[:fed_by_x]),
        tuple(cell.hidden_slots.index(s) for s in slots[len(slots) - fed_by_h :]),
    )
