"""The GPU at hand, and what it allows."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

NULL = np.uintp(0)  # a null pointer, as a kernel's argument


class Gpu(NamedTuple):
    """What the kernels need to know of a GPU."""

    target: str  # what to compile for, such as "sm_90"
    multiprocessors: int
    shared_bytes: int  # the most shared memory that a block can have
    cooperative: bool  # whether all blocks of a launch can be made to be at work at once


def current() -> Gpu:
    """The current CUDA device of this thread."""
    import cupy

    return _gpu(cupy.cuda.runtime.getDevice())


@cache
def _gpu(number: int) -> Gpu:
    import cupy

    runtime = cupy.cuda.runtime

    def attribute(name: str) -> int:
        return int(runtime.deviceGetAttribute(getattr(runtime, f"cudaDevAttr{name}"), number))

    return Gpu(
        f"sm_{cupy.cuda.Device(number).compute_capability}",
        attribute("MultiProcessorCount"),
        attribute("MaxSharedMemoryPerBlockOptin"),
        bool(attribute("CooperativeLaunch")),
    )


def constant(values: tuple[int, ...]) -> Any:
    """A small array of int64 on the current device, made once."""
    import cupy

    return _constant(values, cupy.cuda.runtime.getDevice())


@cache
def _constant(values: tuple[int, ...], device: int) -> Any:
    import cupy

    array = cupy.array(values, dtype=np.int64)
    cupy.cuda.get_current_stream().synchronize()  # other streams will read it too
    return array
