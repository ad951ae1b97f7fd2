"""`minirnn inspect`: networks from files, data from files, and what is said of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minirnn as mr
from minirnn import cli
from minirnn.interop.safetensors import save_model
from minirnn.training import save_checkpoint

T, B = 6, 5


def model_of(cell="lstm", readout="last", **options):
    sizes = {"input_size": 2, "hidden_size": 4, "output_size": 1}
    return mr.SequenceModel(cell, readout=readout, rng=0, **(sizes | options))


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with a healthy network, an ill one, a bare state dict, and data; worked in."""
    monkeypatch.chdir(tmp_path)
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    x = rng.normal(size=(T, B, 2)).astype(np.float32)
    arrays = {
        "x": x,
        "y": x.mean(axis=0)[:, :1],
        "steps": x[..., :1],
        "lengths": np.array([6, 5, 4, 3, 2]),
        "labels": rng.integers(0, 3, B),
        "doubles": x.astype(np.float64),
        "tenths": x.astype(np.float64) + 0.1,
        "whole": np.arange(T * B * 2).reshape(T, B, 2),
        "turned": np.ascontiguousarray(x.swapaxes(0, 1)),
        "turned_steps": np.ascontiguousarray(x.swapaxes(0, 1)[..., :1]),
    }
    for name, array in arrays.items():
        np.save(f"{name}.npy", array)
    save_model(model_of(), "healthy.safetensors")
    save_model(model_of(batch_first=True), "batch_first.safetensors")
    save_model(model_of(readout="all"), "every.safetensors")
    save_model(model_of(output_size=3), "classes.safetensors")
    ill = model_of()
    ill.head.weight.data[...] = 0
    save_model(ill, "ill.safetensors")
    for readout in ("last", "all"):
        state = model_of(readout=readout).state_dict()
        save_file({n.replace("head", "fc"): a for n, a in state.items()}, "bare.safetensors")
    save_file(model_of("rnn").state_dict(), "rnn.safetensors")
    save_checkpoint("checkpoint.safetensors", model=model_of())
    return tmp_path


def inspect(model, *, x="x", y="y", options=()):
    arguments = ["inspect", model, "--input", f"{x}.npy", "--target", f"{y}.npy"]
    return cli.main([*arguments, *options])


def test_a_healthy_network_exits_with_0_and_an_ill_one_with_1(files, capsys):
    assert inspect("healthy.safetensors") == 0
    out = capsys.readouterr().out
    assert out.startswith("SequenceModel(readout='last')\n  recurrent: LSTM(2, 4)\n")
    assert "Healthy: nothing was found that does harm." in out
    assert inspect("ill.safetensors") == 1
    out = capsys.readouterr().out
    assert "[illness] constant-output" in out
    assert "Ill: constant-output" in out


def test_json_holds_the_findings_of_the_diagnosis(files, capsys):
    assert inspect("ill.safetensors", options=["--json"]) == 1
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    x, y = np.load("x.npy"), np.load("y.npy")
    model = mr.interop.safetensors.load_model("ill.safetensors")
    wanted = json.loads(json.dumps(mr.diagnose(model, x, y, loss="mse").to_dict()))
    assert {name: told[name] for name in wanted} == wanted
    assert told["file"] == "ill.safetensors"


