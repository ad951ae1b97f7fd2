"""Models in safetensors files: made anew from what the file says, never from a guess."""

from __future__ import annotations

import json

import numpy as np
import pytest
from raw_files import bfloat16

import minirnn as mr
from minirnn import nn
from minirnn.errors import ArgumentError, CheckpointError
from minirnn.files import document, tensors
from minirnn.interop.cells import gru_variant, lstm_variant
from minirnn.interop.description import describe
from minirnn.interop.safetensors import load_model, load_weights, save_model
from minirnn.nn import Dropout, Linear, Sequential
from minirnn.training import save_checkpoint


@mr.cell(states=("h",), forget="xh", new="xh")
def minimal(z, last):
    f, n = mr.cells.sigmoid(z.forget), mr.cells.tanh(z.new)
    return {"h": f * last.h + (1 - f) * n}, {"forget": f, "new": n}


def sequence_model(**options):
    sizes = {"input_size": 3, "hidden_size": 4, "output_size": 2}
    return mr.SequenceModel(**({"cell": "lstm", "rng": 1} | sizes | options))


MODELS = {
    "lstm": lambda: mr.LSTM(3, 4, 2, bidirectional=True, batch_first=True, dropout=0.3, rng=1),
    "gru": lambda: mr.GRU(3, 4, activation="relu", bias=False, dtype="float64", rng=1),
    "rnn": lambda: mr.RNN(3, 4, nonlinearity="identity", recompute=True, rng=1),
    "variant": lambda: mr.Recurrent(
        lstm_variant(("hardsigmoid", 0.25, 0.4), clip=3.0, coupled=True), 3, 4, rng=1
    ),
    "another variant": lambda: mr.Recurrent(gru_variant("tanh", "hardsigmoid"), 3, 4, rng=1),
    "sequence model": lambda: sequence_model(readout="all", head_dropout=0.1, activation="sigmoid"),
    "projection": lambda: mr.LSTM(3, 6, 2, proj_size=2, bidirectional=True, rng=1),
    "reset before": lambda: mr.GRU(3, 4, reset_after=False, rng=1),
    "lstm cell": lambda: nn.LSTMCell(3, 4, bias=False, rng=1),
    "gru cell": lambda: nn.GRUCell(3, 4, reset_after=False, activation="sigmoid", rng=1),
    "rnn cell": lambda: nn.RNNCell(3, 4, nonlinearity="relu", dtype="float64", rng=1),
    "one step": lambda: nn.RecurrentCell(lstm_variant(clip=2.0), 3, 4, rng=1),
    "words": lambda: Sequential(
        nn.Embedding(7, 3, rng=1),
        nn.LayerNorm(3, eps=1e-3),
        nn.BatchNorm(3, momentum=0.5),
        nn.LayerNorm(3, affine=False),
        sequence_model(),
    ),
    "chain": lambda: Sequential(
        Linear(3, 5, rng=0), Dropout(0.2), sequence_model(cell="gru", input_size=5, bias=False)
    ),
}


def assert_same(mine, theirs):
    assert repr(mine) == repr(theirs)
    assert describe(mine) == describe(theirs)
    mine, theirs = mine.state_dict(), theirs.state_dict()
    assert list(mine) == list(theirs)
    for name, array in mine.items():
        assert array.dtype == theirs[name].dtype
        np.testing.assert_array_equal(array, theirs[name])


def first(output):
    return output if isinstance(output, mr.Tensor) else output[0]


@pytest.mark.parametrize("kind", list(MODELS))
def test_a_model_is_made_anew_from_its_file(kind, tmp_path):
    model = MODELS[kind]()
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert_same(loaded, model)
    assert not loaded.training
    again = MODELS[kind]()
    for array in (*[p.data for p in again.parameters()], *dict(again.named_buffers()).values()):
        array[...] = 0
    load_weights(again, tmp_path / "m")
    assert_same(again, model)


def test_a_loaded_model_answers_as_the_one_that_was_saved(tmp_path):
    model = sequence_model(num_layers=2, bidirectional=True, batch_first=True).eval()
    save_model(model, tmp_path / "m")
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    y = load_model(tmp_path / "m")(x).numpy()
    np.testing.assert_array_equal(y, model(x).numpy())


def test_on_the_gpu_too(cuda, tmp_path):
    model = sequence_model(device=cuda)
    save_model(model, tmp_path / "m")
    assert_same(load_model(tmp_path / "m"), model.to("cpu"))
    loaded = load_model(tmp_path / "m", device=cuda)
    assert loaded.head.weight.device == cuda
    assert_same(loaded.to("cpu"), model)


def test_other_programs_read_the_file_and_find_the_order_of_the_gates(tmp_path):
    from safetensors import safe_open

    model = sequence_model()
    save_model(model, tmp_path / "m")
    with safe_open(tmp_path / "m", framework="numpy") as file:
        about = json.loads(file.metadata()["minirnn"])
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(file.get_tensor(name), array)
    cell = about["cells"]["recurrent"]
    assert cell["gate_order"]["weight_ih"] == ["input", "forget", "cell", "output"]
    assert cell["options"] == {"activation": "tanh"}
    assert (about["format"], about["version"]) == ("minirnn model", 1)
    assert set(about["versions"]) == {"minirnn", "numpy"}


