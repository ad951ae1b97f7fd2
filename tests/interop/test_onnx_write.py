"""Layers and models of minirnn as ONNX models: run by another runtime, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import numpy_helper

import minirnn as mr
from minirnn.cells import tanh
from minirnn.interop.cells import gru_variant, lstm_variant, rnn_variant
from minirnn.interop.onnx import from_onnx, to_onnx
from minirnn.interop.peepholes import PeepholeLSTM

T, B, I, H = 6, 3, 4, 5  # noqa: E741
LENGTHS = np.array([6, 2, 4], np.int32)
LAYERS: dict[str, Any] = {
    "rnn": lambda: mr.RNN(I, H, rng=0),
    "rnn-identity": lambda: mr.RNN(I, H, nonlinearity="identity", rng=0),
    "rnn-relu-no-bias": lambda: mr.RNN(I, H, 2, nonlinearity="relu", bias=False, rng=0),
    "gru": lambda: mr.GRU(I, H, 2, bidirectional=True, rng=0),
    "gru-before": lambda: mr.GRU(I, H, reset_after=False, rng=0),
    "lstm": lambda: mr.LSTM(I, H, 3, bidirectional=True, rng=0),
    "lstm-batch-first": lambda: mr.LSTM(I, H, batch_first=True, dropout=0.0, rng=0),
    "lstm-peepholes": lambda: PeepholeLSTM(I, H, 2, bidirectional=True, rng=0),
    "last": lambda: mr.SequenceModel(
        "lstm", input_size=I, hidden_size=H, output_size=2, num_layers=2, bidirectional=True,
        dropout=0.5, head_dropout=0.5, rng=0),
    "all": lambda: mr.SequenceModel(
        "gru", input_size=I, hidden_size=H, output_size=2, readout="all", batch_first=True, rng=0),
}  # fmt: skip


def recurrent_of(module: Any) -> Any:
    return getattr(module, "recurrent", module)


def case(module: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs for the ONNX model, and the same as arguments of the module."""
    rng = np.random.default_rng(0)
    layer = recurrent_of(module)
    x = rng.normal(size=(B, T, I) if layer.batch_first else (T, B, I)).astype(np.float32)
    shape = (layer.num_layers * layer.num_directions, B, H)
    states = [rng.normal(size=shape).astype(np.float32) for _ in range(2)]
    count = 2 if "c" in layer.cell.states else 1
    feeds = {"x": x, "lengths": LENGTHS, **dict(zip(("h_0", "c_0"), states[:count], strict=False))}
    state = states[0] if count == 1 else tuple(states)
    return feeds, {"x": x, "lengths": LENGTHS, "state": state}


def outputs_of(module: Any, arguments: dict[str, Any]) -> list[Any]:
    """What the module returns, one array after the other."""
    more = {"return_state": True} if isinstance(module, mr.SequenceModel) else {}
    output, last = module.eval()(**arguments, **more)
    return [output.data, *[each.data for each in (last if isinstance(last, tuple) else (last,))]]


