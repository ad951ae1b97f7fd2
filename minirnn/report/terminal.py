"""The terminal: the same text and tables as on the page, in the width there is.

On a terminal there are colours and rules; elsewhere (a pipe, a file) plain text.
"""

from __future__ import annotations

import os
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
GAP = 2  # blanks between two columns of a table
WHOLE = "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}"  # while lines are broken: 4.2 × 10⁶ is one number
MAX_WIDTH = 100  # longer lines of prose are hard to read
MIN_WIDTH = 20  # of what COLUMNS asks for outside a terminal; below it, it is not heeded


def make_console(stream: TextIO | None = None) -> Console:
    """A console on `stream` (default: stdout) that never reads its text as markup.

    As wide as the terminal, or elsewhere as COLUMNS in the environment says; 100 columns at most,
    and where nothing says how many.
    """
    from rich.console import Console

    class PlainConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # the command line's to handle; rich would exit with status 1

    stream = sys.stdout if stream is None else stream
    console = PlainConsole(file=stream, markup=False, highlight=False, emoji=False)
    asked = os.environ.get("COLUMNS", "")
    told = asked.isdecimal() and int(asked) >= MIN_WIDTH  # elsewhere rich would guess 80
    if console.width > MAX_WIDTH or not (console.is_terminal or told):
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

    story_told = None if console is None else Telling(console, wording)
    diagnosis = doctor(
        recipe,
        repair=repair,
        device=device,
        progress=progress,
        watch=None if story_told is None else story_told.attempt,
        **budget,
    )
    if story_told is not None:
        story_told.ending(diagnosis)
    return diagnosis


class Telling:
    """Prints a story attempt by attempt, and then its end.

    An attempt that was taken back is a line: what was changed, and why that was not kept. Its
    figures stand in the table at the end, all else on the page and in --json.
    """

    def __init__(self, console: Console, wording: Wording) -> None:
        """Nothing is printed yet."""
        self.console, self.wording = console, wording
        self.told: list[Recipe] = []  # in the order in which they were made
        self.in_a_list = False

    def attempt(self, attempt: Attempt) -> None:
        """Print what was done, what happened and what was found in one attempt."""
        self.told.append(attempt.recipe)
        if attempt.kept:
            self._fully(attempt)
        else:
            self._in_a_line(attempt)
        self.in_a_list = not attempt.kept

    def ending(self, diagnosis: Diagnosis) -> None:
        """Print the attempts side by side, and what they show."""
        numbers = [self._number(attempt) for attempt in diagnosis.attempts]
        if diagnosis.attempts and numbers != sorted(numbers):
            self._fully(
                diagnosis.attempts[-1]
            )  # of this one only a line was told, and now it stands
        table = story.before_and_after(diagnosis, self.wording, numbers)
        if table is not None and len(diagnosis.attempts) > 1:
            heading(self.console, table.heading)
            blocks(self.console, [replace(table, heading="")])
        heading(self.console, "In the end")
        blocks(self.console, [Text([story.ending(diagnosis, self.wording)])])

    def _number(self, attempt: Attempt) -> int:
        """From 0: an attempt taken up again keeps the number under which it was told."""
        return next(k for k, recipe in enumerate(self.told) if recipe is attempt.recipe)

    def _fully(self, attempt: Attempt) -> None:
        name = story.label(self._number(attempt), self.wording)
        heading(self.console, f"{name}: {story.headline(attempt)}")
        done = story.what_was_done(attempt, self.wording)
        happened = story.what_happened(attempt, self.wording)
        again = [f"{attempt.verdict}."] if "taken up again" in attempt.verdict else []
        found = cards(attempt.diagnosis.findings)
        blocks(
            self.console,
            [
                Text([done, *happened, *again]),
                Cards(found, heading="The doctor", otherwise=NOTHING_FOUND),
            ],
        )

    def _in_a_line(self, attempt: Attempt) -> None:
        if not self.in_a_list:
            heading(self.console, "Taken back")
        name = story.label(self._number(attempt), self.wording)
        why = attempt.verdict.removesuffix(": taken back")
        _prose(self.console, f"{name}: {why}.", hanging=2)


