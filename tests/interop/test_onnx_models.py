"""ONNX models run, train and are looked into as modules of minirnn."""

from __future__ import annotations

import io
import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx_calls import complex_step, feeds_of, in_layout_0, model_of, random_call
from onnx_specification import Call, arrays, float32_bounds, specified

import minirnn as mr
from minirnn.interop.onnx import from_onnx

CALLS = [(op, seed) for op in ("RNN", "GRU", "LSTM") for seed in range(8)]


def call_and_layout(op: str, seed: int) -> tuple[Call, int]:
    rng = np.random.default_rng([seed, len(op)])
    call = random_call(rng, op, {})
    call.attributes.pop("input_forget", None)  # a kernel of its own: the sweep has it
    return call, int(rng.integers(2))


def assert_within(got: Any, want: Any, bounds: Any) -> None:
    for a, b, bound in zip(got, want, bounds, strict=True):
        assert a.shape == b.shape
        assert np.all(np.abs(a - b) <= bound)


@pytest.mark.parametrize(("op", "seed"), CALLS)
def test_a_node_gives_what_the_specification_says(op: str, seed: int) -> None:
    call, layout = call_and_layout(op, seed)
    module = from_onnx(model_of(call, "float32", layout=layout, opset=14 + 8 * (seed % 2)))
    results = module.run(feeds_of(call, "float32", layout))
    got = in_layout_0([value.numpy() for value in results.values()], layout)
    assert_within(got, specified(call), float32_bounds(call))


def test_the_input_gate_of_a_coupled_node_stands_in_for_the_forget_gate() -> None:
    # W, R, B and P have a forget block all the same, and it is not read.
    call, layout = call_and_layout("LSTM", 5)
    rng, H = np.random.default_rng(0), call.hidden_size
    D = len(call.W)
    call.P = rng.uniform(-1, 1, (D, 3 * H)).astype(np.float32).astype(np.float64)
    call.attributes["input_forget"] = 1
    module = from_onnx(model_of(call, "float32", layout=layout))
    results = module.run(feeds_of(call, "float32", layout))
    got = in_layout_0([value.numpy() for value in results.values()], layout)
    assert_within(got, specified(call), float32_bounds(call))


