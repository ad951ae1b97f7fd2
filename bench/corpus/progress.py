"""How far an evaluation has come: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from bench.corpus.row import Row

EVERY = 20.0  # seconds between two lines


class Progress:
    """A context; `tell` it every row. What is wrong is printed as it comes."""

    def __init__(self, of: int, done: int, console: Console | None = None) -> None:
        self.console = console if console is not None else Console(soft_wrap=True)
        self.of, self.before, self.made, self.wrong = of, done, 0, 0
        self.began = self.told = time.monotonic()
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("runs", total=of, completed=done)

    def __enter__(self) -> Self:
        if self.before:
            self.console.print(f"{self.before} of {self.of} runs are on file already")
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def tell(self, row: Row) -> None:
        """One more row is there."""
        self.made += 1
        words = trouble(row)
        self.wrong += bool(words)
        if words:
            self.console.print(escape(words), highlight=False)
        self.bar.update(self.task, advance=1, description=f"{self.wrong} wrong; runs")
        now = time.monotonic()
        done = self.before + self.made
        if not self.console.is_terminal and (now - self.told >= EVERY or done == self.of):
            self.told = now
            rate = self.made / max(now - self.began, 1e-9)
            left = (self.of - done) / rate / 60
            self.console.print(
                f"{done} of {self.of} runs, {self.wrong} wrong, "
                f"{(now - self.began) / 60:.1f} min, {left:.1f} min left",
                highlight=False,
            )


def trouble(row: Row) -> str:
    """What is wrong with a run, in a line or two; "" where nothing is."""
    key = row.key
    head = f"{key.symptom} {key.kind} {key.number}: "
    if row.skipped:
        return f"{head}skipped, {row.skipped}"
    if row.error:
        return f"{head}{row.error}"
    said = []
    if not row.told_right:
        said.append(f"root {row.root or 'healthy'}")
    elif row.spurious:
        said.append(f"besides {', '.join(row.spurious)}")
    if row.planted and row.planted not in row.named:
        said.append("missed" if not row.named else f"not among {', '.join(row.named)}")
    if row.cured is False and row.named:
        said.append("not cured")
    return f"{head}{'; '.join(said)} [{row.what}]" if said else ""
