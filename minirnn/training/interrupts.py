"""Ctrl-C during training, so that it is never lost.

Python raises KeyboardInterrupt wherever the program happens to be, and where that is a `__del__` it
is printed and ignored: a tape lets go of its nodes there, thousands of times a second. Here the
signal is remembered, and training asks after every batch.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Interrupts:
    """Remembers SIGINT within its `with` block; `check` raises what was lost.

    It steps in for Python's own handler alone, in the main thread alone, and puts it back.
    """

    def __init__(self) -> None:
        self._seen = False
        self._stands_in = False

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._stands_in = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stands_in:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._stands_in = False

    def check(self) -> None:
        """Raises: KeyboardInterrupt if there was one, whatever became of it."""
        if self._seen:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._seen = True
        while frame is not None:
            if frame.f_code.co_name == "__del__":
                return  # where it would be ignored, with a traceback on the user's screen
            frame = frame.f_back
        raise KeyboardInterrupt
