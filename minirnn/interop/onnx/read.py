"""A ModelProto from a file, bytes or memory, looked at before anything of its size is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, NodeProto, TensorProto, external_data_helper, numpy_helper

from minirnn.errors import ArgumentError, CheckpointError
from minirnn.files.whole import open_regular
from minirnn.interop.onnx.node import Node

MAX_BYTES = 2**31  # protobuf's own limit for one message; of all tensors together, too
MAX_NODES = 100_000  # once functions are written out
OLDEST_OPSET = 7  # where operators began to broadcast as NumPy does
DOMAINS = ("", "ai.onnx")


def read_model(source: Any, max_bytes: int = MAX_BYTES) -> ModelProto:
    """The model in a file, in bytes, or given as it is, checked; its functions are written out.

    Raises: CheckpointError for what is no valid model: unreadable, truncated, larger than
    `max_bytes`, or with tensors whose sizes do not fit their data, or stored outside its folder.
    """
    folder: Path | None = None
    if isinstance(source, ModelProto):
        model = ModelProto()
        model.CopyFrom(source)
    elif isinstance(source, bytes | bytearray | memoryview):
        model = _parsed(bytes(source), "bytes")
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        folder = path.parent
        model = _parsed(_content(path, max_bytes), repr(str(path)))
    else:
        raise ArgumentError("model", type(source).__name__, "a path, bytes, or a ModelProto")
    left = max_bytes
    for tensor in _tensors(model):
        left -= _checked_size(tensor, left)
        if external_data_helper.uses_external_data(tensor):
            _load_external(tensor, folder)
    _check(model)
    if model.functions:
        _check_written_out(model)
        model = onnx.inliner.inline_local_functions(model)
    return model


def opset_of(model: ModelProto) -> int:
    """The version of ONNX's own operators. Raises: ArgumentError if it is older than 7."""
    versions = [entry.version for entry in model.opset_import if entry.domain in DOMAINS]
    version = int(max(versions, default=1))
    if version < OLDEST_OPSET:
        raise ArgumentError(
            "model", f"opset {version}", f"opset {OLDEST_OPSET} or newer",
            "onnx.version_converter.convert_version brings it there",
        )  # fmt: skip
    return version


def array_of(tensor: TensorProto) -> np.ndarray[Any, Any]:
    """The numbers of a tensor. Raises: CheckpointError if they do not fit its shape."""
    try:
        array: np.ndarray[Any, Any] = numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise _bad(f"a tensor {tensor.name!r} that cannot be read ({error})") from None
    return array


def read_nodes(model: ModelProto) -> list[Node]:
    """The nodes of the graph, in their order. Raises: ArgumentError for a subgraph."""
    opset = opset_of(model)
    return [_node(proto, opset) for proto in model.graph.node]


def _node(proto: NodeProto, opset: int) -> Node:
    attributes: dict[str, Any] = {}
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, TensorProto):
            value = array_of(value)
        elif isinstance(value, bytes):
            value = value.decode(errors="replace")
        elif isinstance(value, list) and value and isinstance(value[0], bytes):
            value = [each.decode(errors="replace") for each in value]
        attributes[attribute.name] = value
    domain = "" if proto.domain in DOMAINS else proto.domain
    return Node(
        op=f"{domain}::{proto.op_type}" if domain else proto.op_type,
        name=proto.name or f"{proto.op_type} of {', '.join(filter(None, proto.output))}",
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes=attributes,
        opset=opset,
    )


def _bad(came: str) -> CheckpointError:
    return CheckpointError("model", came, "a valid ONNX model")


def _content(path: Path, max_bytes: int) -> bytes:
    try:
        with open_regular(path) as (file, size):
            if size > max_bytes:
                wanted = f"at most {max_bytes} bytes (max_bytes)"
                raise CheckpointError("model", f"a file of {size} bytes", wanted)
            return file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise _bad(f"{str(path)!r}, which cannot be read ({error})") from None


def _parsed(content: bytes, what: str) -> ModelProto:
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise _bad(f"{what}, which is no ModelProto ({error})") from None
    return model


def _check(model: ModelProto) -> None:
    if not model.HasField("graph"):
        raise _bad("one without a graph")
    if any(isinstance(name, bytes) for name in _names(model)):  # as older versions hand it on
        raise _bad("names that are not UTF-8")
    if model.graph.sparse_initializer:
        raise ArgumentError("model", "sparse initialisers", "dense ones")
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, TypeError) as error:
        raise _bad(f"one that onnx.checker refuses: {error}") from None


def _check_written_out(model: ModelProto) -> None:
    """That the nodes are not too many once functions are written out: each may call another twice.

    The checker has seen to it that none calls itself.
    """
    functions = {(f.domain, f.name): f for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Iterable[NodeProto]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in functions and key not in sizes:
                sizes[key] = size(functions[key].node)
            total += sizes.get(key, 1)
            for attribute in node.attribute:
                graphs = [attribute.g] if attribute.HasField("g") else attribute.graphs
                total += sum(size(graph.node) for graph in graphs)
        return total

    try:
        too_many = size(model.graph.node) > MAX_NODES
    except RecursionError:
        too_many = True
    if too_many:
        came = "functions that call one another again and again"
        raise CheckpointError("model", came, f"at most {MAX_NODES} nodes once they are written out")


def _names(model: ModelProto) -> Iterator[Any]:
    graph = model.graph
    for named in (*graph.input, *graph.output, *graph.initializer):
        yield named.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    for nodes in (model.graph.node, *[function.node for function in model.functions]):
        for node in nodes:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t


def _checked_size(tensor: TensorProto, left: int) -> int:
    """The bytes of a tensor, if they are no more than `left`; nothing is allocated yet."""
    if any(dim < 0 for dim in tensor.dims):
        raise _bad(f"a tensor {tensor.name!r} of shape {tuple(tensor.dims)}")
    try:
        width = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    except (KeyError, TypeError, ValueError):
        raise _bad(f"a tensor {tensor.name!r} of unknown type {tensor.data_type}") from None
    size = math.prod(tensor.dims) * max(width, 1)
    if size > left:
        wanted = f"tensors of at most {MAX_BYTES} bytes together (max_bytes)"
        raise CheckpointError("model", f"a tensor {tensor.name!r} of {size} bytes", wanted)
    return int(size)


def _load_external(tensor: TensorProto, folder: Path | None) -> None:
    """Read a tensor's data from the file beside the model that it names."""
    if folder is None:
        came = f"a tensor {tensor.name!r} whose data lies in another file"
        raise CheckpointError("model", came, "the model's path, so that the file can be found")
    info = {entry.key: entry.value for entry in tensor.external_data}
    location = info.get("location", "")
    data = Path(os.path.realpath(folder / location))
    inside = Path(os.path.realpath(folder))
    if not location or Path(location).is_absolute() or inside not in data.parents:
        raise _bad(f"a tensor {tensor.name!r} in {location!r}, which is not in the model's folder")
    wanted = _checked_size(tensor, MAX_BYTES)
    try:
        offset, length = int(info.get("offset", 0)), int(info.get("length", wanted))
        with open_regular(data) as (file, size):
            if length != wanted or offset < 0 or offset + length > size:
                raise ValueError(f"{length} bytes at {offset} of {size}, for {wanted}")
            file.seek(offset)
            tensor.raw_data = file.read(length)
    except (OSError, ValueError) as error:
        raise _bad(f"a tensor {tensor.name!r} in {location!r} ({error})") from None
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]
