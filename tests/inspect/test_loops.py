"""Loops in which a sequence ends, and how much it repeats."""

from __future__ import annotations

import numpy as np
import pytest

import minirnn as mr
from minirnn.inspect import find_loop, repetition_rate


def test_the_smallest_period_is_found_and_where_it_begins():
    found = find_loop([5, 1, 7, 1, 2, 3, 1, 2, 3, 1, 2, 3])
    assert found == (3, 3, 9)
    assert not found.frozen


def test_a_sequence_that_stands_still_is_a_loop_of_one():
    assert find_loop(np.array([[1.0, 2.0], [3.0, 4.0], [3.0, 4.0], [3.0, 4.0]])) == (1, 1, 3)
    assert find_loop([4, 4, 4]).frozen


@pytest.mark.parametrize(
    "sequence", [[], [1], [1, 2, 1, 2, 1], [1, 2, 3, 1, 2, 3], list(range(20)), [1, 1, 1, 2]]
)
def test_what_has_not_gone_round_three_times_is_no_loop(sequence):
    assert find_loop(sequence) is None


def test_rounds_may_be_asked_for():
    assert find_loop([1, 2, 3, 1, 2, 3], repeats=2) == (3, 0, 6)


def test_numbers_may_differ_by_a_share_of_their_range():
    t = np.arange(60)
    wave = np.sin(2 * np.pi * t / 10) + 1e-4 * np.random.default_rng(0).normal(size=60)
    assert find_loop(wave) is None
    assert find_loop(wave, tolerance=1e-3).period == 10


def test_a_nan_repeats_nothing():
    assert find_loop(np.array([np.nan] * 9)) is None


def test_characters_are_symbols():
    assert find_loop(list("so and so and so and so ")).period == 7
    assert repetition_rate(list("abababab"), 2) == pytest.approx(1 - 2 / 7)


def test_the_rate_counts_grams_that_came_before():
    assert repetition_rate(np.arange(10), 3) == 0.0
    assert repetition_rate([1, 2, 1, 2, 1], 2) == pytest.approx(0.5)  # 12 21 12 21: two of four
    assert np.isnan(repetition_rate([1, 2], 3))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: find_loop(np.zeros((2, 2, 2))), "sequence"),
        (lambda: find_loop([1, 2], repeats=1), "repeats"),
        (lambda: find_loop([1.0, 2.0], tolerance=-1.0), "tolerance"),
        (lambda: find_loop([1, 2, 3], tolerance=0.1), "tolerance"),
        (lambda: repetition_rate([1, 2], 0), "n"),
    ],
)
def test_bad_arguments_are_named(call, argument):
    with pytest.raises(mr.ArgumentError, match=f"^{argument}: "):
        call()
