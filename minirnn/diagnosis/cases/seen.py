"""What was seen of a case with one seed: plain values that JSON can hold, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Seen:
    """One training.

    named    the harmful findings, root first;  notes  the others
    shown    the case's figure, None where there is none;  score  from 0 to 1
    figures  everything that was measured
    error    why it could not be run: the message of a typed error, or of PyTorch's
    """

    named: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    shown: float | None = None
    score: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def root(self) -> str:
        """The finding at the root, "healthy" without any, "cannot run" of what does not."""
        if self.error:
            return "cannot run"
        return self.named[0] if self.named else "healthy"


@dataclass(frozen=True)
class Tried:
    """A fix: what was changed in words, what was seen then, and the verdict."""

    what: str
    seen: Seen
    verdict: str


@dataclass(frozen=True)
class Treated:
    """What the doctor did by itself: the edits it kept, the trainings it took, and the end."""

    kept: tuple[str, ...]
    trainings: int
    seen: Seen
    verdict: str


@dataclass(frozen=True)
class CaseSeen:
    """A case with one seed.

    cause    the verdict on what is blamed
    fixes    by the id of the fix
    doctor   None where nothing was to be cured, or nothing can be
    skipped  why it was not run, such as PyTorch that is not installed
    """

    case: str
    seed: int
    sick: Seen = field(default_factory=Seen)
    cause: str = ""
    fixes: dict[str, Tried] = field(default_factory=dict)
    doctor: Treated | None = None
    seconds: float = 0.0
    skipped: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Nested dicts and lists."""
        return asdict(self)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> CaseSeen:
        """Read it back. Raises: KeyError, TypeError or ValueError where it is none."""
        doctor = table["doctor"]
        return cls(
            str(table["case"]),
            int(table["seed"]),
            _seen(table["sick"]),
            str(table["cause"]),
            {name: _tried(each) for name, each in dict(table["fixes"]).items()},
            None
            if doctor is None
            else Treated(
                tuple(doctor["kept"]),
                int(doctor["trainings"]),
                _seen(doctor["seen"]),
                str(doctor["verdict"]),
            ),
            float(table["seconds"]),
            str(table["skipped"]),
        )


def _seen(table: Mapping[str, Any]) -> Seen:
    values = dict(table)
    for name in ("named", "notes"):
        values[name] = tuple(values[name])
    return Seen(**values)


def _tried(table: Mapping[str, Any]) -> Tried:
    return Tried(str(table["what"]), _seen(table["seen"]), str(table["verdict"]))
