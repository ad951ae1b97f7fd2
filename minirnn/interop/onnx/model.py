"""`from_onnx`: a graph of ONNX as a module that runs, trains and can be recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from onnx import ModelProto, ValueInfoProto

from minirnn.device import FLOATS, check_device, to_device
from minirnn.errors import ArgumentError, CheckpointError, DTypeError, MinirnnError, ShapeError
from minirnn.inspect.recording import active
from minirnn.interop.onnx import operators, shape_operators
from minirnn.interop.onnx.node import Array, Node, Value, element_type
from minirnn.interop.onnx.parameters import batch_first, source_of_lengths, weights_among
from minirnn.interop.onnx.read import MAX_BYTES, array_of, read_model, read_nodes
from minirnn.interop.onnx.recurrent_node import Calls, RecurrentNode
from minirnn.interop.onnx.settings import GATES, settings_of
from minirnn.nn.module import Module, device_of_module
from minirnn.tensor import Tensor, as_tensor, constant

# What NumPy raises for inputs that do not fit an operator, and Python for ones of another kind.
FAILURES = (
    ValueError, TypeError, IndexError, AttributeError, ZeroDivisionError, OverflowError,
    MemoryError,
)  # fmt: skip
OPERATORS = {**operators.OPERATORS, **shape_operators.OPERATORS}


def from_onnx(model: Any, *, max_bytes: int = MAX_BYTES, device: str = "cpu") -> OnnxModel:
    """A network from an ONNX model: RNN, GRU and LSTM nodes, and what exporters put around them.

    model      a path, whose tensors may lie in other files of its folder; the bytes of a file; or
               an `onnx.ModelProto`. Operator sets 7 and newer
    max_bytes  the most that the file may hold, and the tensors together
    device     where the parameters shall be, "cpu" or "cuda"

    Every attribute of the recurrent operators is heard: `direction`, `activations` with alpha and
    beta, `clip`, `layout`, `input_forget`, `linear_before_reset`; and every input: B,
    sequence_lens, initial_h, initial_c, P. They run in minirnn's kernels.

    Parameters are the initialisers that feed the weights of recurrent nodes, products, sums and
    tables, under their own names and in ONNX's layout: `model.state_dict()` has ONNX's names. All
    other initialisers are constants.

    Raises: CheckpointError for what is no valid model, ArgumentError for one that asks for what is
    not here, such as another operator, which is named; DeviceError; MissingExtraError without the
    package `onnx`.
    """
    check_device(device)
    proto = read_model(model, max_bytes)
    return OnnxModel(proto).to(device)


class OnnxModel(Module):
    """The graph of an ONNX model. Made by `from_onnx`.

    Call it with the graph's inputs, in order or by name: `model(x)`, `model(x, h0=h)`; `lengths=`
    goes to the input that feeds sequence_lens, whatever its name. The result is the graph's output,
    or a tuple of them. `run` takes and gives dicts.

    Attributes: `inputs` and `outputs`, names in order; `lengths_input`, the name of the input for
    lengths, or None; `batch_first`, whether the first recurrent node reads its input as (B, T, I).
    """

    def __init__(self, proto: ModelProto) -> None:
        """`proto` has been checked by `read_model`.

        Raises: ArgumentError that names the operators, attributes or types that are not here.
        """
        graph = proto.graph
        self._where = "cpu"
        nodes = read_nodes(proto)
        _check_operators(nodes)
        arrays = {}
        for tensor in graph.initializer:
            element_type(tensor.data_type, f"initialiser {tensor.name!r}")
            arrays[tensor.name] = array_of(tensor)
        # Some exporters write weights as nodes.
        for node in nodes:
            if node.op == "Constant":
                arrays[node.outputs[0]] = np.asarray(OPERATORS["Constant"](node))
        self._nodes = tuple(node for node in nodes if node.op != "Constant")
        self._specs = {info.name: _spec(info) for info in graph.input}
        self._initialised = frozenset(arrays)
        self.inputs = tuple(name for name in self._specs if name not in arrays)
        self.outputs = tuple(info.name for info in graph.output)
        _check_edges(nodes, {*self._specs, *arrays}, self.outputs)
        self._add_recurrent_nodes()
        weights = weights_among(self._nodes, arrays)
        # Not by setattr: an initialiser may be named like a method.
        self._parameters.update(
            (name, Tensor(np.array(arrays[name], order="C"), requires_grad=True))
            for name in weights
        )
        self._constants = {name: array for name, array in arrays.items() if name not in weights}
        self.lengths_input = source_of_lengths(self._nodes, self.inputs)
        self.batch_first = batch_first(self._nodes, self.inputs)
        self._without_weights = _stripped(proto, weights).SerializeToString()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; beside it, an initialiser of the same name goes on as a parameter."""
        if name in self._parameters and not isinstance(value, Tensor):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _add_recurrent_nodes(self) -> None:
        recurrent = [node for node in self._nodes if node.op in GATES]
        self._children_of: dict[str, str] = {}  # first output of a node -> attribute
        for layer, node in enumerate(recurrent):
            attribute = f"{node.op.lower()}_{layer}"
            setattr(self, attribute, RecurrentNode(node.name, settings_of(node), layer))
            self._children_of[_key(node)] = attribute

    @property
    def device(self) -> str:
        """Where the graph runs, and the parameters are: "cpu" or "cuda"."""
        return device_of_module(self, self._where)

    def to(self, device: str) -> Self:
        """Move to `device`: see `Module.to`. A graph without parameters moves as well."""
        super().to(device)
        self._where = device
        return self

    def forward(self, *inputs: Any, lengths: Any = None, **named: Any) -> Any:
        """Run the graph.

        Returns one output, or a tuple: Tensors, and NumPy arrays for integers and booleans.

        Raises: ArgumentError, ShapeError or DTypeError that names the input or the node.
        """
        if len(inputs) > len(self.inputs):
            wanted = f"at most {len(self.inputs)}: {', '.join(self.inputs)}"
            raise ArgumentError("inputs", f"{len(inputs)}", wanted)
        feeds = dict(zip(self.inputs, inputs, strict=False))
        if lengths is not None:
            if self.lengths_input is None:
                wanted = "a model with an input that feeds sequence_lens"
                raise ArgumentError("lengths", "lengths", wanted)
            named = {self.lengths_input: lengths, **named}
        twice = feeds.keys() & named.keys()
        if twice:
            raise ArgumentError(min(twice), "two values", "one")
        results = self.run(feeds | named)
        return next(iter(results.values())) if len(results) == 1 else tuple(results.values())

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Value]:
        """Run the graph on inputs by name; returns its outputs by name.

        An initialiser that is also an input of the graph may be given, and is used where it is not.

        Raises: as `forward`.
        """
        device = self.device
        values: dict[str, Value | None] = {"": None}
        for name, array in self._constants.items():
            values[name] = _value(array, device)
        values |= self._parameters
        for name in feeds:
            if name not in self._specs:
                raise ArgumentError(name, "an input", f"one of {', '.join(self._specs)}")
        for name, spec in self._specs.items():
            if name in feeds:
                values[name] = spec.checked(feeds[name], device)
            elif name not in self._initialised:
                raise ArgumentError(name, "nothing", "a value: it is an input of the graph")
        calls: Calls = []
        if self._children_of:
            calls = [(recording, recording.begin_call()) for recording in active()]
        for node in self._nodes:
            result = self._run_node(node, [values[name] for name in node.inputs], calls)
            results = result if isinstance(result, tuple) else (result,)
            for name, value in zip(node.outputs, results, strict=False):
                if name:
                    values[name] = _value(value, device)
        return {name: values[name] for name in self.outputs}  # type: ignore[misc]

    def _run_node(self, node: Node, inputs: list[Value | None], calls: Calls) -> Any:
        try:
            if node.op in GATES:
                return getattr(self, self._children_of[_key(node)])(*inputs, calls=calls)
            while inputs and inputs[-1] is None:  # absent, and perhaps unknown to the operator
                inputs.pop()
            return OPERATORS[node.op](node, *inputs)
        except MinirnnError as error:
            error.add_note(f"in the {node.op} node {node.name!r}")
            raise
        except FAILURES as error:
            raise node.refuse(f"{type(error).__name__}: {error}", "inputs that fit it") from error

    def _describe(self) -> str:
        return f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}"

    def to_proto(self) -> ModelProto:
        """The model again, with the parameters' values of now."""
        proto = ModelProto()
        proto.ParseFromString(self._without_weights)
        return _filled(proto, {name: p.numpy() for name, p in self._parameters.items()})


