"""What is wrong with data, loss and model together is found before the first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minirnn.errors import ArgumentError, DTypeError, MinirnnError, ShapeError
from minirnn.nn import LSTM, Module, SequenceModel
from minirnn.optim import Adam
from minirnn.tensor import Tensor
from minirnn.training import EarlyStopping, GaussianNoise, Penalty, Sequences, fit

f32 = np.float32
X = np.ones((8, 5, 1), f32)
Y = np.ones((8, 1), f32)
STEPS = np.ones((8, 5, 1), f32)
LABELS = np.arange(8) % 2


def model(**options: Any) -> SequenceModel:
    chosen = {"cell": "rnn", "input_size": 1, "hidden_size": 2, "output_size": 1, "rng": 0}
    return SequenceModel(**{**chosen, **options})


class NoParameters(Module):
    def forward(self, x: Any) -> Tensor:
        return Tensor(np.zeros((x.shape[1], 1), f32))


class WrongRows(SequenceModel):
    def forward(self, x: Any, *args: Any, **options: Any) -> Any:
        return super().forward(x, *args, **options).reshape(1, -1)


BAD: dict[str, tuple[type[MinirnnError], str, dict[str, Any]]] = {
    # data against the model
    "flat targets, which would broadcast": (ShapeError, "y", {"train": (X, Y[:, 0])}),
    "two targets for one output": (ShapeError, "y", {"train": (X, np.ones((8, 2), f32))}),
    "one target for two outputs": (ShapeError, "y", {"model": model(output_size=2)}),
    "an answer a step for one a sequence": (ShapeError, "y", {"train": (X, STEPS)}),
    "one answer a sequence for one a step": (ShapeError, "y", {"model": model(readout="all")}),
    "other features": (ShapeError, "x", {"train": (np.ones((8, 5, 2), f32), Y)}),
    "another precision": (
        DTypeError,
        "x",
        {"train": (X.astype(np.float64), Y.astype(np.float64))},
    ),
    "no sequences": (ShapeError, "x", {"train": (X[:0], Y[:0])}),
    "bad validation": (ShapeError, "y", {"validation": (X, np.ones((8, 2), f32))}),
    "no data": (ArgumentError, "train", {"train": None}),
    "validation of one array": (ArgumentError, "validation", {"validation": X}),
    # the loss
    "an unknown loss": (ArgumentError, "loss", {"loss": "rmse"}),
    "no loss": (ArgumentError, "loss", {"loss": None}),
    "a loss a row": (ArgumentError, "loss", {"loss": lambda p, t: p - t}),
    "a loss that is no Tensor": (ArgumentError, "loss", {"loss": lambda p, t: 1.0}),
    "labels for numbers": (DTypeError, "y", {"train": (X, LABELS)}),
    "numbers for labels": (DTypeError, "y", {"loss": "cross_entropy"}),
    "a class too many": (
        ArgumentError,
        "y",
        {"loss": "cross_entropy", "train": (X, np.arange(8)), "model": model(output_size=3)},
    ),
    "a negative class": (
        ArgumentError,
        "y",
        {"loss": "cross_entropy", "train": (X, LABELS - 1), "model": model(output_size=3)},
    ),
    # the model and the optimiser
    "a bare layer": (ArgumentError, "model", {"model": LSTM(1, 2, rng=0)}),
    "other rows than the batch": (
        ShapeError,
        "model",
        {"model": WrongRows("rnn", input_size=1, hidden_size=2, output_size=1)},
    ),
    "nothing to train": (ArgumentError, "optimizer", {"model": NoParameters()}),
    "an optimiser of another model": (
        ArgumentError,
        "optimizer",
        {"optimizer": Adam(model().parameters())},
    ),
    "no optimiser": (ArgumentError, "optimizer", {"optimizer": "adam"}),
    # numbers
    "no epochs": (ArgumentError, "epochs", {"epochs": 0}),
    "half an epoch": (ArgumentError, "epochs", {"epochs": 0.5}),
    "an empty batch": (ArgumentError, "batch_size", {"batch_size": 0}),
    "a negative seed": (ArgumentError, "seed", {"seed": -1}),
    "a negative norm": (ArgumentError, "clip_norm", {"clip_norm": -1.0}),
    "a norm of NaN": (ArgumentError, "clip_norm", {"clip_norm": float("nan")}),
    "a value in words": (ArgumentError, "clip_value", {"clip_value": "1"}),
    "an unknown metric": (ArgumentError, "metrics", {"metrics": ["f1"]}),
    "a callback without methods": (ArgumentError, "callbacks", {"callbacks": [print]}),
    "callbacks that are none": (ArgumentError, "callbacks", {"callbacks": None}),
    "metrics that are none": (ArgumentError, "metrics", {"metrics": None}),
    "shuffling in words": (ArgumentError, "shuffle", {"shuffle": "no"}),
    "targets without a feature": (ShapeError, "y", {"train": (X, Y[:, :0])}),
    "no step in any sequence": (
        ArgumentError,
        "lengths",
        {"train": (X, STEPS, np.zeros(8, int)), "model": model(readout="all")},
    ),
    "no step in any sequence held out": (
        ArgumentError,
        "lengths",
        {"validation": (X, Y, np.zeros(8, int))},
    ),
    "progress in words": (ArgumentError, "progress", {"progress": "yes"}),
}


@pytest.mark.parametrize("case", BAD)
def test_it_is_a_typed_error_that_names_the_argument(case: str) -> None:
    error, argument, changed = BAD[case]
    options: dict[str, Any] = {
        "model": model(),
        "train": (X, Y),
        "validation": None,
        "loss": "mse",
        "epochs": 1,
        "progress": False,
        **changed,
    }
    trained = options.pop("model")
    options.setdefault("optimizer", Adam(trained.parameters() or model().parameters()))
    before = trained.state_dict()
    with pytest.raises(error) as caught:
        fit(trained, options.pop("train"), options.pop("validation"), **options)
    assert caught.value.argument == argument  # type: ignore[attr-defined]
    for name, value in trained.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("thing", [None, lambda x: x])
def test_what_is_no_model_is_refused(thing: Any) -> None:
    optimizer = Adam(model().parameters())
    with pytest.raises(ArgumentError, match=r"model: got a .*; wanted a minirnn Module"):
        fit(thing, (X, Y), loss="mse", optimizer=optimizer, epochs=1, progress=False)


def test_the_message_for_targets_that_would_broadcast_tells_the_shapes() -> None:
    two = model(output_size=2)
    with pytest.raises(ShapeError, match=r"\(N, 1\); wanted \(N, 2\).*never broadcasts"):
        fit(two, (X, Y), loss="mse", optimizer=Adam(two.parameters()), epochs=1, progress=False)


@pytest.mark.parametrize("padded", [-1, 7])
def test_labels_of_padding_may_be_anything(padded: int) -> None:
    labels = np.zeros((8, 5), np.int64)
    labels[:, 3:] = padded
    trained = model(readout="all", output_size=2)
    data = Sequences(X, labels, np.full(8, 3))
    train: Callable[..., Any] = fit
    history = train(
        trained, data, loss="cross_entropy", optimizer=Adam(trained.parameters()), epochs=1,
        progress=False,
    )  # fmt: skip
    assert history.stopped is None


def test_a_check_costs_no_randomness_of_dropout() -> None:
    def losses(validation: Any) -> list[float]:
        trained = model(head_dropout=0.5)
        return fit(
            trained, (X, Y), validation, loss="mse", optimizer=Adam(trained.parameters()), epochs=2,
            progress=False,
        ).loss  # fmt: skip

    assert losses(None) == losses((X, Y))


@pytest.mark.parametrize("returned", [None, np.ones(3)])
def test_a_metric_that_returns_no_number_is_named(returned: Any) -> None:
    def roughly(prediction: Any, target: Any) -> Any:
        return returned

    trained = model()
    with pytest.raises(ArgumentError, match=r"metrics: got 'roughly', which returns .*one number"):
        fit(
            trained, (X, Y), loss="mse", optimizer=Adam(trained.parameters()), epochs=1,
            metrics=[roughly], progress=False,
        )  # fmt: skip


@pytest.mark.parametrize("kind", [f32, np.float64, np.int64, int])
def test_numbers_of_numpy_are_numbers(kind: Any) -> None:
    trained = model()
    one = kind(1)
    history = fit(
        trained, (X, Y), loss="mse", optimizer=Adam(trained.parameters(), one), epochs=1,
        clip_norm=one, clip_value=one, penalty=Penalty(l1=one, l2={"kernel": one}),
        augment=GaussianNoise(one), callbacks=[EarlyStopping(1, min_change=one)], progress=False,
    )  # fmt: skip
    assert history.stopped is None


@pytest.mark.parametrize("bad", [True, np.True_, "1", None, np.ones(1), float("nan"), 10**400, 1j])
def test_what_is_no_number_is_none_anywhere(bad: Any) -> None:
    for make in (
        lambda: Penalty(l1=bad),
        lambda: GaussianNoise(bad),
        lambda: EarlyStopping(1, min_change=bad),
        lambda: Adam(model().parameters(), bad),
        lambda: model(head_dropout=bad),
    ):
        with pytest.raises(ArgumentError):
            make()
