"""How far a training run is: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from minirnn.errors import ArgumentError
from minirnn.training.callbacks import Callback, Run

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import Progress

PLAIN_LINES = 20  # at most about so many plain lines, however many epochs


@contextmanager
def open_display(progress: bool | TextIO | None) -> Iterator[tuple[Callback, ...]]:
    """The callbacks that show progress: none for False; else one that suits the stream.

    None and True mean stderr, or nothing where that is closed. A stream that is a terminal gets a
    live display, another plain lines.

    Raises: ArgumentError for what is neither a bool nor a stream.
    """
    stream = sys.stderr if progress is None or isinstance(progress, bool) else progress
    if stream is not None and not hasattr(stream, "write"):
        raise ArgumentError("progress", repr(progress), "True, False, or a text stream")
    if progress is False or stream is None:
        yield ()
        return
    if not _is_terminal(stream):
        yield (PlainProgress(stream),)
        return
    live = LiveProgress(stream)
    try:
        yield (live,)
    finally:  # whatever was raised: the terminal's cursor has to come back
        live.close()


def _is_terminal(stream: TextIO) -> bool:
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty()) and os.environ.get("TERM") != "dumb"


class _Clock:
    """Estimates the time left from the batches done since it started, after `epochs` epochs."""

    def __init__(self, epochs: int = 0) -> None:
        self._start = time.perf_counter()
        self._before = epochs

    def passed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    def left(self, run: Run) -> float:
        """Seconds until the last epoch ends, at the pace so far."""
        done = (run.epoch - 1 - self._before) * run.batches + run.batch
        total = (run.epochs - self._before) * run.batches
        return self.passed() / max(done, 1) * (total - done)


class PlainProgress(Callback):
    """One line for the first, the last and about twenty epochs in all, and one for each notice."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream = stream
        self._clock = _Clock()
        self._notices: dict[str, str] = {}

    def training_began(self, run: Run) -> None:
        """Start the clock."""
        self._clock = _Clock(run.epoch)
        self._notices = {}

    def epoch_ended(self, run: Run) -> None:
        """Write the epoch's line."""
        every = math.ceil(run.epochs / PLAIN_LINES)
        last = run.history.epochs[-1]
        if last.number in (1, run.epochs) or not last.number % every or not last.complete:
            left = f"{format_seconds(self._clock.left(run))} left"
            self._write("  ".join([self._epoch(run), *figures(run), left]))
        self._tell_notices(run)

    def _epoch(self, run: Run) -> str:
        return f"epoch {run.epoch:>{len(str(run.epochs))}}/{run.epochs}"

    def _tell_notices(self, run: Run) -> None:
        """A line for each notice when it comes, and one when it goes."""
        before, self._notices = self._notices, dict(run.notices)
        for name in [each for each in self._notices if each not in before]:
            self._write(f"{self._epoch(run)}  {self._notices[name]}")
        for name in [each for each in before if each not in self._notices]:
            self._write(f"{self._epoch(run)}  no longer so: {before[name]}")

    def training_ended(self, run: Run) -> None:
        """Say why training stopped, if it did."""
        self._tell_notices(run)
        if run.history.stopped:
            self._write(f"stopped: {run.history.stopped.message}")

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class LiveProgress(Callback):
    """Lines that are drawn anew: epoch, bar and time left; losses and gradient norm; notices."""

    def __init__(self, stream: TextIO) -> None:
        """Draw on `stream`, which is a terminal."""
        self._stream = stream
        self._clock = _Clock()
        self._figures = ""
        self._notices = ""
        self._bar: Progress | None = None
        self._live: Live | None = None

    def training_began(self, run: Run) -> None:
        """Start the clock and the drawing."""
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.text import Text

        self._notices = ""
        self._clock = _Clock(run.epoch)
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[left]}", style="dim"),
        )
        total = run.epochs * run.batches
        self._bar.add_task("", total=total, epoch=f"{run.epoch + 1}/{run.epochs}", left="")
        bar = self._bar
        self._live = Live(
            console=Console(file=self._stream),
            get_renderable=lambda: Group(bar, Text(self._figures), *self._lines()),
            refresh_per_second=8,
            # What is printed meanwhile is lifted above the display; into a file it goes untouched.
            redirect_stdout=_is_terminal(sys.stdout),
            redirect_stderr=_is_terminal(sys.stderr),
        )
        self._live.start()

    def batch_ended(self, run: Run) -> None:
        """Move the bar."""
        done = (run.epoch - 1) * run.batches + run.batch
        left = f"{format_seconds(self._clock.left(run))} left"
        self._update(completed=done, epoch=f"{run.epoch}/{run.epochs}", left=left)

    def epoch_ended(self, run: Run) -> None:
        """Show the epoch's figures, and the notices that stand."""
        self._figures = "  ".join(figures(run))
        self._notices = "\n".join(run.notices.values())

    def _lines(self) -> list[Any]:
        from rich.text import Text

        return [Text(self._notices, style="yellow")] if self._notices else []

    def training_ended(self, run: Run) -> None:
        """Leave the last figures, and why training stopped, if it did."""
        self._notices = "\n".join(run.notices.values())
        stopped = run.history.stopped
        if stopped:
            self._figures = f"{self._figures}\nstopped: {stopped.message}".lstrip()
        self._update(left="stopped" if stopped else f"{format_seconds(self._clock.passed())}")
        self.close()

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _update(self, **fields: Any) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], **fields)


def figures(run: Run) -> list[str]:
    """The last epoch in words: its losses, metrics and gradient norm."""
    last = run.history.epochs[-1]
    shown = [f"loss {last.loss:.4g}"]
    if last.validation_loss is not None:
        shown.append(f"validation loss {last.validation_loss:.4g}")
    metrics = last.validation_metrics or last.metrics
    shown += [f"{name} {value:.4g}" for name, value in metrics.items()]
    return [*shown, f"gradient norm {last.gradient_norm:.3g}"]


def format_seconds(seconds: float) -> str:
    """A duration in words: "0.4 s", "12 s", "3 min 05 s", "2 h 10 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
