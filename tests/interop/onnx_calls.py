"""Random calls of ONNX's recurrent operators, their models, and three ways to run them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx_specification import GATES, Call, arrays, specified

WEIGHTS = ("W", "R", "B", "P")
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")

# Few, because a kernel is compiled for each: every activation, with and without clip, once.
FUNCTIONS: dict[str, list[dict[str, Any]]] = {
    "RNN": [
        {},
        {"activations": ["Relu"]},
        {"activations": ["Sigmoid"], "clip": 0.5},
        {"activations": ["Affine"], "activation_alpha": [0.75], "activation_beta": [0.125]},
        {"activations": ["LeakyRelu"]},
        {"activations": ["ThresholdedRelu"], "activation_alpha": [0.25]},
        {"activations": ["ScaledTanh"], "activation_alpha": [1.5], "activation_beta": [0.5]},
        {"activations": ["Elu"]},
        {"activations": ["Softsign"]},
        {"activations": ["Softplus"]},
    ],
    "GRU": [
        {},
        {"activations": ["HardSigmoid", "Tanh"]},
        {"activations": ["Sigmoid", "LeakyRelu"], "activation_alpha": [0.25], "clip": 0.5},
    ],
    "LSTM": [
        {},
        {"activations": ["HardSigmoid", "ScaledTanh", "Relu"],
         "activation_alpha": [0.25, 1.5], "activation_beta": [0.5, 0.5]},
        {"clip": 0.25},
    ],
}  # fmt: skip


def random_call(rng: np.random.Generator, op: str, functions: dict[str, Any]) -> Call:
    """A call of `op`: sizes, direction, lengths and optional inputs at random, values in float32.

    The values are exact in float32, held as float64.
    """
    T, B, I, H = (int(rng.integers(1, high)) for high in (8, 5, 6, 20))  # noqa: E741
    at: dict[str, Any] = {"hidden_size": H}
    direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
    D = 2 if direction == "bidirectional" else 1
    for name, value in functions.items():
        at[name] = value * D if isinstance(value, list) else value
    if direction != "forward" or rng.integers(2):
        at["direction"] = direction
    if op == "GRU":
        at["linear_before_reset"] = int(rng.integers(2))
    if op == "LSTM" and rng.integers(3) == 0:
        at["input_forget"] = 1
    G = GATES[op]

    def draw(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape).astype(np.float32).astype(np.float64)

    def maybe(*shape: int) -> Any:
        return draw(*shape) if rng.integers(2) else None

    scale = np.float64(np.float32(1 / np.sqrt(H)))
    return Call(
        op=op,
        X=draw(T, B, I),
        W=draw(D, G * H, I),
        R=(draw(D, G * H, H) * scale).astype(np.float32).astype(np.float64),
        B=maybe(D, 2 * G * H),
        sequence_lens=rng.integers(0, T + 1, B).astype(np.int32) if rng.integers(2) else None,
        initial_h=maybe(D, B, H),
        initial_c=maybe(D, B, H) if op == "LSTM" else None,
        P=maybe(D, 3 * H) if op == "LSTM" else None,
        attributes=at,
    )


def model_of(call: Call, dtype: str, *, layout: int = 0, opset: int = 14) -> ModelProto:
    """A model of one node: weights are initialisers, the rest are inputs."""
    kind = TensorProto.FLOAT if dtype == "float32" else TensorProto.DOUBLE
    present = [name for name in INPUTS if getattr(call, name) is not None]
    last = max(INPUTS.index(name) for name in present)
    names = [name if name in present else "" for name in INPUTS[: last + 1]]
    outputs = ["Y", "Y_h", "Y_c"][: 3 if call.op == "LSTM" else 2]
    attributes = dict(call.attributes)
    if layout or opset >= 14:
        attributes["layout"] = layout
    node = helper.make_node(call.op, names, outputs, name="cell", **attributes)
    feeds = feeds_of(call, dtype, layout)
    initialisers = [
        numpy_helper.from_array(getattr(call, n).astype(dtype), n) for n in WEIGHTS if n in present
    ]
    opsets = [helper.make_opsetid("", opset)]
    version = helper.find_min_ir_version_for(opsets)
    weights = [] if version >= 4 else initialisers  # which then had to be inputs as well
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(w.name, kind, w.dims) for w in weights]
        + [
            helper.make_tensor_value_info(
                n, TensorProto.INT32 if n == "sequence_lens" else kind, a.shape
            )
            for n, a in feeds.items()
        ],
        [helper.make_tensor_value_info(n, kind, [None] * (4 if n == "Y" else 3)) for n in outputs],
        initialisers,
    )
    return helper.make_model(graph, opset_imports=opsets, ir_version=version)


def feeds_of(call: Call, dtype: str, layout: int = 0) -> dict[str, Any]:
    """The inputs of `model_of`'s model."""
    feeds = {"X": call.X, "initial_h": call.initial_h, "initial_c": call.initial_c}
    found = {
        name: np.ascontiguousarray(array.swapaxes(0, 1) if layout else array).astype(dtype)
        for name, array in feeds.items()
        if array is not None
    }
    if call.sequence_lens is not None:
        found["sequence_lens"] = call.sequence_lens
    return found


def in_layout_0(results: list[Any], layout: int) -> list[Any]:
    """Y, Y_h, Y_c as layout 0 has them."""
    if not layout:
        return results
    Y, *states = results
    return [Y.transpose(1, 2, 0, 3), *[each.swapaxes(0, 1) for each in states]]


def complex_step(call: Call, direction: dict[str, Any], loss: Any) -> float:
    """The derivative of the loss along a direction of all inputs, exact to rounding."""
    step = 1e-30
    moved = {n: a + 1j * step * direction[n] for n, a in arrays(call).items()}
    return float(np.imag(loss(specified(replace(call, **moved)))) / step)
