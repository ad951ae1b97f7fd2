"""A model's weights in a safetensors file, with what they mean; and other libraries' such files.

A file of `save_model` says which layers there are, which cells, and which gate each block of rows
belongs to, so that `load_model` makes the model anew, and other programs can sort the rows as they
need them. A file without that, such as a PyTorch model's state dict, is understood as far as names
and shapes tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, Literal

import numpy as np

from minirnn.errors import ArgumentError, CheckpointError
from minirnn.files import document, tensors
from minirnn.interop import foreign_weights
from minirnn.interop.description import build, describe, sequence_model
from minirnn.kernels.cells.cell import Cell
from minirnn.nn import GRU, LSTM, RNN, Dropout, Linear, Module, Recurrent
from minirnn.training.checkpoint import FORMAT as CHECKPOINT
from minirnn.training.checkpoint import load_checkpoint
from minirnn.training.losses import check_model
from minirnn.training.model_cells import cells_of, check_cells

__all__ = ["load_model", "load_weights", "save_model"]

FORMAT = "minirnn model"
VERSION = 1
Arrays = dict[str, np.ndarray[Any, Any]]


def save_model(model: Module, path: str | PathLike[str]) -> None:
    """Write a model's weights and what they mean to a safetensors file, whole or not at all.

    Any Module can be saved; `load_model` can make anew those of this library's layers.

    Raises: CheckpointError that names `path`, ArgumentError that names `model`.
    """
    check_model(model)
    about = {"model": describe(model), "cells": cells_of(model)}
    document.save(path, FORMAT, VERSION, about, model.state_dict())


def load_model(
    path: str | PathLike[str],
    *,
    cell: Cell | str | None = None,
    activation: str | None = None,
    readout: Literal["last", "all"] | None = None,
    batch_first: bool | None = None,
    prefix: str = "",
    device: str = "cpu",
    rng: Any = None,
) -> Module:
    """The model in a safetensors file, in evaluation mode.

    A file of `save_model` needs no option, but for a cell of one's own `cell`. From another
    library's file, or a checkpoint, a recurrent stack with at most one Linear after it is read:
    the kind of cell, layers, directions, projection and biases are seen from the shapes, and

    cell         "rnn", "gru" or "lstm": what you expect, held against the weights
    activation   needed for a plain RNN, whose weights do not tell "tanh" from "relu"
    readout      needed where there is a Linear: it sees the "last" states, or "all" steps
    batch_first  how the model takes x (by default time-major, (T, B, I)); no weight tells that
    prefix       of the names that belong to the model, e.g. "encoder."; others are not looked at

    float16 and bfloat16 become float32, which holds them. `rng`: of dropout, should it be trained.

    Raises: CheckpointError that names `path`, for a file that is damaged or holds something else;
    ArgumentError that names the option that decides what the file leaves open, or does not fit.
    """
    options: dict[str, Any] = {
        "activation": activation,
        "readout": readout,
        "batch_first": batch_first,
    }
    arrays, about = _read(path)
    if about is not None:
        for name, value in (options | {"prefix": prefix or None}).items():
            if value is not None:
                wanted = f"none: {str(path)!r} says itself what it holds"
                raise ArgumentError(name, repr(value), wanted)
        if isinstance(cell, str):
            raise ArgumentError("cell", repr(cell), "None, or a cell made with minirnn.cell")
        room = sum(array.size for array in arrays.values())
        model = build(about["model"], room, cell=cell, rng=rng)
    else:
        if isinstance(cell, Cell):
            raise ArgumentError("cell", repr(cell), "'rnn', 'gru', 'lstm' or None for such a file")
        arrays = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
        model, arrays = _understood(arrays, cell=cell, rng=rng, **options)
    _load(model, arrays, path)
    return model.to(device).eval()


def load_weights(model: Module, path: str | PathLike[str], *, prefix: str = "") -> None:
    """Copy weights from a safetensors file into a model, in place, by name.

    From a file of `save_model`, a checkpoint, or another library's file. Where no name fits, one
    recurrent stack and one Linear are matched with the only ones of the model.

    prefix   of the names that belong to the model: it is taken off, and others are not looked at

    Raises: CheckpointError that names what does not fit; then nothing was changed.
    """
    check_model(model)
    arrays, about = _read(path)
    if about is not None:
        check_cells(model, about["cells"])
    arrays = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
    wanted = {name for name, _ in model.named_parameters()}
    if not wanted & set(arrays):
        arrays = _renamed(model, arrays)
    _load(model, arrays, path)


def _read(path: str | PathLike[str]) -> tuple[Arrays, dict[str, Any] | None]:
    """The arrays of a file, and what a file of `save_model` says of them.

    Raises: CheckpointError that names `path`.
    """
    contents = tensors.load(path)
    if document.KEY not in contents.metadata and not contents.verified:
        arrays = dict(contents.arrays)
        for name, array in arrays.items():
            if array.dtype == np.float16:
                arrays[name] = array.astype(np.float32)
        return arrays, None
    if document.about_of(contents).get("format") == CHECKPOINT:
        state = load_checkpoint(path).model
        return {name: np.asarray(array) for name, array in state.items()}, None
    about, contents = document.load(path, FORMAT, (VERSION,))
    try:
        cells = {name: dict(cell) for name, cell in about["cells"].items()}
        return dict(contents.arrays), {"model": dict(about["model"]), "cells": cells}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise document.damaged(path, FORMAT, error) from error


def _load(model: Module, arrays: Arrays, path: str | PathLike[str]) -> None:
    try:
        model.load_state_dict(arrays)
    except ArgumentError as error:
        came = f"weights in {str(path)!r} that do not fit: {error.came}"
        raise CheckpointError("path", came, error.wanted) from error


def _understood(
    arrays: Arrays,
    *,
    cell: str | None,
    activation: str | None,
    readout: Any,
    batch_first: bool | None,
    rng: Any,
) -> tuple[Module, Arrays]:
    """The model that bare weights belong to, and its state dict."""
    stacks, linear, rest = foreign_weights.parts_of(arrays)
    stack = foreign_weights.only_stack(stacks, arrays)
    function = foreign_weights.check_cell(stack, cell, activation)
    head = foreign_weights.only_head(stack, linear, rest)
    if head is not None and readout is None:
        wanted = "'last' or 'all': whether the Linear sees the last states or every step"
        raise ArgumentError("readout", "None", wanted)
    if head is None and readout is not None:
        raise ArgumentError("readout", repr(readout), "None, for a file without a Linear")
    dtypes = {array.dtype.name for array in arrays.values()}
    if len(dtypes) > 1 or not dtypes <= {"float32", "float64"}:
        came = f"weights of {' and '.join(sorted(dtypes))}"
        raise CheckpointError("path", came, "all float32 or all float64")
    random = np.random.default_rng(rng)
    layer = _layer(stack, function, dtypes.pop(), bool(batch_first), random)
    if head is None:
        return layer, stack.arrays
    inputs, outputs = head.sizes
    last = Linear(inputs, outputs, bias="bias" in head.arrays, dtype=layer.dtype, rng=random)
    model = sequence_model(
        readout, recurrent=layer, head_dropout=Dropout(0.0, rng=random), head=last
    )
    return model, _joined({"recurrent.": stack.arrays, "head.": head.arrays})


def _layer(
    stack: foreign_weights.RecurrentPart,
    activation: str,
    dtype: str,
    batch_first: bool,
    rng: np.random.Generator,
) -> Recurrent:
    options: dict[str, Any] = {
        "bias": stack.bias,
        "bidirectional": stack.bidirectional,
        "batch_first": batch_first,
        "dtype": dtype,
        "rng": rng,
    }
    if stack.proj_size:
        options["proj_size"] = stack.proj_size
    sizes = (stack.input_size, stack.hidden_size, stack.num_layers)
    if stack.cell == "rnn":
        return RNN(*sizes, nonlinearity=activation, **options)
    kind = GRU if stack.cell == "gru" else LSTM
    return kind(*sizes, activation=activation, **options)


def _renamed(model: Module, arrays: Arrays) -> Arrays:
    """Weights of other names by the model's, where there is one place for each.

    Raises: CheckpointError.
    """
    stacks, linear, rest = foreign_weights.parts_of(arrays)
    places = {
        kind: [name for name, module in model.named_modules() if isinstance(module, kind)]
        for kind in (Recurrent, Linear)
    }
    ways: Mapping[type[Module], list[Any]] = {Recurrent: stacks, Linear: linear}
    if rest or any(
        len(ways[kind]) != len(names) or len(names) > 1 for kind, names in places.items()
    ):
        came = f"names {foreign_weights.listed(arrays)}"
        wanted = f"the model's, {foreign_weights.listed(n for n, _ in model.named_parameters())}"
        raise CheckpointError("path", came, wanted)
    parts = {}
    for kind, names in places.items():
        for name, part in zip(names, ways[kind], strict=True):
            parts[f"{name}." if name else ""] = part.arrays
    return _joined(parts)


def _joined(parts: Mapping[str, Mapping[str, Any]]) -> Arrays:
    return {f"{prefix}{name}": a for prefix, arrays in parts.items() for name, a in arrays.items()}
