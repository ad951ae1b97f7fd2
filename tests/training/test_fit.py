"""`fit`: it learns, tells what happened, and does the same again for the same seed."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from minirnn import functional
from minirnn.errors import ArgumentError, ShapeError
from minirnn.nn import Module, SequenceModel
from minirnn.optim import SGD, Adam
from minirnn.tensor import Tensor, is_grad_enabled
from minirnn.training import Callback, History, Run, Sequences, evaluate, fit, predict


def train(model: Module, data: Any, validation: Any = None, **options: Any) -> History:
    chosen = {"loss": "mse", "epochs": 3, "progress": False}
    if "optimizer" not in options:
        chosen["optimizer"] = Adam(model.parameters(), 1e-2)
    return fit(model, data, validation, **{**chosen, **options})


def weights(model: Module) -> np.ndarray:
    return np.concatenate([value.ravel() for value in model.state_dict().values()])


def test_it_learns(make_model, sums: Sequences) -> None:
    history = train(make_model(), sums, epochs=60)
    assert history.loss[-1] < 0.02 * history.loss[0]


def test_the_history_tells_every_epoch(make_model, sums: Sequences) -> None:
    history = train(make_model(), sums, sums, epochs=4, batch_size=16, metrics=["rmse", "r2"])
    assert len(history) == len(history.loss) == 4
    assert history["number"] == [1, 2, 3, 4]
    assert history["batches"] == [3] * 4
    assert history["complete"] == [True] * 4
    assert history["learning_rate"] == [1e-2] * 4
    assert all(s > 0 for s in history.seconds)
    assert history.stopped is None
    for name in ("loss", "validation_loss", "rmse", "validation_rmse", "r2", "validation_r2"):
        assert all(isinstance(value, float) for value in history[name])
    json.dumps(history.to_dict())
    assert history.to_dict()["stopped"] is None
    assert "4 epochs" in repr(history)


def test_losses_and_metrics_are_means_over_rows_not_batches(make_model, sums: Sequences) -> None:
    # A rate of 0 leaves the weights: the epoch's loss is then the loss of all 40 rows at once,
    # though the batches are of 32 and 8.
    model = make_model()
    history = train(
        model, sums, sums, epochs=1, optimizer=SGD(model.parameters(), 0.0), metrics=["rmse", "r2"]
    )
    error = predict(model, sums.x) - sums.y
    assert history.loss[0] == pytest.approx(np.mean(error**2), rel=1e-6)
    assert history.validation_loss[0] == pytest.approx(np.mean(error**2), rel=1e-6)
    assert history["rmse"][0] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-6)
    assert history["validation_r2"] == pytest.approx(history["r2"], rel=1e-6)


def test_one_batch_makes_the_step_that_a_hand_written_loop_makes(
    make_model, sums: Sequences
) -> None:
    ours, by_hand = make_model(), make_model()
    history = train(
        ours, sums, epochs=2, batch_size=40, shuffle=False, optimizer=SGD(ours.parameters(), 0.1)
    )
    optimizer = SGD(by_hand.parameters(), 0.1)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = functional.mse_loss(by_hand(sums.x.swapaxes(0, 1).copy()), sums.y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert history.loss == losses
    np.testing.assert_array_equal(weights(ours), weights(by_hand))


def test_the_gradient_norm_is_that_of_all_parameters_before_clipping(
    make_model, sums: Sequences
) -> None:
    norms: list[list[float]] = [[], []]

    class Watch(Callback):
        def batch_ended(self, run: Run) -> None:
            squares = [float((p.grad**2).sum()) for p in run.model.parameters()]
            norms[0].append(run.gradient_norm)
            norms[1].append(math.sqrt(sum(squares)))

    history = train(make_model(), sums, epochs=1, callbacks=[Watch()])
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    assert history.gradient_norm[0] == pytest.approx(np.mean(norms[0]))
    assert history["gradient_norm_max"][0] == max(norms[0])

    unclipped = norms[0][0]
    norms[0].clear(), norms[1].clear()
    history = train(make_model(), sums, epochs=1, callbacks=[Watch()], clip_norm=1e-3)
    assert norms[0][0] == unclipped
    assert norms[1] == pytest.approx([1e-3, 1e-3], rel=1e-5)


def test_clipping_by_value_bounds_every_gradient(make_model, sums: Sequences) -> None:
    largest: list[float] = []

    class Watch(Callback):
        def batch_ended(self, run: Run) -> None:
            largest.append(max(float(np.abs(p.grad).max()) for p in run.model.parameters()))

    history = train(make_model(), sums, callbacks=[Watch()], clip_value=1e-3)
    assert max(largest) == pytest.approx(1e-3)
    assert history.gradient_norm[0] > 1e-2


def test_the_same_seed_gives_the_same_bits(make_model, sums: Sequences) -> None:
    runs = []
    for seed in (5, 5, 6):
        model = make_model(head_dropout=0.3)
        history = train(model, sums, sums, seed=seed)
        runs.append((history.loss, history.validation_loss, weights(model)))
    assert runs[0][:2] == runs[1][:2]
    np.testing.assert_array_equal(runs[0][2], runs[1][2])
    assert runs[0][0] != runs[2][0]


def test_shuffling_is_new_in_every_epoch_and_can_be_left(make_model, sums: Sequences) -> None:
    def first_rows(shuffle: bool) -> list[float]:
        model, seen = make_model(), []
        inner = model.forward

        def forward(x: Any, **options: Any) -> Any:
            if model.training:
                seen.append(float(x[0, 0, 0]))
            return inner(x, **options)

        model.forward = forward
        train(model, sums, batch_size=40, epochs=4, shuffle=shuffle)
        return seen

    assert first_rows(False) == [float(sums.x[0, 0, 0])] * 4
    assert len(set(first_rows(True))) > 2


def test_validation_runs_in_evaluation_mode_off_the_tape_and_modes_are_restored(
    make_model, sums: Sequences
) -> None:
    model = make_model(head_dropout=0.5)
    model.recurrent.eval()  # one module is frozen in evaluation mode: it must come back so
    calls: list[tuple[bool, bool]] = []
    inner = model.forward

    def forward(x: Any, **options: Any) -> Any:
        calls.append((model.head_dropout.training, is_grad_enabled()))
        return inner(x, **options)

    model.forward = forward
    train(model, sums, sums, epochs=1, batch_size=20)
    checks, rest = calls[:2], calls[2:]
    assert checks == [(False, False)] * 2
    assert rest == [(True, True), (True, True), (False, False)]
    assert model.training
    assert not model.recurrent.training


def test_validation_does_not_change_training(make_model, sums: Sequences) -> None:
    models = make_model(), make_model()
    with_validation = train(models[0], sums, sums)
    without = train(models[1], sums)
    assert with_validation.loss == without.loss
    assert without.validation_loss == [None] * 3
    np.testing.assert_array_equal(weights(models[0]), weights(models[1]))


def test_padded_steps_enter_no_loss_no_metric_and_no_gradient(
    make_model, running_sums: Sequences
) -> None:
    past = np.arange(6) >= running_sums.lengths[:, None]
    padded = running_sums.y.copy()
    padded[past] = 1e6
    other = Sequences(running_sums.x, padded, running_sums.lengths)
    runs = []
    for data in (running_sums, other):
        model = make_model(readout="all")
        history = train(model, data, data, metrics=["mae"])
        runs.append((history.loss, history.validation_loss, history["mae"], weights(model)))
    assert runs[0][:3] == runs[1][:3]
    np.testing.assert_array_equal(runs[0][3], runs[1][3])


def test_the_loss_of_every_step_is_the_mean_over_valid_steps(
    make_model, running_sums: Sequences
) -> None:
    model = make_model(readout="all")
    answers = predict(model, running_sums.x, running_sums.lengths)
    assert answers.shape == running_sums.y.shape
    valid = np.arange(6) < running_sums.lengths[:, None]
    wanted = np.mean((answers - running_sums.y)[valid] ** 2)
    loss, metrics = evaluate(model, running_sums, loss="mse", metrics=["rmse"], batch_size=7)
    assert loss == pytest.approx(wanted, rel=1e-6)
    assert metrics == {"rmse": pytest.approx(np.sqrt(wanted), rel=1e-6)}


def test_a_batch_without_a_valid_step_is_passed_over(make_model, running_sums: Sequences) -> None:
    lengths = running_sums.lengths.copy()
    lengths[:10] = 0
    data = Sequences(running_sums.x, running_sums.y, lengths)
    history = train(make_model(readout="all"), data, shuffle=False, batch_size=10, epochs=1)
    assert history["batches"] == [2]
    assert math.isfinite(history.loss[0])


def test_lengths_reach_the_last_readout(make_model, running_sums: Sequences) -> None:
    data = Sequences(running_sums.x, running_sums.y[:, -1], running_sums.lengths)
    past = np.arange(6) >= data.lengths[:, None]
    garbage = np.where(past[..., None], np.float32(1e3), data.x)
    runs = []
    for x in (data.x, garbage):
        model = make_model()
        runs.append(train(model, Sequences(x, data.y, data.lengths)).loss)
    assert runs[0] == runs[1]


@pytest.mark.parametrize("readout", ["last", "all"])
def test_a_batch_first_model_trains_the_same(make_model, readout: str, sums, running_sums) -> None:
    data = sums if readout == "last" else running_sums
    runs = []
    for batch_first in (False, True):
        model = make_model(readout=readout, batch_first=batch_first)
        history = train(model, data, data)
        runs.append((history.loss, history.validation_loss, predict(model, data.x)))
    # The head multiplies matrices of another layout, so that the last bits may differ.
    for time_major, batch_major in zip(*runs, strict=True):
        np.testing.assert_allclose(time_major, batch_major, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("per_step", [False, True])
def test_class_labels_are_learned(make_model, sums, running_sums, per_step: bool) -> None:
    data = running_sums if per_step else sums
    labels = (data.y[..., 0] > 0).astype(np.int64)
    if per_step:
        labels[np.arange(6) >= data.lengths[:, None]] = -1  # padding holds no class
    model = make_model(output_size=2, readout="all" if per_step else "last")
    history = train(
        model,
        Sequences(data.x, labels, data.lengths),
        loss="cross_entropy",
        metrics=["accuracy"],
        epochs=60,
    )
    assert history["accuracy"][-1] > 0.9


@pytest.mark.parametrize(
    ("name", "function"),
    [("mse", "mse_loss"), ("l1", "l1_loss"), ("huber", "huber_loss")],
)
def test_losses_go_by_name_or_as_functions(make_model, sums, name: str, function: str) -> None:
    runs = [train(make_model(), sums, loss=x).loss for x in (name, getattr(functional, function))]
    assert runs[0] == runs[1]


def test_binary_cross_entropy_goes_by_name(make_model, sums: Sequences) -> None:
    data = Sequences(sums.x, (sums.y > 0).astype(np.float32))
    history = train(make_model(), data, loss="bce", metrics=["accuracy"], epochs=60)
    assert history["accuracy"][-1] > 0.9


def test_a_loss_of_ones_own_may_read_more_outputs_than_targets(make_model, sums) -> None:
    def gaussian(output: Tensor, target: Any) -> Tensor:
        mean, log_scale = output[:, :1], output[:, 1:]
        error = (mean - target) / functional.exp(log_scale)
        return (error * error * 0.5 + log_scale).mean()

    history = train(make_model(output_size=2), sums, loss=gaussian, epochs=30)
    assert history.loss[-1] < history.loss[0] - 1


def test_float64_trains_in_float64(make_model, sums: Sequences) -> None:
    data = Sequences(sums.x.astype(np.float64), sums.y.astype(np.float64))
    model = make_model(dtype="float64")
    train(model, data, data)
    assert predict(model, data.x).dtype == np.float64


def test_tuples_will_do(make_model, sums: Sequences) -> None:
    by_tuple = train(make_model(), (sums.x, sums.y), (sums.x, sums.y))
    assert by_tuple.loss == train(make_model(), sums, sums).loss


def test_callbacks_are_called_in_order_and_see_the_run(make_model, sums: Sequences) -> None:
    calls: list[Any] = []

    class Watch(Callback):
        def training_began(self, run: Run) -> None:
            calls.append(("began", run.epochs, run.batches))

        def epoch_began(self, run: Run) -> None:
            calls.append(("epoch", run.epoch, len(run.history)))

        def batch_ended(self, run: Run) -> None:
            calls.append(("batch", run.batch, math.isfinite(run.loss)))

        def epoch_ended(self, run: Run) -> None:
            calls.append(("ended", run.epoch, len(run.history)))

        def training_ended(self, run: Run) -> None:
            calls.append("over")

    train(make_model(), sums, epochs=2, callbacks=[Watch()])
    epochs = [
        [("epoch", n, n - 1), ("batch", 1, True), ("batch", 2, True), ("ended", n, n)]
        for n in (1, 2)
    ]
    assert calls == [("began", 2, 2), *epochs[0], *epochs[1], "over"]


def test_predict_answers_in_batches_as_in_one(make_model: Any, sums: Sequences) -> None:
    model: SequenceModel = make_model()
    whole = predict(model, sums.x)
    assert whole.shape == (40, 1)
    np.testing.assert_allclose(predict(model, sums.x, batch_size=7), whole, rtol=1e-5, atol=1e-6)


def test_evaluating_refuses_what_training_refuses(make_model, sums: Sequences) -> None:
    for data, loss in (((sums.x, np.ones((40, 2), np.float32)), "mse"), (sums, "rmse")):
        with pytest.raises(ArgumentError):
            evaluate(make_model(), data, loss=loss)
    with pytest.raises(ShapeError, match=r"x: got shape \(40, 5\)"):
        predict(make_model(), sums.x[..., 0])
