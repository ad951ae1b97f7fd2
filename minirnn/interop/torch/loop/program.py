"""The user's program as text and syntax: finding calls, statements and assignments in it.

Nothing is imported or run, and no file is read: the text is what stood there when it ran.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from minirnn.diagnosis.code import CodeEdit, Place
from minirnn.diagnosis.evidence.loop import LoopSeen

Node = TypeVar("Node", bound=ast.AST)
SIMPLE = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant)


class Source:
    """One file's text and tree."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.tree = ast.parse(text)
        self.lines = text.splitlines(keepends=True)
        self._starts = [0]
        for line in self.lines:
            self._starts.append(self._starts[-1] + len(line))

    def offset(self, line: int, column: int) -> int:
        """Where in the text a position of the tree is: its columns are bytes of UTF-8."""
        there = self.lines[line - 1].encode()[:column].decode()
        return self._starts[line - 1] + len(there)

    def span(self, node: ast.AST) -> tuple[int, int]:
        """First and last offset of a node."""
        start = self.offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        end = self.offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        return start, end

    def of(self, node: ast.AST) -> str:
        """A node as it is written."""
        start, end = self.span(node)
        return self.text[start:end]

    def operand(self, node: ast.AST) -> str:
        """A node as it is written, in parentheses where something is to be appended to it."""
        text = self.of(node)
        return text if isinstance(node, SIMPLE) else f"({text})"

    def all(self, kind: type[Node], inside: ast.AST | None = None) -> Iterator[Node]:
        """All nodes of a kind, in no order that is promised."""
        for node in ast.walk(inside or self.tree):
            if isinstance(node, kind):
                yield node

    def call_at(self, place: Place) -> ast.Call | None:
        """The call that a place tells of: by its columns, or the only one on the line."""
        calls = [c for c in self.all(ast.Call) if c.lineno <= place.line <= (c.end_lineno or 0)]
        if place.column is not None:
            for call in calls:
                start = self.offset(call.lineno, call.col_offset)
                line_start = self._starts[call.lineno - 1]
                if call.lineno == place.line and start - line_start == place.column:
                    end = self.offset(call.end_lineno or 0, call.end_col_offset or 0)
                    if end - self._starts[(call.end_lineno or 1) - 1] == place.last_column:
                        return call
        return calls[0] if len(calls) == 1 else None

    def statement_at(self, line: int) -> ast.stmt | None:
        """The innermost statement that covers a line."""
        found = [s for s in self.all(ast.stmt) if s.lineno <= line <= (s.end_lineno or 0)]
        return min(found, key=lambda s: (s.end_lineno or 0) - s.lineno, default=None)

    def function_at(self, line: int) -> ast.AST:
        """The innermost function that covers a line, or the module."""
        functions: list[ast.AST] = [
            f for f in self.all(ast.FunctionDef) if f.lineno <= line <= (f.end_lineno or 0)
        ]
        return max(functions, key=lambda f: f.lineno, default=self.tree)  # type: ignore[attr-defined]

    def assignments(self, inside: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
        """Targets and values of all assignments."""
        for node in self.all(ast.stmt, inside):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    yield target, node.value
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                yield node.target, node.value

    def has_name(self, name: str) -> bool:
        """Whether a module of that name is imported under it."""
        return any(
            (alias.asname or alias.name) == name
            for node in self.all(ast.Import)
            for alias in node.names
        )

    def indentation(self, line: int) -> str:
        """What stands before the first letter of a line."""
        text = self.lines[line - 1]
        return text[: len(text) - len(text.lstrip())]


class Draft:
    """Changes to one source, gathered and then made together."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._edits: list[tuple[int, int, str]] = []

    def replace(self, node: ast.AST, text: str) -> Draft:
        """Write something in a node's place."""
        self._edits.append((*self.source.span(node), text))
        return self

    def append(self, node: ast.AST, text: str) -> Draft:
        """Write something behind a node."""
        end = self.source.span(node)[1]
        self._edits.append((end, end, text))
        return self

    def argument(self, call: ast.Call, text: str) -> Draft:
        """Add a last argument to a call."""
        source = self.source
        end = source.span(call)[1] - 1  # before the closing parenthesis
        inside = source.text[:end].rstrip()
        comma = "" if inside.endswith("(") else " " if inside.endswith(",") else ", "
        self._edits.append((len(inside), len(inside), f"{comma}{text}"))
        return self

    def insert(self, line: int, text: str, *, like: int) -> Draft:
        """Put lines in front of a line, indented like another one."""
        indent = self.source.indentation(like)
        lines = "".join(f"{indent}{each}\n" for each in text.splitlines())
        at = self.source._starts[min(line, len(self.source._starts)) - 1]
        if at and self.source.text[at - 1] != "\n":
            lines = "\n" + lines
        self._edits.append((at, at, lines))
        return self

    def delete(self, statement: ast.stmt) -> Draft:
        """Take whole lines out."""
        starts = self.source._starts
        self._edits.append((starts[statement.lineno - 1], starts[statement.end_lineno or 0], ""))
        return self

    def edit(self, words: str) -> CodeEdit:
        """The edit, in the words given."""
        text = self.source.text
        for start, end, new in sorted(self._edits, reverse=True):
            text = text[:start] + new + text[end:]
        return CodeEdit.of(words, self.source.file, self.source.text, text)


class Program:
    """All sources that a watched loop ran through, and the places seen in them."""

    def __init__(self, sources: Mapping[str, str], loop: LoopSeen | None) -> None:
        self.loop = loop if loop is not None else LoopSeen()
        self.sources: dict[str, Source] = {}
        for file, text in sources.items():
            try:
                if text:
                    self.sources[file] = Source(file, text)
            except (SyntaxError, ValueError):
                continue  # a notebook's cell with a magic in it, say: the edit is said in words

    def at(self, what: str) -> tuple[Source, Place] | None:
        """The source and place of what happens somewhere, where there is text."""
        place = self.loop.place(what)
        source = self.sources.get(place.file) if place is not None else None
        return (source, place) if source is not None and place is not None else None

    def call(self, what: str) -> tuple[Source, ast.Call] | None:
        """The call that stands there."""
        found = self.at(what)
        call = found[0].call_at(found[1]) if found else None
        return (found[0], call) if found and call is not None else None

    def statement(self, what: str) -> tuple[Source, ast.stmt] | None:
        """The statement that stands there."""
        found = self.at(what)
        statement = found[0].statement_at(found[1].line) if found else None
        return (found[0], statement) if found and statement is not None else None

    def assigned_call(
        self, fits: Callable[[str, ast.Call], bool], target: str = ""
    ) -> tuple[Source, ast.Call] | None:
        """The only call that fits (by its function's last name) and is assigned to such a target.

        target: the last name of it; "" for any. None where there are several, or none.
        """
        found = [
            (source, value)
            for source in self.sources.values()
            for to, value in source.assignments(source.tree)
            if isinstance(value, ast.Call)
            and fits(last_name(value.func), value)
            and target in ("", last_name(to))
        ]
        return found[0] if len(found) == 1 else None


def last_name(node: ast.AST) -> str:
    """`nn.LSTM` -> "LSTM", `self.lstm` -> "lstm", "" of anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    """An argument of a call, given by place or by name."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    given = call.args[position : position + 1]
    if given and not any(isinstance(each, ast.Starred) for each in call.args[: position + 1]):
        return given[0]
    return None
