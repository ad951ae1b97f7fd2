"""Training on the GPU: it learns what the CPU learns, and nothing comes back but numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from devices import to_device, to_numpy

import minirnn as mr
from minirnn import functional as fn
from minirnn.device import device_of
from minirnn.errors import DeviceError
from minirnn.nn.module import device_of_module
from minirnn.training import Callback, Sequences, evaluate, fit, generate, predict

RNG = np.random.default_rng(3)
X = RNG.standard_normal((20, 5, 2))
LENGTHS = RNG.integers(0, 6, 20)
DATA = {
    "one answer a sequence": Sequences(X, X.mean(axis=1)),
    "one a step": Sequences(X, np.cumsum(X, axis=1), LENGTHS),
    "a label": Sequences(X, (X[:, 0, 0] > 0).astype(np.int64)),
    "a label a step": Sequences(X, (X[:, :, 0] > 0).astype(np.int64), LENGTHS),
}


class Steps(mr.Module):
    """A network without recurrence, of the sort that `fit` takes: (T, B, I) to (T, B, O)."""

    def __init__(self, device: str) -> None:
        self.hidden = mr.Linear(2, 4, rng=0, dtype="float64", device=device)
        self.head = mr.Linear(4, 2, rng=1, dtype="float64", device=device)

    def forward(self, x: Any, lengths: Any = None) -> mr.Tensor:
        return self.head(fn.tanh(self.hidden(x)))


class Last(Steps):
    """The same, with one answer for each sequence: the last step's."""

    def forward(self, x: Any, lengths: Any = None) -> mr.Tensor:
        return super().forward(x)[-1]


def recurrent(name: str, device: str) -> mr.SequenceModel:
    return mr.SequenceModel(
        "gru", input_size=2, hidden_size=4, output_size=2, rng=0, dtype="float64",
        readout="all" if "step" in name else "last", device=device,
    )  # fmt: skip


def plain(name: str, device: str) -> mr.Module:
    return (Steps if "step" in name else Last)(device)


def train(model: mr.Module, name: str, data: Any = None, **options: Any) -> mr.History:
    labels = "label" in name
    chosen = {
        "loss": "cross_entropy" if labels else "mse",
        "metrics": ["accuracy"] if labels else ["rmse", "mae", "r2"],
        "optimizer": mr.optim.Adam(model.parameters(), 1e-2),
        "epochs": 3, "batch_size": 8, "clip_norm": 0.5, "progress": False,
    }  # fmt: skip
    return fit(model, data or DATA[name], DATA[name], **{**chosen, **options})


def told(history: mr.History) -> dict[str, Any]:
    columns = history.to_dict()
    return {name: column for name, column in columns.items() if name != "seconds"}


@pytest.mark.parametrize("make", [plain, recurrent])
@pytest.mark.parametrize("name", DATA)
def test_the_history_is_that_of_the_cpu(name: str, make, cuda: str) -> None:
    here, there = make(name, "cpu"), make(name, cuda)
    ours, theirs = told(train(here, name)), told(train(there, name))
    assert list(ours) == list(theirs)
    for column, values in ours.items():
        if not values or not isinstance(values[0], float):
            assert theirs[column] == values, column
            continue
        # Three epochs of three steps: sums in another order, and Adam's division, which amplifies.
        assert theirs[column] == pytest.approx(values, rel=1e-9), column
    for (parameter, value), other in zip(here.named_parameters(), there.parameters(), strict=True):
        np.testing.assert_allclose(other.numpy(), value.data, rtol=1e-8, err_msg=parameter)


