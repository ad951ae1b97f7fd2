"""Times on the GPU's own clock, and memory that shows what was not written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Call = Callable[[int], object]  # with the number of the set of inputs to use

TURN = 0.01  # seconds that a turn lasts at least
MOST_SETS = 32
CACHES = 3  # the sets of inputs together are so many times the second-level cache


def sets_to_rotate(nbytes: int) -> int:
    """How many sets of inputs of `nbytes` it takes so that none waits for its turn in the cache."""
    import cupy

    runtime = cupy.cuda.runtime
    cache = runtime.deviceGetAttribute(runtime.cudaDevAttrL2CacheSize, runtime.getDevice())
    return max(1, min(MOST_SETS, math.ceil(CACHES * cache / max(1, nbytes))))


class OnGpu:
    """A turn of as many calls as fill `seconds` between two events; its reading is seconds a call.

    sets     of inputs, which take turns from call to call
    around   a context in which all calls are made, such as a precision
    """

    def __init__(
        self, call: Call, sets: int, around: Callable[[], Any], seconds: float = TURN
    ) -> None:
        self.call, self.sets, self.around = call, sets, around
        self.next = 0
        self.issued: list[
            float
        ] = []  # the host's share of every turn: near 1, the GPU waits for it
        with around():
            self._timed(2)  # loads kernels, fills pools
            took, calls = self._timed(1)[0], 1
            while took < seconds / 4:
                calls *= 2
                took = self._timed(calls)[0]
        self.calls = max(1, math.ceil(calls * seconds / took))
        self.seconds = took / calls  # a first reading: how long a turn will be

    def __call__(self) -> float:
        with self.around():
            took, host = self._timed(self.calls)
        self.issued.append(min(1.0, host / took))
        return took / self.calls

    def _timed(self, calls: int) -> tuple[float, float]:
        """Seconds between events around some calls, and those that the host was busy with them."""
        import cupy

        stream = cupy.cuda.get_current_stream()
        stream.synchronize()
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        began = time.perf_counter()
        start.record()
        for _ in range(calls):
            self.call(self.next)
            self.next = (self.next + 1) % self.sets
        end.record()
        host = time.perf_counter() - began
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(start, end)) / 1e3, host


@contextmanager
def poisoned() -> Iterator[None]:
    """Inside, whatever CuPy allocates is NaN: an element that nobody writes cannot pass for 0."""
    import cupy

    before = cupy.cuda.get_allocator()
    cupy.cuda.set_allocator(poisoning(cupy.get_default_memory_pool().malloc))
    try:
        yield
    finally:
        cupy.cuda.set_allocator(before)


def poisoning(allocate: Callable[[int], Any]) -> Callable[[int], Any]:
    """An allocator of CuPy's that fills what another one gives: with NaN in every float format."""
    import cupy

    def filled(size: int) -> Any:
        pointer = allocate(size)
        if size:
            pointer.memset_async(0xFF, size, cupy.cuda.get_current_stream())
        return pointer

    return filled
