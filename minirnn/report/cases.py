"""What `minirnn cases` tells: one table an article, in the terminal, on a page, and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minirnn.diagnosis.cases.case import ARTICLES, Case
from minirnn.diagnosis.cases.rows import Row, counted, figure
from minirnn.report import terminal
from minirnn.report.page import Page, Section, Table, Text, write

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS = ("says", "expected", "named", "before", "after", "verdict")
HOW_TO_READ = (
    "Of a cause: the symptom expected at the root, the one that the doctor named there (with what "
    "it brings), and whether the article is right. Of a fix (->): what is expected of it, what is "
    "left, the figure before and after, and what it did. (=>) is what we advise, or what the "
    "doctor did by itself. A line that begins with ! did not come out as expected."
)
MARKS = {"cause": "", "fix": "-> ", "ours": "=> ", "doctor": "=> doctor: "}


def tell(console: Console, cases: Sequence[Case], rows: Sequence[Row]) -> None:
    """Print the tables of some cases, and what did not come out as expected."""
    for article in _articles(cases):
        terminal.heading(console, _title(article))
        terminal.blocks(console, [table(article, cases, rows)])
    terminal.heading(console, "In the end")
    terminal.blocks(console, [Text([HOW_TO_READ, *ending(rows)])])


def tell_list(console: Console, cases: Sequence[Case]) -> None:
    """Print what cases there are, and what is tried in each."""
    for article in _articles(cases):
        terminal.heading(console, _title(article))
        listed = [
            [case.id, case.says, "; ".join(fix.says for fix in case.fixes)]
            for case in cases
            if case.article == article
        ]
        terminal.blocks(console, [Table(("case", "cause", "fixes"), listed)])


def save_page(cases: Sequence[Case], rows: Sequence[Row], path: Path) -> None:
    """Write the tables as one page. Raises: MissingExtraError, ArgumentError."""
    sections = [
        Section(f"article-{article}", _title(article), [table(article, cases, rows)])
        for article in _articles(cases)
    ]
    healthy = all(row.as_expected for row in rows)
    opening = [HOW_TO_READ]
    write(
        Page("Causes and advice, tried", opening, sections, (), " ".join(ending(rows)), healthy),
        path,
    )


def table(article: str, cases: Sequence[Case], rows: Sequence[Row]) -> Table:
    """The rows of one article."""
    own = {case.id for case in cases if case.article == article}
    return Table(COLUMNS, [cells(row) for row in rows if row.case in own])


def cells(row: Row) -> list[str]:
    """A row as text, in the order of `COLUMNS`."""
    wrong = "" if row.as_expected else "! "
    says = f"{wrong}{MARKS[row.kind]}{row.says}"
    expected = " or ".join(row.expected)
    if row.skipped:
        return [says, expected, "", "", "", f"skipped: {row.skipped}"]
    left = counted(row.roots, row.seeds)
    if row.kind == "cause" and row.others:
        brought = ", ".join(_of(name, n, row.seeds) for name, n in row.others.items())
        left = f"{left}, with {brought}"
    if row.kind == "cause" and row.error:
        left = f"{left}: {' '.join(row.error.split())}"
    before, after = ("", figure(row.after)) if row.kind != "cause" else (figure(row.before), "")
    told = f"{row.measure} {before}" if before else ""
    return [says, expected, left, told, after, counted(row.verdicts, row.seeds)]


def ending(rows: Iterable[Row]) -> list[str]:
    """How much came out as expected, and what did not."""
    all_rows = list(rows)
    wrong = [row for row in all_rows if not row.as_expected]
    lines = [f"{len(all_rows) - len(wrong)} of {len(all_rows)} lines came out as expected."]
    skipped = sum(bool(row.skipped) for row in all_rows)
    if skipped:
        lines.append(f"{skipped} were skipped: {next(r.skipped for r in all_rows if r.skipped)}.")
    for row in wrong:
        name = f"{row.case} {row.id}".strip()
        lines.append(
            f"{name}: expected {' or '.join(row.expected)}, came {counted(row.roots, row.seeds)}; "
            f"verdict {counted(row.verdicts, row.seeds)}."
        )
    return lines


def markdown(article: str, cases: Sequence[Case], rows: Sequence[Row]) -> str:
    """The cases of one article in Markdown: for each the truth in a sentence, and its table."""
    parts = []
    for case in cases:
        if case.article != article:
            continue
        own = [row for row in rows if row.case == case.id]
        lines = [
            "| what is said | expected | named | before | after | verdict |",
            "|---|---|---|---|---|---|",
        ]
        lines += ["| " + " | ".join(_cell(text) for text in cells(row)) + " |" for row in own]
        parts.append(f"### {case.id}\n\n{case.truth}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _articles(cases: Sequence[Case]) -> list[str]:
    return list(dict.fromkeys(case.article for case in cases))


def _title(article: str) -> str:
    return ARTICLES[article] if article == "code" else f"{article}: {ARTICLES[article]}"


def _of(name: str, n: int, seeds: int) -> str:
    return name if n == seeds else f"{name} {n}"
