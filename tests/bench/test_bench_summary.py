from __future__ import annotations

import pytest

from bench.summary import geometric_mean, median, spread
from minirnn.errors import ArgumentError


def test_the_median_is_not_moved_by_one_slow_round() -> None:
    assert median([1.0, 1.1, 0.9, 1.0, 50.0]) == 1.0


def test_the_spread_is_the_middle_half_over_the_median() -> None:
    assert spread([8.0, 9.0, 10.0, 11.0, 12.0]) == pytest.approx(2.0 / 10.0)


def test_a_single_reading_has_no_spread() -> None:
    assert spread([3.0]) == 0.0


def test_twice_as_fast_and_twice_as_slow_are_even_in_the_geometric_mean() -> None:
    assert geometric_mean([2.0, 0.5]) == pytest.approx(1.0)
    assert geometric_mean([1.0, 4.0, 16.0]) == pytest.approx(4.0)


@pytest.mark.parametrize("ratios", [[], [1.0, 0.0], [2.0, -1.0]])
def test_a_geometric_mean_of_none_or_of_no_ratios_is_refused(ratios: list[float]) -> None:
    with pytest.raises(ArgumentError, match="ratios"):
        geometric_mean(ratios)


def test_a_median_of_nothing_is_refused() -> None:
    with pytest.raises(ArgumentError, match="readings"):
        median([])
