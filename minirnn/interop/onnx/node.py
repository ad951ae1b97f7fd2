"""A node of a graph, as the operators see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper

from minirnn.device import FLOATS
from minirnn.errors import ArgumentError, DTypeError
from minirnn.tensor import Tensor

Array = Any
# What flows along an edge: float32 and float64 as Tensors, with their gradients; integers and
# booleans, which are shapes, indexes, lengths and conditions, as NumPy arrays on the CPU.
Value = Tensor | np.ndarray[Any, Any]
Operator = Callable[..., Any]


def element_type(number: int, what: str) -> np.dtype[Any]:
    """NumPy's dtype for ONNX's number of an element type that may flow through a graph.

    Raises: DTypeError that names `what`, for an unknown type and for one that is not here.
    """
    try:
        dtype: np.dtype[Any] = np.dtype(helper.tensor_dtype_to_np_dtype(number))
    except (KeyError, TypeError):
        dtype = np.dtype(object)
    if dtype not in FLOATS and dtype.kind not in "iub":
        came = f"element type {number}" if dtype.kind == "O" else dtype.name
        raise DTypeError(what, came, "float32, float64, integers or booleans")
    return dtype


@dataclass(frozen=True)
class Node:
    """A node: operator (with its domain, unless that is ONNX's own), name, edges, attributes."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int

    def get(self, attribute: str, default: Any = None) -> Any:
        """The value of an attribute, or `default`."""
        return self.attributes.get(attribute, default)

    def refuse(self, came: object, wanted: str) -> ArgumentError:
        """The error for something in this node that cannot be used."""
        return ArgumentError(f"{self.op} node {self.name!r}", came, wanted)

    def whole_numbers(self, value: Value | None, what: str) -> list[int]:
        """The integers in an input. Raises: ArgumentError if it is missing or a DTypeError."""
        if value is None:
            raise self.refuse(f"no {what}", f"an input {what}")
        if isinstance(value, Tensor) or value.dtype.kind not in "iu":
            raise DTypeError(f"{what} of {self.name!r}", str(value.dtype), "integers")
        return [int(each) for each in value.reshape(-1)]

    def axes(self, value: Value | None, since: int) -> list[int] | None:
        """Axes: an attribute in opsets before `since`, an input from then on; None if absent."""
        if self.opset < since:
            axes = self.get("axes")
            return None if axes is None else [int(axis) for axis in axes]
        return None if value is None else self.whole_numbers(value, "axes")


def registrar(table: dict[str, Operator]) -> Callable[..., Callable[[Operator], Operator]]:
    """A decorator that enters a function into a table, under ONNX's names of its operators."""

    def register(*names: str) -> Callable[[Operator], Operator]:
        def enter(function: Operator) -> Operator:
            table.update(dict.fromkeys(names, function))
            return function

        return enter

    return register
