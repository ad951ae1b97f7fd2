"""The file of results: one JSON object a machine and day, saved after every case.

    {"format": 1, "machine": {...}, "threads": 2, "cases": {"<test's id>": record, ...}}

A record holds `suite`, `parameters`, `readings` (by side, one number a round, in rounds' order),
`facts` (what was not timed), `taken` (date and time), `commit`, and `others`: the share of the
processor that other work took meanwhile, null where that is not known.

A file of a GPU's results, `nvidia-<model>-<date>.json`, has such records too, and `checks`: what
was found before anything was timed, by the check's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minirnn.errors import DataError
from minirnn.report.files import write_atomically

FORMAT = 1
GPUS = "nvidia-"  # what the names of a GPU's results begin with
FOLDER = Path(__file__).parent / "results"


@dataclass
class Record:
    """One case, as it was measured."""

    suite: str
    parameters: dict[str, Any]
    readings: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    taken: str = ""
    commit: str = ""
    others: float | None = None


@dataclass
class Results:
    """The cases of one machine; `save` writes them where they came from."""

    path: Path
    machine: dict[str, Any]
    threads: int
    cases: dict[str, Record] = field(default_factory=dict)
    checks: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read a file that `save` wrote. Raises: DataError if it is none."""
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            version = held.pop("format")
            cases = {key: Record(**record) for key, record in held.pop("cases").items()}
            results = cls(path, cases=cases, **held)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            came = f"{path} ({type(error).__name__}: {error})"
            raise DataError("results", came, "a file that make bench wrote") from None
        if version != FORMAT:
            raise DataError("results", f"format {version} in {path}", f"format {FORMAT}")
        return results

    @classmethod
    def open(cls, path: Path, machine: dict[str, Any], threads: int) -> Results:
        """The results held there, to add to; or none yet.

        Raises: DataError if they come from another machine, other versions or other threads.
        """
        if not path.exists():
            return cls(path, machine, threads)
        held = cls.load(path)
        now = {**machine, "threads": threads}
        then = {**held.machine, "threads": held.threads}
        other = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
        if other:
            raise DataError(
                "results",
                f"{path} of another {', '.join(other)}",
                "one of this machine, these versions and threads",
                "Name another file: make bench BENCH_ARGS='--results new.json'",
            )
        return held

    def add(self, key: str, record: Record) -> None:
        """Keep a case, in place of an older reading of it, and save."""
        self.cases[key] = Record(**_rounded(vars(record)))
        self.save()

    def save(self) -> None:
        """Write all that is held, one case a line."""
        head = {"format": FORMAT, "machine": self.machine, "threads": self.threads}
        head |= {"checks": self.checks} if self.checks else {}
        lines = [
            f"{json.dumps(key)}: {json.dumps(vars(record))}"
            for key, record in sorted(self.cases.items())
        ]
        body = json.dumps(head, indent=1)[:-2]
        cases = ",\n  ".join(lines)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, f'{body},\n "cases": {{\n  {cases}\n }}\n}}\n')

    def of(self, suite: str, **parameters: Any) -> Iterator[Record]:
        """The records of a suite that have these parameters, in the order of their keys."""
        for _, record in sorted(self.cases.items()):
            wanted = {key: record.parameters.get(key) for key in parameters}
            if record.suite == suite and wanted == parameters:
                yield record


def _rounded(value: Any) -> Any:
    """Floats to five digits, wherever they are: more would be noise."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def newest(folder: Path = FOLDER) -> Path:
    """A processor's results of the latest day there. Raises: DataError if there are none."""
    dated = [path for path in _by_day(folder) if not path.name.startswith(GPUS)]
    if not dated:
        raise DataError("results", f"no results in {folder}", "those that make bench writes there")
    return dated[-1]


def newest_of_gpu(folder: Path = FOLDER) -> Path | None:
    """A GPU's results of the latest day there, or None."""
    dated = [path for path in _by_day(folder) if path.name.startswith(GPUS)]
    return dated[-1] if dated else None


def _by_day(folder: Path) -> list[Path]:
    return sorted(folder.glob("*-20??-??-??.json"), key=lambda path: (path.stem[-10:], path.name))
