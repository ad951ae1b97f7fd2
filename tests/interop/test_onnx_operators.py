"""Operators around recurrent nodes: older operator sets, and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from minirnn import functional
from minirnn.interop.onnx import from_onnx
from minirnn.testing import gradcheck

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4))
Integers = tuple[int, ...]


def model_of(node: Any, inputs: dict[str, Any], opset: int) -> Any:
    """A model of one node; float64 inputs are the graph's, integers are constants."""
    infos, constants = [], []
    for name, array in inputs.items():
        if isinstance(array, tuple):
            constants.append(helper.make_tensor(name, TensorProto.INT64, [len(array)], array))
        else:
            infos.append(helper.make_tensor_value_info(name, TensorProto.DOUBLE, array.shape))
    results = [helper.make_empty_tensor_value_info(name) for name in node.output]
    for result in results:  # the checker wants to be told a rank; one is as good as another
        result.type.tensor_type.elem_type = TensorProto.DOUBLE
        result.type.tensor_type.shape.dim.add().dim_param = "any"
    graph = helper.make_graph([node], "one", infos, results, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


OLD = {
    "Squeeze": (helper.make_node("Squeeze", ["x"], ["y"], axes=[0]), X[:1], 11),
    "Unsqueeze": (helper.make_node("Unsqueeze", ["x"], ["y"], axes=[0, 2]), X, 11),
    "Slice": (helper.make_node("Slice", ["x"], ["y"], starts=[-2], ends=[9], axes=[1]), X, 9),
    "Split": (helper.make_node("Split", ["x"], ["y", "z"], axis=2, split=[1, 3]), X, 11),
    "Split in halves": (helper.make_node("Split", ["x"], ["y", "z"], axis=2), X, 11),
    "Clip": (helper.make_node("Clip", ["x"], ["y"], min=-0.5, max=0.25), X, 7),
    "ReduceSum": (helper.make_node("ReduceSum", ["x"], ["y"], axes=[1], keepdims=0), X, 11),
    "ReduceMean": (helper.make_node("ReduceMean", ["x"], ["y"], axes=[-1]), X, 13),
    "Dropout": (helper.make_node("Dropout", ["x"], ["y"], ratio=0.5), X, 7),
}


@pytest.mark.parametrize("name", OLD)
def test_older_operator_sets_keep_their_meaning(name: str) -> None:
    node, x, opset = OLD[name]
    model = model_of(node, {"x": x}, opset)
    got = from_onnx(model).run({"x": x})
    want = ReferenceEvaluator(model).run(None, {"x": x})
    for ours, theirs in zip(got.values(), want, strict=True):
        np.testing.assert_allclose(ours.data, theirs, rtol=1e-12)


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
def test_softmax_before_13_is_of_everything_from_its_axis_on(name: str) -> None:
    # The evaluator has it as in 13.
    onnxruntime = pytest.importorskip("onnxruntime")
    model = model_of(helper.make_node(name, ["x"], ["y"], axis=1), {"x": X}, 12)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    for size in X.shape:
        model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = size
    (got,) = from_onnx(model).run({"x": X}).values()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(got.data, session.run(None, {"x": X})[0], rtol=1e-12)


def op(name: str, inputs: Any = "x", outputs: Any = "y", **attributes: Any) -> Any:
    return helper.make_node(name, inputs.split(), outputs.split(), **attributes)


# A node, and its integer inputs; x is X and the others are drawn.
DIFFERENTIABLE: dict[str, tuple[Any, dict[str, Any]]] = {
    "Transpose": (op("Transpose", perm=[2, 0, 1]), {}),
    "Slice backwards": (op("Slice", "x starts ends axes steps"),
                        {"starts": (3,), "ends": (-99,), "axes": (2,), "steps": (-2,)}),
    "Gather": (op("Gather", "x indices", axis=1), {"indices": (2, 0, -1, 2)}),
    "Concat": (op("Concat", "x b", axis=1), {"b": X[:, :2] + 1}),
    "Split": (op("Split", "x sizes", "y z", axis=1), {"sizes": (2, 1)}),
    "Expand": (op("Expand", "x shape"), {"shape": (2, 1, 3, 1)}),
    "Tile": (op("Tile", "x repeats"), {"repeats": (1, 2, 2)}),
    "Reshape": (op("Reshape", "x shape"), {"shape": (0, -1)}),
    "Flatten": (op("Flatten", axis=2), {}),
    "MatMul": (op("MatMul", "x b"), {"b": RNG.normal(size=(4, 2))}),
    "Softmax": (op("Softmax", axis=1), {}),
    "ReduceMean": (op("ReduceMean", "x axes"), {"axes": (0, 2)}),
    "ReduceSum": (op("ReduceSum", "x axes", keepdims=0), {"axes": (1,)}),
    "LayerNormalization": (op("LayerNormalization", "x b c"),
                           {"b": RNG.normal(size=4), "c": RNG.normal(size=4)}),
    "ReverseSequence": (op("ReverseSequence", "x lengths", time_axis=1, batch_axis=0),
                        {"lengths": (3, 2)}),
    "HardSigmoid": (op("HardSigmoid", alpha=0.25), {}),
    "LeakyRelu": (op("LeakyRelu", alpha=0.25), {}),
    "Div": (op("Div", "x b"), {"b": RNG.uniform(1, 2, size=(3, 1))}),
    "Max": (op("Max", "x b"), {"b": RNG.normal(size=4)}),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_operators_are_differentiable_and_as_the_evaluator_has_them(name: str) -> None:
    node, inputs = DIFFERENTIABLE[name]
    model = model_of(node, {"x": X, **inputs}, 18)
    module = from_onnx(model)
    floats = {"x": X, **{k: v for k, v in inputs.items() if not isinstance(v, tuple)}}
    want = ReferenceEvaluator(model).run(None, floats)
    got = list(module.run(floats).values())
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours.data, theirs, rtol=1e-6, atol=1e-12)  # its LayerNorm: 1e-7

    def flat(*xs: Any) -> Any:
        results = module.run(dict(zip(floats, xs, strict=True)))
        return functional.concatenate([functional.reshape(y, (-1,)) for y in results.values()])

    gradcheck(flat, list(floats.values()))


@pytest.mark.parametrize("shape", [(4, 6), (6, 4)])
@pytest.mark.parametrize("factors", [{}, {"alpha": 0.5, "beta": 0.25}])
def test_gemm_transposes_and_scales(shape: Integers, factors: dict[str, float]) -> None:
    transposed = {"transB": 1} if shape == (6, 4) else {}
    node = op("Gemm", "a b c", **transposed, **factors)
    inputs = {"a": RNG.normal(size=(3, 4)), "b": RNG.normal(size=shape), "c": RNG.normal(size=6)}
    model = model_of(node, inputs, 17)
    (y,) = from_onnx(model).run(inputs).values()
    np.testing.assert_allclose(y.data, ReferenceEvaluator(model).run(None, inputs)[0], rtol=1e-6)
    gradcheck(
        lambda *xs: next(iter(from_onnx(model).run(dict(zip(inputs, xs, strict=True))).values())),
        list(inputs.values()),
    )