def test_a_cell_of_ones_own_is_asked_for(tmp_path):
    model = mr.Recurrent(minimal, 3, 4, rng=1)
    save_model(model, tmp_path / "m")
    assert_same(load_model(tmp_path / "m", cell=minimal), model)
    for cell in (None, mr.cells.lstm()):
        with pytest.raises(ArgumentError, match=r"cell: got .* 'minimal' whose equations"):
            load_model(tmp_path / "m", cell=cell)


def test_a_module_of_ones_own_keeps_its_weights_and_its_code(tmp_path):
    class Mine(mr.Module):
        def __init__(self, activation="tanh"):
            self.layer = mr.GRU(3, 4, activation=activation, rng=1)

    save_model(Mine(), tmp_path / "m")
    with pytest.raises(CheckpointError, match=r"Mine, a module of one's own.*load_weights"):
        load_model(tmp_path / "m")
    load_weights(Mine(), tmp_path / "m")
    with pytest.raises(CheckpointError, match=r"'layer' is gru, activation='relu'.*'tanh'"):
        load_weights(Mine("relu"), tmp_path / "m")


def test_weights_that_do_not_fit_change_nothing(tmp_path):
    save_model(sequence_model(), tmp_path / "m")
    for other in (sequence_model(hidden_size=5), sequence_model(dtype="float64"), mr.LSTM(3, 4)):
        before = other.state_dict()
        with pytest.raises(CheckpointError, match=r"model|path"):
            load_weights(other, tmp_path / "m")
        for name, array in other.state_dict().items():
            np.testing.assert_array_equal(array, before[name])


def test_a_file_that_says_itself_what_it_holds_needs_no_options(tmp_path):
    save_model(sequence_model(), tmp_path / "m")
    for options in ({"readout": "last"}, {"activation": "tanh"}, {"batch_first": False},
                    {"prefix": "head."}, {"cell": "lstm"}):  # fmt: skip
        with pytest.raises(ArgumentError, match=next(iter(options))):
            load_model(tmp_path / "m", **options)


def test_a_description_of_a_larger_model_than_the_file_holds_is_refused(tmp_path):
    about = {"model": None, "cells": {}}
    sizes = {"input_size": 3, "hidden_size": 2**20, "num_layers": 1}
    options = {"bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
    cell = mr.cells.lstm()
    told = {"name": "lstm", "options": cell.options, "fingerprint": cell.fingerprint()}
    for model in (
        {"type": "LSTM", "arguments": {**sizes, **options, "dtype": "float32"}, "cell": told},
        {"type": "Linear", "arguments": {"in_features": 2**20, "out_features": 2**20}},
        {"type": "LSTM"}, {"type": "Transformer"}, {}, {"type": "Sequential", "modules": 3},
        {"type": "SequenceModel", "readout": "last", "modules": {}},
        {"type": "Dropout", "arguments": {"p": 2.0}},
        {"type": "Linear", "arguments": {"in_features": -1, "out_features": 1}},
    ):  # fmt: skip
        document.save(tmp_path / "m", "minirnn model", 1, about | {"model": model}, {})
        with pytest.raises(CheckpointError, match="model"):
            load_model(tmp_path / "m")


def foreign(tmp_path, arrays, name="foreign"):
    """A file as others write it, without any metadata."""
    from safetensors.numpy import save_file

    path = tmp_path / name
    save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, path)
    return path


def renamed(model, **prefixes):
    """A state dict with other names for the parts."""
    found = {}
    for name, array in model.state_dict().items():
        part, _, rest = name.partition(".")
        found[f"{prefixes.get(part, part)}.{rest}"] = array
    return found


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_bare_weights_are_understood_by_their_shapes(cell, layers, tmp_path):
    for bidirectional in (False, True):
        for bias in (True, False):
            model = sequence_model(
                cell=cell, num_layers=layers, bidirectional=bidirectional, bias=bias
            )
            path = foreign(tmp_path, renamed(model, recurrent="encoder.net", head="fc"))
            activation = "tanh" if cell == "rnn" else None
            loaded = load_model(path, readout="last", activation=activation)
            assert_same(loaded, model)
            other = sequence_model(
                cell=cell, num_layers=layers, bidirectional=bidirectional, bias=bias, rng=9
            )
            load_weights(other, path)
            assert_same(other, model)


def test_a_bare_layer_a_cell_and_a_part_of_a_file_are_read(tmp_path):
    layer = mr.LSTM(3, 4, rng=1)
    assert_same(load_model(foreign(tmp_path, layer.state_dict()), cell="lstm"), layer)
    cell = {f"cell.{name.removesuffix('_l0')}": a for name, a in layer.state_dict().items()}
    assert_same(load_model(foreign(tmp_path, cell)), layer)
    both = {f"a.{n}": a for n, a in layer.state_dict().items()}
    both |= {f"b.{n}": a for n, a in mr.GRU(3, 4, rng=1).state_dict().items()}
    assert_same(load_model(foreign(tmp_path, both), prefix="a.", batch_first=False), layer)


