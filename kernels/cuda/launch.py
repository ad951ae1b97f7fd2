"""Launching: grids, arguments, shared memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.kernels.cuda.clock import launched
from minirnn.kernels.cuda.device import NULL

THREADS = 256  # of every block, see product.cuh
PLAIN_SHARED = 48 << 10  # more shared memory has to be asked for


def launch(kernel: Any, grid: tuple[int, ...], arguments: Sequence[Any], shared: int = 0) -> None:
    """Launch blocks of THREADS on CuPy's current stream.

    arguments   arrays, None for a null pointer, or integers, which are passed as int64
    """
    if shared > PLAIN_SHARED and kernel.max_dynamic_shared_size_bytes < shared:
        kernel.max_dynamic_shared_size_bytes = shared
    passed = [NULL if a is None else np.int64(a) if isinstance(a, int) else a for a in arguments]
    kernel(grid, (THREADS,), tuple(passed), shared_mem=shared)
    launched()


def blocks(count: int) -> tuple[int, ...]:
    """A grid with a thread for each of `count`."""
    return (-(-count // THREADS),)