def test_a_page_is_written(files, capsys):
    pytest.importorskip("plotly")
    assert inspect("ill.safetensors", options=["--output", "page.html", "--quiet"]) == 1
    assert "constant-output" in (files / "page.html").read_text("utf-8")
    assert (files / "page.html").resolve().as_uri() in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "x", "y", "options"),
    [
        ("bare.safetensors", "x", "y", ["--cell", "lstm"]),
        ("bare.safetensors", "x", "steps", []),
        ("bare.safetensors", "x", "y", ["--readout", "last"]),
        ("rnn.safetensors", "x", "y", ["--activation", "tanh"]),
        ("checkpoint.safetensors", "x", "y", []),
        ("healthy.safetensors", "doubles", "y", []),
        ("healthy.safetensors", "tenths", "y", ["--cast"]),
        ("healthy.safetensors", "whole", "y", []),
        ("healthy.safetensors", "x", "y", ["--lengths", "lengths.npy"]),
        ("healthy.safetensors", "turned", "y", ["--batch-first"]),
        ("bare.safetensors", "turned", "turned_steps", ["--batch-first"]),
        ("batch_first.safetensors", "turned", "y", []),
        ("batch_first.safetensors", "turned", "y", ["--batch-first"]),
        ("classes.safetensors", "x", "labels", ["--loss", "cross_entropy"]),
    ],
)
def test_files_of_many_kinds_are_looked_into(model, x, y, options, files, capsys):
    assert inspect(model, x=x, y=y, options=options) in (0, 1)
    captured = capsys.readouterr()
    assert "In the end" in captured.out
    assert "error" not in captured.err


def test_turned_data_give_the_same_findings(files, capsys):
    said = []
    for model, x, options in (
        ("healthy.safetensors", "x", []),
        ("healthy.safetensors", "turned", ["--batch-first"]),
        ("batch_first.safetensors", "turned", []),
    ):
        inspect(model, x=x, options=[*options, "--json"])
        told = json.loads(capsys.readouterr().out)
        said.append([told["healthy"], told["findings"]])
    assert said[0] == said[1] == said[2]


@pytest.mark.parametrize(
    ("model", "options", "told"),
    [
        ("none.safetensors", [], "MODEL: got 'none.safetensors': "),
        ("none.onnx", [], "MODEL: got 'none.onnx'; wanted a file that exists"),
        ("x.npy", [], ".safetensors, .onnx or .keras"),
        ("rnn.safetensors", [], "--activation: got None"),
        ("rnn.safetensors", ["--cell", "gru"], "--cell: got 'gru'"),
        ("x.onnx", ["--cell", "gru"], "--cell: got 'gru'; wanted none"),
        ("healthy.safetensors", ["--readout", "all"], "--readout: got 'all'; wanted none"),
        ("healthy.safetensors", ["--input", "none.npy"], "--input: got 'none.npy'"),
        ("healthy.safetensors", ["--input", "."], "it is a folder"),
        ("healthy.safetensors", ["--input", "y.npy"], "--input: got shape (5, 1)"),
        ("healthy.safetensors", ["--input", "steps.npy"], "--input: got shape"),
        ("healthy.safetensors", ["--input", "tenths.npy"], "such as 0."),
        ("healthy.safetensors", ["--input", "tenths.npy"], "Add --cast to round it"),
        ("healthy.safetensors", ["--target", "steps.npy"], "--target: got shape (6, 5, 1)"),
        ("healthy.safetensors", ["--input", "turned.npy"], "the steps first: X as (T, B, I)"),
        ("batch_first.safetensors", [], "the batch first: X as (B, T, I)"),
        ("every.safetensors", ["--target", "turned_steps.npy"], "the steps first: X as (T, B, I)"),
        ("healthy.safetensors", ["--lengths", "y.npy"], "--lengths: got"),
        ("healthy.safetensors", ["--loss", "cross_entropy"], "--target: got float32"),
        ("healthy.safetensors", ["--output", "nowhere/page.html"], "--output"),
    ],
)
def test_bad_input_is_one_clear_line_and_status_2(model, options, told, files, capsys):
    assert inspect(model, options=options) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("minirnn: error: ")
    assert captured.err.count("\n") == 1
    assert told in captured.err


def test_on_the_gpu_the_same_is_found(files, cuda, capsys):
    inspect("ill.safetensors", options=["--json"])
    here = json.loads(capsys.readouterr().out)
    assert inspect("ill.safetensors", options=["--json", "--device", cuda]) == 1
    assert json.loads(capsys.readouterr().out)["symptoms"] == here["symptoms"]


def test_without_its_framework_a_file_is_refused_with_the_extra(files, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    (files / "m.onnx").write_bytes(b"")
    assert inspect("m.onnx") == 2
    assert "pip install onnx, which the extra 'onnx'" in capsys.readouterr().err
