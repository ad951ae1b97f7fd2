"""Figures in words."""

from __future__ import annotations

import pytest

from minirnn.diagnosis import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.021349, "0.0213"), (3.1, "3.1"), (1087.6, "1,088"), (4e-21, "4e-21"), (-360.2, "-360"),
     (2.5e9, "2.5e+09"), (float("nan"), "nan"), (0.0, "0")],
)  # fmt: skip
def test_numbers_keep_three_digits(value: float, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [(0.0, "0%"), (0.001, "under 1%"), (0.974, "97%"), (0.997, "over 99%"), (1.0, "100%")],
)
def test_a_share_that_is_not_all_is_never_all(part: float, text: str) -> None:
    assert wording.share(part) == text


def test_lists_counts_and_quantities() -> None:
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.counted(1, "step") == "1 step"
    assert wording.counted(3, "step") == "3 steps"
    assert wording.quantity(1.62, "ppm") == "1.62 ppm"
    assert wording.quantity(1.62) == "1.62"


def test_what_was_measured_stands_beside_what_needs_no_network() -> None:
    series = {"unit": "ppm", "held_out_rmse": 0.45, "training_rmse": 0.4, "mean_rmse": 2.0}
    assert wording.measured(series) == [
        "held out: RMSE 0.45 ppm, in training 0.4 ppm; always the mean: 2 ppm"
    ]
    labels = {"held_out_accuracy": 1.0, "training_accuracy": 0.99, "majority_accuracy": 0.963}
    assert wording.measured(labels) == [
        "held out: right answers 100%, in training 99%; always the commonest answer: 96%"
    ]
    assert wording.measured({"held_out_r2": 0.5, "unit": "ppm"}) == ["held out: R2 0.5"]
    assert wording.measured({"unit": "", "training_r2": 0.5}) == []
