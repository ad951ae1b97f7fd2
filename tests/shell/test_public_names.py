from __future__ import annotations

import ast
from pathlib import Path

import pytest

import minirnn


@pytest.mark.parametrize("name", minirnn.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(minirnn, name) is not None
    assert name in dir(minirnn)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'minirnn' has no attribute 'lstm'"):
        minirnn.lstm  # noqa: B018


def test_a_star_import_brings_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from minirnn import *", names)
    assert set(minirnn.__all__) <= names.keys()


def test_a_name_is_the_object_of_its_own_module() -> None:
    from minirnn import errors, kernels
    from minirnn.tensor import Tensor

    assert minirnn.Tensor is Tensor
    assert minirnn.ShapeError is errors.ShapeError
    assert minirnn.cells.lstm is kernels.cells.lstm


def test_type_checkers_see_the_same_names_in_the_same_modules() -> None:
    module = ast.parse(Path(minirnn.__file__).read_text())
    (block,) = (
        node
        for node in module.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name: line.module if line.module in minirnn._NAMES else f"{line.module}.{alias.name}"
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert seen == minirnn._MODULES | minirnn._HOMES
    assert {*seen, "__version__"} == set(minirnn.__all__)


def test_every_error_is_public() -> None:
    from minirnn import errors

    family = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.MinirnnError)
    }
    assert family <= set(minirnn.__all__)
