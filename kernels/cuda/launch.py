"""Launching: grids, arguments, shared memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.errors import DeviceError
from minirnn.kernels.cuda.clock import launched
from minirnn.kernels.cuda.device import NULL, current

THREADS = 256  # of every block, see formats.cuh
PLAIN_SHARED = 48 << 10  # more shared memory has to be asked for


def launch(kernel: Any, grid: tuple[int, ...], arguments: Sequence[Any], shared: int = 0) -> None:
    """Launch blocks of THREADS on CuPy's current stream.

    arguments   arrays, None for a null pointer, or integers, which are passed as int64
    """
    _ask_for_shared(kernel, shared)
    passed = [NULL if a is None else np.int64(a) if isinstance(a, int) else a for a in arguments]
    kernel(grid, (THREADS,), tuple(passed), shared_mem=shared)
    launched()


def check_all_at_work(
    kernel: Any, grid: tuple[int, int], shared: int, multiprocessors: int
) -> None:
    """Check that all blocks of a cooperative launch can be at work at once.

    CuPy would launch fewer with no more than a warning, and some units would not be computed.

    Raises: DeviceError if they cannot.
    """
    import cupy

    wanted = grid[0] * grid[1]
    key = (kernel, cupy.cuda.runtime.getDevice(), shared)
    if _at_work.get(key, 0) >= wanted:
        return
    _ask_for_shared(kernel, shared)
    each = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
        kernel.kernel.ptr, THREADS, shared
    )
    _at_work[key] = each * multiprocessors
    if _at_work[key] < wanted:
        raise DeviceError(
            "device", f"'cuda' that can have {each * multiprocessors} blocks at work",
            f"{wanted} at once", "minirnn.kernels.cuda.steps.step_by_step() does without",
        )  # fmt: skip


_at_work: dict[tuple[Any, int, int], int] = {}  # by kernel, GPU and shared memory


def _ask_for_shared(kernel: Any, shared: int) -> None:
    """Let a kernel's blocks have so much shared memory."""
    if shared > PLAIN_SHARED and kernel.max_dynamic_shared_size_bytes < shared:
        # All there is, not just `shared`: another thread may be asking for another amount.
        kernel.max_dynamic_shared_size_bytes = current().shared_bytes


def blocks(count: int) -> tuple[int, ...]:
    """A grid with a thread for each of `count`."""
    return (-(-count // THREADS),)