def heading(console: Console, text: str) -> None:
    """A heading with an empty line above it."""
    console.print()
    _lines(console, text, "bold cyan", hanging=2)


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
    # A line only where it can be drawn; elsewhere columns are told apart by space alone. Between
    # two columns rich's box has a blank of its own.
    lined = console.is_terminal
    table = RichTable(
        box=box.SIMPLE_HEAD if lined else None,
        show_edge=False,
        pad_edge=False,
        padding=(0, GAP - lined, 0, 0),
    )
    widths = column_widths(block.columns, block.rows, console.width)
    for index, (column, width) in enumerate(zip(block.columns, widths, strict=True)):
        table.add_column(column, style="bold" if index == 0 else None, overflow="fold", width=width)
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
        _lines(console, block.note, "dim")


def column_widths(headings: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """How wide each column is in `room` characters, so that words stay whole where they can.

    Headings are wrapped first, then cells, names of rows last; no column is narrower than its
    longest word, none wider than its longest line. What is left is dealt out evenly.
    """
    columns = list(zip(headings, *rows, strict=True))
    words = [max(map(_longest_word, column)) for column in columns]
    lines = [max(map(_longest_line, column)) for column in columns]
    cells = [max(map(_longest_line, column[1:]), default=0) for column in columns]
    free = room - GAP * len(columns)
    whole_cells = [max(pair) for pair in zip(words, cells, strict=True)]
    whole_names = [*whole_cells[:1], *words[1:]]
    least = next((each for each in (whole_cells, whole_names) if sum(each) <= free), words)

    def widths(most: int) -> list[int]:
        return [max(low, min(high, most)) for low, high in zip(least, lines, strict=True)]

    return next((w for most in range(room, 0, -1) if sum(w := widths(most)) <= free), least)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _longest_line(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


def _cards(console: Console, block: Cards) -> None:
    if block.heading:
        console.print(block.heading, style="bold")
    if not block.cards:
        _lines(console, block.otherwise, "green", indent=2)
    for item in block.cards:
        _card(console, item)


def _card(console: Console, item: Card) -> None:
    from rich.text import Text as RichText

    title = RichText()
    title.append(f"  [{item.severity}] ", style=SEVERITY_STYLES.get(item.severity, ""))
    title.append(item.symptom, style="bold")
    if item.where:
        title.append("  ")
        column, word = len(title), item.where.split()[0]
        if column + len(word) > console.width:
            title.rstrip()
            title.append("\n" + " " * 6)
            column = 6
        lines = _wrapped(item.where, console.width, begun=" " * column, hanging=6)
        title.append("\n".join(lines)[column:], style="dim")
    console.print(title, soft_wrap=True)
    lines = [item.words]
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


def _lines(console: Console, text: str, style: str, *, indent: int = 0, hanging: int = 0) -> None:
    for line in _wrapped(text, console.width, begun=" " * indent, hanging=indent + hanging):
        console.print(line, style=style, soft_wrap=True)


def _prose(console: Console, text: str, *, indent: int = 0, hanging: int = 0) -> None:
    """Text wrapped to the console's width, never inside a word: an id stays whole.

    Every line begins after `indent` blanks, all but the first after `hanging` more.
    """
    lines = _wrapped(text, console.width, begun=" " * indent, hanging=indent + hanging)
    console.print("\n".join(lines), soft_wrap=True)


def _wrapped(text: str, width: int, *, begun: str = "", hanging: int = 0) -> list[str]:
    """Lines of at most `width`, words and numbers whole; the first after what is `begun`."""
    lines = textwrap.wrap(
        text.replace(" × ", WHOLE),
        width,
        initial_indent=begun,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(WHOLE, " × ") for line in lines]
