"""Where the time of kernel calls goes on the GPU: phases as ranges for Nsight, and timed by events.

    with clock.measured() as times:
        ...
    times.forward["recurrent loop"]     # seconds

An event tells when the GPU came to it, so a phase's time is the GPU's: what it computed, and what
it waited for the next launch. While nothing measures, a phase costs two calls into NVTX and records
no event.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from minirnn.kernels.phases import Times

_lock = threading.Lock()
_measuring: list[Times] = []


@contextmanager
def measured() -> Iterator[Times]:
    """Measure every kernel call inside the block, whichever thread makes it.

    The events are read when the block ends, which waits for the GPU.
    """
    times = Times()
    with _lock:
        _measuring.append(times)
    try:
        yield times
    finally:
        with _lock:
            _measuring.remove(times)
            pending = [p for p in _pending if p.times is times]
            for p in pending:
                _pending.remove(p)
        for p in pending:
            p.read()


class _Pending:
    """Events of one phase, or of a whole call (phase None), that are still to be read."""

    def __init__(self, times: Times, which: str, phase: str | None, start: Any, end: Any) -> None:
        self.times, self.which, self.phase, self.start, self.end = times, which, phase, start, end

    def read(self) -> None:
        import cupy

        self.end.synchronize()
        seconds = cupy.cuda.get_elapsed_time(self.start, self.end) / 1e3
        if self.phase is None:
            self.times.kernel[self.which] += seconds
            self.times.calls += 1
        else:
            by_phase = getattr(self.times, self.which)
            by_phase[self.phase] = by_phase.get(self.phase, 0.0) + seconds


_pending: list[_Pending] = []

_Place = tuple[tuple[Times, ...], str, str]  # who listens, the pass, the phase

_place: ContextVar[_Place | None] = ContextVar("place", default=None)


class Watch:
    """One kernel call: `with watch.phase("input product"): ...`, and `stop` at its end."""

    def __init__(self, which: str) -> None:
        """`which` is "forward" or "backward"."""
        import cupy

        self._which = which
        self._nvtx = cupy.cuda.nvtx
        self._event = cupy.cuda.Event
        self._listeners = tuple(_measuring)
        self._start = self._now() if self._listeners else None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What is launched inside counts as a phase of `minirnn.kernels.phases.PHASES`."""
        self._nvtx.RangePush(f"minirnn {self._which}: {name}")
        if not self._listeners:
            try:
                yield
            finally:
                self._nvtx.RangePop()
            return
        start, token = self._now(), _place.set((self._listeners, self._which, name))
        try:
            yield
        finally:
            _place.reset(token)
            self._nvtx.RangePop()
            self._note(name, start)

    def stop(self) -> None:
        """The call has launched all that it had to."""
        if self._start is not None:
            self._note(None, self._start)

    def _now(self) -> Any:
        event = self._event()
        event.record()
        return event

    def _note(self, phase: str | None, start: Any) -> None:
        end = self._now()
        with _lock:
            for times in self._listeners:
                if times in _measuring:
                    _pending.append(_Pending(times, self._which, phase, start, end))


def launched(count: int = 1) -> None:
    """Count launches in the phase that they belong to, if anybody measures."""
    place = _place.get()
    if place is None:
        return
    listeners, which, phase = place
    with _lock:
        for times in listeners:
            launches = times.launches[which]
            launches[phase] = launches.get(phase, 0) + count
