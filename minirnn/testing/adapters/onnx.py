"""The operators RNN, GRU and LSTM of ONNX, in whatever runs a model; onnxruntime by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.kernels import cells
from minirnn.kernels.contract import Array
from minirnn.testing.adapters.adapter import Adapter, need

OPSET = 14  # the first with `layout`; the operators' equations have not changed since 7
Run = Callable[[Any, dict[str, Array]], list[Array]]


def onnx_operator(
    operator: str,
    *,
    linear_before_reset: bool = True,
    run: Run | None = None,
    **conventions: Any,
) -> Adapter:
    """One of ONNX's recurrent operators, in a model of one node. Forward only.

    operator             "RNN", "GRU" or "LSTM"
    linear_before_reset  GRU: True for the reset gate after the product, False for before it
    run                  `run(model, inputs) -> [Y, Y_h(, Y_c)]`, an `onnx.ModelProto` and a dict
                         of arrays; onnxruntime on the CPU by default. onnx's own evaluator would be
                         `lambda m, i: ReferenceEvaluator(m).run(None, i)`
    conventions          arguments of `check_cell`; for another `run`, `lengths="any"` and
                         `nan="kept"` ask for more than onnxruntime gives

    What onnxruntime (1.32) does not do: where a length is 0 it gives zeros in place of the initial
    state; and NaN in x leaves GRU and LSTM as numbers.

    Source: onnx/docs/Operators.md. Raises: ArgumentError for another operator; MissingExtraError
    without onnx, or without onnxruntime where `run` does not stand in for it.
    """
    if operator not in ("RNN", "GRU", "LSTM"):
        raise ArgumentError("operator", repr(operator), '"RNN", "GRU" or "LSTM"')
    onnx = need("onnx", "testing.adapters.onnx_operator")
    runs = run if run is not None else _onnxruntime()

    def forward(
        x: Array,
        state: tuple[Array, ...],
        weights: tuple[Array, ...],
        *,
        lengths: Array | None = None,
        reverse: bool = False,
    ) -> Any:
        w_ih, w_hh, *biases = weights
        inputs = {"X": x, "W": w_ih[None], "R": w_hh[None]}
        if biases:
            inputs["B"] = np.concatenate(biases)[None]
        if lengths is not None:
            inputs["sequence_lens"] = lengths.astype(np.int32)
        inputs |= {f"initial_{n}": s[None] for n, s in zip("hc", state, strict=False)}
        attributes: dict[str, Any] = {"direction": "reverse"} if reverse else {}
        if operator == "GRU":
            attributes["linear_before_reset"] = int(linear_before_reset)
        model = _model(onnx, operator, inputs, w_hh.shape[1], attributes)
        output, *last = runs(model, {n: np.ascontiguousarray(a) for n, a in inputs.items()})
        return output[:, 0], tuple(s[0] for s in last)  # (T, directions, B, H) and (directions, …)

    before = operator == "GRU" and not linear_before_reset
    cell = cells.gru(reset="before") if before else operator.lower()
    return Adapter(
        forward,
        {
            "cell": cell,
            "gate_order": "onnx",
            "lengths": "positive",
            "nan": "may be lost",
            "reverse": True,
            "strided": False,
            "no_steps": False,
            **conventions,
        },
    )


def _model(
    onnx: Any, operator: str, inputs: dict[str, Array], H: int, attributes: dict[str, Any]
) -> Any:
    """A model of one node, whose inputs are the operator's; those left out are empty names."""
    helper = onnx.helper
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h"]
    order += ["initial_c"] if operator == "LSTM" else []
    outputs = ["Y", "Y_h", "Y_c"] if operator == "LSTM" else ["Y", "Y_h"]
    names = [name if name in inputs else "" for name in order]
    node = helper.make_node(operator, names, outputs, hidden_size=H, **attributes)
    numbers = helper.np_dtype_to_tensor_dtype(inputs["X"].dtype)
    integers = onnx.TensorProto.INT32
    given = [
        helper.make_tensor_value_info(
            name, integers if name == "sequence_lens" else numbers, array.shape
        )
        for name, array in inputs.items()
    ]
    made = [helper.make_tensor_value_info(name, numbers, None) for name in outputs]
    graph = helper.make_graph([node], operator, given, made)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _onnxruntime() -> Run:
    runtime = need("onnxruntime", "testing.adapters.onnx_operator", extra="")

    def run(model: Any, inputs: dict[str, Array]) -> list[Array]:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        session = runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        results: list[Array] = session.run(None, inputs)
        return results

    return run
