"""docs/conformance.md says what the code does: tolerances, cases, causes."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from minirnn.testing import adapters
from minirnn.testing.causes import mutants
from minirnn.testing.conformance import report as conformance_report
from minirnn.testing.conformance.cases import GRADES, cases
from minirnn.testing.conformance.storage import NARROW_EPSILON, RUNS, SPREAD, STORAGES
from minirnn.testing.tolerances import OPERAND_EPSILON, STEP_ROUNDINGS, Sizes, terms

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")


def rows(header):
    """The cells of the table under that header."""
    table = PAGE[PAGE.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


def test_the_table_of_terms_is_that_of_the_code():
    drawn = np.random.default_rng(0)
    for _ in range(20):
        sizes = Sizes(*map(int, drawn.integers(1, 99, 6)), int(drawn.integers(1, 3)))
        known = dict(zip(("T", "B", "I", "H", "Gi", "Gh", "p"), sizes, strict=True))
        known["s"] = STEP_ROUNDINGS
        named = set()
        for arrays, formula, _ in rows("| array | terms | scale |"):
            name, _, expression = formula.strip("`").rpartition(" = ")
            value = eval(expression, {}, known)
            if name:
                known[name] = value
            for array in re.findall(r"`(.+?)`", arrays):
                assert terms(array, sizes) == value, array
                named.add(array)
    assert len(named) == 13


def test_the_epsilons_are_those_of_the_code():
    told = {}
    for what, epsilon, _ in rows("| what | epsilon | |"):
        power = 2.0 ** int(re.search(r"2\^(-\d+)", epsilon)[1])
        for name in re.findall(r'"(\w+)"', what) or [what]:
            told["storage " * ("storage" in what) + name] = power
    assert told.pop("float64") == np.finfo(np.float64).eps
    assert told.pop("float32") == np.finfo(np.float32).eps
    narrow = {f"storage {name}": e for name, e in NARROW_EPSILON.items()}
    assert told == OPERAND_EPSILON | narrow
    assert set(STORAGES) == {"float32", "float64", *NARROW_EPSILON}
    assert (SPREAD, RUNS) == (6, 8)


def test_the_counts_of_cases_are_right():
    quick, full = (Counter(case.grade for case in cases(level)) for level in ("quick", "full"))
    told = {int(r[0]): (r[1], int(r[3]), int(r[4])) for r in rows("| grade | | what")}
    assert told == {grade: (GRADES[grade], quick[grade], full[grade]) for grade in GRADES}


def test_the_causes_on_the_page_are_those_of_the_code():
    part = PAGE[PAGE.index("## The causes") : PAGE.index("## The tolerances")]
    told = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", part))
    assert told == set(mutants.CAUSES) | set(conformance_report.CAUSES)
    assert set(conformance_report.MEMORY) <= set(conformance_report.CAUSES)


@pytest.mark.parametrize("name", [n for n in adapters.__all__ if n != "Adapter"])
def test_every_adapter_is_on_the_page(name):
    assert f"{name}(" in PAGE
