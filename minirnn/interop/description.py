"""A model's architecture as plain values, and the model built from them.

Described are the layers of `minirnn.nn`. A module of one's own has its code in one's own program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minirnn.errors import ArgumentError, CheckpointError
from minirnn.interop.activations import parsed
from minirnn.interop.cells import Reset, gru_variant, lstm_variant, rnn_variant
from minirnn.kernels import cells
from minirnn.kernels.cells.cell import Cell
from minirnn.nn import (
    GRU,
    LSTM,
    RNN,
    BatchNorm,
    Dropout,
    Embedding,
    GRUCell,
    LayerNorm,
    Linear,
    LSTMCell,
    Module,
    Recurrent,
    RecurrentCell,
    RNNCell,
    SequenceModel,
    Sequential,
)
from minirnn.nn.recurrent import DIRECTIONS

RECURRENT: dict[str, type[Recurrent | RecurrentCell]] = {
    "RNN": RNN, "GRU": GRU, "LSTM": LSTM, "Recurrent": Recurrent,
    "RNNCell": RNNCell, "GRUCell": GRUCell, "LSTMCell": LSTMCell, "RecurrentCell": RecurrentCell,
}  # fmt: skip
# Arguments that are attributes of the same names, of recurrent layers and of one step.
ONE_STEP = ("input_size", "hidden_size", "bias")
SEQUENCE = (*ONE_STEP, "num_layers", "batch_first", "dropout", "bidirectional", "recompute")
PLAIN: dict[str, tuple[type[Module], tuple[str, ...]]] = {
    "Linear": (Linear, ("in_features", "out_features")),
    "Dropout": (Dropout, ("p",)),
    "LayerNorm": (LayerNorm, ("features", "eps")),
    "BatchNorm": (BatchNorm, ("features", "eps", "momentum")),
    "Embedding": (Embedding, ("num_embeddings", "embedding_dim")),
}
RANDOM = ("Linear", "Dropout", "Embedding")  # they take `rng`
PARTS = {"recurrent": Recurrent, "head_dropout": Dropout, "head": Linear}  # of a SequenceModel
BUILT_IN: dict[str, Callable[..., Cell]] = {"rnn": cells.rnn, "gru": cells.gru, "lstm": cells.lstm}


def describe(model: Module) -> dict[str, Any]:
    """The architecture in plain values; of a module of one's own its class's name alone."""
    kind = type(model).__name__
    if isinstance(model, Recurrent | RecurrentCell) and type(model) is RECURRENT.get(kind):
        if getattr(model, "_directions", DIRECTIONS) == DIRECTIONS:
            return {"type": kind, "arguments": _arguments(model), "cell": _cell(model.cell)}
    elif kind in PLAIN and type(model) is PLAIN[kind][0]:
        arguments = {name: getattr(model, name) for name in PLAIN[kind][1]}
        return {"type": kind, "arguments": arguments | _choices(model)}
    elif type(model) is Sequential:
        return {"type": kind, "modules": [describe(each) for each in model]}
    elif type(model) is SequenceModel and _has_its_parts(_parts(model)):
        parts = {name: describe(child) for name, child in _parts(model).items()}
        return {"type": kind, "readout": model.readout, "modules": parts} | _extras(model)
    return {"type": kind, "own": True}


def _arguments(model: Recurrent | RecurrentCell) -> dict[str, Any]:
    names = SEQUENCE if isinstance(model, Recurrent) else ONE_STEP
    told: dict[str, Any] = {name: getattr(model, name) for name in names}
    if isinstance(model, LSTM) and model.proj_size:
        told["proj_size"] = model.proj_size
    if isinstance(model, Recurrent) and model.norm != "none":
        told["norm"] = model.norm
    return told | {"dtype": model.dtype.name}


def _choices(model: Any) -> dict[str, Any]:
    """What a layer's parameters tell of its arguments."""
    told: dict[str, Any] = {} if isinstance(model, Dropout) else {"dtype": model.dtype.name}
    if isinstance(model, Linear):
        told["bias"] = model.bias is not None
    elif isinstance(model, LayerNorm | BatchNorm):
        told["affine"] = model.weight is not None
    return told


def _cell(cell: Cell) -> dict[str, Any]:
    options = dict(cell.options)
    return {"name": cell.name, "options": options, "fingerprint": cell.fingerprint()}


def build(told: Any, room: int, *, cell: Cell | None = None, rng: Any = None) -> Module:
    """The model of which `describe` told, with parameters as they start.

    room   elements that there are for its parameters: a description of a larger one is refused
    cell   for a recurrent layer whose cell is the user's own

    Raises: CheckpointError for a description that is none; ArgumentError that names `cell`.
    """
    try:
        return _build(told, room, cell, np.random.default_rng(rng))
    except CheckpointError:
        raise
    except ArgumentError as error:
        if error.argument == "cell":
            raise
        raise CheckpointError("model", f"a description with {error}", "one of a model") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        came = f"a description in which something is missing or wrong: {error}"
        raise CheckpointError("model", came, "the whole description of a model") from error


