"""The page on inspection leaves no public name out."""

from pathlib import Path

import pytest

import minirnn.inspect

PAGE = (Path(__file__).parents[2] / "docs" / "inspection.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", minirnn.inspect.__all__)
def test_it_names(name: str) -> None:
    assert f"`{name}`" in PAGE or f"`{name}(" in PAGE
