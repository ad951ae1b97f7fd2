"""Windows, the split, missing values and scalers: exact contents."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.errors import ArgumentError, DataError, DTypeError, MinirnnError, ShapeError
from minirnn.training import (
    count_missing,
    fit_scaler,
    interpolate_missing,
    split_index,
    windows,
)

nan = np.nan


def test_windows_hold_consecutive_values_and_the_one_that_follows() -> None:
    x, y = windows(np.array([10.0, 11.0, 12.0, 13.0, 14.0]), window=3)
    assert x.shape == (2, 3, 1)
    assert y.shape == (2, 1)
    np.testing.assert_array_equal(x[..., 0], [[10, 11, 12], [11, 12, 13]])
    np.testing.assert_array_equal(y[:, 0], [13, 14])


def test_the_horizon_counts_from_the_windows_last_value() -> None:
    x, y = windows(np.arange(6.0), window=2, horizon=3)
    np.testing.assert_array_equal(x[..., 0], [[0, 1], [1, 2]])
    np.testing.assert_array_equal(y[:, 0], [4, 5])


def test_the_shortest_series_gives_one_window() -> None:
    x, y = windows([1, 2, 3], window=2)
    assert x.shape == (1, 2, 1)
    assert y.tolist() == [[3.0]]


def test_windows_are_copies() -> None:
    series = np.arange(5.0)
    x, y = windows(series, 2)
    x[:] = y[:] = -1
    np.testing.assert_array_equal(series, np.arange(5.0))


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (DataError, ([1.0, 2.0], 2)),
        (DataError, ([], 1)),
        (DataError, ([1.0, np.inf, 2.0], 1)),
        (ShapeError, ([[1.0, 2.0]], 1)),
        (DTypeError, (["a", "b", "c"], 1)),
        (DTypeError, (np.array([True, False, True]), 1)),
        (DTypeError, (np.arange(4) + 1j, 1)),
        (ArgumentError, ([1.0, 2.0], 0)),
        (ArgumentError, ([1.0, 2.0], 1.5)),
        (ArgumentError, ([1.0, 2.0], 1, 0)),
        (ArgumentError, ([1.0, 2.0], True)),
    ],
)
def test_windows_refuse_what_they_cannot_cut(error: type[MinirnnError], arguments: tuple) -> None:
    with pytest.raises(error):
        windows(*arguments)


@pytest.mark.parametrize(
    ("n", "share", "cut"), [(2284, 0.2, 1827), (10, 0.25, 8), (10, 0.0, 10), (10, 0.5, 5)]
)
def test_the_last_share_is_held_out(n: int, share: float, cut: int) -> None:
    assert split_index(n, share) == cut


@pytest.mark.parametrize("share", [1.0, -0.1, nan, "a", None])
def test_a_share_is_at_least_nothing_and_less_than_all(share: object) -> None:
    with pytest.raises(ArgumentError, match="validation"):
        split_index(10, share)  # type: ignore[arg-type]


def test_missing_values_are_counted_with_their_gaps() -> None:
    assert count_missing(np.array([nan, 1, nan, nan, 2, nan])) == (4, 3)
    assert count_missing(np.array([1.0, 2.0])) == (0, 0)


def test_gaps_are_filled_linearly_and_ends_with_the_nearest() -> None:
    values = np.array([nan, 1.0, nan, nan, 4.0, nan])
    np.testing.assert_allclose(interpolate_missing(values), [1, 1, 2, 3, 4, 4])
    assert np.isnan(values[0])


def test_a_gap_across_the_cut_is_filled_without_a_look_past_it() -> None:
    values = np.array([1.0, 2.0, nan, nan, nan, 10.0])
    np.testing.assert_allclose(
        interpolate_missing(values, cut=3), [1, 2, 2, 4.6666667, 7.3333333, 10]
    )


VALUES = np.array([2.0, 4.0, 4.0, 6.0, 14.0])


@pytest.mark.parametrize(
    ("kind", "offset", "scale"),
    [("none", 0, 1), ("standard", 6, np.sqrt(17.6)), ("minmax", 2, 12), ("robust", 4, 2)],
)
def test_scalers_take_their_measures(kind: str, offset: float, scale: float) -> None:
    scaler = fit_scaler(kind, VALUES)  # type: ignore[arg-type]
    assert scaler.offset == pytest.approx(offset)
    assert scaler.scale == pytest.approx(scale)
    np.testing.assert_allclose(scaler.apply(VALUES), (VALUES - offset) / scale)
    np.testing.assert_allclose(scaler.invert(scaler.apply(VALUES)), VALUES)


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
def test_scalers_pass_over_missing_values(kind: str) -> None:
    with_gaps = np.concatenate([VALUES, [nan, nan]])
    assert fit_scaler(kind, with_gaps) == fit_scaler(kind, VALUES)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_scalers_refuse_values_without_spread(kind: str, value: float) -> None:
    with pytest.raises(DataError, match=r"of 0; wanted values that vary"):
        fit_scaler(kind, np.full(7, value))  # type: ignore[arg-type]


def test_robust_refuses_quartiles_that_agree_and_names_the_way_out() -> None:
    with pytest.raises(DataError, match="standard"):
        fit_scaler("robust", np.array([0.0] * 9 + [5.0]))


def test_a_small_spread_on_a_high_level_is_a_spread() -> None:
    assert fit_scaler("standard", np.array([1e6, 1e6 + 1e-3])).scale == pytest.approx(
        5e-4, rel=1e-6
    )


def test_an_unknown_scale_is_named() -> None:
    with pytest.raises(ArgumentError, match="scale: got 'max'"):
        fit_scaler("max", VALUES)  # type: ignore[arg-type]
