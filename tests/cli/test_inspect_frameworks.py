"""`minirnn inspect` of networks in ONNX and Keras files."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import minirnn as mr
from minirnn import cli


@pytest.fixture
def data(tmp_path, monkeypatch):
    """x and y in files, steps first and batch first, and a network that answers always the same."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(6, 5, 2)).astype(np.float32)
    np.save("x.npy", x)
    np.save("turned.npy", np.ascontiguousarray(x.swapaxes(0, 1)))
    np.save("y.npy", x.mean(axis=0)[:, :1])
    ill = mr.SequenceModel("lstm", input_size=2, hidden_size=4, output_size=1, rng=0)
    ill.head.weight.data[...] = 0
    return ill


def inspect(capsys, model, *options):
    status = cli.main(["inspect", model, "--target", "y.npy", "--json", *options])
    return status, json.loads(capsys.readouterr().out)


def test_an_onnx_file(data, capsys):
    pytest.importorskip("onnx")
    mr.interop.onnx.to_onnx(data, "m.onnx")
    status, told = inspect(capsys, "m.onnx", "--input", "x.npy")
    assert status == 1
    assert "constant-output" in told["symptoms"]
    status, turned = inspect(capsys, "m.onnx", "--input", "turned.npy", "--batch-first")
    assert turned["findings"] == told["findings"]


# What Keras does to PyTorch's tensors as it saves them.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_a_keras_file(data, capsys):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    layers = [keras.Input((6, 2)), keras.layers.LSTM(4), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    # As training leaves it: a network with biases of exactly 0 and 1 has not been trained yet.
    for weights in model.weights:
        weights.assign(
            np.asarray(weights) + 0.01 * np.random.default_rng(0).normal(size=weights.shape)
        )
    model.layers[-1].set_weights([np.zeros((4, 1)), np.full(1, 0.3)])
    model.save("m.keras")
    status, told = inspect(capsys, "m.keras", "--input", "turned.npy")
    assert status == 1
    assert "constant-output" in told["symptoms"]


@pytest.mark.parametrize("suffix", ["onnx", "keras"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(50), bytes(range(256)) * 4])
def test_a_damaged_file_is_one_line_and_status_2(suffix, content, data, capsys):
    pytest.importorskip("onnx" if suffix == "onnx" else "h5py")
    with open(f"m.{suffix}", "wb") as file:  # noqa: PTH123
        file.write(content)
    status = cli.main(["inspect", f"m.{suffix}", "--input", "x.npy", "--target", "y.npy"])
    captured = capsys.readouterr()
    assert (status, captured.out) == (2, "")
    assert captured.err.count("\n") == 1
