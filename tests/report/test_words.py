"""Numbers read the same everywhere, and zero is never confused with small."""

from __future__ import annotations

import math

import pytest

from minirnn.report.words import number, quantity


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "exactly 0"),
        (0.3849, "0.385"),
        (30.04, "30.0"),
        (1240.4, "1,240"),
        (0.001, "0.00100"),
        (4e-21, "4.0 × 10⁻²¹"),
        (-2.5e7, "-2.5 × 10⁷"),
        (math.nan, "not a number"),
        (-math.inf, "-infinity"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


def test_quantities():
    assert quantity(0.512, "ppm") == "0.512 ppm"
    assert quantity(0.0, "ppm") == "0 ppm"
    assert quantity(None, "ppm") == "–"
