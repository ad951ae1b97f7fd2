"""Which tests can reach PyTorch, Keras or ONNX, so that `make oracle` runs these and no others.

Read from the text of the test files, so no list has to be kept. A statement of a file *reaches* a
framework if it imports one, asks pytest to (`importorskip`), has its name in a string, or uses a
name of the file, a helper file or a conftest that does. A test that reaches none was run whole by
`make test`, where no framework is installed. `lost` is the check of that: a test which is skipped
there for want of a framework has to be among those that reach one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
FRAMEWORKS = ("torch", "keras", "onnx", "onnxruntime", "h5py")
# Folders whose tests all run again: the profiler looks for PyTorch by itself.
WHOLE = ("profiling",)
HELPERS = ("tests/*", "tools")

_WORD = re.compile(rf"(?<![\w-])({'|'.join(FRAMEWORKS)})(?!\w)")
_SKIPPED = re.compile(rf"could not import '({'|'.join(FRAMEWORKS)})['.]|the oracle is PyTorch")


def reaches(path: Path, name: str) -> bool:
    """Whether the function or class `name` of a test file can reach a framework."""
    if path.parent.name in WHOLE:
        return True
    found = reaching(path)
    return "*" in found or name in found


def lost(path: Path, name: str | None, reason: str) -> bool:
    """Whether a test skipped for `reason` would not be run by `make oracle` (name None: a file)."""
    if not _SKIPPED.search(reason):
        return False
    return not reaches(path, name) if name is not None else "*" not in reaching(path)


_KNOWN: dict[Path, frozenset[str]] = {}


def reaching(path: Path) -> frozenset[str]:
    """The top-level names of a file that reach a framework; "*" if importing the file does."""
    if path not in _KNOWN:
        _KNOWN[path] = frozenset()  # while its own is looked for: helpers may import each other
        _KNOWN[path] = _look(path)
    return _KNOWN[path]


def _look(path: Path) -> frozenset[str]:
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    found = set(_inherited(path)) if path.name.startswith("test_") else set()
    defined: list[tuple[set[str], ast.stmt]] = []
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            found |= _imported(statement)
        elif not _is_docstring(statement):
            defined.append((_bound(statement), statement))
    uses = [(names, set(_mentions(statement)), statement) for names, statement in defined]
    size = -1
    while len(found) > size:  # until no name is added
        size = len(found)
        for names, used, statement in uses:
            if used & (found | {"*"}):
                found |= names
                if not names or _runs_itself(statement, used):
                    found.add("*")
    return frozenset(found)


def _inherited(path: Path) -> set[str]:
    """The fixtures of the conftests that the file sees."""
    folders = [path.parent, *path.parent.parents]
    found: set[str] = set()
    for folder in folders[: folders.index(TESTS) + 1] if TESTS in folders else []:
        conftest = folder / "conftest.py"
        if conftest.is_file():
            found |= reaching(conftest)
    return found


def _imported(statement: ast.Import | ast.ImportFrom) -> set[str]:
    """The names that an import binds to something which reaches a framework."""
    if isinstance(statement, ast.ImportFrom):
        module = (statement.module or "").partition(".")[0]
        if module in FRAMEWORKS:
            return {"*"}
        there = _of_helper(module)
        if "*" in there:
            return {"*"}
        return {a.asname or a.name for a in statement.names if a.name in there}
    found: set[str] = set()
    for alias in statement.names:
        module = alias.name.partition(".")[0]
        there = _of_helper(module)
        if module in FRAMEWORKS or "*" in there:
            found.add("*")
        elif there:
            found.add(alias.asname or module)
    return found


def _of_helper(module: str) -> frozenset[str]:
    """What reaches a framework in a file that tests share; nothing for other modules."""
    for pattern in HELPERS:
        for path in sorted(TESTS.parent.glob(f"{pattern}/{module}.py")):
            return reaching(path)
    return frozenset()


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement at the top of a file gives a meaning."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _runs_itself(statement: ast.stmt, used: set[str]) -> bool:
    """Whether every test of the file runs it: importing does, or pytest as an autouse fixture."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return "autouse" in used
    return "importorskip" in used


def _mentions(statement: ast.stmt) -> Iterator[str]:
    """The names a statement uses, its strings where they may be names; "*" for a framework."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(statement)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and _is_docstring(node.body[0])
    }
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imported(node)
        elif isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield str(node.value)
            if _WORD.search(str(node.value)):
                yield "*"
        elif isinstance(node, ast.Call) and _asks_for_a_name(node):
            yield "*"


def _asks_for_a_name(call: ast.Call) -> bool:
    """Whether it is an `importorskip` of what only a run can tell."""
    asks = isinstance(call.func, ast.Attribute) and call.func.attr == "importorskip"
    return asks and not (call.args and isinstance(call.args[0], ast.Constant))


def _is_docstring(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
