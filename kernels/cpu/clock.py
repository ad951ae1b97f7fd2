"""Where the time of kernel calls goes, measured inside the compiled loops.

    with clock.measured() as times:
        ...
    times.forward["recurrent loop"]     # seconds

While nothing measures, a kernel looks at one number per phase and reads no clock.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minirnn.kernels.phases import Times

# What the compiled loops add up, by position in their array.
IN_LOOPS = ("input product", "recurrent loop", "pack", "input gradient", "weight gradients")

_lock = threading.Lock()
_measuring: list[Times] = []
_OFF = np.empty(0, np.int64)


def _forget_lock() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


@contextmanager
def measured() -> Iterator[Times]:
    """Measure every kernel call inside the block, whichever thread makes it."""
    times = Times()
    with _lock:
        _measuring.append(times)
    try:
        yield times
    finally:
        with _lock:
            _measuring.remove(times)


class Watch:
    """One kernel call's times; does next to nothing unless somebody measures."""

    __slots__ = ("_on", "_parts", "_phases", "_since", "_start", "_which")

    def __init__(self, which: str) -> None:
        """`which` is "forward" or "backward"."""
        self._on = bool(_measuring)
        if self._on:
            self._which = which
            self._phases: dict[str, float] = {}
            self._parts: list[tuple[Any, str | None]] = []
            self._start = self._since = time.perf_counter()

    def ticks(self, loop_as: str | None = None) -> Any:
        """The array that a compiled loop shall count in; all of it as one phase if named."""
        if not self._on:
            return _OFF
        array = np.zeros(len(IN_LOOPS), np.int64)
        self._parts.append((array, loop_as))
        return array

    def lap(self, phase: str | None = None) -> None:
        """Count the time since the last lap as a phase; None: by what the loops counted."""
        if not self._on:
            return
        now = time.perf_counter()
        took, self._since = now - self._since, now
        if phase is not None:
            self._phases[phase] = self._phases.get(phase, 0.0) + took
            return
        # The ticks tell the shares; what a tick is worth cancels out. Threads count side by side.
        shares: dict[str, int] = {}
        for array, loop_as in self._parts:
            for name, count in zip(IN_LOOPS, array, strict=True):
                name = loop_as or name
                shares[name] = shares.get(name, 0) + int(count)
        self._parts.clear()
        whole = sum(shares.values())
        for name, count in shares.items():
            if count:
                self._phases[name] = self._phases.get(name, 0.0) + took * count / whole

    @contextmanager
    def counting(self, array: Any, phase: str) -> Iterator[None]:
        """Count what one thread does inside as a phase of its array, in nanoseconds."""
        if not self._on:
            yield
            return
        started = time.perf_counter_ns()
        yield
        array[IN_LOOPS.index(phase)] += time.perf_counter_ns() - started

    def stop(self) -> None:
        """Add this call to whoever measures."""
        if not self._on:
            return
        took = time.perf_counter() - self._start
        with _lock:
            for times in _measuring:
                by_phase = getattr(times, self._which)
                for phase, seconds in self._phases.items():
                    by_phase[phase] = by_phase.get(phase, 0.0) + seconds
                times.kernel[self._which] += took
                times.calls += 1
