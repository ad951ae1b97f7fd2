"""The GPU, for the profiler."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

from minirnn.kernels.phases import Times
from minirnn.profiling import gpu_peak
from minirnn.profiling.peak import Peak
from minirnn.profiling.torch_like_ours import float32_products, on_cupys_stream


class Cuda:
    """A `Device`: its work is done some time after a call returns, so events tell the time.

    A mark is an event on CuPy's current stream, which holds the moment when the GPU came to it. The
    first mark of a pass is made when the GPU has nothing left to do, so the time between two
    includes whatever the GPU waits for the host in between.
    """

    name = "cuda"
    apart = True

    @property
    def kernels(self) -> ModuleType:
        """The kernel set of CuPy's arrays."""
        from minirnn.kernels import cuda

        return cuda

    def settle(self) -> None:
        """Wait for the current stream."""
        import cupy

        cupy.cuda.get_current_stream().synchronize()

    def mark(self) -> Any:
        """An event, recorded now."""
        import cupy

        event = cupy.cuda.Event()
        event.record()
        return event

    def seconds(self, start: Any, end: Any) -> float:
        """Between two events."""
        import cupy

        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(start, end)) / 1e3

    def clock(self) -> AbstractContextManager[Times]:
        """The clock of events around the phases."""
        from minirnn.kernels.cuda import clock

        return clock.measured()

    @contextmanager
    def compilations(self) -> Iterator[Callable[[], int]]:
        """Counts the kernels that were compiled or loaded."""
        from minirnn.kernels.cuda import build

        yield build.loaded

    def measure_peak(self, dtype: str) -> Peak:
        """Multiply-adds in the format that products have now, and copying."""
        return gpu_peak.measure_peak(dtype)

    def better_peak(self, measured: Peak) -> Peak:
        """The better of two moments is nearer to what the GPU can do."""
        again = gpu_peak.multiply_add_peak(gpu_peak.format_of(measured.dtype))
        return replace(measured, gflops=max(measured.gflops, again))

    def held(self) -> int:
        """Bytes in use of CuPy's pool."""
        import cupy

        return int(cupy.get_default_memory_pool().used_bytes())

    def matches_torch(self) -> str:
        """PyTorch has float64, float32 and tf32; what it does in 16 bits is another thing."""
        from minirnn.kernels.cuda import get_matmul_precision

        if not importlib.import_module("torch").cuda.is_available():
            return "it cannot reach the GPU"
        precision = get_matmul_precision()
        if precision in ("bfloat16", "float16"):
            return f"in {precision} it would keep the states in 16 bits too"
        return ""

    @contextmanager
    def torch_like_ours(self, torch: Any, threads: int, exact: bool = False) -> Iterator[None]:
        """PyTorch on CuPy's current stream, multiplying as our kernels do."""
        from minirnn.kernels.cuda import get_matmul_precision, set_matmul_precision

        chosen = get_matmul_precision()
        tf32 = chosen == "tf32" and not exact
        set_matmul_precision("float32" if exact else chosen)
        try:
            with on_cupys_stream(torch), float32_products(torch, tf32):
                yield
        finally:
            set_matmul_precision(chosen)
