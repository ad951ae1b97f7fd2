"""The cells on the processor: kernels generated from their equations and compiled by Numba.

The way in is `forward`, `backward` and `Stream` (see `minirnn.kernels.contract`); kernels/README.md
tells the files in the order in which to read them.

Numba is imported when a kernel first runs, not when this package is.
"""

from __future__ import annotations

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cpu.backward_pass import backward
from minirnn.kernels.cpu.forward_pass import forward
from minirnn.kernels.cpu.stream import stream_of
from minirnn.kernels.cpu.threads import get_num_threads, set_num_threads
from minirnn.kernels.staged import plain_cell

__all__ = [
    "Stream",
    "backward",
    "forward",
    "generated_source",
    "get_num_threads",
    "set_num_threads",
    "warm_up",
]

Stream = stream_of  # a class to who calls it


def warm_up(cell: Cell, dtype: str = "float32") -> None:
    """Compile (or load) everything that a cell needs in a dtype, ahead of its first use."""
    import numpy as np

    from minirnn.kernels.cpu.plan import plan_of

    plan_of(plain_cell(cell), np.dtype(dtype))


def generated_source(cell: Cell, dtype: str = "float32") -> str:
    """The text of the sequence loop that is compiled for a cell."""
    from minirnn.kernels.cpu.sequence import source

    return source(plain_cell(cell), dtype)
