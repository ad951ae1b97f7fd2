"""A wrong argument of a measure is named at the door, with what came and what was wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn import inspect
from minirnn.errors import ArgumentError, DTypeError, MinirnnError, ShapeError

X = np.random.default_rng(0).normal(size=(6, 60, 2))
Y = X[3, :, :1]


@pytest.fixture(scope="module")
def trace() -> inspect.Trace:
    with mr.record() as recording:
        output, _ = mr.LSTM(2, 3, rng=0)(X.astype(np.float32))
        output.sum().backward()
    return recording.traces[0]


BAD: dict[str, tuple[type[MinirnnError], str, tuple[Any, ...]]] = {
    "a length of -1": (ArgumentError, "lengths", (X, Y, np.full(60, -1))),
    "a length beyond the end": (ArgumentError, "lengths", (X, Y, np.full(60, 7))),
    "too few lengths": (ShapeError, "lengths", (X, Y, np.full(59, 3))),
    "lengths in fractions": (DTypeError, "lengths", (X, Y, np.full(60, 3.0))),
    "one length": (ShapeError, "lengths", (X, Y, 3)),
    "targets at every step": (ShapeError, "targets", (X, X[:, :, :1])),
    "targets that are too short": (ShapeError, "targets", (X, Y[:59])),
    "no targets": (ArgumentError, "targets", (X, None)),
    "words": (DTypeError, "targets", (X, ["yes"] * 60)),
    "ragged targets": (ShapeError, "targets", (X, [[1.0]] * 59 + [[1.0, 2.0]])),
    "inputs without features": (ShapeError, "inputs", (X[:, :, 0], Y)),
    "no inputs": (ArgumentError, "inputs", (None, Y)),
    "complex inputs": (DTypeError, "inputs", (X * 1j, Y)),
}


@pytest.mark.parametrize("measure", [inspect.measure_dependence, inspect.measure_predictability])
@pytest.mark.parametrize("case", BAD)
def test_sequences_targets_and_lengths_have_to_belong_together(
    case: str, measure: Callable[..., Any]
) -> None:
    error, argument, given = BAD[case]
    with pytest.raises(error) as caught:
        measure(*given)
    assert caught.value.argument == argument  # type: ignore[attr-defined]


def test_of_targets_at_every_step_the_error_says_which_to_take() -> None:
    with pytest.raises(ShapeError, match=r"targets\[-1\]"):
        inspect.measure_dependence(X, X[:, :, :1])


@pytest.mark.parametrize("measure", [inspect.measure_dependence, inspect.measure_predictability])
def test_lists_and_tensors_are_arrays_too(measure: Callable[..., Any]) -> None:
    wanted = measure(X, Y, np.full(60, 5))
    assert measure(X.tolist(), Y.tolist(), [5] * 60) == wanted
    assert measure(mr.Tensor(X), mr.Tensor(Y), np.full(60, 5)) == wanted


@pytest.mark.parametrize("thing", [None, "trace", X])
@pytest.mark.parametrize(
    "measure",
    [
        inspect.dead_units,
        inspect.gate_saturation,
        inspect.spread_between_sequences,
        inspect.input_sensitivity,
        inspect.memory_horizon,
        inspect.jacobian_spectrum,
        inspect.lyapunov_exponents,
    ],
)
def test_what_is_no_trace_is_refused(measure: Callable[..., Any], thing: Any) -> None:
    with pytest.raises(ArgumentError, match=r"trace: got a .*; wanted a Trace"):
        measure(thing)


@pytest.mark.parametrize("bad", ["x", None, [0.5], np.ones(2), float("nan"), -1, True])
def test_an_option_that_is_no_number_in_its_range_is_named(trace: inspect.Trace, bad: Any) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "off": lambda: inspect.dead_units(trace, off=bad),
        "share": lambda: inspect.memory_horizon(trace, share=bad),
        "low": lambda: inspect.gate_saturation(trace, low=bad),
        "high": lambda: inspect.gate_saturation(trace, high=bad),
        "skip": lambda: inspect.lyapunov_exponents(trace, skip=bad),
        "tolerance": lambda: inspect.find_loop([1.0, 2.0], tolerance=bad),
        "repeats": lambda: inspect.find_loop([1.0, 2.0], repeats=bad),
        "n": lambda: inspect.repetition_rate([1.0, 2.0], n=bad),
        "apart": lambda: inspect.fixed_points(mr.GRU(2, 3, rng=0), apart=bad),
        "iterations": lambda: inspect.fixed_points(mr.GRU(2, 3, rng=0), iterations=bad),
    }
    for argument, call in calls.items():
        with pytest.raises(ArgumentError, match=argument):
            call()


@pytest.mark.parametrize("bad", ["x", 1.5, True, None, [0], 6])
def test_a_step_that_is_none_is_named(trace: inspect.Trace, bad: Any) -> None:
    with pytest.raises(ArgumentError, match="t: got"):
        trace.jacobian(bad)


@pytest.mark.parametrize("bad", [None, 3, ["h"], np.ones(2)])
def test_a_name_that_is_no_word_is_named(trace: inspect.Trace, bad: Any) -> None:
    for call in (
        lambda: trace.gradient_norms(bad),
        lambda: trace.state(bad),
        lambda: trace.weight_gradient_norms(bad),
        lambda: inspect.spread_between_sequences(trace, bad),
        lambda: trace.save(bad),
        lambda: inspect.Trace.load(bad),
        lambda: trace.compare(bad),
    ):
        with pytest.raises(ArgumentError):
            call()


def test_parameters_come_by_name(trace: inspect.Trace) -> None:
    for before, after, argument in (
        (None, None, "before"),
        ({"w": X}, [X], "after"),
        ({"w": X}, {"w": "x"}, "after['w']"),
    ):
        with pytest.raises(ArgumentError) as caught:
            inspect.update_ratios(before, after)  # type: ignore[arg-type]
        assert caught.value.argument == argument


def test_a_probe_names_model_and_loss() -> None:
    model = mr.SequenceModel("gru", input_size=2, hidden_size=3, output_size=1, rng=0)
    x, y = X[:, :3].astype(np.float32), np.ones((3, 1), np.float32)
    for given, loss, told in (
        (None, None, "model: got a NoneType"),
        (model, "mse", "loss: got 'mse'"),
        (model, lambda p, t: None, "loss: got one that returns a NoneType"),
        (model, lambda p, t: p - t, r"loss: got one that returns a Tensor of shape \(3, 1\)"),
    ):
        with pytest.raises(ArgumentError, match=told):
            inspect.gradient_probe(given, x, y, loss=loss)  # type: ignore[arg-type]
    assert model.training


def test_of_nothing_there_are_no_dimensions_and_no_loop() -> None:
    assert inspect.effective_rank(np.zeros((0, 3))) == inspect.effective_rank([]) == 0.0
    assert inspect.participation_ratio([]) == 0.0
    assert inspect.find_loop([], tolerance=0.1) is None
    with pytest.raises(ArgumentError, match="sequence: got what has no order"):
        inspect.repetition_rate(["a", None, 3])
