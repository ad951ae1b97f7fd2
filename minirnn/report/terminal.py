"""The terminal: the same text and tables as on the page, in the width there is.

On a terminal there are colours and rules; elsewhere (a pipe, a file) plain text.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from minirnn.report import story
from minirnn.report.cards import NOTHING_FOUND, cards
from minirnn.report.page import Block, Card, Cards, Table, Text
from minirnn.report.story import Wording

if TYPE_CHECKING:
    from rich.console import Console

    from minirnn.diagnosis import Attempt, Diagnosis, Recipe

SEVERITY_STYLES = {"illness": "bold red", "warning": "yellow", "note": "blue"}
MAX_EVIDENCE = 6  # figures of a finding; the page and --json have them all
MAX_WIDTH = 100  # longer lines of prose are hard to read


def make_console(stream: TextIO | None = None) -> Console:
    """A console on `stream` (default: stdout) that never reads its text as markup."""
    from rich.console import Console

    class PlainConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # the command line's to handle; rich would exit with status 1

    stream = sys.stdout if stream is None else stream
    console = PlainConsole(file=stream, markup=False, highlight=False, emoji=False)
    if console.width > MAX_WIDTH or not console.is_terminal:
        console.width = MAX_WIDTH
    return console


def run_doctor(
    recipe: Recipe,
    *,
    repair: bool,
    device: str = "cpu",
    console: Console | None,
    progress: bool | None,
    wording: Wording,
    **budget: Any,
) -> Diagnosis:
    """Run the doctor, printing each attempt to `console` (None: nowhere) as soon as it is over.

    `budget` are the doctor's `trainings`, `seconds` and `keep`. Raises: as `doctor`.
    """
    from minirnn.diagnosis import doctor

    told = 0

    def tell(attempt: Attempt) -> None:
        nonlocal told
        if console is not None:
            tell_attempt(console, told, attempt, wording)
        told += 1

    diagnosis = doctor(
        recipe, repair=repair, device=device, progress=progress, watch=tell, **budget
    )
    if console is not None:
        tell_ending(console, diagnosis, wording)
    return diagnosis


def tell_attempt(console: Console, index: int, attempt: Attempt, wording: Wording) -> None:
    """Print what was done, what happened and what was found in one attempt."""
    heading(console, f"{story.label(index, wording)}: {story.headline(attempt)}")
    done = story.what_was_done(attempt, wording)
    blocks(console, [Text([done, *story.what_happened(attempt, wording)])])
    if not attempt.kept:
        blocks(console, [Text([f"Taken back: {attempt.verdict}."])])
    found = cards(attempt.diagnosis.findings)
    blocks(console, [Cards(found, heading="The doctor", otherwise=NOTHING_FOUND)])


def tell_ending(console: Console, diagnosis: Diagnosis, wording: Wording) -> None:
    """Print the attempts side by side, and what they show."""
    table = story.before_and_after(diagnosis, wording)
    if table is not None and len(diagnosis.attempts) > 1:
        heading(console, table.heading)
        blocks(console, [replace(table, heading="")])
    heading(console, "In the end")
    blocks(console, [Text([story.ending(diagnosis, wording)])])


def heading(console: Console, text: str) -> None:
    """A heading with an empty line above it."""
    console.print()
    console.print(text, style="bold cyan")


def blocks(console: Console, parts: Sequence[Block]) -> None:
    """Print text, tables and findings; figures and what belongs to the page alone are left out."""
    for block in parts:
        if isinstance(block, Text):
            for paragraph in block.paragraphs:
                _prose(console, paragraph)
        elif isinstance(block, Table):
            _table(console, block)
        elif isinstance(block, Cards):
            _cards(console, block)


def _table(console: Console, block: Table) -> None:
    from rich import box
    from rich.table import Table as RichTable

    if block.heading:
        console.print(block.heading, style="bold")
    # Lines only where they can be drawn; elsewhere columns are told apart by space alone.
    table = RichTable(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for index, column in enumerate(block.columns):
        table.add_column(column, style="bold" if index == 0 else None, overflow="fold")
    for row in block.rows:
        table.add_row(*row)
    if console.is_terminal:
        console.print(table)
    else:
        with console.capture() as capture:
            console.print(table)
        lines = [line.rstrip() for line in capture.get().splitlines()]
        console.print("\n".join(lines), soft_wrap=True)
    if block.note:
        console.print(block.note, style="dim")


def _cards(console: Console, block: Cards) -> None:
    if block.heading:
        console.print(block.heading, style="bold")
    if not block.cards:
        console.print(f"  {block.otherwise}", style="green")
    for item in block.cards:
        _card(console, item)


def _card(console: Console, item: Card) -> None:
    from rich.text import Text as RichText

    title = RichText()
    title.append(f"  [{item.severity}] ", style=SEVERITY_STYLES.get(item.severity, ""))
    title.append(item.symptom, style="bold")
    if item.where:
        title.append(f"  {item.where}", style="dim")
    console.print(title)
    lines = [item.explanation]
    if item.root:
        # What follows from the root goes with it, so its own evidence and remedies would be noise.
        if item.consequences:
            lines.append(f"It brings {item.consequences}.")
        if item.evidence:
            told = [f"{name} {value}" for name, value in item.evidence[:MAX_EVIDENCE]]
            lines.append(f"Evidence: {'; '.join(told)}.")
        lines += [f"Remedy: {edit}. {reason}" for edit, reason in item.remedies[:1]]
    for line in lines:
        _prose(console, line, indent=4)


def _prose(console: Console, text: str, *, indent: int = 0) -> None:
    """Text wrapped to the console's width, never inside a word: an id stays whole."""
    margin = " " * indent
    lines = textwrap.wrap(
        text,
        console.width,
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    console.print("\n".join(lines), soft_wrap=True)