@pytest.mark.parametrize(("op", "seed"), CALLS)
def test_onnxruntime_gives_the_same_but_for_states_of_empty_sequences(op: str, seed: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    call, _ = call_and_layout(op, seed)
    session = onnxruntime.InferenceSession(
        model_of(call, "float32").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    got = session.run(None, feeds_of(call, "float32"))
    theirs = replace(call, textbook=True, keep_empty=False)
    assert_within(got, specified(theirs), float32_bounds(theirs))


@pytest.mark.parametrize(("op", "seed"), [("RNN", 1), ("LSTM", 4), ("GRU", 3)])
def test_gradients_reach_every_input_in_onnx_s_own_layout(op: str, seed: int) -> None:
    call, layout = call_and_layout(op, seed)
    call.P, call.attributes["linear_before_reset"] = None, 1  # cells that are compiled anyway
    if op != "GRU":
        del call.attributes["linear_before_reset"]
    module = from_onnx(model_of(call, "float64", layout=layout))
    feeds = {
        name: value if name == "sequence_lens" else mr.Tensor(value, requires_grad=True)
        for name, value in feeds_of(call, "float64", layout).items()
    }
    rng = np.random.default_rng(0)
    seeds = [rng.normal(size=each.shape) for each in specified(call)]
    total: Any = 0.0
    for value, seed_of in zip(module.run(feeds).values(), seeds, strict=True):
        turned = value
        if layout:
            order = (1, 2, 0, 3) if value.ndim == 4 else (1, 0, 2)
            turned = mr.functional.transpose(value, order)
        total = total + (turned * seed_of).sum()
    total.backward()
    found = {name: p.grad for name, p in module.named_parameters()}
    for name, tensor in feeds.items():
        if name != "sequence_lens":
            found[name] = tensor.grad.swapaxes(0, 1) if layout else tensor.grad
    assert found.keys() == arrays(call).keys()

    def loss(results: Any) -> Any:
        return sum((a * b).sum() for a, b in zip(results, seeds, strict=True))

    for name, grad in found.items():  # along a direction of one input, the others standing still
        direction = {n: np.zeros(a.shape) for n, a in arrays(call).items()}
        direction[name] = rng.normal(size=grad.shape)
        want = complex_step(call, direction, loss)
        assert (grad * direction[name]).sum() == pytest.approx(want, rel=1e-9, abs=1e-12)


def exported(module: Any, *inputs: Any, **options: Any) -> Any:
    """A ModelProto by PyTorch's exporter that needs no further package."""
    import torch

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is being replaced, and says so
        torch.onnx.export(module, inputs, file, dynamo=False, opset_version=17, **options)
    return onnx.load_from_string(file.getvalue())


def torch_network(kind: str, *, packed: bool) -> Any:
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            options = {"bidirectional": True, "batch_first": True, "dtype": torch.float64}
            self.rnn = getattr(torch.nn, kind)(3, 4, 2, **options)
            self.head = torch.nn.Linear(8, 2, dtype=torch.float64)

        def forward(self, x: Any, lengths: Any) -> Any:
            if packed:
                x = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
            y, _ = self.rnn(x)
            if packed:
                y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True)
                return self.head(y)
            return self.head(y[:, -1])

    torch.manual_seed(0)
    return Network()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_network_that_pytorch_exported_gives_pytorch_s_outputs_and_gradients(
    kind: str, packed: bool
) -> None:
    torch = pytest.importorskip("torch")
    network = torch_network(kind, packed=packed)
    x, lengths = torch.randn(3, 6, 3, dtype=torch.float64), torch.tensor([6, 4, 2])
    axes = {"x": {0: "B", 1: "T"}, "lengths": {0: "B"}}
    model = exported(
        network.eval(), x, lengths,
        input_names=["x", "lengths"] if packed else ["x"], dynamic_axes=axes,
    )  # fmt: skip
    module = from_onnx(model)
    assert module.batch_first
    assert module.lengths_input == ("lengths" if packed else None)
    x = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)  # other sizes
    lengths = torch.tensor([5, 5, 3, 1])
    want = network(x, lengths)
    ours = mr.Tensor(x.detach().numpy(), requires_grad=True)
    got = module(ours, lengths=lengths.numpy()) if packed else module(ours)
    np.testing.assert_allclose(got.data, want.detach().numpy(), rtol=1e-9, atol=1e-12)
    seed = np.random.default_rng(0).normal(size=got.shape)
    (got * seed).sum().backward()
    (want * torch.from_numpy(seed)).sum().backward()
    np.testing.assert_allclose(ours.grad, x.grad.numpy(), rtol=1e-9, atol=1e-12)
    head = next(p for name, p in module.named_parameters() if p.shape in ((2,),))
    np.testing.assert_allclose(head.grad, network.head.bias.grad.numpy(), rtol=1e-9, atol=1e-12)
    total = sum(float((p.grad**2).sum()) for p in module.parameters())
    theirs = sum(float((p.grad**2).sum()) for p in network.parameters())
    assert total == pytest.approx(theirs, rel=1e-9)  # the same numbers, in another order


