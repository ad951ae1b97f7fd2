"""What differs between devices when a network is profiled: how time is told, what the peak is.

`device_named` gives one of them; `on_cpu` and `on_cuda` hold the two.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, Protocol

from minirnn.kernels.phases import Times
from minirnn.profiling.peak import Peak


class Device(Protocol):
    """Where a network runs while it is profiled."""

    @property
    def name(self) -> str:
        """As minirnn names it: "cpu" or "cuda"."""

    @property
    def kernels(self) -> ModuleType:
        """The kernel set of its arrays."""

    @property
    def apart(self) -> bool:
        """Whether its memory is apart from the host's, so that arrays have to be moved."""

    def settle(self) -> None:
        """Wait until nothing that was asked for is still to be done."""

    def mark(self) -> Any:
        """The present moment, on the clock of what does the work."""

    def seconds(self, start: Any, end: Any) -> float:
        """Between two marks; waits for the second."""

    def clock(self) -> AbstractContextManager[Times]:
        """The kernels' own clock: what runs inside is told by phase."""

    def compilations(self) -> AbstractContextManager[Callable[[], int]]:
        """Inside, a function that tells how often anything was compiled so far."""

    def measure_peak(self, dtype: str) -> Peak:
        """The most that it can do in a dtype."""

    def better_peak(self, peak: Peak) -> Peak:
        """The same, after the rate of operations was measured once more: the better one counts."""

    def held(self) -> int | None:
        """Bytes of arrays that are alive, where the allocator tells."""

    def matches_torch(self) -> str:
        """Why PyTorch cannot run here as our kernels do now; empty if it can."""

    def torch_like_ours(
        self, torch: Any, threads: int, exact: bool = False
    ) -> AbstractContextManager[None]:
        """Inside, PyTorch computes in the same way, on the same stream or as many threads.

        exact   neither rounds the operands of products, whatever is chosen
        """


def device_named(name: str) -> Device:
    """The device of that name, which `minirnn.device.check_device` knows."""
    if name == "cpu":
        from minirnn.profiling.on_cpu import Cpu

        return Cpu()
    from minirnn.profiling.on_cuda import Cuda

    return Cuda()