class _Spec:
    """What a graph says of one of its inputs."""

    def __init__(self, name: str, dtype: np.dtype[Any], shape: tuple[int | None, ...] | None):
        self.name, self.dtype, self.shape = name, dtype, shape

    def checked(self, value: Any, device: str) -> Value:
        """`value` as it flows through the graph. Raises: ShapeError, DTypeError, DeviceError."""
        if self.dtype in FLOATS:
            like = to_device(np.empty(0, self.dtype), device)
            result: Value = as_tensor(value, self.dtype, self.name, like)
        else:
            result = self._integers(value)
        if self.shape is not None and not _fits(result.shape, self.shape):
            wanted = ", ".join("?" if size is None else str(size) for size in self.shape)
            raise ShapeError(self.name, f"shape {result.shape}", f"({wanted})")
        return result

    def _integers(self, value: Any) -> np.ndarray[Any, Any]:
        """Integers of another width will do where nothing is lost."""
        array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
        cast = array.astype(self.dtype) if array.dtype.kind in "iub" else array
        if array.dtype.kind not in "iub" or not np.array_equal(cast, array):
            raise DTypeError(self.name, array.dtype.name, self.dtype.name)
        return cast


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size is None or size == got for got, size in zip(shape, wanted, strict=True)
    )


def _spec(info: ValueInfoProto) -> _Spec:
    if not info.type.HasField("tensor_type"):
        raise ArgumentError("model", f"an input {info.name!r} that is no tensor", "tensors")
    kind = info.type.tensor_type
    dtype = element_type(kind.elem_type, f"input {info.name!r}")
    if not kind.HasField("shape"):
        return _Spec(info.name, dtype, None)
    sizes = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
    return _Spec(info.name, dtype, sizes)