@pytest.mark.parametrize("make", [plain, recurrent])
@pytest.mark.parametrize("name", DATA)
def test_no_array_comes_back_and_the_data_go_once(name: str, make, emulated) -> None:
    model = make(name, "cuda")
    with emulated.transfers() as log:
        train(model, name)
    back = [one for one in log.to_host if one in log.arrays]
    assert not back, "\n".join(map(str, back))
    # x and y, for training and for validation; and the order of each of three epochs.
    there = [one for one in log.to_device if one in log.arrays]
    data = DATA[name]
    wholes = [one for one in there if one.nbytes == data.x.nbytes]
    assert len(wholes) == (4 if data.y.nbytes == data.x.nbytes else 2), log
    if data.lengths is None:
        assert len(there) == 4 + 3, log
    else:  # and for each batch, at most the lengths and which steps count, a few bytes each
        batches = 3 * (3 + 1) + 2
        assert len(there) <= 4 + 3 + 2 * batches + 2, log


@pytest.mark.parametrize("name", ["one answer a sequence", "a label"])
def test_a_batch_costs_two_numbers(name: str, emulated) -> None:
    """Its loss and its gradient's norm decide whether the step is taken."""
    counts = []
    for batch_size in (20, 4):  # one batch an epoch, and five
        model = plain(name, "cuda")
        with emulated.transfers() as log:
            train(model, name, epochs=1, batch_size=batch_size)
        counts.append(len(log.to_host))
    assert counts[1] - counts[0] == 2 * 4


def test_data_on_the_gpu_stay_there(emulated) -> None:
    name = "one answer a sequence"
    data = DATA[name].to("cuda")
    model = plain(name, "cuda")
    with emulated.transfers() as log:
        history = fit(
            model, data, data, loss="mse", optimizer=mr.optim.SGD(model.parameters(), 0.1),
            epochs=2, shuffle=False, progress=False,
        )  # fmt: skip
    assert history.loss[1] < history.loss[0]
    assert not log.arrays, str(log)


def test_data_on_the_gpu_are_refused_by_a_model_on_the_cpu(cuda: str) -> None:
    name = "one answer a sequence"
    with pytest.raises(DeviceError, match=r"train: .*model\.to\('cuda'\)"):
        train(plain(name, "cpu"), name, DATA[name].to(cuda))
    with pytest.raises(DeviceError, match="x: "):
        predict(plain(name, "cpu"), to_device(X, cuda))


def test_x_and_y_on_two_devices_are_refused(cuda: str) -> None:
    with pytest.raises(DeviceError, match="y: "):
        Sequences(to_device(X, cuda), X.mean(axis=1))


def test_lengths_may_come_from_either_device(cuda: str) -> None:
    data = Sequences(to_device(X, cuda), to_device(X, cuda), to_device(LENGTHS, cuda))
    assert isinstance(data.lengths, np.ndarray)
    np.testing.assert_array_equal(data.take(np.array([3, 1])).lengths, LENGTHS[[3, 1]])
    np.testing.assert_array_equal(to_numpy(data.take(np.array([3, 1])).x), X[[3, 1]])


class TestWhatIsNotFinite:
    @pytest.mark.parametrize("size", [np.nan, np.inf])
    def test_a_loss_takes_no_step(self, size: float, device: str) -> None:
        x = X.copy()
        x[5, -1] = size
        model = plain("", device)
        before = [parameter.numpy().copy() for parameter in model.parameters()]
        history = fit(
            model, (x, x.mean(axis=1)), loss="mse", shuffle=False, batch_size=20, epochs=2,
            optimizer=mr.optim.Adam(model.parameters()), progress=False,
        )  # fmt: skip
        assert history.stopped is not None
        assert history.stopped.kind == "non-finite"
        for parameter, value in zip(model.parameters(), before, strict=True):
            np.testing.assert_array_equal(parameter.numpy(), value)

    def test_a_parameter_is_named(self, device: str) -> None:
        model = plain("", device)

        class Spoil(Callback):
            def batch_ended(self, run: Any) -> None:
                model.head.bias.data[...] = math.inf

        history = fit(
            model, DATA["one answer a sequence"], loss="mse", batch_size=20, epochs=2,
            optimizer=mr.optim.SGD(model.parameters(), 0.1), callbacks=[Spoil()], progress=False,
        )  # fmt: skip
        assert history.stopped is not None
        assert "'head.bias' is no longer finite" in history.stopped.message


