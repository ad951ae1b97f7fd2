"""Truncated BPTT: the same loss, and a gradient that ends where its chunk begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn.errors import ArgumentError
from minirnn.nn import Linear, SequenceModel, Sequential
from minirnn.optim import SGD
from minirnn.training import Penalty, Sequences, fit


def sequences(*, per_step: bool, lengths: bool = False, T: int = 9, N: int = 5) -> Sequences:
    rng = np.random.default_rng(3)
    y = rng.normal(size=(N, T, 2) if per_step else (N, 2))
    ends = np.array([9, 1, 4, 0, 6])[:N] if lengths else None
    return Sequences(rng.normal(size=(N, T, 3)), y, ends)


def model_of(data: Sequences, cell: str = "lstm", **options: Any) -> SequenceModel:
    return SequenceModel(
        cell, input_size=3, hidden_size=4, output_size=2,
        readout="all" if data.per_step else "last", dtype="float64", rng=1, **options,
    )  # fmt: skip


def trained(data: Sequences, model: SequenceModel, **options: Any) -> dict[str, np.ndarray]:
    fit(
        model, data, loss="mse", optimizer=SGD(model.parameters(), 0.1), epochs=2, batch_size=3,
        progress=False, **options,
    )  # fmt: skip
    return {name: parameter.data for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("per_step", [True, False])
@pytest.mark.parametrize("truncate", [9, 50])
def test_as_many_steps_as_there_are_change_no_bit(per_step: bool, truncate: int) -> None:
    data = sequences(per_step=per_step, lengths=True)
    whole = trained(data, model_of(data))
    for name, array in trained(data, model_of(data), truncate=truncate).items():
        np.testing.assert_array_equal(array, whole[name])


@pytest.mark.parametrize("per_step", [True, False])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("options", [{}, {"batch_first": True, "num_layers": 2, "norm": "layer"}])
def test_chunks_answer_and_score_as_the_whole_does(per_step, lengths, options) -> None:
    data = sequences(per_step=per_step, lengths=lengths)
    metrics = ("rmse", "r2")
    one = fit_once(data, model_of(data, **options), 0, metrics)
    other = fit_once(data, model_of(data, **options), 4, metrics)
    assert other.epochs[0].loss == pytest.approx(one.epochs[0].loss, rel=1e-13)
    for name in metrics:
        told, wanted = other.epochs[0].metrics[name], one.epochs[0].metrics[name]
        assert told == pytest.approx(wanted, rel=1e-12)
    # The gradient is another one, though.
    assert abs(other.epochs[0].gradient_norm / one.epochs[0].gradient_norm - 1) > 1e-6


def fit_once(data: Sequences, model: SequenceModel, truncate: int, metrics: Any = ()) -> Any:
    return fit(
        model, data, loss="mse", optimizer=SGD(model.parameters(), 0.1), epochs=1, batch_size=9,
        truncate=truncate, metrics=metrics, progress=False,
    )  # fmt: skip


@pytest.mark.parametrize("per_step", [True, False])
def test_the_traces_of_chunks_say_that_they_were_cut(per_step: bool) -> None:
    data = sequences(per_step=per_step)
    with mr.record() as recording:
        fit_once(data, model_of(data), 4)
    traces = recording.traces[-3:]  # what comes before is the check of model and data
    # The chunk that may be shorter is the last, or where only the end is answered the first.
    assert [len(trace.hidden) for trace in traces] == ([4, 4, 1] if per_step else [1, 4, 4])
    assert [trace.truncated for trace in traces] == [False, True, True]
    np.testing.assert_array_equal(traces[1].initial_state["h"], traces[0].hidden[-1])
    assert [trace.has_gradients for trace in traces] == [per_step, per_step, True]


def test_a_penalty_is_added_once() -> None:
    data = sequences(per_step=True)
    model = model_of(data)
    weights = {name: parameter.data.copy() for name, parameter in model.named_parameters()}
    plain = model_of(data)
    fit_once(data, plain, 4)
    fit(
        model, data, loss="mse", optimizer=SGD(model.parameters(), 0.1), epochs=1, batch_size=9,
        truncate=4, penalty=Penalty(0.0, 0.5), progress=False,
    )  # fmt: skip
    for name, parameter in model.named_parameters():
        shrunk = dict(plain.named_parameters())[name].data - 0.1 * 2 * 0.5 * weights[name]
        np.testing.assert_allclose(parameter.data, shrunk, rtol=1e-12, atol=1e-14)


def test_a_learned_beginning_is_taught_by_the_first_chunk_alone() -> None:
    data = sequences(per_step=False)
    model = model_of(data, initial_state="learned")
    fit_once(data, model, 4)
    assert not np.any(model.initial.state_h.data)
    whole = model_of(data, initial_state="learned")
    fit_once(data, whole, 0)
    assert np.any(whole.initial.state_h.data)


def test_what_cannot_be_read_in_chunks_is_refused() -> None:
    data = sequences(per_step=False)
    for model, told in (
        (model_of(data, bidirectional=True), "bidirectional"),
        (model_of(data, norm="batch"), "batch normalisation"),
        (Sequential(Linear(3, 2, dtype="float64")), "Sequential"),
    ):
        given = sequences(per_step=True) if told == "Sequential" else data
        with pytest.raises(ArgumentError, match="truncate") as caught:
            fit_once(given, model, 4)
        assert told in str(caught.value)
    with pytest.raises(ArgumentError, match="truncate"):
        fit_once(data, model_of(data), -1)
