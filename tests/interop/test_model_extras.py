"""Models with what other libraries have no place for are refused; penalties are Keras's."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

import minirnn as mr
from minirnn.errors import ArgumentError
from minirnn.training import Penalty

os.environ.setdefault("KERAS_BACKEND", "torch")
EXTRAS = [{"norm": "layer"}, {"norm": "batch"}, {"initial_state": "learned"}]


def to_keras() -> Callable[..., Any]:
    pytest.importorskip("keras")
    return mr.interop.keras.to_keras


def to_onnx() -> Callable[..., Any]:
    pytest.importorskip("onnx")
    return mr.interop.onnx.to_onnx


def to_torch() -> Callable[..., Any]:
    pytest.importorskip("torch")
    return mr.interop.torch.to_torch


@pytest.mark.parametrize("convert", [to_keras, to_onnx, to_torch])
def test_nothing_is_left_out_silently(convert: Callable[..., Any]) -> None:
    made = convert()
    sizes = {"input_size": 1, "hidden_size": 2, "output_size": 1, "rng": 0}
    for extra in EXTRAS:
        with pytest.raises(ArgumentError, match=next(iter(extra))):
            made(mr.SequenceModel("gru", **sizes, **extra))
    with pytest.raises(ArgumentError, match="norm='layer'"):
        made(mr.LSTM(1, 2, 2, norm="layer"))
    made(mr.SequenceModel("gru", **sizes))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("cell", ["SimpleRNN", "LSTM"])
def test_a_penalty_is_keras_regularizers(cell: str) -> None:
    keras = pytest.importorskip("keras")
    told = {"kernel": (0.1, 0.2), "recurrent": (0.3, 0.0), "bias": (0.0, 0.4)}
    options = {
        f"{kind}_regularizer": keras.regularizers.L1L2(l1=l1, l2=l2)
        for kind, (l1, l2) in told.items()
    }
    layer = getattr(keras.layers, cell)(3, bias_initializer="random_normal", **options)
    layer.build((None, None, 2))
    wanted = sum(float(loss.detach()) for loss in layer.losses)
    ours = {"SimpleRNN": mr.RNN, "LSTM": mr.LSTM}[cell](2, 3)
    # One bias there, two here: the second is zero. The order of the gates is all the same to sums.
    kernel, recurrent, bias = (keras.ops.convert_to_numpy(each) for each in layer.weights)
    ours.weight_ih_l0.data[...] = kernel.T
    ours.weight_hh_l0.data[...] = recurrent.T
    ours.bias_ih_l0.data[...] = bias
    ours.bias_hh_l0.data[...] = 0.0
    penalty = Penalty(
        l1={kind: l1 for kind, (l1, _) in told.items()},
        l2={kind: l2 for kind, (_, l2) in told.items()},
    )
    assert penalty(ours).item() == pytest.approx(wanted, rel=1e-5)
