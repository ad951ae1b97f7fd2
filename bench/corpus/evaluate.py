"""Evaluate the doctor on the labelled corpus; of the whole test part, write docs/diagnosis.md.

python -m bench.corpus.evaluate [--part tuning] [--symptoms a,b] [--count 30] [--jobs 2]

Every run's row is on the disk as soon as it is made: called again, it goes on where it was
stopped. Rows made with other sources of the doctor, or of the plant, are made again.
Exit status: 0, 1 where the doctor falls short of what is wanted (and says in what), 2 bad input,
130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, get_args

from bench.corpus import fingerprint
from bench.corpus.measures import measure, wanted
from bench.corpus.page import PAGE, date_of, sorted_rows, write_page
from bench.corpus.progress import Progress
from bench.corpus.row import KINDS, Key, Row, append, read_rows
from bench.corpus.sample import Part
from bench.corpus.tables import summary
from bench.corpus.workers import rows
from minirnn.errors import ArgumentError, MinirnnError

RESULTS = Path(__file__).resolve().parents[1] / "results"
LIMIT = 180.0  # seconds for one run with all its trainings
COUNT = 30


def main(argv: list[str] | None = None) -> int:
    """Evaluate, tell, and write the page; the exit status."""
    given = _parser().parse_args(argv)
    try:
        return _evaluate(given)
    except MinirnnError as error:
        print(f"bench.corpus.evaluate: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=get_args(Part), default="test")
    parser.add_argument("--symptoms", metavar="A,B", help="only the plants of these")
    parser.add_argument("--count", type=int, default=COUNT, help="runs of each kind (30)")
    parser.add_argument("--jobs", type=int, default=_cores(), help="processes (one each core)")
    parser.add_argument(
        "--seconds-per-run", type=float, default=LIMIT, metavar="LIMIT", help="then it is ended"
    )
    parser.add_argument("--no-repair", action="store_true", help="only diagnose")
    parser.add_argument("--results", type=Path, metavar="FILE.jsonl")
    parser.add_argument("--reuse", action="store_true", help="rows made with other sources, too")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="write the page there")
    return parser


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _evaluate(given: argparse.Namespace) -> int:
    symptoms = _symptoms(given.symptoms)
    for name in ("count", "jobs", "seconds_per_run"):
        if getattr(given, name) <= 0:
            option = f"--{name.replace('_', '-')}"
            raise ArgumentError(option, str(getattr(given, name)), "more than 0")
    path = given.results or _path(given.part, symptoms if given.symptoms else [])
    # In turn, not plant by plant: a part of the evaluation is one of all symptoms.
    keys = [
        Key(symptom, kind, given.part, number)
        for number in range(given.count)
        for symptom in symptoms
        for kind in KINDS
    ]
    stopped = False
    with _own(path) as file:
        done = _usable(path, keys, mend=not given.no_repair, reuse=given.reuse)
        left = [key for key in keys if key not in done]
        with Progress(len(keys), len(done)) as progress:
            try:
                made = rows(
                    left,
                    jobs=given.jobs,
                    limit=given.seconds_per_run,
                    mend=not given.no_repair,
                )
                with contextlib.closing(made):
                    for row in made:
                        append(file, row)
                        done[row.key] = row
                        progress.tell(row)
            except KeyboardInterrupt:
                stopped = True
    measured = measure(done[key] for key in keys if key in done)
    print(summary(measured))
    if stopped:
        print(f"\nStopped after {len(done)} of {len(keys)} runs; the same command goes on.")
        return 130
    whole = given.part == "test" and not given.symptoms and not given.no_repair
    if given.page is not None or (whole and given.count >= COUNT):
        written = write_page(given.page or PAGE, sorted_rows(done), date_of(path))
        print(f"\nwrote {written}")
    return 0 if all(each.met for each in wanted(measured)) else 1


def _symptoms(text: str | None) -> list[str]:
    """The symptoms to evaluate: those asked for, or all with a plant."""
    known = fingerprint.symptoms()
    if not text:
        if not known:
            raise ArgumentError("plants", "none", "at least one in bench/corpus/plants")
        return known
    asked = [name.strip() for name in text.split(",") if name.strip()]
    for name in asked:
        if name not in known:
            raise ArgumentError("--symptoms", repr(name), f"of {', '.join(known) or 'no plants'}")
    return list(dict.fromkeys(asked))


def _path(part: str, symptoms: list[str]) -> Path:
    """A file of its own for each selection, so that two may run beside each other."""
    name = "-".join(["diagnosis", part, *sorted(symptoms)])
    return RESULTS / f"{name[:120]}.jsonl"


def _usable(path: Path, keys: list[Key], *, mend: bool, reuse: bool) -> dict[Key, Row]:
    """The rows of a file that need not be made again."""
    digests = {key.symptom: fingerprint.digest(key.symptom) for key in keys}
    asked = set(keys)
    return {
        key: row
        for key, row in read_rows(path).items()
        if key in asked
        and not row.skipped
        and (reuse or row.digest == digests[key.symptom])
        and (not mend or row.error or not row.mendable or row.cured is not None)
    }


@contextlib.contextmanager
def _own(path: Path) -> Iterator[IO[str]]:
    """The file of rows, open to go on, and for nobody else meanwhile.

    Raises: ArgumentError where another evaluation writes it, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        wanted_file = "a file that can be written"
        raise ArgumentError("--results", f"{str(path)!r}: {error}", wanted_file) from error
    with file:
        try:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass  # Windows
        except OSError as error:
            raise ArgumentError(
                "--results", f"{str(path)!r}, which another evaluation writes", "a file of its own"
            ) from error
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            file.write("\n")  # a kill tore the last line
        yield file


if __name__ == "__main__":
    sys.exit(main())
