"""`diagnose`: one look, nothing changed, and a clear word for every bad argument."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn.diagnosis import diagnose
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.nn import LSTM, Linear, Module, SequenceModel

T, B = 6, 50
X = np.random.default_rng(0).normal(size=(T, B, 2)).astype(np.float32)
Y = X[-1, :, :1].copy()


def network(**options: Any) -> SequenceModel:
    chosen = {"cell": "gru", "input_size": 2, "hidden_size": 5, "output_size": 1, "rng": 0}
    return SequenceModel(**{**chosen, **options})


def test_a_look_changes_nothing() -> None:
    model = network(num_layers=2, dropout=0.5)
    model.train()
    model.recurrent.training = False
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    gradient = np.ones_like(model.head.weight.data)
    model.head.weight.grad = gradient
    diagnose(model, X, Y, loss="mse")
    assert model.training
    assert not model.recurrent.training
    assert model.head.weight.grad is gradient
    assert model.recurrent.weight_ih_l0.grad is None
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.data, before[name])


def test_a_trained_network_is_healthy() -> None:
    model = network()
    train = mr.training.Sequences(X.swapaxes(0, 1).copy(), Y)
    optimizer = mr.optim.Adam(model.parameters(), 2e-2)
    mr.fit(model, train, loss="mse", optimizer=optimizer, epochs=60, progress=False)
    diagnosis = diagnose(model, X, Y, loss="mse")
    assert diagnosis.healthy
    assert diagnosis.attempts == ()
    assert diagnosis.run is None


def test_losses_by_name_and_by_function_and_tensors_say_the_same() -> None:
    sick = X * 500
    first = diagnose(network(), sick, Y, loss="mse").to_dict()
    second = diagnose(network(), mr.Tensor(sick), mr.Tensor(Y), loss=mr.mse_loss).to_dict()
    assert first == second


def test_batch_first_is_read_as_the_model_reads_it() -> None:
    lengths = np.random.default_rng(1).integers(1, T + 1, B)
    for readout, y in (("last", Y), ("all", np.cumsum(X[..., :1], axis=0))):
        plain = diagnose(network(readout=readout), X * 400, y, loss="mse", lengths=lengths)
        swapped = diagnose(
            network(readout=readout, batch_first=True),
            (X * 400).swapaxes(0, 1).copy(),
            y if readout == "last" else y.swapaxes(0, 1).copy(),
            loss="mse",
            lengths=lengths,
        )
        assert plain.to_dict() == swapped.to_dict()
        assert not plain.healthy


def test_classes_at_every_step() -> None:
    labels = (X[..., 0] > 0).astype(np.int64)
    model = network(output_size=2, readout="all")
    assert "non-finite" not in diagnose(model, X, labels, loss="cross_entropy").symptoms


def test_a_loss_of_ones_own_may_read_other_outputs_than_the_target_has() -> None:
    def gaussian(prediction: Any, target: Any) -> Any:
        mean, log_variance = prediction[:, :1], prediction[:, 1:]
        return (((mean - target) ** 2) * mr.functional.exp(-log_variance) + log_variance).mean()

    assert diagnose(network(output_size=2), X, Y, loss=gaussian).symptoms == set()


class Bare(Module):
    """An LSTM that answers as it is: a tuple."""

    def __init__(self) -> None:
        self.layer = LSTM(2, 4, rng=0)

    def forward(self, x: Any) -> Any:
        return self.layer(x)


class Flat(Module):
    """No recurrent layer at all."""

    def __init__(self) -> None:
        self.layer = Linear(2, 1, rng=0)

    def forward(self, x: Any) -> Any:
        return self.layer(x[-1])


@pytest.mark.parametrize(
    ("change", "error", "argument"),
    [
        ({"model": lambda x: x}, ArgumentError, "model"),
        ({"model": Bare()}, ArgumentError, "model"),
        ({"model": Flat()}, ArgumentError, "model"),
        ({"inputs": X[0]}, ShapeError, "inputs"),
        ({"inputs": X[:, :0]}, ShapeError, "inputs"),
        ({"inputs": X[:0]}, ShapeError, "inputs"),
        ({"inputs": X[..., :1]}, ShapeError, "x"),
        ({"inputs": X.astype(np.float64)}, DTypeError, "x"),
        ({"inputs": X.astype(np.int64)}, DTypeError, "inputs"),
        ({"inputs": X.tolist()}, ArgumentError, "inputs"),
        ({"inputs": X.astype(str)}, DTypeError, "inputs"),
        ({"targets": Y[:, 0]}, ShapeError, "targets"),  # would broadcast to (B, B)
        ({"targets": Y[:9]}, ShapeError, "targets"),
        ({"targets": Y.astype(np.float64)}, DTypeError, "targets"),
        ({"targets": Y.astype(np.int64)}, DTypeError, "targets"),
        ({"targets": None}, ArgumentError, "targets"),
        ({"targets": np.zeros(B, np.int64), "loss": "cross_entropy", "labels": 9}, ArgumentError,
         "targets"),
        ({"targets": np.zeros((B, 1), np.int64), "loss": "cross_entropy"}, ShapeError, "targets"),
        ({"loss": "mean"}, ArgumentError, "loss"),
        ({"loss": 3}, ArgumentError, "loss"),
        ({"lengths": np.full(B, T + 1)}, ArgumentError, "lengths"),
        ({"lengths": np.full(B, -1)}, ArgumentError, "lengths"),
        ({"lengths": np.zeros(B, np.int64)}, ArgumentError, "lengths"),
        ({"lengths": np.full(3, T)}, ShapeError, "lengths"),
        ({"lengths": np.full(B, 2.0)}, DTypeError, "lengths"),
    ],
)  # fmt: skip
def test_a_bad_argument_has_its_own_error(
    change: dict[str, Any], error: type[ArgumentError], argument: str
) -> None:
    arguments: dict[str, Any] = {"model": network(), "inputs": X, "targets": Y, "loss": "mse"}
    arguments |= change
    if "labels" in arguments:
        arguments["targets"] = arguments["targets"] + arguments.pop("labels")
    model, inputs, targets = (arguments.pop(name) for name in ("model", "inputs", "targets"))
    with pytest.raises(error) as caught:
        diagnose(model, inputs, targets, **arguments)
    assert caught.value.argument == argument


def test_under_no_grad_it_says_that_it_needs_gradients() -> None:
    with mr.no_grad(), pytest.raises(mr.TraceError, match="gradients"):
        diagnose(network(), X, Y, loss="mse")


def test_a_batch_of_one_and_a_sequence_of_one_step_are_looked_at() -> None:
    assert diagnose(network(), X[:, :1], Y[:1], loss="mse").symptoms == set()
    assert "vanishing-gradient" not in diagnose(network(), X[:1], Y, loss="mse").symptoms


def test_another_librarys_model_is_told_the_way_in() -> None:
    theirs = type("Net", (), {"__module__": "torch.nn"})
    mine = type("Mine", (theirs,), {"__module__": "__main__"})
    x = np.zeros((3, 2, 1), np.float32)
    with pytest.raises(ArgumentError, match="Mine, a PyTorch model") as caught:
        diagnose(mine(), x, x[0])  # type: ignore[arg-type]
    for name in re.findall(r"(?:interop\.torch\.|; )(\w+)\(", caught.value.hint):
        assert name in mr.interop.torch.__all__
    assert "watch(model)" in caught.value.hint
    keras = type("Model", (), {"__module__": "keras.src.models"})
    with pytest.raises(ArgumentError, match=r"interop\.keras\.from_keras"):
        diagnose(keras(), x, x[0])  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"got int; wanted a minirnn Module$"):
        diagnose(3, x, x[0])  # type: ignore[arg-type]
