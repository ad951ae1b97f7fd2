"""A prepared series: what the network sees, what it must not have seen, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minirnn.errors import ArgumentError, DataError, DTypeError, MinirnnError
from minirnn.nn import Module
from minirnn.tensor import Tensor, as_tensor
from minirnn.training import PreparedSeries, prepare_series

SERIES = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0])


def prepared(values: Any = SERIES, **options: Any) -> PreparedSeries:
    return prepare_series(values, **{"window": 3, "dtype": "float64", **options})


class LastPlus(Module):
    """Answers with the last input plus a constant: a network whose output is known."""

    def __init__(self, plus: float = 0.0) -> None:
        self.plus = plus

    def forward(self, x: Any) -> Tensor:
        return as_tensor(x)[-1] + self.plus


def test_training_targets_and_held_out_targets_part_the_series() -> None:
    data = prepared()
    assert data.cut == 8
    np.testing.assert_array_equal(data.indices("training"), [3, 4, 5, 6, 7])
    np.testing.assert_array_equal(data.indices("validation"), [8, 9])
    np.testing.assert_array_equal(data.training.y[:, 0], [1, 5, 9, 2, 6])
    np.testing.assert_array_equal(data.validation.y[:, 0], [5, 3])


def test_training_windows_hold_no_held_out_value() -> None:
    data = prepared(np.arange(100.0), window=7)
    assert data.training.x.max() < 80
    assert data.training.y.max() < 80
    assert data.validation.y.min() >= 80


def test_a_held_out_window_reaches_back_for_its_context() -> None:
    data = prepared()
    np.testing.assert_array_equal(data.validation.x[..., 0], [[9, 2, 6], [2, 6, 5]])


def test_horizons_keep_targets_apart_too() -> None:
    data = prepared(np.arange(20.0), window=4, horizon=3)
    assert data.training.y[:, 0].tolist() == list(range(6, 16))
    assert data.validation.y[:, 0].tolist() == list(range(16, 20))
    np.testing.assert_array_equal(data.validation.x[0, :, 0], [10, 11, 12, 13])


@pytest.mark.parametrize("transform", ["none", "change"])
@pytest.mark.parametrize("scale", ["standard", "minmax", "robust"])
def test_no_scale_sees_a_held_out_value(transform: Any, scale: Any) -> None:
    honest = prepared(transform=transform, scale=scale)
    other_future = SERIES.copy()
    other_future[8:] = [1e6, -1e6]
    other = prepared(other_future, transform=transform, scale=scale)
    assert honest.encoding == other.encoding
    np.testing.assert_array_equal(honest.training.x, other.training.x)
    np.testing.assert_array_equal(honest.training.y, other.training.y)


def test_every_training_value_is_seen_by_the_scale() -> None:
    last_of_training = SERIES.copy()
    last_of_training[7] = 100.0
    assert prepared(scale="minmax").encoding != prepared(last_of_training, scale="minmax").encoding


def test_no_filled_gap_sees_a_held_out_value() -> None:
    values = SERIES.copy()
    values[[1, 7, 8]] = np.nan
    data = prepared(values, missing="interpolate")
    assert (data.missing, data.gaps) == (3, 2)
    np.testing.assert_array_equal(data.values[:8], [3, 3.5, 4, 1, 5, 9, 2, 2])
    assert data.values[8] == 2.5  # halfway to the held-out 3, which it may know


def test_missing_values_are_kept_when_asked_and_every_window_shows_them() -> None:
    values = SERIES.copy()
    values[4] = np.nan
    data = prepared(values, scale="standard")
    assert (data.missing, data.gaps) == (1, 1)
    np.testing.assert_array_equal(
        np.isnan(data.training.x).any(axis=(1, 2)), [False, False, True, True, True]
    )
    np.testing.assert_array_equal(
        np.isnan(data.training.y[:, 0]), [False, True, False, False, False]
    )


def test_standardised_values_are_standardised_over_the_training_part() -> None:
    data = prepared(scale="standard")
    mean, std = SERIES[:8].mean(), SERIES[:8].std()
    np.testing.assert_allclose(data.training.x[0, :, 0], (SERIES[:3] - mean) / std)
    np.testing.assert_allclose(data.training.y[:, 0], (SERIES[3:8] - mean) / std)


def test_a_change_is_measured_from_the_windows_last_value() -> None:
    data = prepared(transform="change")
    np.testing.assert_array_equal(data.training.x[1, :, 0], [0, 3, 0])  # 1 4 1 | 5
    assert data.training.y[1, 0] == 4
    np.testing.assert_array_equal(data.training.x[:, -1, 0], 0)
    np.testing.assert_array_equal(data.validation.y[:, 0], [5 - 6, 3 - 5])


def test_changes_and_their_windows_have_a_scale_each() -> None:
    plain, scaled = prepared(transform="change"), prepared(transform="change", scale="standard")
    for kind in ("x", "y"):
        array = getattr(plain.training, kind)
        wanted = (array - array.mean()) / array.std()
        np.testing.assert_allclose(getattr(scaled.training, kind), wanted, atol=1e-12)


@pytest.mark.parametrize("transform", ["none", "change"])
@pytest.mark.parametrize("scale", ["none", "standard", "minmax", "robust"])
def test_decoding_undoes_encoding(transform: Any, scale: Any) -> None:
    data = prepared(transform=transform, scale=scale)
    for part, sequences in (("training", data.training), ("validation", data.validation)):
        values = data.encoding.decode(sequences.y, data.contexts(part))
        np.testing.assert_allclose(values, data.targets(part), rtol=1e-14)


def test_windows_come_in_the_asked_dtype_and_the_series_stays_in_float64() -> None:
    data = prepare_series(SERIES.astype(np.float32), window=3)
    assert data.training.x.dtype == data.training.y.dtype == np.float32
    assert data.values.dtype == np.float64


def test_nothing_held_out_leaves_no_validation() -> None:
    data = prepared(validation=0.0)
    assert data.validation is None
    assert data.targets("training").size == 7
    assert data.predictions(LastPlus()).size == 0


@pytest.mark.parametrize("scale", ["none", "standard", "minmax", "robust"])
def test_predictions_come_back_in_the_series_units(scale: Any) -> None:
    data = prepared(scale=scale)
    # The model repeats the last input, so that in the series' units it is persistence.
    np.testing.assert_allclose(data.predictions(LastPlus()), [6, 5])
    np.testing.assert_allclose(data.predictions(LastPlus(), "training"), SERIES[2:7])


def test_predicted_changes_are_added_to_the_last_value() -> None:
    data = prepared(transform="change")  # its last input is 0, so the answer is the constant
    np.testing.assert_allclose(data.predictions(LastPlus(0.5)), [6.5, 5.5])


def test_a_free_run_feeds_back_what_it_predicts() -> None:
    data = prepared(transform="change")
    np.testing.assert_allclose(data.free_run(LastPlus(0.5), 4), [6.5, 7.0, 7.5, 8.0])
    assert len(data.free_run(LastPlus())) == 2
    np.testing.assert_allclose(data.free_run(LastPlus(1.0), 2, start=3), [5.0, 6.0])


def test_a_free_run_sees_no_value_after_its_start() -> None:
    other = SERIES.copy()
    other[8:] = 1e9
    ours = prepared(scale="standard").free_run(LastPlus(0.1), 2)
    np.testing.assert_array_equal(
        ours, prepared(other, scale="standard").free_run(LastPlus(0.1), 2)
    )


def test_a_free_run_slides_its_window() -> None:
    class First(Module):
        def forward(self, x: Any) -> Tensor:
            return as_tensor(x)[0] + 0.0

    # It answers with the oldest of three values, so it repeats the last three for ever.
    np.testing.assert_array_equal(prepared().free_run(First(), 7), [9, 2, 6, 9, 2, 6, 9])


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"steps": -1}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"start": 2}, "start"),
        ({"start": 11}, "start"),
    ],
)
def test_a_free_run_names_bad_arguments(options: dict[str, Any], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        prepared().free_run(LastPlus(), **options)
    assert caught.value.argument == argument


def test_a_free_run_needs_a_horizon_of_one() -> None:
    with pytest.raises(ArgumentError, match="horizon"):
        prepared(horizon=2).free_run(LastPlus())


BAD: dict[str, tuple[type[MinirnnError], str, dict[str, Any]]] = {
    "too short": (DataError, "wanted at least 9 for training", {"window": 8}),
    "no values": (DataError, "a series of 0 values", {"values": []}),
    "all missing": (DataError, "no number", {"values": [np.nan] * 10}),
    "constant": (DataError, "8 values are all 7", {"values": [7.0] * 10}),
    "constant before the cut": (DataError, "are all 7", {"values": [7.0] * 8 + [1.0, 2.0]}),
    "constant with gaps": (DataError, "are all 7", {"values": [7.0, np.nan] * 5}),
    "a straight line": (
        DataError,
        "standard deviation of 0",
        {"values": np.arange(10.0), "transform": "change", "scale": "standard"},
    ),
    "infinite": (DataError, "inf at index 2", {"values": [1.0, 2.0, np.inf, 3.0] * 3}),
    "too large to be squared": (
        DataError,
        r"values of up to 1e\+300",
        {"values": [1.0, 1e300] * 5, "scale": "standard"},
    ),
    "all of them 0 in float32": (
        DataError,
        "values of up to 1e-50",
        {"values": [0, 1e-50] * 5, "dtype": "float32"},
    ),
    "too short for the horizon": (
        DataError,
        "its target 9 steps later. Choose a smaller window or horizon",
        {"horizon": 9},
    ),
    "text": (DTypeError, "values", {"values": ["a"] * 10}),
    "half precision": (DTypeError, "dtype", {"dtype": "float16"}),
    "unknown transform": (ArgumentError, "transform: got 'log'", {"transform": "log"}),
    "unknown scale": (ArgumentError, "scale: got 'max'", {"scale": "max"}),
    "unknown missing": (ArgumentError, "missing: got 'drop'", {"missing": "drop"}),
    "no window": (ArgumentError, "window: got 0", {"window": 0}),
    "no horizon": (ArgumentError, "horizon: got 0", {"horizon": 0}),
    "all held out": (ArgumentError, "validation: got 1.0", {"validation": 1.0}),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_prepared_is_a_typed_error(case: str) -> None:
    error, message, options = BAD[case]
    with pytest.raises(error, match=message):
        prepared(**options)


def test_small_and_large_values_pass_where_a_scale_makes_them_fit() -> None:
    for size in (1e-140, 1e140):
        scaled = prepared(np.array([0.0, 1.0] * 6) * size, scale="minmax", dtype="float32")
        assert scaled.training.x.max() == 1.0
    # Without one they are infinite, for the doctor to find; not warned of on the way.
    raw = prepared(np.array([0.0, 1.0] * 5) * 1e140, dtype="float32")
    assert np.isinf(raw.training.x).any()


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(ArgumentError, match="part: got 'test'"):
        prepared().targets("test")  # type: ignore[arg-type]
