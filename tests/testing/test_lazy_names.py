"""`minirnn.testing` brings its names when they are used, as `minirnn` does."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

from minirnn import testing

WHERE = Path(testing.__file__).parents[2]


def test_importing_it_loads_no_numpy():
    code = (
        f"import sys; sys.path.insert(0, {str(WHERE)!r}); import minirnn.testing\n"
        "print(*(name for name in sys.modules if name.split('.')[0] in ('numpy', 'minirnn')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, text=True, capture_output=True)
    assert done.stdout.split() == ["minirnn", "minirnn.testing"]


@pytest.mark.parametrize("name", testing.__all__)
def test_every_public_name_is_there(name):
    assert getattr(testing, name) is not None
    assert name in dir(testing)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'minirnn.testing' has no attribute 'refrence'"):
        testing.refrence  # noqa: B018


@pytest.mark.parametrize("name", ["reference", "gradcheck", "golden"])
def test_a_function_is_not_lost_to_the_file_of_its_name(name):
    importlib.import_module(f"minirnn.testing.{name}")
    setattr(testing, name, sys.modules[f"minirnn.testing.{name}"])  # as an import of the file does
    assert isinstance(getattr(testing, name), FunctionType)


def test_type_checkers_see_the_same_names_in_the_same_modules():
    module = ast.parse(Path(testing.__file__).read_text(encoding="utf-8"))
    (block,) = (
        node
        for node in module.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name: line.module
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert seen.pop("adapters") == "minirnn.testing"
    assert seen == testing._HOMES
    assert {*seen, "adapters"} == set(testing.__all__)
