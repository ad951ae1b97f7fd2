"""Scheduled sampling: inputs that the model made itself, and where they make no sense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minirnn.device import to_device
from minirnn.errors import ArgumentError, CheckpointError
from minirnn.nn import SequenceModel
from minirnn.optim import SGD
from minirnn.tensor import no_grad
from minirnn.training import Checkpointing, Sequences, fit
from minirnn.training.scheduled_sampling import ScheduledSampling, with_own_answers


def waves(per_step: bool = True, lengths: Any = None) -> Sequences:
    rng = np.random.default_rng(0)
    x = np.sin(np.arange(9)[None] / 3 + rng.uniform(0, 6, (5, 1)))[..., None]
    return Sequences(x[:, :-1].copy(), x[:, 1:].copy() if per_step else x[:, -1].copy(), lengths)


def symbols() -> Sequences:
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 3, (4, 7))
    return Sequences(np.eye(3)[tokens[:, :-1]], tokens[:, 1:])


def model_of(data: Sequences, **options: Any) -> SequenceModel:
    width = data.x.shape[-1]
    return SequenceModel(
        "gru", input_size=width, hidden_size=4, output_size=width,
        readout="all" if data.per_step else "last", dtype="float64", rng=1, **options,
    )  # fmt: skip


def step_by_step(model: SequenceModel, x: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The definition: walk through the steps, and feed the answer where it was drawn."""
    fed = x.copy()
    with no_grad():
        for t in range(1, x.shape[1]):
            answer = model(np.ascontiguousarray(fed[:, :t].swapaxes(0, 1))).data
            answer = answer[-1] if answer.ndim == 3 else answer
            fed[chosen[:, t], t] = answer[chosen[:, t]]
    return fed


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("initial_state", ["zeros", "learned", "random", "carried"])
def test_answers_begin_where_the_training_step_on_them_begins(
    initial_state: Any, cell: str
) -> None:
    data = waves()
    model = SequenceModel(
        cell, input_size=1, hidden_size=4, output_size=1, readout="all", dtype="float64",
        initial_state=initial_state, rng=1,
    )  # fmt: skip
    if initial_state == "learned":
        for name in model.initial.names:
            getattr(model.initial, f"state_{name}").data[...] = 0.7
    model(np.ascontiguousarray(data.x.swapaxes(0, 1)))  # the batch before: its end is carried
    made = with_own_answers(model, data, 1.0, np.random.default_rng(5))
    # Every input after the first is the answer that the training step gives to the one before it.
    fed = np.ascontiguousarray(made.x.swapaxes(0, 1))
    with no_grad():
        answers = model(fed).data
    np.testing.assert_allclose(fed[1:], answers[:-1], atol=1e-12)


def test_in_training_each_batch_is_sampled_from_the_states_that_the_one_before_left() -> None:
    data = waves()
    data = Sequences(np.tile(data.x, (2, 1, 1)), np.tile(data.y, (2, 1, 1)))
    model = model_of(data, initial_state="carried")
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    class Listening(SequenceModel):
        def forward(self, x: Any, *args: Any, **options: Any) -> Any:
            given = super().forward(x, *args, **options)
            if self.training:
                seen.append((np.array(x), given.data))
            return given

    model.__class__ = Listening
    fit(
        model, data, loss="mse", optimizer=SGD(model.parameters(), 0.1), epochs=1, batch_size=5,
        scheduled_sampling=1.0, shuffle=False, progress=False,
    )  # fmt: skip
    assert len(seen) == 2
    for fed, answers in seen:
        np.testing.assert_allclose(fed[1:], answers[:-1], atol=1e-12)


@pytest.mark.parametrize("per_step", [True, False])
@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_an_answer_is_made_from_what_was_fed_before(per_step: bool, probability: float) -> None:
    data = waves(per_step)
    model = model_of(data)
    made = with_own_answers(model, data, probability, np.random.default_rng(5))
    chosen = made.x[..., 0] != data.x[..., 0]
    assert not chosen[:, 0].any()
    assert abs(chosen[:, 1:].mean() - probability) < 0.2
    np.testing.assert_allclose(made.x, step_by_step(model, data.x, chosen), atol=1e-12)
    assert made.y is data.y
    assert model.training


