"""Traces in files: safetensors, written whole or not at all, checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.errors import ArgumentError, CheckpointError
from minirnn.files import document
from minirnn.inspect.source import CellNames, TraceSource, activations, fingerprint
from minirnn.kernels import cells
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Keep, Record, Weights

if TYPE_CHECKING:
    from minirnn.inspect.trace import Trace

Array = Any
Arrays = dict[str, np.ndarray[Any, Any]]

FORMAT = "minirnn trace"
VERSION = 2
BUILT_IN: dict[str, Callable[..., Cell]] = {"rnn": cells.rnn, "gru": cells.gru, "lstm": cells.lstm}


@dataclass
class StoredTape:
    """A record from a file, in the place of the tape it once came from."""

    content: Record
    reverse: bool
    keep: Keep = "record"
    nbytes: int = 0

    def record(self) -> Record:
        """What was read."""
        return self.content


def save(trace: Trace, path: Path) -> None:
    """Write a trace to `path`. Raises: CheckpointError if that fails."""
    cell = trace.cell
    about: dict[str, Any] = {
        "call": trace.call,
        "layer": trace.layer,
        "class_name": trace.class_name,
        "reverse": trace.reverse,
        "truncated": trace.truncated,
        "cell": {
            "name": cell.name,
            "options": cell.options,
            "states": cell.states,
            "slots": cell.slots,
            "stored_raw": sorted(cell.stored_raw),
            "activations": activations(cell),
            "fingerprint": fingerprint(cell),
            "built_in": _is_built_in(cell),
        },
    }
    if cell.second_slots:
        about["cell"]["second_slots"] = cell.second_slots
    document.save(path, FORMAT, VERSION, about, trace.numpy())


def load(path: Path, cell: Cell | None) -> tuple[TraceSource, int]:
    """Read what `save` wrote: the arguments of Trace. Raises: CheckpointError; see `Trace.load`."""
    arrays, about = _read(path)
    try:
        names = _cell_names(about["cell"])
        groups = _grouped(arrays)
        reverse, call = bool(about["reverse"]), int(about["call"])
        stored = groups["gates"] | groups["slots"]
        record = Record(_ordered(stored, names.slots), _ordered(groups["states"], names.states))
        if "direct_grad_hidden" in arrays:
            record.grad_states = _ordered(groups["grad_states"], names.states)
            record.grad_slots = _ordered(groups["grad_slots"], names.slots)
            record.grad_direct = arrays["direct_grad_hidden"]
        source = TraceSource(
            cell=_with_equations(names, about["cell"]["built_in"], cell, path),
            tape=StoredTape(record, reverse),
            x=arrays["inputs"],
            state=tuple(groups["initial_state"][name] for name in names.states),
            weights=Weights(**groups["weights"]),
            lengths=arrays["lengths"],
            layer=int(about["layer"]),
            class_name=str(about["class_name"]),
            truncated=bool(about["truncated"]),
            copy_x=False,
        )
        _check_shapes(source, record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise document.damaged(path, FORMAT, error) from error
    return source, call


def _read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    about, contents = document.load(path, FORMAT, (1, VERSION), unchecked=(1,))
    if about["version"] == 1 and about.pop("digest", None) != _digest(about, contents.arrays):
        raise CheckpointError(
            "path", f"{str(path)!r}, which is damaged", "the file as it was saved"
        )
    return contents.arrays, about


def _digest(about: dict[str, Any], arrays: Arrays) -> str:
    """Version 1's one checksum, of all that the file says."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _is_built_in(cell: Cell | CellNames) -> bool:
    """Whether name and options lead back to these equations: one's own cell may borrow a name."""
    if cell.name not in BUILT_IN:
        return False
    try:
        found = BUILT_IN[cell.name](**cell.options)
    except (TypeError, ArgumentError):
        return False
    return found.fingerprint() == fingerprint(cell)


def _cell_names(about: dict[str, Any]) -> CellNames:
    return CellNames(
        name=str(about["name"]),
        options=dict(about["options"]),
        states=tuple(about["states"]),
        slots=dict(about["slots"]),
        stored_raw=frozenset(about["stored_raw"]),
        activations=dict(about["activations"]),
        fingerprint=str(about["fingerprint"]),
        second_slots=tuple(about.get("second_slots", ())),
    )


def _with_equations(
    names: CellNames, built_in: bool, cell: Cell | None, path: Path
) -> Cell | CellNames:
    if cell is not None:
        if cell.name != names.name or cell.fingerprint() != names.fingerprint:
            raise CheckpointError(
                "cell",
                repr(cell),
                f"{names.name!r} with the equations that {str(path)!r} came from",
            )
        return cell
    return BUILT_IN[names.name](**names.options) if built_in else names


def _grouped(arrays: Arrays) -> dict[str, Arrays]:
    groups: dict[str, Arrays] = {"gates": {}, "slots": {}, "states": {}}
    for path, array in arrays.items():
        group, dot, key = path.partition(".")
        if dot:
            groups.setdefault(group, {})[key] = array
    return groups


def _ordered(arrays: Arrays, names: Iterable[str]) -> Arrays:
    """The arrays of those names, in the cell's order; a file sorts them its own way."""
    return {name: arrays[name] for name in names}


def _check_shapes(source: TraceSource, record: Record) -> None:
    """Raises ValueError, KeyError or AttributeError where arrays do not fit together."""
    T, B, _ = source.x.shape
    _, H = source.weights.weight_hh.shape
    for group in (record.gates, record.states, record.grad_states, record.grad_slots):
        for name, array in (group or {}).items():
            if array.shape != (T, B, H):
                raise ValueError(f"{name} has shape {array.shape}, not {(T, B, H)}")
    if source.lengths is None or source.lengths.shape != (B,):
        raise ValueError("lengths does not have one entry per sequence")
