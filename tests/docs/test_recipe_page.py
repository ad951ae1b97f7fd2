"""The page on recipes: every key stands there, with the default that it has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from minirnn.diagnosis import Recipe
from minirnn.diagnosis.recipe.schema import KEYS

PAGE = (Path(__file__).parents[2] / "docs" / "recipe.md").read_text("utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def test_every_key_of_a_recipe_is_on_its_page():
    text = "\n".join(BLOCKS)
    missing = [key for key in KEYS if not re.search(rf"\b{key.rpartition('.')[2]}\s*=", text)]
    assert missing == []


def test_what_the_page_says_is_the_default():
    tables = tomllib.loads("\n".join(BLOCKS))
    default = Recipe.from_dict({"data": {"builtin": "co2"}, "generation": {}})
    assert Recipe.from_dict(tables) == default
