"""What a graph's edges mean: which initialisers are weights, which input gives the lengths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minirnn.device import FLOATS
from minirnn.interop.onnx.node import Node

# The inputs that are weights, by operator.
WEIGHTS: dict[str, tuple[int, ...]] = {
    "RNN": (1, 2, 3),
    "GRU": (1, 2, 3),
    "LSTM": (1, 2, 3, 7),
    "MatMul": (0, 1),
    "Gemm": (0, 1, 2),
    "Add": (0, 1),
    "Gather": (0,),
    "LayerNormalization": (1, 2),
}
# Operators that only arrange what comes in: what they hand on to a weight is a weight.
ARRANGING = (
    "Cast", "Concat", "Expand", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
    "Unsqueeze",
)  # fmt: skip
RECURRENT = ("RNN", "GRU", "LSTM")


def weights_among(
    nodes: Iterable[Node], arrays: Mapping[str, np.ndarray[Any, Any]]
) -> tuple[str, ...]:
    """The names of the arrays that are parameters: floating-point, with an axis, used as weights.

    Scalars are constants: exporters write factors and epsilons so.
    """
    wanted: set[str] = set()
    for node in reversed(list(nodes)):
        for place in WEIGHTS.get(node.op, ()):
            wanted.update(node.inputs[place : place + 1])
        if node.op in ARRANGING and wanted.intersection(node.outputs):
            wanted.update(node.inputs if node.op == "Concat" else node.inputs[:1])
    return tuple(
        name
        for name, array in arrays.items()
        if name in wanted and array.dtype in FLOATS and array.ndim > 0
    )


def source_of_lengths(nodes: Iterable[Node], inputs: tuple[str, ...]) -> str | None:
    """The graph's input that feeds the sequence_lens of a recurrent node, or None."""
    made_by = {name: node for node in nodes for name in node.outputs}
    for node in nodes:
        if node.op in RECURRENT and len(node.inputs) > 4:
            name = _followed(node.inputs[4], made_by, (*ARRANGING, "Min", "Max"))
            if name in inputs:
                return name
    return None


def batch_first(nodes: Iterable[Node], inputs: tuple[str, ...]) -> bool:
    """Whether the first recurrent node that reads an input of the graph has it as (B, T, I)."""
    made_by = {name: node for node in nodes for name in node.outputs}
    for node in nodes:
        if node.op in RECURRENT:
            turned = bool(node.get("layout", 0))
            name = node.inputs[0]
            while name in made_by and made_by[name].op in ("Identity", "Cast", "Transpose"):
                maker = made_by[name]
                if maker.op == "Transpose" and maker.get("perm") == [1, 0, 2]:
                    turned = not turned
                name = maker.inputs[0]
            if name in inputs:
                return turned
    return False


def _followed(name: str, made_by: Mapping[str, Node], through: tuple[str, ...]) -> str:
    """Where a value comes from, back through operators that arrange it."""
    while name in made_by and made_by[name].op in through and made_by[name].inputs:
        name = made_by[name].inputs[0]
    return name