def _build(told: Any, room: int, cell: Cell | None, rng: np.random.Generator) -> Module:
    kind = told["type"]
    if told.get("own"):
        came = f"a file of a {kind}, a module of one's own"
        wanted = "a model of this library's layers"
        hint = "Its code is not in the file: make the model and call load_weights(model, path)"
        raise CheckpointError("path", came, wanted, hint)
    if kind in RECURRENT:
        return _recurrent(told, room, cell, rng)
    if kind in PLAIN:
        given = dict(told["arguments"])
        sizes = [given[name] for name in PLAIN[kind][1] if isinstance(given[name], int)]
        _check_room(math.prod(sizes), room)
        return PLAIN[kind][0](**given, **({"rng": rng} if kind in RANDOM else {}))
    if kind == "Sequential":
        return Sequential(*[_build(each, room, cell, rng) for each in told["modules"]])
    if kind == "SequenceModel":
        return sequence_model(
            told["readout"],
            norm=told.get("norm", "none"),
            initial_state=told.get("initial_state", "zeros"),
            rng=rng,
            **{name: _build(part, room, cell, rng) for name, part in told["modules"].items()},
        )
    raise ValueError(f"the type {kind!r} is unknown")


def sequence_model(
    readout: Any,
    *,
    norm: Any = "none",
    initial_state: Any = "zeros",
    rng: Any = None,
    **parts: Module,
) -> SequenceModel:
    """A `SequenceModel` of parts that are there, which its own constructor might not make."""
    if not _has_its_parts(parts):
        raise ValueError(f"the parts of a SequenceModel are {sorted(parts)}")
    model = SequenceModel("rnn", input_size=1, hidden_size=1, output_size=1, readout=readout)
    for name in PARTS:
        setattr(model, name, parts[name])
    model.add_extras(norm, initial_state, np.random.default_rng(rng))
    return model


def _parts(model: SequenceModel) -> dict[str, Module]:
    """Those that every model has; the others are told by two words (`_extras`)."""
    extras = ("head_norm", "initial")
    return {name: child for name, child in model._children.items() if name not in extras}


def _extras(model: SequenceModel) -> dict[str, str]:
    told = {"norm": (model.norm, "none"), "initial_state": (model.initial_state, "zeros")}
    return {name: value for name, (value, default) in told.items() if value != default}


def _has_its_parts(parts: Mapping[str, Module]) -> bool:
    return set(parts) == set(PARTS) and all(isinstance(parts[name], PARTS[name]) for name in PARTS)


def _recurrent(
    told: Mapping[str, Any], room: int, cell: Cell | None, rng: np.random.Generator
) -> Recurrent | RecurrentCell:
    kind, given = told["type"], dict(told["arguments"])
    found = resolve_cell(told["cell"], cell)
    fed_back = given.get("proj_size") or given["hidden_size"]
    _check_room(given["hidden_size"] * max(given["input_size"], fed_back), room)
    _check_room(given.get("num_layers", 1), room)
    if kind in ("Recurrent", "RecurrentCell"):
        return RECURRENT[kind](found, **given, rng=rng)
    options: dict[str, Any] = dict(found.options)
    if kind in ("GRU", "GRUCell") and options.pop("reset", "after") == "before":
        options["reset_after"] = False
    make: Callable[..., Recurrent | RecurrentCell] = RECURRENT[kind]
    layer = make(**given, **options, rng=rng)
    if layer.cell.fingerprint() != found.fingerprint():
        raise ValueError(f"a {kind} has another cell than {found.name}")
    return layer


def resolve_cell(told: Mapping[str, Any], cell: Cell | None = None) -> Cell:
    """The cell of a description: `cell` if it is given, else one that this library knows.

    Raises: ArgumentError that names `cell`, where its equations are not those of the description.
    """
    name, options = str(told["name"]), dict(told["options"])
    try:
        known = cell if cell is not None else _known(name, options)
    except (ArgumentError, TypeError, KeyError, ValueError):
        known = None
    if known is not None and known.fingerprint() == told["fingerprint"]:
        return known
    came = "none" if cell is None else repr(cell)
    wanted = f"the cell {name!r} whose equations ({told['fingerprint']}) the weights belong to"
    raise ArgumentError("cell", came, wanted, "A file holds a cell's name, not its equations")


def _known(name: str, options: dict[str, str]) -> Cell | None:
    """A cell of this library by its name and options."""
    if name in BUILT_IN:
        return BUILT_IN[name](**options)
    named = {key: parsed(options[key]) for key in "fgh" if key in options}
    clip = float(options["clip"]) if "clip" in options else None
    if name == "rnn_variant":
        return rnn_variant(*named.values(), clip=clip)
    if name == "gru_variant":
        reset: Reset = "before" if options.get("reset") == "before" else "after"
        return gru_variant(*named.values(), reset=reset, clip=clip)
    if name == "lstm_variant":
        coupled, peepholes = (options.get(key) == "True" for key in ("coupled", "peepholes"))
        return lstm_variant(*named.values(), clip=clip, coupled=coupled, peepholes=peepholes)
    return None


def _check_room(needed: Any, room: int) -> None:
    if type(needed) is not int or not 0 < needed <= room:
        raise ValueError(f"it tells of {needed!r} parameters, and there are {room}")