def small_model() -> Any:
    """x (T, B, 2) -> LSTM of 3 units -> its last h -> Gemm; as a model with awkward names."""
    rng = np.random.default_rng(0)
    initialisers = {
        "to": rng.normal(size=(1, 12, 2)),
        "forward": rng.normal(size=(1, 12, 3)),
        "training": rng.normal(size=(1, 24)),
        "head.weight": rng.normal(size=(1, 3)),
        "lstm_0": rng.normal(size=1),
        "half": np.asarray(0.5),
    }
    nodes = [
        helper.make_node("Mul", ["x", "half"], ["scaled"]),
        helper.make_node(
            "LSTM", ["scaled", "to", "forward", "training"], ["", "Y_h"], hidden_size=3
        ),
        helper.make_node("Squeeze", ["Y_h", "axes"], ["last"]),
        helper.make_node("Gemm", ["last", "head.weight", "lstm_0"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", "B", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 1])],
        [
            *[numpy_helper.from_array(a.astype(np.float32), n) for n, a in initialisers.items()],
            numpy_helper.from_array(np.asarray([0]), "axes"),
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets)
    )


def test_parameters_are_the_initialisers_that_feed_weights_under_their_own_names() -> None:
    model = small_model()
    module = from_onnx(model)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    names = ["to", "forward", "training", "head.weight", "lstm_0"]
    assert list(module.state_dict()) == names  # not the scalar "half", nor the integers "axes"
    assert all(np.array_equal(module.state_dict()[name], stored[name]) for name in names)
    module.load_state_dict({name: 2 * stored[name] for name in names})
    assert np.array_equal(module.state_dict()["training"], 2 * stored["training"])
    x = np.ones((4, 2, 2), np.float32)
    y = module.eval()(x)  # methods are still methods, and parameters still parameters
    assert y.shape == (2, 1)
    assert list(module.state_dict()) == names
    assert np.array_equal(pickle.loads(pickle.dumps(module))(x).data, y.data)


def test_a_network_learns_and_goes_back_to_onnx() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from minirnn.interop.onnx import to_onnx

    module = from_onnx(small_model())
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(5, 8, 2)).astype(np.float32), np.zeros((8, 1), np.float32)
    optimizer = mr.optim.Adam(module.parameters(), learning_rate=0.05)
    losses = []
    for _ in range(20):
        loss = mr.mse_loss(module(x), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]
    session = onnxruntime.InferenceSession(
        to_onnx(module).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(session.run(None, {"x": x})[0], module(x).data, atol=1e-6)


def test_a_recording_sees_the_recurrent_nodes_and_the_doctor_what_ails_them() -> None:
    module = from_onnx(small_model())
    x = np.random.default_rng(0).normal(size=(20, 8, 2)).astype(np.float32)
    with mr.record() as recording:
        module(x).sum().backward()
    (trace,) = recording.traces
    assert trace.name == "LSTM.l0"
    assert trace.gates["forget"].shape == (20, 8, 3)
    assert trace.grad_input.shape == (20, 8, 2)
    np.testing.assert_allclose(trace.inputs, 0.5 * x)
    target = np.zeros((8, 1), np.float32)
    assert not mr.diagnose(module, x, target, loss="mse").symptoms & {"unscaled-input"}
    assert "unscaled-input" in mr.diagnose(module, 1000 * x, target, loss="mse").symptoms


def test_layers_of_a_trace_follow_the_graph() -> None:
    model = small_model()
    del model.graph.node[2:]
    model.graph.node[1].output[0] = "Y"
    model.graph.node.extend([
        helper.make_node("Squeeze", ["Y", "one"], ["between"]),
        helper.make_node(
            "GRU", ["between", "W", "R"], ["y"], hidden_size=2, direction="reverse",
            linear_before_reset=1,
        ),
    ])  # fmt: skip
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["T", 1, "B", 2])
    )
    for name, array in (("one", np.asarray([1])), ("W", np.ones((1, 6, 3), np.float32)),
                        ("R", np.ones((1, 6, 2), np.float32))):  # fmt: skip
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    with mr.record() as recording:
        from_onnx(model)(np.ones((4, 2, 2), np.float32))
    assert [(t.name, t.reverse) for t in recording.traces] == [
        ("LSTM.l0", False),
        ("GRU.l1_reverse", True),
    ]


