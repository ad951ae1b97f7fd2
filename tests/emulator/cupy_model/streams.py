"""Streams and events. Everything is done when it is asked for, so nothing is left to wait for."""

from __future__ import annotations

import itertools
import threading
import time
import types

from . import errors

_numbers = itertools.count(0x7000, 16)
_local = threading.local()


def _stack() -> list[Stream]:
    if not hasattr(_local, "stack"):
        _local.stack = [Stream.null]
    return _local.stack


class Stream:
    """Stream(null=False, non_blocking=False, ptds=False, priority=None)"""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.null = null  # type: ignore[misc]
        self.ptds = ptds
        self.ptr = 0 if null else 2 if ptds else next(_numbers)
        self._non_blocking = non_blocking
        self._priority = priority or 0
        self.device_id = 0

    is_non_blocking = property(lambda self: self._non_blocking)
    priority = property(lambda self: self._priority)
    is_capturing = property(lambda self: False)
    done = property(lambda self: True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.ptr == self.ptr

    def __hash__(self) -> int:
        return hash(self.ptr)

    def __enter__(self) -> Stream:
        _stack().append(self)
        return self

    def __exit__(self, *_exception: object) -> None:
        _stack().pop()

    def __repr__(self) -> str:
        return f"<Stream {self.ptr} (device {self.device_id})>"

    def use(self) -> Stream:
        _stack()[-1] = self
        return self

    def synchronize(self) -> None:
        """Wait until all has been done."""

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let what follows wait for the event."""

    def launch_host_func(self, callback, arg) -> None:
        callback(arg)


Stream.__module__ = "cupy.cuda.stream"
Stream.null = Stream(null=True)
Stream.ptds = Stream(ptds=True)


class Event:
    """Event(block=False, disable_timing=False, interprocess=False)"""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.ptr = next(_numbers)
        self._timed = not disable_timing
        self._moment: float | None = None

    done = property(lambda self: True)

    def record(self, stream: Stream | None = None) -> None:
        self._moment = time.perf_counter()

    def synchronize(self) -> None:
        """Wait for the event."""


Event.__module__ = "cupy.cuda.stream"


def get_current_stream(device_id: int = -1) -> Stream:
    return _stack()[-1]


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds between two recorded events."""
    ends = (start_event, end_event)
    if any(one._moment is None or not one._timed for one in ends):
        raise errors.CUDARuntimeError(errors.INVALID_HANDLE)
    return (end_event._moment - start_event._moment) * 1e3


def nvtx() -> types.ModuleType:
    """`cupy.cuda.nvtx`: ranges that a profiler would show. `open_ranges` is the model's own."""
    made = types.ModuleType("cupy.cuda.nvtx")
    made._open_ranges = []

    def push(message, id_color=-1):
        made._open_ranges.append(str(message))

    def pop():
        if not made._open_ranges:
            raise RuntimeError("RangePop without a RangePush")
        made._open_ranges.pop()

    made.RangePush, made.RangePop = push, pop
    made.Mark = lambda message, id_color=-1: None
    made.available = True
    return made