def _check_operators(nodes: list[Node]) -> None:
    unknown: dict[str, str] = {}
    for node in nodes:
        if node.op not in OPERATORS and node.op not in GATES:
            unknown.setdefault(node.op, node.name)
    if unknown:
        came = ", ".join(f"{op} (node {name!r})" for op, name in sorted(unknown.items()))
        known = ", ".join(sorted({*GATES, *OPERATORS}))
        raise ArgumentError("model", f"operators {came}", f"any of {known}")


def _check_edges(nodes: list[Node], given: set[str], outputs: tuple[str, ...]) -> None:
    """That every value is made before it is used: not every version of the checker looks."""
    known = given | {""}
    for node in nodes:
        missing = set(node.inputs) - known
        if missing:
            came = f"{min(missing)!r}, which nothing before the node {node.name!r} makes"
            raise CheckpointError("model", came, "a valid ONNX model")
        known.update(node.outputs)
    if not known.issuperset(outputs):
        came = f"an output {min(set(outputs) - known)!r}, which no node makes"
        raise CheckpointError("model", came, "a valid ONNX model")


def _key(node: Node) -> str:
    """What tells a node from the others: no two have an output in common."""
    return next(filter(None, node.outputs), node.name)


def _value(value: Value | Array, device: str) -> Value:
    """Floating-point numbers as a Tensor on the device, others as a NumPy array."""
    if isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    return constant(to_device(array, device)) if array.dtype in FLOATS else array


def _stripped(proto: ModelProto, weights: tuple[str, ...]) -> ModelProto:
    """The model without the numbers of its parameters, which are kept once."""
    lean = ModelProto()
    lean.CopyFrom(proto)
    for tensor in _weight_tensors(lean, weights):
        shape, kind, name = list(tensor.dims), tensor.data_type, tensor.name
        tensor.Clear()
        tensor.dims.extend(shape)
        tensor.data_type, tensor.name = kind, name
    return lean


def _filled(proto: ModelProto, arrays: Mapping[str, Array]) -> ModelProto:
    for tensor in _weight_tensors(proto, arrays.keys()):
        tensor.raw_data = np.ascontiguousarray(arrays[tensor.name]).tobytes()
    return proto


def _weight_tensors(proto: ModelProto, names: Any) -> list[Any]:
    return [tensor for tensor in proto.graph.initializer if tensor.name in names]