def test_half_precision_becomes_float32(tmp_path):
    layer = mr.LSTM(3, 4, rng=1)
    halves = {name: a.astype(np.float16) for name, a in layer.state_dict().items()}
    path = foreign(tmp_path, halves)
    loaded = load_model(path).state_dict()
    for name, array in halves.items():
        np.testing.assert_array_equal(loaded[name], array.astype(np.float32))
    path.write_bytes(bfloat16(layer.state_dict()))
    loaded = load_model(path).state_dict()
    for name, array in layer.state_dict().items():
        bits = array.view(np.uint32) & np.uint32(0xFFFF0000)
        np.testing.assert_array_equal(loaded[name].view(np.uint32), bits)


def test_what_names_and_shapes_leave_open_is_asked_for(tmp_path):
    lstm, gru = mr.LSTM(3, 4, rng=1).state_dict(), mr.GRU(3, 4, rng=1).state_dict()
    rnn = mr.RNN(3, 4, rng=1).state_dict()
    one = {f"one.{name}": a for name, a in lstm.items()}
    two = {f"two.{name}": a for name, a in gru.items()}
    fc = {"fc.weight": np.zeros((2, 4), np.float32), "fc.bias": np.zeros(2, np.float32)}
    norm = {"norm.weight": np.ones(4, np.float32), "norm.bias": np.zeros(4, np.float32)}
    for arrays, options, told in (
        (rnn, {}, "activation: got None; wanted 'tanh' or 'relu'"),
        (lstm | fc, {}, "readout: got None; wanted 'last' or 'all'"),
        (lstm, {"readout": "last"}, "readout: got 'last'; wanted None"),
        (lstm, {"cell": "gru"}, "cell: got 'gru', and weights of 'lstm'"),
        (lstm, {"cell": minimal}, "cell: got"),
        (one | two, {}, "prefix: got 2 recurrent stacks, 'one.', 'two.'"),
        (one | fc | {"fc2.weight": fc["fc.weight"]}, {"readout": "last"}, "2 Linears"),
        (one | {"fc.weight": np.zeros((2, 5), np.float32)}, {"readout": "last"}, r"\(O, 4\)"),
        (one | norm, {}, "also 'norm.bias', 'norm.weight'"),
        (fc, {}, "recurrent weights with PyTorch's names"),
        ({}, {}, "nothing; wanted recurrent weights"),
        (one, {"prefix": "three."}, "nothing; wanted recurrent weights"),
        (lstm | {"bias_hh_l0": lstm["bias_hh_l0"].astype(np.float64)}, {}, "float32 and float64"),
        ({k: a for k, a in lstm.items() if k != "bias_hh_l0"}, {}, r"bias_hh_l0 nothing; .*\(16,"),
        ({k: a for k, a in lstm.items() if k != "weight_ih_l0"}, {}, "weight_ih_l0"),
        (lstm | {"weight_hh_l0": np.zeros((8, 4), np.float32)}, {}, "1 block of H rows"),
        (lstm | {"weight_hh_l0": np.zeros((16, 4, 1), np.float32)}, {}, "matrices"),
        (lstm | {"weight_hh_l0": np.zeros((0, 0), np.float32)}, {}, "1 block of H rows"),
        (lstm | {"weight_ih_l2": lstm["weight_ih_l0"]}, {}, "weight_ih_l1"),
        (lstm | {"weight_ih": lstm["weight_ih_l0"]}, {}, "one of them"),
    ):  # fmt: skip
        path = foreign(tmp_path, arrays)
        with pytest.raises(ArgumentError, match=told):
            load_model(path, **options)


def test_names_that_fit_nowhere_are_listed(tmp_path):
    path = foreign(tmp_path, {"a.weight": np.zeros((2, 4), np.float32)})
    with pytest.raises(CheckpointError, match=r"'a.weight'; wanted the model's, 'recurrent\."):
        load_weights(sequence_model(), path)
    path = foreign(tmp_path, {"head.weight": np.zeros((2, 4), np.float32)})
    with pytest.raises(CheckpointError, match="missing"):
        load_weights(sequence_model(), path)


def test_a_checkpoint_is_read_as_weights(tmp_path):
    model = sequence_model()
    save_checkpoint(tmp_path / "c", model=model)
    assert_same(load_model(tmp_path / "c", readout="last"), model)
    other = sequence_model(rng=5)
    load_weights(other, tmp_path / "c")
    assert_same(other, model)


def test_a_file_of_another_kind_or_without_its_checksums_is_no_model(tmp_path):
    tensors.save(tmp_path / "m", {}, {"minirnn": json.dumps({"format": "minirnn trace"})})
    with pytest.raises(CheckpointError, match="wanted a model of minirnn"):
        load_model(tmp_path / "m")
    from safetensors.numpy import save_file

    save_model(mr.LSTM(3, 4), tmp_path / "m")
    found = tensors.load(tmp_path / "m")
    save_file(found.arrays, tmp_path / "n", metadata=dict(found.metadata))
    with pytest.raises(CheckpointError, match="no checksums"):
        load_model(tmp_path / "n")
