"""Lines of a user's own program: where something stands in it, and how it should be changed.

Nothing here reads or writes a file, or knows a framework: whoever watched the program gives the
text of it, as it was when it ran.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from minirnn.errors import ArgumentError

CONTEXT = 1  # lines shown around a change


@dataclass(frozen=True)
class Place:
    """Where in a user's source something stands.

    file, function   as Python names them; a notebook's cell has a made-up file
    line, last_line  from 1
    column, last_column  of the expression, in characters from 0; None where Python does not tell
    text             the line as it stands, without its indentation; "" where no source is to be had
    """

    file: str
    line: int
    function: str = ""
    last_line: int = 0
    column: int | None = None
    last_column: int | None = None
    text: str = ""

    @property
    def name(self) -> str:
        """`train.py:31`, as an editor takes it."""
        return f"{self.file}:{self.line}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {"file": self.file, "line": self.line, "text": self.text}

    def __str__(self) -> str:
        return f"{self.name}: {self.text}" if self.text else self.name


@dataclass(frozen=True)
class Change:
    """Some lines of a file, and what should stand there instead.

    line    of the first, from 1
    before  the lines as they are, without line ends; empty to insert in front of `line`
    after   the lines as they should be
    """

    line: int
    before: tuple[str, ...]
    after: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {"line": self.line, "before": list(self.before), "after": list(self.after)}


@dataclass(frozen=True)
class CodeEdit:
    """An edit of a user's own program: in words, and as lines where their source was to be had.

    words    what to do, in one sentence
    file     whose lines change; "" where no source was found (a prompt, say)
    changes  from the top of the file down, none overlapping another
    diff     the same as a unified diff, which `patch` takes; "" without changes
    """

    words: str
    file: str = ""
    changes: tuple[Change, ...] = ()
    diff: str = ""

    @classmethod
    def of(cls, words: str, file: str, before: str, after: str) -> CodeEdit:
        """The edit that turns a file's text `before` into `after`."""
        old, new = before.splitlines(), after.splitlines()
        matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
        changes = tuple(
            Change(first + 1, tuple(old[first:last]), tuple(new[start:end]))
            for kind, first, last, start, end in matcher.get_opcodes()
            if kind != "equal"
        )
        diff = difflib.unified_diff(old, new, file, file, lineterm="", n=CONTEXT)
        return cls(words, file, changes, "\n".join(diff) + "\n")

    def applied_to(self, source: str) -> str:
        """The source with the edit made.

        Raises: ArgumentError where the lines to change are not what they were.
        """
        lines = source.splitlines(keepends=True)
        for change in reversed(self.changes):
            first, last = change.line - 1, change.line - 1 + len(change.before)
            there = [line.rstrip("\r\n") for line in lines[first:last]]
            if there != list(change.before):
                raise ArgumentError(
                    "source",
                    f"{there} at line {change.line}",
                    f"{list(change.before)}, as when it ran",
                )
            lines[first:last] = [line + "\n" for line in change.after]
        return "".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "words": self.words,
            "file": self.file,
            "changes": [change.to_dict() for change in self.changes],
            "diff": self.diff,
        }

    def __str__(self) -> str:
        return f"{self.words}\n{self.diff.rstrip()}" if self.diff else self.words