class TestPredict:
    @pytest.mark.parametrize("name", ["one answer a sequence", "one a step"])
    def test_answers_come_back_to_where_the_inputs_are(self, name: str, cuda: str) -> None:
        model, twin = plain(name, cuda), plain(name, "cpu")
        wanted = predict(twin, X, batch_size=6)
        for device in ("cpu", cuda):
            answer = predict(model, to_device(X, device), batch_size=6)
            assert device_of(answer) == device
            np.testing.assert_allclose(to_numpy(answer), wanted, rtol=1e-13)

    def test_numpy_arrays_cross_once_each_way(self, emulated) -> None:
        model = plain("", "cuda")
        with emulated.transfers() as log:
            predict(model, X, batch_size=3)
        assert [one.shape for one in log.to_device] == [X.shape]
        assert [one.shape for one in log.to_host] == [(20, 2)]

    def test_an_evaluation_fetches_one_number_for_each_that_it_tells(self, emulated) -> None:
        model = plain("", "cuda")
        data = DATA["one answer a sequence"].to("cuda")
        with emulated.transfers() as log:
            loss, metrics = evaluate(model, data, loss="mse", metrics=["mse"], batch_size=3)
        assert loss == pytest.approx(metrics["mse"], rel=1e-12)
        assert (len(log.arrays), len(log.scalars)) == (0, 2), str(log)


class Sum(mr.Module):
    """Answers with the sum over its window."""

    def __init__(self, device: str) -> None:
        self.factor = mr.Tensor(to_device(np.ones(1), device), requires_grad=True)

    def forward(self, x: Any) -> mr.Tensor:
        return mr.Tensor(x).sum(0) * self.factor


class TestGenerate:
    @pytest.mark.parametrize("sample", [None, "greedy", "temperature"])
    def test_a_window_run_is_that_of_the_cpu(self, sample: Any, cuda: str) -> None:
        context = RNG.standard_normal((4, 3, 2))
        wanted = generate(Sum("cpu"), context, 6, window=2, sample=sample, seed=5)
        for device in ("cpu", cuda):
            run = generate(
                Sum(cuda), to_device(context, device), 6, window=2, sample=sample, seed=5
            )
            assert device_of(run) == device
            np.testing.assert_allclose(to_numpy(run), wanted, rtol=1e-14)

    @pytest.mark.parametrize("cell", ["rnn", "lstm"])
    @pytest.mark.parametrize("window", [None, 3])
    def test_a_recurrent_run_is_that_of_the_cpu(self, cell: str, window: Any, cuda: str) -> None:
        model = mr.SequenceModel(
            cell, input_size=2, hidden_size=4, output_size=2, rng=0, dtype="float64"
        )
        wanted = generate(model, X[0], 5, window=window)
        run = generate(model.to(cuda), X[0], 5, window=window)
        np.testing.assert_allclose(run, wanted, rtol=1e-11)

    def test_the_run_comes_back_once(self, emulated) -> None:
        with emulated.transfers() as log:
            generate(Sum("cuda"), RNG.standard_normal((4, 3, 2)), 6, window=2, sample="greedy")
        assert [one.shape for one in log.to_host] == [(6, 3, 2)]

    def test_a_sampler_sees_and_gives_the_gpus_arrays(self, cuda: str) -> None:
        context = to_device(np.ones((4, 3, 2)), cuda)
        run = generate(Sum(cuda), context, 2, window=2, sample=lambda output: output * 0.5)
        np.testing.assert_array_equal(to_numpy(run), np.ones((2, 3, 2)))
        with pytest.raises(DeviceError, match="sample: "):
            generate(Sum(cuda), context, 2, window=2, sample=lambda output: np.ones((3, 2)))


def test_a_model_trained_on_the_gpu_serves_on_the_cpu(cuda: str) -> None:
    name = "one answer a sequence"
    model = plain(name, cuda)
    train(model, name)
    there = predict(model, X)
    model.to("cpu")
    assert device_of_module(model) == "cpu"
    np.testing.assert_allclose(predict(model, X), there, rtol=1e-13)
