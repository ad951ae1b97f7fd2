"""Bad input to `mr.profile`: its own typed error, which names the argument at fault."""

from __future__ import annotations

import numpy as np
import pytest

import minirnn as mr
from minirnn.profiling import fma_peak, read_bandwidth

X = np.ones((4, 2, 3), np.float32)
Y = np.ones((2, 1), np.float32)


def model(**options):
    sizes = {"input_size": 3, "hidden_size": 5, "output_size": 1, "rng": 0}
    return mr.SequenceModel("gru", **sizes | options)


def recipe():
    return mr.Recipe.from_dict({"data": {"builtin": "sine"}})


def on(target, **options):
    return lambda: mr.profile(target, repeats=1, **options)


class Head(mr.Module):
    def __init__(self):
        self.linear = mr.Linear(3, 1, rng=0)

    def forward(self, x):
        return self.linear(x)


class Pair(mr.Module):
    def forward(self, x):
        return {"y": x}


TABLE = [
    ("an unknown cell", mr.ArgumentError, "target", on("qrnn")),
    ("no target", mr.ArgumentError, "target", on(None)),
    ("a model without recurrent layers", mr.ArgumentError, "target", on(Head(), inputs=X)),
    ("a model that returns no tensor", mr.ArgumentError, "target", on(Pair(), inputs=X)),
    ("a device that is not there", mr.DeviceError, "device", on("rnn", devices=("cuda",))),
    ("one of two that is not there", mr.DeviceError, "device", on("rnn", devices=("cpu", "cuda"))),
    ("no device", mr.DeviceError, "devices", on("rnn", devices=())),
    ("a device twice", mr.DeviceError, "devices", on("rnn", devices=("cpu", "cpu"))),
    ("a device that is a number", mr.DeviceError, "device", on("rnn", devices=0)),
    ("no steps", mr.ArgumentError, "steps", on("rnn", steps=0)),
    ("half a batch", mr.ArgumentError, "batch", on("rnn", batch=1.5)),
    ("no units", mr.ArgumentError, "hidden_size", on("rnn", hidden_size=0)),
    ("no layers", mr.ArgumentError, "num_layers", on("rnn", num_layers=0)),
    ("an unknown dtype", mr.DTypeError, "dtype", on("rnn", dtype="int8")),
    ("no repeats", mr.ArgumentError, "repeats", lambda: mr.profile("rnn", repeats=0)),
    ("no threads", mr.ArgumentError, "threads", on("rnn", threads=0)),
    ("another engine", mr.ArgumentError, "compare", on("rnn", compare="jax")),
    ("growth by a number", mr.ArgumentError, "growth", on("rnn", growth=2)),
    ("inputs for a cell", mr.ArgumentError, "inputs", on("rnn", inputs=X)),
    ("a loss for a cell", mr.ArgumentError, "loss", on("rnn", loss="mse")),
    ("a layer's own size", mr.ArgumentError, "hidden_size", on(mr.GRU(3, 5), hidden_size=5)),
    ("a model's own dtype", mr.ArgumentError, "dtype", on(model(), dtype="float32")),
    ("steps beside inputs", mr.ArgumentError, "steps", on(model(), inputs=X, steps=4)),
    ("inputs for a recipe", mr.ArgumentError, "inputs", on(recipe(), inputs=X)),
    ("steps for a recipe", mr.ArgumentError, "steps", on(recipe(), steps=4)),
    ("nothing to feed a module", mr.ArgumentError, "inputs", on(Head())),
    ("a list as inputs", mr.ArgumentError, "inputs", on(model(), inputs=[1.0])),
    ("inputs of rank 1", mr.ShapeError, "inputs", on(model(), inputs=X[0, 0])),
    ("an empty batch", mr.ShapeError, "inputs", on(model(), inputs=X[:, :0])),
    ("inputs of another width", mr.ShapeError, "x", on(model(), inputs=X[..., :2])),
    ("inputs of another dtype", mr.DTypeError, "x", on(model(), inputs=X.astype(float))),
    ("a loss without targets", mr.ArgumentError, "targets", on(model(), inputs=X, loss="mse")),
    ("a list as targets", mr.ArgumentError, "targets", on(model(), inputs=X, targets=[1.0])),
    ("targets that would broadcast", mr.ShapeError, "target",
     on(model(), inputs=X, targets=Y[:, 0])),
    ("an unknown loss", mr.ArgumentError, "loss", on(model(), inputs=X, targets=Y, loss="msle")),
    ("too few lengths", mr.ShapeError, "lengths", on(model(), inputs=X, lengths=[4])),
    ("a length beyond T", mr.ArgumentError, "lengths", on(model(), inputs=X, lengths=[4, 5])),
    ("lengths of 0", mr.ArgumentError, "lengths", on(model(), inputs=X, lengths=[0, 0])),
    ("a peak of no time", mr.ArgumentError, "seconds", lambda: fma_peak(seconds=0)),
    ("a peak of whole numbers", mr.DTypeError, "dtype", lambda: fma_peak("int32")),
    ("a peak of no threads", mr.ArgumentError, "threads", lambda: fma_peak(threads=0)),
    ("reading with no threads", mr.ArgumentError, "threads", lambda: read_bandwidth(0)),
]  # fmt: skip


@pytest.mark.usefixtures("quick", "no_gpu")
@pytest.mark.parametrize(("error", "argument", "act"), [row[1:] for row in TABLE],
                         ids=[row[0] for row in TABLE])  # fmt: skip
def test_it_is_its_own_error_and_names_the_argument(error, argument, act):
    with pytest.raises(mr.MinirnnError) as caught:
        act()
    assert type(caught.value) is error, repr(caught.value)
    assert caught.value.argument == argument
    assert caught.value.wanted


def test_a_frozen_model_has_nothing_to_train():
    layer = mr.GRU(3, 5, rng=0)
    for parameter in layer.parameters():
        parameter.requires_grad = False
    with pytest.raises(mr.TapeError):
        mr.profile(layer, inputs=X, repeats=1)
