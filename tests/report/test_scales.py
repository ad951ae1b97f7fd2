"""Scales keep exact zeros apart and never lose a value."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.report.scales import (
    log_axis,
    log_magnitude,
    log_range,
    on_axis,
    power_of_ten,
    rounded,
    symmetric_range,
)


def test_zeros_are_drawn_on_a_labelled_floor_below_every_positive_value():
    curve = np.array([0.0, 3e-12, 1e-3, 0.0])
    axis = log_axis([curve])
    assert axis.floor is not None
    assert axis.floor < 3e-12
    assert axis.labels[axis.ticks.index(axis.floor)] == "exactly 0"
    drawn = on_axis(curve, axis)
    assert drawn.tolist() == [axis.floor, 3e-12, 1e-3, axis.floor]
    assert np.all((np.log10(drawn) > axis.low) & (np.log10(drawn) < axis.high))


def test_without_zeros_there_is_no_floor():
    axis = log_axis([np.array([2.0, 5.0]), np.array([0.3])])
    assert axis.floor is None
    assert "exactly 0" not in axis.labels
    assert 10**axis.low < 0.3 < 5.0 < 10**axis.high


def test_a_narrow_range_has_ticks_between_the_powers_of_ten():
    axis = log_axis([np.array([0.56, 0.83])])
    assert axis.labels == ["0.5", "1"]
    assert 10**axis.low < 0.5 < 1 < 10**axis.high
    assert log_axis([np.array([2.0, 2.0])]).labels == ["2", "5"]
    assert log_axis([np.array([11.0, 45.0])]).labels == ["10", "20", "50"]
    assert log_axis([np.array([3e-7, 4e-6])]).labels[:2] == [
        "2 × 10<sup>−7</sup>",
        "5 × 10<sup>−7</sup>",
    ]


@pytest.mark.parametrize("curve", [[], [0.0, 0.0], [np.nan], [np.inf, 0.0]])
def test_an_axis_exists_even_where_nothing_is_positive(curve):
    values = np.array(curve, dtype=np.float64)
    axis = log_axis([values])
    assert axis.low < axis.high
    drawn = np.log10(on_axis(values, axis))
    assert np.all(np.isnan(drawn) | ((drawn > axis.low) & (drawn < axis.high)))


def test_float64s_smallest_values_fit_on_the_axis():
    curve = np.array([0.0, 5e-324, 1.0])  # a subnormal, below which there is no number
    axis = log_axis([curve])
    assert axis.floor is not None
    drawn = on_axis(curve, axis)
    assert np.all(np.diff(drawn) > 0)
    assert axis.low < np.log10(drawn[0])


def test_what_is_not_finite_is_not_drawn():
    curve = np.array([1.0, np.inf, np.nan, 2.0])
    drawn = on_axis(curve, log_axis([curve]))
    assert np.isnan(drawn).tolist() == [False, True, True, False]


def test_a_curve_given_is_not_written_into():
    curve = np.array([0.0, 1.0])
    on_axis(curve, log_axis([curve]))
    assert curve.tolist() == [0.0, 1.0]


def test_log_magnitude_leaves_out_zeros_only():
    logs = log_magnitude(np.array([-100.0, 0.0, 1e-40, np.nan], dtype=np.float64))
    assert logs[0] == 2.0
    assert logs[2] == pytest.approx(-40.0)
    assert np.isnan(logs[[1, 3]]).all()


def test_gradient_maps_share_a_range_that_ends_ten_decades_below_the_largest():
    assert log_range([np.array([1e-30, 0.0]), np.array([-50.0])]) == (-8.0, 2.0)
    assert log_range([np.array([1e-3]), np.array([0.5])]) == (-3.0, 0.0)
    assert log_range([np.zeros(3)]) == (-1.0, 0.0)
    low, high = log_range([np.array([1.0])])
    assert low < high


def test_labels_are_powers_of_ten_with_a_true_minus():
    assert power_of_ten(-7) == "10<sup>−7</sup>"
    assert power_of_ten(0) == "1"


@pytest.mark.parametrize(
    ("largest", "bound"), [(0.0, 1.0), (0.99, 1.0), (1.2, 1.5), (6.4, 7.5), (98.0, 100.0)]
)
def test_a_diverging_scale_is_symmetric_and_round(largest, bound):
    assert symmetric_range(np.array([0.1, -largest])) == bound
    assert symmetric_range(np.array([np.nan, largest])) == bound


def test_values_are_written_as_decimals_as_fine_as_the_step():
    values = np.array([[0.12345, -1e-9, np.nan], [12.3456, np.inf, 0.0]], dtype=np.float32)
    assert rounded(values, 1e-3).tolist() == [[0.123, 0.0, None], [12.346, None, 0.0]]
    assert rounded(values[:, :1], 0.05).tolist() == [[0.12], [12.35]]
    assert rounded(np.array([1234.0]), 100.0).tolist() == [1200.0]
