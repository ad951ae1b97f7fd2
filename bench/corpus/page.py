"""Fills the tables and the matrix of docs/diagnosis.md from the rows of an evaluation.

python -m bench.corpus.page FILE.jsonl [--page FILE.md]     (no run is made again)
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.corpus.measures import HEALTHY, Measures, Share, measure, wanted
from bench.corpus.progress import trouble
from bench.corpus.row import Key, Row, read_rows
from bench.machine import commit, describe
from bench.regions import fill
from minirnn.diagnosis.causes import BRINGS
from minirnn.errors import ArgumentError, MinirnnError
from minirnn.report.files import write_atomically

PAGE = Path(__file__).resolve().parents[2] / "docs" / "diagnosis.md"


def write_page(path: Path, rows: Sequence[Row], date: str) -> Path:
    """The page with its regions filled; the text around them is that of docs/diagnosis.md."""
    text = PAGE.read_text(encoding="utf-8")
    return write_atomically(path, fill(text, contents(rows, date)))


def contents(rows: Sequence[Row], date: str) -> dict[str, str]:
    """The text of every region."""
    measures = measure(rows)
    return {
        "in-short": in_short(measures),
        "machine": machine(measures, rows, date),
        "symptoms": symptoms(measures),
        "matrix": matrix(measures),
        "repairs": repairs(measures),
        "examples": examples(rows),
        "wrong": wrong(rows),
    }


def in_short(measures: Measures) -> str:
    """What was wanted over all symptoms, and what came."""
    pooled, control = measures.pooled, measures.pooled.control
    shares = {
        "recall over all symptoms": pooled.recall,
        "precision over all symptoms": pooled.precision,
        "root cause right": pooled.root,
        "healthy runs with nothing above a note": pooled.silent,
        "curable runs repaired": pooled.repaired,
    }
    lines = ["|  | runs | share | interval | wanted |", "|---|---|---|---|---|"]
    for each in wanted(measures):
        of = shares.get(each.what)
        if of is not None:
            least = f"{100 * each.least:g}%"
            lines.append(
                f"| {each.what} | {of.right} of {of.of} | {percent(of.value)} | {bounds(of)} | "
                f"{least}{'' if each.met else ', **short**'} |"
            )
    if control:
        above = 100 * measures.above_control
        short = "" if above >= 30 else ", **short**"
        lines.append(
            f"| the same by chance | {control.right} of {control.of} | {percent(control.value)} | "
            f"{bounds(control)} | the doctor 30 points above: {above:.1f}{short} |"
        )
    short_of = [
        f"{each.what} ({percent(each.value)})"
        for each in wanted(measures)
        if " of " in each.what and not each.met
    ]
    if short_of:
        lines += ["", f"Short of 90%: {'; '.join(short_of)}."]
    return "\n".join(lines)


def machine(measures: Measures, rows: Sequence[Row], date: str) -> str:
    """When and with what; nothing that tells one machine from another of its kind."""
    about = describe()
    versions = ", ".join(f"{name} {value}" for name, value in about["versions"].items() if value)
    kinds = [row for row in rows if not row.skipped]
    loops = sum(row.of_a_loop for row in kinds)
    spent = sum(measures.seconds.values())
    lines = [
        "|  |  |",
        "|---|---|",
        f"| runs | {len(kinds)}, {loops} of them training loops in PyTorch |",
        f"| time | {spent / 60:.0f} minutes of one core, {about['cores']} cores |",
        f"| versions | Python {about['python']}, {versions} |",
        f"| date | {date} |",
        f"| commit | {commit()} |",
    ]
    if measures.skipped:
        lines.insert(3, f"| skipped | {measures.skipped}, which need PyTorch |")
    return "\n".join(lines)


def symptoms(measures: Measures) -> str:
    """A line a symptom, in order of cause."""
    lines = [
        "| symptom | recall | precision | root | healthy near-misses silent |",
        "|---|---|---|---|---|",
    ]
    for name in ordered(measures.each):
        of = measures.each[name]
        shares = (of.recall, of.precision, of.root, of.silent)
        lines.append(f"| `{name}` | {' | '.join(map(told, shares))} |")
    pooled = measures.pooled
    shares = (pooled.recall, pooled.precision, pooled.root, pooled.silent)
    lines.append(f"| all | {' | '.join(map(told, shares))} |")
    return "\n".join(lines)


def matrix(measures: Measures) -> str:
    """Planted × named at the root; a symptom without a plant is a column where it was named."""
    found = measures.matrix
    names = ordered({name for pair in found for name in pair} - {HEALTHY, "error"})
    columns = [*names, *(each for each in (HEALTHY, "error") if any(e == each for _, e in found))]
    rows = [*names, HEALTHY]
    heads = [str(names.index(name) + 1) if name in names else name for name in columns]
    lines = [
        f"|  | planted | {' | '.join(heads)} |",
        f"|---|---|{'---|' * len(columns)}",
    ]
    for name in rows:
        cells = [str(found.get((name, column), 0) or "·") for column in columns]
        if any(cell != "·" for cell in cells):
            number = str(names.index(name) + 1) if name in names else ""
            label = f"`{name}`" if name in names else name
            lines.append(f"| {number} | {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def repairs(measures: Measures) -> str:
    """What the repairs and the control came to, a line a symptom."""
    lines = [
        "| symptom | repaired | trainings | by chance | R² before | after |",
        "|---|---|---|---|---|---|",
    ]
    every = [(f"`{name}`", measures.each[name]) for name in ordered(measures.each)]
    for label, of in [*every, ("all", measures.pooled)]:
        if of.repaired:
            trainings = "–" if of.trainings is None else f"{of.trainings:g}"
            before, after = (skill(value) for value in (of.skill, of.skill_cured))
            cells = (told(of.repaired), trainings, told(of.control), before, after)
            lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def examples(rows: Sequence[Row]) -> str:
    """One faulty and one healthy run of each plant, in words."""
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row.what:
            first.setdefault((row.key.symptom, row.key.kind), row)
    lines = ["| symptom | faulty | healthy |", "|---|---|---|"]
    for name in ordered({symptom for symptom, _ in first}):
        words = [
            escaped(first[name, kind].what) if (name, kind) in first else "–"
            for kind in ("faulty", "healthy")
        ]
        lines.append(f"| `{name}` | {' | '.join(words)} |")
    return "\n".join(lines)


def wrong(rows: Sequence[Row]) -> str:
    """Every run that was not as it should be, with its command."""
    found = [(row, words) for row in rows if (words := trouble(row)) and not row.skipped]
    if not found:
        return "Nowhere."
    lines = []
    for row, words in found:
        lines += [f"- {escaped(words)}  ", f"  `{row.key.command}`"]
    return "\n".join(lines)


def ordered(names: Sequence[str] | set[str] | dict[str, object]) -> list[str]:
    """In order of cause; what is not among the causes, last."""
    rank = {name: index for index, name in enumerate(BRINGS)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def told(share: Share) -> str:
    """`29 of 30 (83–99%)`; a dash of none."""
    return f"{share.right} of {share.of} ({bounds(share)})" if share else "–"


def skill(r2: float | None) -> str:
    """R2 to two decimals; of a network that broke, its size: -1.1e51."""
    if r2 is None:
        return "–"
    told = f"{r2:.2f}" if abs(r2) < 1000 else f"{r2:.1e}".replace("e+", "e")
    return "0.00" if told == "-0.00" else told


def bounds(share: Share) -> str:
    """The interval in per cent, rounded outward: it may not look surer than it is."""
    low, high = share.interval
    return f"{math.floor(100 * low):d}–{math.ceil(100 * high):d}%"


def percent(value: float) -> str:
    """Rounded down: 98.41% is not 98.42%, and all but one is not all."""
    return "–" if math.isnan(value) else f"{math.floor(10_000 * value + 1e-9) / 100:.2f}%"


def escaped(words: str) -> str:
    """For a cell or a line of Markdown."""
    for sign in "\\|*_<[":
        words = words.replace(sign, f"\\{sign}")
    return " ".join(words.split())


def main(argv: list[str] | None = None) -> int:
    """Write the page from a file of rows; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args(argv)
    try:
        rows = sorted_rows(read_rows(given.results))
        if not rows:
            raise ArgumentError("results", repr(str(given.results)), "rows of an evaluation")
        print(f"wrote {write_page(given.page, rows, date_of(given.results))}")
    except MinirnnError as error:
        print(f"bench.corpus.page: error: {error}", file=sys.stderr)
        return 2
    return 0


def sorted_rows(rows: dict[Key, Row]) -> list[Row]:
    """In order of cause, the faulty ones first."""
    order = {name: index for index, name in enumerate(ordered({key.symptom for key in rows}))}
    return [rows[key] for key in sorted(rows, key=lambda k: (order[k.symptom], k.kind, k.number))]


def date_of(results: Path) -> str:
    """The day on which the last row was made."""
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(results.stat().st_mtime, UTC):%Y-%m-%d}"


if __name__ == "__main__":
    sys.exit(main())
