"""Numbers that edits write into a user's code are written as one writes them by hand."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from minirnn.interop.torch.loop.data_edits import numeral


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0.02134, "0.0213"),
        (6.0606, "6.06"),
        (1009.7, "1010"),
        (123456.0, "123000"),
        (2.6e9, "2600000000"),
        (3.21e-6, "3.21e-06"),
        (1.5e20, "1.5e+20"),
    ],
)
def test_three_digits_without_an_exponent_where_it_can_be_done_without(
    value: float, wanted: str
) -> None:
    assert numeral(value) == wanted
