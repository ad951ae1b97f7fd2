"""Free runs: the state carried or the window read again, and what is fed back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minirnn.errors import ArgumentError, DTypeError, MinirnnError, ShapeError
from minirnn.nn import Module, SequenceModel
from minirnn.tensor import Tensor, as_tensor, is_grad_enabled
from minirnn.training import generate

CONTEXT = np.random.default_rng(0).standard_normal((7, 3, 2))


@pytest.fixture
def model(make_model) -> SequenceModel:
    return make_model(cell="lstm", input_size=2, output_size=2, dtype="float64")


class Sum(Module):
    """Answers with the sum over its window, step 0 first in the digits: easy to follow by hand."""

    def forward(self, x: Any) -> Tensor:
        return as_tensor(np.asarray(x).sum(axis=0))


@pytest.mark.parametrize("readout", ["last", "all"])
def test_a_carried_state_equals_reading_everything_from_the_start(make_model, readout: str) -> None:
    model = make_model(input_size=2, output_size=2, dtype="float64", readout=readout)
    run = generate(model, CONTEXT, 5)
    assert run.shape == (5, 3, 2)
    everything = CONTEXT
    for step in run:
        answer = model(everything).numpy()
        np.testing.assert_allclose(step, answer[-1] if readout == "all" else answer, rtol=1e-12)
        everything = np.concatenate([everything, step[None]])


def test_a_window_is_read_again_from_a_zero_state(model: SequenceModel) -> None:
    run = generate(model, CONTEXT, 4, window=3)
    everything = np.concatenate([CONTEXT, run])
    for t in range(4):
        np.testing.assert_allclose(run[t], model(everything[4 + t : 7 + t]).numpy(), rtol=1e-12)


def test_a_window_run_by_hand() -> None:
    context = np.array([[5.0], [1.0], [2.0]])
    np.testing.assert_array_equal(generate(Sum(), context, 4, window=2)[:, 0], [3, 5, 8, 13])


def test_window_and_state_differ(model: SequenceModel) -> None:
    assert np.any(generate(model, CONTEXT, 3) != generate(model, CONTEXT, 3, window=3))


def test_one_sequence_may_come_without_a_batch(model: SequenceModel) -> None:
    alone = generate(model, CONTEXT[:, 0], 4)
    assert alone.shape == (4, 2)
    np.testing.assert_allclose(alone, generate(model, CONTEXT, 4)[:, 0], rtol=1e-12)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("readout", ["last", "all"])
def test_a_batch_first_model_runs_the_same(make_model, window: Any, readout: str) -> None:
    options = {"input_size": 2, "output_size": 2, "dtype": "float64", "readout": readout}
    runs = [
        generate(make_model(**options, batch_first=first), CONTEXT, 4, window=window)
        for first in (False, True)
    ]
    np.testing.assert_allclose(*runs, rtol=1e-12)


def test_no_steps_give_an_empty_run(model: SequenceModel) -> None:
    assert generate(model, CONTEXT, 0).shape == (0, 3, 2)


def test_the_context_is_left_alone_and_modes_are_restored(model: SequenceModel) -> None:
    seen = []
    inner = model.forward

    def forward(x: Any, *args: Any, **options: Any) -> Any:
        seen.append((model.training, is_grad_enabled()))
        return inner(x, *args, **options)

    model.forward = forward
    before = CONTEXT.copy()
    generate(model, CONTEXT, 2)
    np.testing.assert_array_equal(CONTEXT, before)
    assert seen == [(False, False)] * 2
    assert model.training


class Logits(Module):
    """Always the same logits, whatever it is shown."""

    def __init__(self, *logits: float) -> None:
        self.logits = np.array(logits)

    def forward(self, x: Any) -> Tensor:
        return as_tensor(np.tile(self.logits, (x.shape[1], 1)))


CLASSES = np.zeros((2, 400, 3))
CLASSES[..., 0] = 1


def test_greedy_feeds_back_the_most_likely_class() -> None:
    run = generate(Logits(0.0, 2.0, 1.0), CLASSES, 2, window=1, sample="greedy")
    np.testing.assert_array_equal(run, np.broadcast_to([0.0, 1.0, 0.0], run.shape))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_sampling_draws_classes_by_their_probability(temperature: float) -> None:
    logits = np.array([0.0, 2.0, 1.0])
    run = generate(
        Logits(*logits), CLASSES, 40, window=1, sample="temperature", temperature=temperature
    )
    assert set(np.unique(run)) == {0.0, 1.0}
    np.testing.assert_array_equal(run.sum(axis=2), 1)
    wanted = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    np.testing.assert_allclose(run.mean(axis=(0, 1)), wanted, atol=0.015)  # 4 standard errors


def test_sampling_repeats_with_its_seed() -> None:
    def draw(seed: int) -> np.ndarray:
        return generate(
            Logits(0.0, 0.0, 0.0), CLASSES, 3, window=1, sample="temperature", seed=seed
        )

    np.testing.assert_array_equal(draw(1), draw(1))
    assert np.any(draw(1) != draw(2))


@pytest.mark.parametrize("sample", ["greedy", "temperature"])
def test_logits_that_are_no_numbers_choose_no_class(sample: Any) -> None:
    run = generate(Logits(0.0, np.nan, 1.0), CLASSES, 2, window=1, sample=sample)
    assert np.isnan(run).all()


def test_extreme_temperatures_are_the_limits_that_they_should_be() -> None:
    def draw(temperature: float) -> np.ndarray:
        network = Logits(0.0, 2.0, 1.0)
        options: dict[str, Any] = {"sample": "temperature", "temperature": temperature}
        return generate(network, CLASSES, 40, window=1, **options).mean(axis=(0, 1))

    np.testing.assert_array_equal(draw(1e-300), [0.0, 1.0, 0.0])
    np.testing.assert_allclose(draw(1e300), [1 / 3] * 3, atol=0.015)


def test_a_sampler_of_ones_own_turns_outputs_into_inputs() -> None:
    context = np.array([[1.0], [2.0]])
    run = generate(Sum(), context, 3, window=2, sample=lambda output: output % 4)
    np.testing.assert_array_equal(run[:, 0], [3, 1, 0])


BAD: dict[str, tuple[type[MinirnnError], str, dict[str, Any]]] = {
    "an output that is no input": (ShapeError, "model", {"output_size": 1}),
    "a sampled output that is no input": (ShapeError, "model", {"sample": lambda o: o[:, :1]}),
    "a context of one dimension": (ShapeError, "context", {"context": CONTEXT[:, 0, 0]}),
    "an empty context": (ShapeError, "context", {"context": CONTEXT[:0]}),
    "a context that is a list": (ShapeError, "context", {"context": CONTEXT.tolist()}),
    "a context of integers": (DTypeError, "context", {"context": np.ones((3, 1, 2), int)}),
    "a context of other features": (ShapeError, "x", {"context": CONTEXT[..., :1]}),
    "a context of another precision": (DTypeError, "x", {"context": CONTEXT.astype("float32")}),
    "a context shorter than the window": (ShapeError, "context", {"window": 8}),
    "no window": (ArgumentError, "window", {"window": 0}),
    "negative steps": (ArgumentError, "steps", {"steps": -1}),
    "an unknown sampler": (ArgumentError, "sample", {"sample": "beam"}),
    "no temperature": (ArgumentError, "temperature", {"sample": "temperature", "temperature": 0}),
    "a negative seed": (ArgumentError, "seed", {"sample": "temperature", "seed": -1}),
    "both directions with a carried state": (ArgumentError, "model", {"bidirectional": True}),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_run_is_named(make_model, case: str) -> None:
    error, argument, changed = BAD[case]
    options: dict[str, Any] = {"context": CONTEXT, "steps": 2, **changed}
    shape = {
        name: options.pop(name) for name in ("output_size", "bidirectional") if name in options
    }
    model = make_model(**{"input_size": 2, "output_size": 2, "dtype": "float64", **shape})
    with pytest.raises(error) as caught:
        generate(model, options.pop("context"), options.pop("steps"), **options)
    assert caught.value.argument == argument  # type: ignore[attr-defined]


def test_both_directions_run_with_a_window(make_model) -> None:
    model = make_model(input_size=2, output_size=2, dtype="float64", bidirectional=True)
    assert np.isfinite(generate(model, CONTEXT, 3, window=4)).all()
