"""The cells on NVIDIA GPUs: CUDA C++ from their equations, compiled by NVRTC, run by CuPy.

The way in is `forward`, `backward` and `Stream` (see `minirnn.kernels.contract`); kernels/README.md
tells the files in the order in which to read them. CuPy is imported when a kernel first runs.
"""

from __future__ import annotations

from typing import Literal

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cuda.backward_pass import backward
from minirnn.kernels.cuda.forward_pass import forward
from minirnn.kernels.cuda.precision import (
    MatmulPrecision,
    get_matmul_precision,
    set_matmul_precision,
)
from minirnn.kernels.cuda.stream import stream_of
from minirnn.kernels.staged import plain_cell

__all__ = [
    "MatmulPrecision",
    "Stream",
    "backward",
    "forward",
    "generated_source",
    "get_matmul_precision",
    "set_matmul_precision",
]

Stream = stream_of  # a class to who calls it


def generated_source(
    cell: Cell,
    dtype: str = "float32",
    *,
    precision: MatmulPrecision = "float32",
    direction: Literal["forward", "backward"] = "forward",
) -> str:
    """The text of a module that takes a cell through time, as compiled for a small network."""
    from minirnn.kernels.cuda import schedule, source

    cell = plain_cell(cell)
    precise = "float64" if dtype == "float64" else precision
    slots = len(cell.hidden_slots) if direction == "forward" else 1
    tiles = schedule.tiles_of(precise, slots)
    tile = next(t for t in tiles if t.rows == 16)
    make = source.forward_source if direction == "forward" else source.backward_source
    return make(cell, dtype, precise, tile)
