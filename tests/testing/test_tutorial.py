"""What docs/test-your-own.md says is what happens. (That its code runs, tests/docs shows.)"""

from __future__ import annotations

import re
from pathlib import Path

from minirnn.testing.causes.mutants import CAUSES

PAGE = Path(__file__).parents[2].joinpath("docs", "test-your-own.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]\d+)?\b")


def test_its_table_has_every_cause():
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert dict(rows) == CAUSES


def test_the_message_that_it_shows_is_the_one_that_comes():
    names: dict[str, object] = {}
    first, second, third = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[:3]
    for block in (first, second, third):
        exec(block, names)
    (shown,) = re.findall(r"^```\n(state\.c.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    # The last digits are the machine's.
    assert NUMBER.sub("…", shown.strip()) == NUMBER.sub("…", str(names["mismatch"]))


def test_a_test_in_ten_lines_has_ten():
    second = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1]
    assert len(second[second.index("def ") :].strip().splitlines()) <= 10