def test_classes_are_drawn_from_the_models_probabilities() -> None:
    data = symbols()
    model = model_of(data)
    model.head.bias.data[...] = [0.0, 50.0, 0.0]  # as good as sure of the second
    made = with_own_answers(model, data, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(made.x[:, 1:], np.broadcast_to([0.0, 1.0, 0.0], (4, 5, 3)))
    model.head.weight.data[...] = 0.0
    model.head.bias.data[...] = np.log([0.2, 0.5, 0.3])
    many = Sequences(np.tile(data.x, (300, 1, 1)), np.tile(data.y, (300, 1)))
    made = with_own_answers(model, many, 1.0, np.random.default_rng(0))
    np.testing.assert_allclose(made.x[:, 1:].mean(axis=(0, 1)), [0.2, 0.5, 0.3], atol=0.03)


def test_steps_past_the_end_and_the_first_stay_as_they_are() -> None:
    ends = np.array([8, 3, 1, 0, 5])
    data = waves(lengths=ends)
    made = with_own_answers(model_of(data), data, 1.0, np.random.default_rng(0))
    changed = (made.x != data.x)[..., 0]
    np.testing.assert_array_equal(changed.sum(axis=1), np.maximum(ends - 1, 0))


def test_the_probability_rises_from_nought_to_what_was_asked_for() -> None:
    schedule = ScheduledSampling(0.6, 4, seed=0)
    assert [schedule.probability(epoch) for epoch in (1, 2, 3, 4)] == pytest.approx(
        [0.0, 0.2, 0.4, 0.6]
    )
    assert ScheduledSampling(0.6, 1, seed=0).probability(1) == 0.6


def trained(data: Sequences, model: SequenceModel, epochs: int = 3, **options: Any) -> Any:
    fit(
        model, data, loss="cross_entropy" if data.is_labels else "mse",
        optimizer=SGD(model.parameters(), 0.1), epochs=epochs, batch_size=2, progress=False,
        **options,
    )  # fmt: skip
    return model.recurrent.weight_hh_l0.data.copy()


def test_fit_begins_with_true_inputs_and_repeats_itself() -> None:
    for data in (waves(), waves(per_step=False), symbols()):
        plain = trained(data, model_of(data), epochs=2)
        runs = [
            trained(data, model_of(data), epochs=2, scheduled_sampling=0.5, seed=seed)
            for seed in (0, 0, 1)
        ]
        np.testing.assert_array_equal(runs[0], runs[1])
        assert np.any(runs[0] != plain)
        assert np.any(runs[0] != runs[2])
        # Of two epochs the first has probability 0: one step on true inputs.
        one = fit_losses(data, scheduled_sampling=0.9)
        assert one[0] == fit_losses(data)[0]
        assert one[1] != fit_losses(data)[1]


def fit_losses(data: Sequences, **options: Any) -> list[float]:
    model = model_of(data)
    history = fit(
        model, data, loss="cross_entropy" if data.is_labels else "mse",
        optimizer=SGD(model.parameters(), 0.1), epochs=2, batch_size=2, progress=False, **options,
    )  # fmt: skip
    return [epoch.loss for epoch in history.epochs]


def test_it_goes_together_with_truncation() -> None:
    data = waves()
    one = trained(data, model_of(data), scheduled_sampling=0.5, truncate=3)
    assert np.any(one != trained(data, model_of(data), scheduled_sampling=0.5))
    assert np.any(one != trained(data, model_of(data), truncate=3))


def test_a_run_goes_on_with_the_same_choices(tmp_path: Any) -> None:
    data = waves()
    whole = trained(data, model_of(data), epochs=3, scheduled_sampling=0.5)
    half = model_of(data)

    class Stop(Checkpointing):
        def epoch_ended(self, run: Any) -> None:
            super().epoch_ended(run)
            if run.epoch == 2:
                raise KeyboardInterrupt

    saving = Stop(tmp_path / "run")
    trained(data, half, epochs=3, scheduled_sampling=0.5, callbacks=(saving,))
    resumed = model_of(data)
    options = {"callbacks": (Checkpointing(tmp_path / "run"),), "resume": saving.path}
    with pytest.raises(CheckpointError, match="scheduled_sampling"):
        trained(data, model_of(data), epochs=3, scheduled_sampling=0.4, **options)
    again = trained(data, resumed, epochs=3, scheduled_sampling=0.5, **options)
    np.testing.assert_array_equal(again, whole)


def test_where_an_answer_is_no_input_it_is_refused() -> None:
    data, each = waves(), symbols()
    other = Sequences(data.x, data.y + 0.5)
    wide = Sequences(data.x, np.concatenate([data.y, data.y], axis=2))
    cases = [
        (data, model_of(data, bidirectional=True), "bidirectional"),
        (other, model_of(data), "not the next inputs"),
        (Sequences(each.x, each.y[::-1].copy()), model_of(each), "not the next inputs"),
        (
            wide,
            SequenceModel(
                "gru", input_size=1, hidden_size=3, output_size=2, readout="all", dtype="float64"
            ),
            "1 inputs and 2 outputs",
        ),
    ]
    ending = waves(per_step=False)
    loud, labelled = (
        Sequences(ending.x, 100.0 * ending.y + 30.0),
        Sequences(ending.x, np.zeros(5, int)),
    )
    cases += [
        (loud, model_of(loud), "not the next inputs"),
        (labelled, model_of(labelled), "not the next inputs"),
    ]
    for given, model, told in cases:
        with pytest.raises(ArgumentError, match="scheduled_sampling") as caught:
            trained(given, model, scheduled_sampling=0.5)
        assert told in str(caught.value)
    for wrong in (-0.1, 1.5, "half", True, np.nan):
        with pytest.raises(ArgumentError, match="scheduled_sampling"):
            trained(data, model_of(data), scheduled_sampling=wrong)


@pytest.mark.parametrize("make", [waves, symbols, lambda: waves(lengths=np.array([8, 3, 1, 0, 5]))])
def test_the_gpu_learns_in_chunks_and_from_its_own_answers_what_the_cpu_learns(
    make: Any, cuda: str
) -> None:
    data = make()
    here = trained(data, model_of(data), scheduled_sampling=0.5, truncate=3)
    there = trained(data, model_of(data).to(cuda), scheduled_sampling=0.5, truncate=3)
    np.testing.assert_allclose(to_device(there, "cpu"), here, rtol=1e-9, atol=1e-12)


def test_another_number_of_epochs_would_sample_otherwise_and_is_refused(tmp_path: Any) -> None:
    data, saving = waves(), Checkpointing(tmp_path / "run")
    trained(data, model_of(data), epochs=2, scheduled_sampling=0.5, callbacks=(saving,))
    for options, told in (
        ({"epochs": 4}, "scheduled_sampling_epochs = 4; wanted 2"),
        ({"epochs": 2, "seed": 9}, "scheduled_sampling_seed = 9; wanted 0"),
    ):
        with pytest.raises(CheckpointError, match=told):
            trained(data, model_of(data), scheduled_sampling=0.5, resume=saving.path, **options)