@pytest.mark.parametrize("name", LAYERS)
def test_onnxruntime_computes_the_same(name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    module = LAYERS[name]()
    feeds, arguments = case(module)
    model = to_onnx(module, lengths=True, state=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_outputs()]
    assert names == ["output", "h_n", "c_n"][: len(names)]
    want = outputs_of(module, arguments)
    # Some ten roundings a step of numbers below 1, through some ten steps and layers of slope <= 1.
    for got, array in zip(session.run(None, feeds), want, strict=True):
        np.testing.assert_allclose(got, array, rtol=0, atol=100 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("name", LAYERS)
def test_there_and_back_gives_the_same_weights_and_bits(name: str) -> None:
    module = LAYERS[name]()
    feeds, arguments = case(module)
    model = to_onnx(module, lengths=True, state=True)
    back = from_onnx(model)
    assert back.batch_first == recurrent_of(module).batch_first
    assert back.lengths_input == "lengths"
    for got, want in zip(back.run(feeds).values(), outputs_of(module, arguments), strict=True):
        assert np.array_equal(got.data, want)
    ours = np.sort(np.concatenate([p.data.ravel() for p in module.parameters()]))
    theirs = np.sort(np.concatenate([p.data.ravel() for p in back.parameters()]))
    assert np.array_equal(ours, theirs)
    again = to_onnx(back)
    assert again.SerializeToString() == model.SerializeToString()


VARIANTS = {
    "leaky": (lambda: rnn_variant(("LeakyRelu", 0.1), clip=0.7)),
    "gru": lambda: gru_variant("HardSigmoid", ("ScaledTanh", 1.7159, 2 / 3), reset="before"),
    "coupled": lambda: lstm_variant("Sigmoid", "Tanh", "Relu", coupled=True, clip=1 / 3),
    "affine": lambda: lstm_variant("HardSigmoid", ("Affine", 0.1, 0.2), "identity"),
    "softplus": lambda: rnn_variant("Softplus"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_comes_back_as_the_cell_it_was(name: str) -> None:
    cell = VARIANTS[name]()
    layer = mr.Recurrent(cell, I, H, bidirectional=True, rng=0)
    back = from_onnx(to_onnx(layer))
    (node,) = [module for module in back.modules() if module is not back]
    settings: Any = node.settings
    for each in settings.cells:
        assert each.name == cell.name
        assert each.slots == cell.slots
        # alpha, beta and clip are float32 in ONNX.
        values = [float(v) for text in each.options.values() for v in numbers(text)]
        given = [float(np.float32(v)) for text in cell.options.values() for v in numbers(text)]
        assert values == given
        assert [text.partition("(")[0] for text in each.options.values() if "." not in text] == [
            text.partition("(")[0] for text in cell.options.values() if "." not in text
        ]


def numbers(text: str) -> list[str]:
    inside = text.partition("(")[2].rstrip(")") or text
    return [
        part for part in inside.split(", ") if part.replace(".", "", 1).replace("e-", "").isdigit()
    ]


def test_without_lengths_and_state_the_only_input_is_x() -> None:
    model = to_onnx(mr.LSTM(I, H, rng=0))
    assert [each.name for each in model.graph.input] == ["x"]
    dims = [
        dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim
    ]
    assert dims == ["T", "B", I]
    x = np.ones((9, 2, I), np.float32)  # any T and B
    output, h, _ = from_onnx(model)(x)
    assert output.shape == (9, 2, H)
    assert h.shape == (1, 2, H)


def test_linear_layers_alone_and_in_a_row() -> None:
    model = mr.Sequential(
        mr.Linear(I, 3, rng=0), mr.Dropout(0.5), mr.Linear(3, 2, bias=False, rng=1)
    )
    x = np.random.default_rng(0).normal(size=(7, I)).astype(np.float32)
    back = from_onnx(to_onnx(model))
    assert np.array_equal(back(x).data, model.eval()(x).data)
    assert list(back.state_dict()) == list(model.state_dict())


def test_layers_before_and_after_a_sequence_model() -> None:
    options = {"input_size": 3, "hidden_size": H, "output_size": 2, "batch_first": True, "rng": 0}
    for readout in ("last", "all"):
        middle = mr.SequenceModel("gru", readout=readout, **options)
        model = mr.Sequential(mr.Linear(I, 3, rng=1), middle, mr.Linear(2, 1, rng=2))
        x = np.random.default_rng(0).normal(size=(B, T, I)).astype(np.float32)
        proto = to_onnx(model, lengths=True)
        got = from_onnx(proto).run({"x": x, "lengths": np.full(B, T, np.int32)})
        np.testing.assert_allclose(got["output"].data, model(x).data, rtol=1e-5, atol=1e-6)


def test_what_came_from_onnx_stays_the_graph_it_is() -> None:
    with pytest.raises(mr.ArgumentError, match="options: got lengths=True"):
        to_onnx(from_onnx(to_onnx(mr.GRU(I, H, rng=0))), lengths=True)


@pytest.mark.parametrize("opset", [14, 22])
def test_the_operator_set_is_the_one_asked_for(opset: int) -> None:
    model = to_onnx(mr.GRU(I, H, rng=0), opset=opset)
    assert [entry.version for entry in model.opset_import] == [opset]
    onnx.checker.check_model(model, full_check=True)


def test_float64_layers_stay_float64() -> None:
    model = to_onnx(mr.LSTM(I, H, dtype="float64", rng=0))
    assert all(
        numpy_helper.to_array(t).dtype in (np.float64, np.int64) for t in model.graph.initializer
    )
    x = np.ones((3, 2, I))
    assert from_onnx(model)(x)[0].dtype == np.float64


def own_cell() -> Any:
    @mr.cell(states=("h",), new="xh")
    def mine(z: Any, last: Any) -> Any:
        n = tanh(z.new)
        return {"h": n}, {"new": n}

    return mine


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: mr.Recurrent(own_cell(), I, H), {}, "a layer of 'mine' cells; wanted rnn"),
        (lambda: mr.LSTM(I, H, proj_size=2), {}, "ONNX's LSTM has no projection"),
        (lambda: mr.Recurrent(rnn_variant("silu"), I, H), {}, "the activation silu"),
        (lambda: mr.GRU(I, H), {"opset": 13}, "opset: got 13; wanted 14 to"),
        (lambda: mr.Linear(I, 2), {"lengths": True}, "lengths: got True; wanted False"),
        (lambda: mr.Dropout(0.5), {}, "one with parameters"),
        (lambda: "lstm", {}, "module: got str"),
    ],
)
def test_what_onnx_cannot_express_is_refused(make: Any, options: Any, message: str) -> None:
    with pytest.raises(mr.ArgumentError, match=message):
        to_onnx(make(), **options)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = to_onnx(mr.GRU(I, H, rng=0), path)
    assert path.read_bytes() == model.SerializeToString()
    with pytest.raises(mr.ArgumentError):
        to_onnx(mr.Recurrent(own_cell(), I, H), path)
    assert path.read_bytes() == model.SerializeToString()
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]
    with pytest.raises(mr.CheckpointError, match=r"path: got .*nowhere"):
        to_onnx(mr.GRU(I, H, rng=0), tmp_path / "nowhere" / "model.onnx")
