"""A row of the evaluation's file: one run of the corpus, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from bench.corpus.sample import Part

Kind = Literal["faulty", "healthy"]
KINDS: tuple[Kind, ...] = ("faulty", "healthy")


class Key(NamedTuple):
    """Which run: the number-th of a plant's faulty or healthy ones, in a part."""

    symptom: str
    kind: Kind
    part: Part
    number: int

    @property
    def command(self) -> str:
        """What runs it again and tells everything about it."""
        healthy = " --healthy" if self.kind == "healthy" else " --repair"
        return (
            f"python -m bench.corpus.try_one {self.symptom} --part {self.part} "
            f"--start {self.number} --count 1{healthy}"
        )


@dataclass(frozen=True)
class Row:
    """What was planted, what the doctor said, and what came of its remedies.

    digest    of the sources that it was made with
    planted   the symptom at the root; None in a healthy run
    also      symptoms that the fault brings and that may be named besides
    of_a_loop  whether it is a training loop in PyTorch, not a recipe
    named     the harmful findings, root first;  notes  the others
    trainings, cured   what the repair took beyond the first training, and whether the end is
              healthy; None where no repair was asked for, or nothing can cure
    skill, skill_cured   R2 on what was held out, before and after; None where there is none
    verdicts  a sentence each training
    control   whether as many remedies drawn at random ended healthy; None where not tried
    drawn     the edits that were drawn
    seconds   of one core, of the first diagnosis, the repair and the control
    skipped, error   why there is no result: the first is nobody's fault, the second counts as wrong
    """

    key: Key
    digest: str = ""
    what: str = ""
    planted: str | None = None
    also: tuple[str, ...] = ()
    curable: bool = True
    of_a_loop: bool = False
    named: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    trainings: int | None = None
    cured: bool | None = None
    skill: float | None = None
    skill_cured: float | None = None
    verdicts: tuple[str, ...] = ()
    control: bool | None = None
    drawn: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    skipped: str = ""
    error: str = ""

    @property
    def root(self) -> str | None:
        """The symptom named at the root; None where nothing above a note was."""
        return self.named[0] if self.named else None

    @property
    def mendable(self) -> bool:
        """Whether a repair belongs to it."""
        return self.planted is not None and self.curable

    @property
    def told_right(self) -> bool:
        """Whether the root is the planted one, or nothing was said of a healthy run."""
        return not self.error and self.root == self.planted

    @property
    def spurious(self) -> tuple[str, ...]:
        """Harmful findings of what is not there."""
        return tuple(each for each in self.named if each != self.planted and each not in self.also)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self) | {"key": list(self.key)}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Row:
        """Read a line back. Raises: ValueError, TypeError or KeyError where it is none."""
        read: dict[str, Any] = json.loads(line)
        read["key"] = Key(*read["key"])
        for name in ("also", "named", "notes", "verdicts", "drawn"):
            read[name] = tuple(read[name])
        return cls(**read)


def read_rows(path: Path) -> dict[Key, Row]:
    """The rows of a file, the later of two of one run; a line that a kill tore is passed over."""
    return {row.key: row for row in _lines(path)}


def _lines(path: Path) -> Iterator[Row]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield Row.from_json(line)
        except (ValueError, TypeError, KeyError):
            continue


def append(file: IO[str], row: Row) -> None:
    """Write a row, and see it on the disk."""
    import os

    file.write(row.to_json() + "\n")
    file.flush()
    os.fsync(file.fileno())
