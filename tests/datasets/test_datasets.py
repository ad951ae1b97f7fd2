"""The shipped series is the published one, and the made tasks follow their rules."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from minirnn import datasets
from minirnn.errors import ArgumentError


def test_co2_is_the_published_record() -> None:
    series = datasets.co2(missing="keep")
    assert len(series) == 2284
    assert series.values.dtype == np.float64
    assert series.values[0] == 316.1
    assert series.values[-1] == 371.5
    assert np.nanmin(series.values) == 313.0
    assert np.nanmax(series.values) == 373.9
    assert np.nansum(series.values) == pytest.approx(756816.5, abs=1e-6)


def test_co2_is_dated_week_by_week() -> None:
    dates = datasets.co2().dates
    assert dates is not None
    assert str(dates[0]) == "1958-03-29"
    assert str(dates[-1]) == "2001-12-29"
    assert np.all(np.diff(dates) == np.timedelta64(7, "D"))


def test_co2_counts_its_missing_weeks_and_keeps_them_on_request() -> None:
    kept = datasets.co2(missing="keep")
    assert (kept.missing, kept.gaps) == (59, 22)
    assert np.isnan(kept.values).sum() == 59
    filled = datasets.co2()
    assert (filled.missing, filled.gaps) == (59, 22)
    assert not np.isnan(filled.values).any()


def test_co2_fills_gaps_linearly_and_touches_nothing_else() -> None:
    kept, filled = datasets.co2(missing="keep").values, datasets.co2().values
    measured = ~np.isnan(kept)
    np.testing.assert_array_equal(filled[measured], kept[measured])
    # 3 to 24 May 1958: 316.9, missing, 317.5; then 24 May to 5 July
    assert filled[6] == pytest.approx((316.9 + 317.5) / 2)
    gap = slice(8, 15)  # 317.9, five missing weeks, 315.8
    np.testing.assert_allclose(np.diff(filled[gap], n=2), 0, atol=1e-9)
    assert filled[8] == 317.9
    assert filled[14] == 315.8


def test_co2_says_where_it_comes_from_and_in_what_unit() -> None:
    series = datasets.co2()
    assert series.unit == "ppm"
    assert "Keeling" in series.provenance
    assert "Public domain" in series.provenance
    assert series.period == 52


def test_co2_refuses_another_way_to_fill() -> None:
    with pytest.raises(ArgumentError, match="missing: got 'zero'"):
        datasets.co2(missing="zero")  # type: ignore[arg-type]


def test_a_series_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        datasets.sine().unit = "V"  # type: ignore[misc]


def test_sine_is_a_sine_of_its_period() -> None:
    series = datasets.sine(100, period=20)
    np.testing.assert_allclose(series.values[20:], series.values[:-20], atol=1e-12)
    assert series.values[5] == pytest.approx(1.0)
    assert series.period == 20


def test_sine_has_the_noise_it_was_asked_for_and_repeats_it() -> None:
    clean, noisy = datasets.sine(20_000).values, datasets.sine(20_000, noise=0.3, seed=4).values
    assert np.std(noisy - clean) == pytest.approx(0.3, rel=0.02)
    np.testing.assert_array_equal(noisy, datasets.sine(20_000, noise=0.3, seed=4).values)
    assert np.any(noisy != datasets.sine(20_000, noise=0.3, seed=5).values)


def test_adding_marks_one_step_in_each_half_and_asks_for_their_sum() -> None:
    task = datasets.adding(200, length=11, seed=3)
    numbers, marks = task.x[..., 0], task.x[..., 1]
    assert task.x.shape == (200, 11, 2)
    assert task.y.shape == (200, 1)
    assert set(np.unique(marks)) == {0.0, 1.0}
    np.testing.assert_array_equal(marks[:, :5].sum(axis=1), 1)
    np.testing.assert_array_equal(marks[:, 5:].sum(axis=1), 1)
    np.testing.assert_allclose((numbers * marks).sum(axis=1), task.y[:, 0])
    assert np.all((numbers >= 0) & (numbers < 1))


def test_addings_baseline_is_the_error_of_answering_one() -> None:
    task = datasets.adding(50_000, length=4)
    assert np.mean((task.y - 1.0) ** 2) == pytest.approx(task.baseline, rel=0.02)


def test_sunspots_are_the_published_record() -> None:
    series = datasets.sunspots()
    assert len(series) == 309
    assert (series.values[0], series.values[-1]) == (5.0, 2.9)
    assert (series.values.min(), series.values.max()) == (0.0, 190.2)
    assert series.dates is not None
    assert str(series.dates[0]) == "1700-07-01"
    assert str(series.dates[-1]) == "2008-07-01"
    assert "Public domain" in series.provenance


def test_copying_asks_for_the_first_ten_symbols_after_the_sign() -> None:
    task = datasets.copying(50, length=7, seed=2)
    assert task.x.shape == (50, 27, 10)
    assert task.y.shape == (50, 27)
    np.testing.assert_array_equal(task.x.sum(axis=2), 1)
    symbols = task.x.argmax(axis=2)
    assert symbols[:, :10].max() == 7
    np.testing.assert_array_equal(symbols[:, 10:16], 8)
    np.testing.assert_array_equal(symbols[:, 16], 9)
    np.testing.assert_array_equal(symbols[:, 17:], 8)
    np.testing.assert_array_equal(task.y[:, :17], 8)
    np.testing.assert_array_equal(task.y[:, 17:], symbols[:, :10])
    assert task.baseline == pytest.approx(10 * np.log(8) / 27)
    assert task.loss == "cross_entropy"


def test_temporal_orders_class_is_the_order_of_its_signs() -> None:
    task = datasets.temporal_order(400, length=40, seed=1)
    symbols = task.x.argmax(axis=2)
    rows, at = np.nonzero(symbols < 2)
    np.testing.assert_array_equal(np.bincount(rows), 2)
    at = at.reshape(-1, 2)
    assert (at[:, 0].min(), at[:, 0].max()) == (4, 7)
    assert (at[:, 1].min(), at[:, 1].max()) == (20, 23)
    signs = np.take_along_axis(symbols, at, axis=1)
    np.testing.assert_array_equal(task.y, signs @ [2, 1])
    assert set(task.y) == {0, 1, 2, 3}
    assert task.baseline == pytest.approx(np.log(4))


def test_reber_strings_follow_the_grammar_and_end_as_they_began() -> None:
    task = datasets.reber(200, length=30, seed=5)
    assert task.lengths is not None
    assert task.lengths.max() <= 30
    for x, y, length in zip(task.x, task.y, task.lengths, strict=True):
        text = "".join("BTSXPVE"[k] for k in x[:length].argmax(axis=1))
        assert re.fullmatch(r"B([TP])B(TS*X|PT*V)((XT*V|PT*VP?)?[XSPTV]*)(S|V)E\1", text), text
        assert text[1] == text[-1]
        np.testing.assert_array_equal(x[length:], 0)
        np.testing.assert_array_equal(y[length:], 0)
        # Each symbol was among those that might come, and the second decides the last but one.
        for step in range(length - 1):
            assert y[step, x[step + 1].argmax()] == 1
        np.testing.assert_array_equal(y[length - 2], x[1])
        np.testing.assert_array_equal(np.flatnonzero(y[length - 1]), [6])


def test_rebers_grammar_is_the_published_graph() -> None:
    """Reber 1967: strings that are in, and strings that are not."""
    from minirnn.datasets.symbols import REBER

    def accepts(text: str) -> bool:
        state = 0
        for symbol in text:
            if state < 0 or symbol not in REBER[state]:
                return False
            state = REBER[state][symbol]
        return state == -1

    for text in ("BTXSE", "BPVVE", "BTSXSE", "BPTVPSE", "BTXXVVE", "BTSSXXTVVE", "BPVPXVPSE"):
        assert accepts(text), text
    for text in ("BTE", "BPVE", "TXSE", "BTXS", "BTXSEE", "BVXSE"):
        assert not accepts(text), text


@pytest.mark.parametrize("task", ["copying", "temporal_order", "reber"])
def test_a_task_of_symbols_repeats_its_seed_and_no_other(task: str) -> None:
    make = getattr(datasets, task)
    first, again, other = make(20, 20, 3), make(20, 20, 3), make(20, 20, 4)
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.y, again.y)
    assert (first.x != other.x).any()
    assert len(first) == 20


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: datasets.sine(0), "n"),
        (lambda: datasets.sine(10, period=1), "period"),
        (lambda: datasets.sine(10, noise=-1.0), "noise"),
        (lambda: datasets.sine(10, seed=-1), "seed"),
        (lambda: datasets.adding(2.5), "n"),
        (lambda: datasets.adding(10, length=1), "length"),
        (lambda: datasets.copying(0), "n"),
        (lambda: datasets.temporal_order(5, length=9), "length"),
        (lambda: datasets.reber(5, length=7), "length"),
    ],
)
def test_bad_arguments_are_named(call, argument) -> None:
    with pytest.raises(ArgumentError) as caught:
        call()
    assert caught.value.argument == argument
