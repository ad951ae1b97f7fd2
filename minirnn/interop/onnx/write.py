"""`to_onnx`: layers and models of minirnn as ONNX models, for other runtimes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import minirnn
from minirnn.errors import ArgumentError, CheckpointError
from minirnn.files.whole import write_whole
from minirnn.interop.onnx.model import OnnxModel
from minirnn.interop.onnx.write_recurrent import packed, recurrent_attributes
from minirnn.nn import Dropout, Linear, Module, Recurrent, SequenceModel, Sequential
from minirnn.nn.between import refuse_extras
from minirnn.tensor import Tensor

OPSET, OLDEST = 17, 14  # 14 is the recurrent operators' last change of meaning


def to_onnx(
    module: Module,
    path: str | os.PathLike[str] | None = None,
    *,
    lengths: bool = False,
    state: bool = False,
    opset: int = OPSET,
) -> ModelProto:
    """A layer or model as an ONNX model for inference, and as a file if a path is given.

    module   RNN, GRU, LSTM, Recurrent of their variants (`minirnn.interop.cells`), PeepholeLSTM,
             Linear, Dropout (which leaves no trace), Sequential of these, SequenceModel, or what
             `from_onnx` gave, with the parameters of now
    path     written whole or not at all
    lengths  whether there shall be an input "lengths" (B,) int32, for sequence_lens
    state    whether there shall be inputs "h_0" and, for LSTM, "c_0", (L*D, B, H); otherwise the
             initial states are zeros
    opset    version of ONNX's operators, 14 or newer

    The input is "x", the result "output"; recurrent layers also give "h_n" and "c_n", as does a
    SequenceModel with `state`. T and B are dynamic. Parameters become initialisers, those of a
    recurrent layer and both its directions together, as ONNX has them: "W_l0", "R_l0", "B_l0".
    The model has passed onnx.checker.

    Raises: ArgumentError for a module that ONNX's operators cannot express, and for an opset that
    is not there; CheckpointError when the file cannot be written.
    """
    if isinstance(module, OnnxModel):
        if lengths or state or opset != OPSET:
            came = f"lengths={lengths}, state={state}, opset={opset}"
            raise ArgumentError("options", came, "none: a model of from_onnx stays the graph it is")
        proto = module.to_proto()
    elif isinstance(module, Module):
        newest = onnx.defs.onnx_opset_version()
        if not OLDEST <= opset <= newest:
            raise ArgumentError("opset", opset, f"{OLDEST} to {newest}")
        refuse_extras(module, "module", "one with norm='none' and initial_state='zeros'")
        proto = _Writer(opset, lengths, state).model(module)
    else:
        raise ArgumentError("module", type(module).__name__, "a minirnn Module")
    onnx.checker.check_model(proto, full_check=True)
    if path is not None:
        try:
            write_whole(Path(path), proto.SerializeToString())
        except (OSError, ValueError) as error:
            raise CheckpointError("path", repr(str(path)), f"a writable file: {error}") from None
    return proto


class _Writer:
    """A graph in the making: nodes, initialisers, inputs and outputs."""

    def __init__(self, opset: int, lengths: bool, state: bool) -> None:
        self.opset, self.lengths, self.state = opset, lengths, state
        self.nodes: list[NodeProto] = []
        self.initialisers: dict[str, TensorProto] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.kind = TensorProto.FLOAT
        self.recurrent = False

    def model(self, module: Module) -> ModelProto:
        """The model of a module."""
        parameters = module.parameters()
        if not parameters:
            raise ArgumentError("module", repr(module), "one with parameters")
        self.kind = helper.np_dtype_to_tensor_dtype(parameters[0].dtype)
        rank3, features, batch_first = _input_of(module)
        leading: list[Any] = ["B", "T"] if batch_first else ["T", "B"]
        self.inputs.append(self._info("x", [*leading, features] if rank3 else ["N", features]))
        result, per_step = self._module(module, "x", "", rank3)
        self.nodes.append(helper.make_node("Identity", [result], ["output"]))
        width = _width(module)
        shape = [*leading, width] if per_step and rank3 else ["B" if rank3 else "N", width]
        self.outputs.insert(0, self._info("output", shape))
        if (self.lengths or self.state) and not self.recurrent:
            name = "lengths" if self.lengths else "state"
            raise ArgumentError(name, "True", "False for a module without recurrent layers")
        graph = helper.make_graph(
            self.nodes, "minirnn", self.inputs, self.outputs, list(self.initialisers.values())
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets),
            producer_name="minirnn",
            producer_version=minirnn.__version__,
        )

    def _module(self, module: Module, x: str, prefix: str, rank3: bool) -> tuple[str, bool]:
        """Write a module; returns the name of its result, and whether that is one a step."""
        if isinstance(module, Recurrent):
            output, _ = self._recurrent(module, x, prefix)
            self._states_out(module, prefix)
            return output, True
        if isinstance(module, SequenceModel):
            return self._sequence_model(module, x, prefix)
        if isinstance(module, Linear):
            return self._linear(module, x, prefix, rank3), True
        if isinstance(module, Dropout):
            return x, True
        if isinstance(module, Sequential):
            per_step = True
            for index, part in enumerate(module):
                x, steps = self._module(part, x, f"{prefix}{index}.", rank3 and per_step)
                per_step = per_step and steps
            return x, per_step
        raise ArgumentError(
            "module", f"a {type(module).__name__}",
            "Recurrent layers, Linear, Dropout, Sequential, SequenceModel, or one of from_onnx",
        )  # fmt: skip

    def _sequence_model(self, module: SequenceModel, x: str, prefix: str) -> tuple[str, bool]:
        layer = module.recurrent
        output, finals = self._recurrent(layer, x, f"{prefix}recurrent.")
        if self.state:
            self._states_out(layer, f"{prefix}recurrent.")
        if module.readout == "all":
            return self._linear(module.head, output, f"{prefix}head.", True), True
        # The last layer's final h (D, B, H), its directions side by side: (B, D*H).
        H, D = layer.hidden_size, layer.num_directions
        turned = self._add("Transpose", [finals[-1]], f"{prefix}ends", perm=[1, 0, 2])
        sizes = self._integers(f"{prefix}ends_shape", [0, D * H])
        output = self._add("Reshape", [turned, sizes], f"{prefix}last")
        return self._linear(module.head, output, f"{prefix}head.", False), False

    def _linear(self, module: Linear, x: str, prefix: str, rank3: bool) -> str:
        weight = self._parameter(f"{prefix}weight", module.weight)
        bias = [] if module.bias is None else [self._parameter(f"{prefix}bias", module.bias)]
        if not rank3:
            return self._add("Gemm", [x, weight, *bias], f"{prefix}y", transB=1)
        turned = self._add("Transpose", [weight], f"{prefix}weight_transposed", perm=[1, 0])
        y = self._add("MatMul", [x, turned], f"{prefix}product")
        return self._add("Add", [y, *bias], f"{prefix}y") if bias else y

    def _recurrent(self, layer: Recurrent, x: str, prefix: str) -> tuple[str, list[str]]:
        """Write the layers; returns the output's name and those of the final h, by layer."""
        if self.recurrent:
            raise ArgumentError("module", "two recurrent layers", "one, of several layers")
        self.recurrent = True
        op, attributes = recurrent_attributes(layer)
        states = ("h", "c") if op == "LSTM" else ("h",)
        L, D, H = layer.num_layers, layer.num_directions, layer.hidden_size
        if self.lengths:
            self.inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["B"]))
        starts = {name: self._starts(name, layer) for name in states} if self.state else {}
        finals: dict[str, list[str]] = {name: [] for name in states}
        if layer.batch_first:
            x = self._add("Transpose", [x], f"{prefix}time_major", perm=[1, 0, 2])
        for k in range(L):
            inputs = [x, *self._weights(layer, k, prefix)]
            inputs[4:4] = ["lengths" if self.lengths else ""]
            inputs[5:5] = [starts[name][k] if starts else "" for name in states]
            while inputs[-1] == "":
                inputs.pop()
            outputs = [f"{prefix}Y_l{k}", *[f"{prefix}Y_{name}_l{k}" for name in states]]
            name = f"{prefix}{op}_l{k}"
            self.nodes.append(
                helper.make_node(op, inputs, outputs, name=name, hidden_size=H, **attributes)
            )
            for state, final in zip(states, outputs[1:], strict=True):
                finals[state].append(final)
            # Y (T, D, B, H) to (T, B, D*H).
            turned = self._add("Transpose", [outputs[0]], f"{name}_turned", perm=[0, 2, 1, 3])
            sizes = self._integers(f"{prefix}joined_shape", [0, 0, D * H])
            x = self._add("Reshape", [turned, sizes], f"{name}_joined")
        self._finals = finals
        if layer.batch_first:
            x = self._add("Transpose", [x], f"{prefix}batch_major", perm=[1, 0, 2])
        return x, finals["h"]

    def _weights(self, layer: Recurrent, k: int, prefix: str) -> list[str]:
        """W, R, B and, of an LSTM with peepholes, P; an empty name where there is none."""
        names = []
        for letter, array in packed(layer, k).items():
            names.append("" if array is None else self._array(f"{prefix}{letter}_l{k}", array))
        return names

    def _starts(self, state: str, layer: Recurrent) -> list[str]:
        """The initial states of each layer, cut from the input."""
        levels = layer.num_layers * layer.num_directions
        name = f"{state}_0"
        self.inputs.append(self._info(name, [levels, "B", layer.hidden_size]))
        if layer.num_layers == 1:
            return [name]
        names = [f"{name}_l{k}" for k in range(layer.num_layers)]
        sizes = self._integers("levels", [layer.num_directions] * layer.num_layers)
        self.nodes.append(helper.make_node("Split", [name, sizes], names, axis=0))
        return names

    def _states_out(self, layer: Recurrent, prefix: str) -> None:
        levels = layer.num_layers * layer.num_directions
        for state, names in self._finals.items():
            self.nodes.append(helper.make_node("Concat", names, [f"{state}_n"], axis=0))
            self.outputs.append(self._info(f"{state}_n", [levels, "B", layer.hidden_size]))

    def _add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def _parameter(self, name: str, parameter: Tensor) -> str:
        return self._array(name, parameter.numpy())

    def _integers(self, name: str, values: list[int]) -> str:
        return self._array(name, np.asarray(values, np.int64))

    def _array(self, name: str, array: np.ndarray[Any, Any]) -> str:
        self.initialisers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def _info(self, name: str, shape: list[Any]) -> Any:
        return helper.make_tensor_value_info(name, self.kind, shape)


def _input_of(module: Module) -> tuple[bool, int, bool]:
    """Whether the input has steps, its features, and whether the batch comes first."""
    parts = _parts(module)
    layers = [part for part in parts if isinstance(part, Recurrent)]
    first = parts[0]
    if isinstance(first, Linear):
        features = first.in_features
    elif isinstance(first, Recurrent):
        features = first.input_size
    else:
        raise ArgumentError("module", f"a {type(first).__name__}", "a layer that ONNX can express")
    return bool(layers), features, bool(layers) and layers[0].batch_first


def _width(module: Module) -> int:
    """The features of a module's result."""
    last = _parts(module)[-1]
    if isinstance(last, Recurrent):
        return last.num_directions * last.hidden_size
    assert isinstance(last, Linear)
    return last.out_features


def _parts(module: Module) -> list[Module]:
    """The layers in a row, without dropouts."""
    if isinstance(module, Sequential):
        return [part for each in module for part in _parts(each)]
    if isinstance(module, SequenceModel):
        return [module.recurrent, module.head]
    return [] if isinstance(module, Dropout) else [module]
