"""What network a bare set of named weights belongs to, as far as names and shapes tell.

PyTorch's names are known: "weight_ih_l0", "weight_hh_l0_reverse", "bias_ih_l1", "weight_hr_l0", and
a cell's "weight_ih", with any prefix ("lstm.weight_ih_l0"), and "weight" and "bias" of a Linear.
The rows of weight_hh are 1, 3 or 4 blocks of H: a plain RNN, a GRU (reset after the product), an
LSTM. What names and shapes leave open is never guessed: the error names the option that decides it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.errors import ArgumentError, CheckpointError

Arrays = Mapping[str, np.ndarray[Any, Any]]

RECURRENT = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<part>weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)"
    r"(?:_l(?P<layer>0|[1-9]\d{0,3})(?P<reverse>_reverse)?)?"
)
BLOCKS = {1: "rnn", 3: "gru", 4: "lstm"}
SHOWN = 8  # names in a message


@dataclass(frozen=True)
class RecurrentPart:
    """A stack of recurrent layers: what its weights tell, and the weights by this library's names.

    cell  "rnn", "gru" or "lstm"
    """

    prefix: str
    cell: str
    input_size: int
    hidden_size: int
    num_layers: int
    bidirectional: bool
    bias: bool
    proj_size: int
    arrays: dict[str, np.ndarray[Any, Any]]

    @property
    def features(self) -> int:
        """Features of its output."""
        return (2 if self.bidirectional else 1) * (self.proj_size or self.hidden_size)


@dataclass(frozen=True)
class LinearPart:
    """A matrix (O, I), with or without a bias, that can be a Linear."""

    prefix: str
    arrays: dict[str, np.ndarray[Any, Any]]

    @property
    def sizes(self) -> tuple[int, int]:
        """Features in and out."""
        outputs, inputs = self.arrays["weight"].shape
        return int(inputs), int(outputs)


def parts_of(arrays: Arrays) -> tuple[list[RecurrentPart], list[LinearPart], list[str]]:
    """The recurrent stacks, the linear maps, and the names of all that is neither.

    Raises: CheckpointError, where recurrent weights contradict one another.
    """
    stacks: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
    others = {}
    for name, array in arrays.items():
        match = RECURRENT.fullmatch(name)
        if match is None:
            others[name] = array
            continue
        part, layer, reverse = match["part"], match["layer"] or "0", match["reverse"] or ""
        stack = stacks.setdefault(match["prefix"], {})
        if (key := f"{part}_l{layer}{reverse}") in stack:
            raise _contradiction(match["prefix"], f"{key!r} and {part!r} of a cell", "one of them")
        stack[key] = array
    linear, rest = _linear_parts(others)
    return [_stack(prefix, found) for prefix, found in stacks.items()], linear, rest


def _linear_parts(arrays: Arrays) -> tuple[list[LinearPart], list[str]]:
    found, rest = [], dict(arrays)
    for name, weight in arrays.items():
        prefix, dot, last = name.rpartition(".")
        if last != "weight" or weight.ndim != 2:
            continue
        bias = arrays.get(f"{prefix}{dot}bias")
        if bias is not None and bias.shape != weight.shape[:1]:
            continue
        del rest[name]
        own = {"weight": weight}
        if bias is not None:
            own["bias"] = bias
            del rest[f"{prefix}{dot}bias"]
        found.append(LinearPart(f"{prefix}{dot}", own))
    return found, list(rest)


def _stack(prefix: str, arrays: dict[str, np.ndarray[Any, Any]]) -> RecurrentPart:
    first, again = arrays.get("weight_ih_l0"), arrays.get("weight_hh_l0")
    if first is None or again is None or first.ndim != 2 or again.ndim != 2:
        raise _contradiction(prefix, f"{listed(arrays)}", "matrices weight_ih_l0 and weight_hh_l0")
    projection = arrays.get("weight_hr_l0")
    if projection is not None and projection.ndim != 2:
        raise _contradiction(prefix, f"weight_hr_l0 {projection.shape}", "a matrix (P, H)")
    P = 0 if projection is None else int(projection.shape[0])
    H = int(again.shape[1] if projection is None else projection.shape[1])
    rows = int(again.shape[0])
    blocks = rows // H if H and rows % H == 0 else 0
    if blocks not in BLOCKS or (P and blocks != 4):
        wanted = "1 block of H rows (rnn), 3 (gru) or 4 (lstm), and a projection only with 4"
        raise _contradiction(prefix, f"weight_hh_l0 {again.shape} with H = {H}", wanted)
    levels = {name.partition("_l")[2] for name in arrays if name.startswith("weight_ih_l")}
    reverse = {level for level in levels if level.endswith("_reverse")}
    stack = RecurrentPart(
        prefix=prefix,
        cell=BLOCKS[blocks],
        input_size=int(first.shape[1]),
        hidden_size=H,
        num_layers=len(levels - reverse),
        bidirectional=bool(reverse),
        bias="bias_ih_l0" in arrays,
        proj_size=P,
        arrays=arrays,
    )
    _check_shapes(stack, blocks)
    return stack


def _check_shapes(stack: RecurrentPart, blocks: int) -> None:
    """Every weight of every layer and direction is there, in its shape, and nothing else."""
    H, out = stack.hidden_size, stack.proj_size or stack.hidden_size
    wanted: dict[str, tuple[int, ...]] = {}
    for layer in range(stack.num_layers):
        inputs = stack.input_size if layer == 0 else stack.features
        for suffix in ("", "_reverse")[: 2 if stack.bidirectional else 1]:
            level = f"_l{layer}{suffix}"
            wanted |= {
                f"weight_ih{level}": (blocks * H, inputs),
                f"weight_hh{level}": (blocks * H, out),
            }
            if stack.bias:
                wanted |= {f"bias_{way}{level}": (blocks * H,) for way in ("ih", "hh")}
            if stack.proj_size:
                wanted[f"weight_hr{level}"] = (stack.proj_size, H)
    for name, shape in wanted.items():
        came = stack.arrays[name].shape if name in stack.arrays else "nothing"
        if came != shape:
            raise _contradiction(stack.prefix, f"{name} {came}", f"{shape}")
    stray = [name for name in stack.arrays if name not in wanted]
    if stray:
        raise _contradiction(stack.prefix, listed(stray), f"nothing beside {listed(wanted)}")


def only_stack(stacks: list[RecurrentPart], arrays: Arrays) -> RecurrentPart:
    """The one recurrent stack. Raises: CheckpointError, which names the option that picks one."""
    if len(stacks) == 1:
        return stacks[0]
    wanted = "recurrent weights with PyTorch's names, such as 'lstm.weight_ih_l0'"
    if not stacks:
        raise CheckpointError("path", f"a file with {listed(arrays)}", wanted)
    came = f"{len(stacks)} recurrent stacks, {listed([each.prefix for each in stacks])}"
    hint = "Which feeds which is not in the file: name one with prefix=, or load_weights into yours"
    raise CheckpointError("prefix", came, "one of them", hint)


def check_cell(stack: RecurrentPart, cell: str | None, activation: str | None) -> str:
    """The activation of the stack's cell, where the file and the caller agree on the cell.

    Raises: ArgumentError that names `cell` or `activation`.
    """
    if cell is not None and cell != stack.cell:
        came = f"{cell!r}, and weights of {stack.cell!r} (by their blocks of {stack.hidden_size})"
        raise ArgumentError("cell", came, repr(stack.cell))
    if activation is None and stack.cell == "rnn":
        wanted = "'tanh' or 'relu', which the weights of a plain RNN do not tell"
        raise ArgumentError("activation", "None", wanted, "PyTorch's nn.RNN has 'tanh' by default")
    return activation or "tanh"


def only_head(stack: RecurrentPart, linear: list[LinearPart], rest: list[str]) -> LinearPart | None:
    """The head's linear map, if there is one, and nothing that is left over.

    Raises: CheckpointError that names what is not understood.
    """
    wanted = "recurrent layers and at most one Linear after them"
    hint = "Make the model as a Module of your own, and call load_weights(model, path)"
    if rest:
        came = f"also {listed(rest)}, whose part in the network is not in the file"
        raise CheckpointError("path", came, wanted, hint)
    if len(linear) > 1:
        came = f"{len(linear)} Linears, {listed([each.prefix for each in linear])}: what lies "
        raise CheckpointError("path", f"{came}between them is not in the file", wanted, hint)
    if not linear:
        return None
    inputs, _ = linear[0].sizes
    if inputs != stack.features:
        came = f"{linear[0].prefix}weight {linear[0].arrays['weight'].shape}"
        raise CheckpointError("path", came, f"(O, {stack.features}), to follow the layers", hint)
    return linear[0]


def listed(names: Any) -> str:
    """Some names in words; not all, where there are many."""
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:SHOWN]) or "nothing"
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _contradiction(prefix: str, came: str, wanted: str) -> CheckpointError:
    where = f"in {prefix!r}: " if prefix else ""
    return CheckpointError("path", f"{where}{came}", wanted)