def edited(**attributes: Any) -> Any:
    model = small_model()
    node = model.graph.node[1]
    node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
    return model


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"activations": ["Sigmoid", "Tanh"]}, "activations: 2 names; wanted 3"),
        ({"activations": ["Sigmoid", "Tanh", "Cosh"]}, "'Cosh'; wanted one of tanh"),
        ({"activation_alpha": [1.0, 2.0]}, "activation_alpha: 2 values; wanted at most 0, or 3"),
        ({"clip": -1.0}, "clip: -1.0; wanted a positive"),
        ({"direction": "sideways"}, "direction 'sideways'; wanted one of forward"),
        ({"layout": 2}, "layout 2; wanted 0 or 1"),
    ],
)
def test_an_attribute_that_cannot_be_heard_is_refused_with_its_node(
    attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(mr.ArgumentError, match=message) as caught:
        from_onnx(edited(**attributes))
    assert "LSTM node 'LSTM of Y_h'" in str(caught.value)


def test_hidden_size_has_to_agree_with_the_weights() -> None:
    model = small_model()
    model.graph.node[1].attribute[0].i = 4
    with pytest.raises(mr.ShapeError, match="hidden size 3; wanted hidden_size=4"):
        from_onnx(model)(np.ones((4, 2, 2), np.float32))


def test_operators_that_are_not_here_are_all_named() -> None:
    model = small_model()
    model.graph.node[0].op_type, model.graph.node[3].op_type = "Atan2", "Acos"
    del model.graph.node[3].input[1:], model.graph.node[3].attribute[:]
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(mr.ArgumentError, match=r"operators Acos \(node.*com.example::Atan2"):
        from_onnx(model)


@pytest.mark.parametrize(
    ("feeds", "error", "message"),
    [
        ({}, mr.ArgumentError, "x: got nothing"),
        ({"z": 1.0}, mr.ArgumentError, "z: got an input; wanted one of x"),
        ({"x": np.ones((4, 2, 3), np.float32)}, mr.ShapeError, r"x: .*wanted \(\?, \?, 2\)"),
        ({"x": np.ones((4, 2, 2))}, mr.DTypeError, "x: got float64; wanted float32"),
    ],
)
def test_an_input_that_does_not_fit_is_named(feeds: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        from_onnx(small_model()).run(feeds)


def test_lengths_need_an_input_that_feeds_them() -> None:
    with pytest.raises(mr.ArgumentError, match="an input that feeds sequence_lens"):
        from_onnx(small_model())(np.ones((4, 2, 2), np.float32), lengths=[4, 2])


def test_an_initialiser_that_is_an_input_may_be_given() -> None:
    call, _ = call_and_layout("RNN", 0)
    model = model_of(call, "float32", opset=7)  # where every initialiser is one
    module = from_onnx(model)
    feeds = feeds_of(call, "float32")
    assert module.inputs == tuple(feeds)
    zeros = np.zeros(call.W.shape, np.float32)
    assert not np.array_equal(
        module.run(feeds)["Y"].data, module.run(feeds | {"W": zeros})["Y"].data
    )


def test_a_model_is_read_from_a_path_bytes_or_memory(tmp_path: Path) -> None:
    model = small_model()
    path = tmp_path / "small.onnx"
    onnx.save(model, path)
    x = np.ones((4, 2, 2), np.float32)
    want = from_onnx(model)(x).data
    for source in (path, str(path), path.read_bytes()):
        assert np.array_equal(from_onnx(source)(x).data, want)


def test_a_model_runs_on_the_gpu(cuda: str) -> None:
    import cupy

    x = np.random.default_rng(0).normal(size=(4, 2, 2)).astype(np.float32)
    here, there = from_onnx(small_model()), from_onnx(small_model(), device=cuda)
    y = there(cupy.asarray(x))
    assert y.device == "cuda"
    np.testing.assert_allclose(y.numpy(), here(x).data, rtol=1e-5)
    y.sum().backward()
    here(x).sum().backward()
    for ours, theirs in zip(here.parameters(), there.parameters(), strict=True):
        np.testing.assert_allclose(theirs.grad.get(), ours.grad, rtol=1e-4, atol=1e-6)
