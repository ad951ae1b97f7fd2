"""The processor, for the profiler."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

from minirnn.kernels.cpu.threads import get_num_threads
from minirnn.kernels.phases import Times
from minirnn.profiling import peak
from minirnn.profiling.peak import Peak


class Cpu:
    """A `Device`: its work is done when a call returns, so the host's clock tells the time."""

    name = "cpu"
    apart = False

    @property
    def kernels(self) -> ModuleType:
        """The kernel set of NumPy's arrays."""
        from minirnn.kernels import cpu

        return cpu

    def settle(self) -> None:
        """There is nothing to wait for."""

    def mark(self) -> float:
        """The host's clock."""
        return time.perf_counter()

    def seconds(self, start: float, end: float) -> float:
        """Between two marks."""
        return end - start

    def clock(self) -> AbstractContextManager[Times]:
        """The clock inside the compiled loops."""
        from minirnn.kernels.cpu import clock

        return clock.measured()

    @contextmanager
    def compilations(self) -> Iterator[Callable[[], int]]:
        """Counts what Numba compiles, or loads from its cache, in whatever thread."""
        from numba.core import event

        with event.install_recorder("numba:compiler_lock") as recorder:
            yield lambda: len(recorder.buffer)

    def measure_peak(self, dtype: str) -> Peak:
        """Multiply-adds and reading, on as many threads as the kernels use."""
        return peak.measure_peak(dtype, get_num_threads())

    def better_peak(self, measured: Peak) -> Peak:
        """The better of two moments is nearer to what the processor can do."""
        return replace(measured, gflops=max(measured.gflops, peak.fma_peak(measured.dtype)))

    def held(self) -> None:
        """The kernels' pool keeps what it had: nothing of use can be told."""

    def matches_torch(self) -> str:
        """Both multiply what they are given."""
        return ""

    @contextmanager
    def torch_like_ours(self, torch: Any, threads: int, exact: bool = False) -> Iterator[None]:
        """PyTorch on as many threads."""
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
