"""Recording: every recurrent layer that runs inside `record()` leaves a trace.

Recordings nest, and all that are open see a call. They belong to the context (`contextvars`) that
opened them: a call in another thread is not seen. A layer asks `active()`, which is empty most of
the time, and then, for each recording, `begin_call()` once and `add(call, source)` per layer and
direction.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from minirnn.errors import ArgumentError, TraceError
from minirnn.inspect.source import TraceSource
from minirnn.inspect.trace import Trace
from minirnn.real import is_whole

__all__ = ["Recording", "TraceSource", "active", "record"]

_open: ContextVar[tuple[Recording, ...]] = ContextVar("minirnn_recordings", default=())


def active() -> tuple[Recording, ...]:
    """The recordings open in this context, outermost first; empty when nobody records."""
    return _open.get()


def record(keep_last: int | None = None) -> Recording:
    """Record every recurrent layer that runs inside the `with` block.

        with minirnn.record() as recording:
            loss = minirnn.mse_loss(model(x), y)
            loss.backward()
        trace = recording.traces[0]

    keep_last: how many calls (of a recurrent layer) to keep; older traces and their buffers are
    let go. None keeps all. What is kept is what backpropagation keeps anyway, in buffers that stay
    alive with the trace, plus copies of the weights and of the user's x: see `Recording.nbytes`.

    Raises: ArgumentError for a `keep_last` that is not a positive integer.
    """
    return Recording(keep_last)


class Recording:
    """The traces of the calls made while it was open. Made by `record`."""

    def __init__(self, keep_last: int | None = None) -> None:
        if keep_last is not None and (not is_whole(keep_last) or keep_last < 1):
            raise ArgumentError("keep_last", repr(keep_last), "a positive integer or None")
        self.keep_last = keep_last
        self._calls = 0
        self._traces: list[Trace] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        recordings = _open.get()
        if self in recordings:
            raise TraceError("this recording is already open")
        _open.set((*recordings, self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Not a token's reset: a generator may close its recordings in another order.
        _open.set(tuple(recording for recording in _open.get() if recording is not self))

    @property
    def traces(self) -> tuple[Trace, ...]:
        """The traces, ordered by call, then layer, then direction (forward before reverse)."""
        with self._lock:
            traces = list(self._traces)
        return tuple(sorted(traces, key=lambda trace: (trace.call, trace.layer, trace.reverse)))

    @property
    def calls(self) -> int:
        """How many calls of recurrent layers were seen, kept or not."""
        return self._calls

    @property
    def nbytes(self) -> int:
        """Bytes that the kept traces hold; an array that traces share counts once."""
        held: dict[int, int] = {}
        for trace in self.traces:
            held.update(trace.buffers())
        return sum(held.values())

    def begin_call(self) -> int:
        """Number a call that begins; lets go of the traces that `keep_last` no longer covers."""
        with self._lock:
            call = self._calls
            self._calls += 1
            if self.keep_last is not None:
                oldest = self._calls - self.keep_last
                self._traces = [trace for trace in self._traces if trace.call >= oldest]
            return call

    def add(self, call: int, source: TraceSource) -> None:
        """Keep one layer and direction of the call of that number, after its forward pass."""
        trace = Trace(source.kept(), call)
        with self._lock:
            if self.keep_last is None or call >= self._calls - self.keep_last:
                self._traces.append(trace)

    def __repr__(self) -> str:
        state = "open" if self in _open.get() else "closed"
        return f"<Recording: {len(self._traces)} traces of {self._calls} calls, {state}>"
