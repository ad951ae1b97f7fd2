"""Checkpoints: a training in a file, to go on from exactly there.

A checkpoint is a safetensors file: parameters and the optimiser's arrays are its tensors, under
names such as "model.recurrent.weight_ih_l0"; the rest is JSON in its metadata. See
`minirnn.files` for how it is written and what is checked when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Protocol, runtime_checkable

import numpy as np

from minirnn.errors import ArgumentError, CheckpointError, MinirnnError
from minirnn.files import document
from minirnn.files.tree import put_together, take_apart
from minirnn.nn import Module
from minirnn.optim import Optimizer
from minirnn.training.history import History
from minirnn.training.history_columns import from_columns, to_columns
from minirnn.training.losses import check_model
from minirnn.training.model_cells import cells_of, check_cells
from minirnn.training.random_state import (
    checked_states,
    generators_of,
    given_generators,
    states_of,
)
from minirnn.training.windows import check_count

FORMAT = "minirnn checkpoint"
VERSION = 1
PARTS = ("model", "optimizer", "scheduler", "rng", "recipe", "history", "extra", "progress")
Undo = Callable[[], None]


@runtime_checkable
class Stateful(Protocol):
    """What a checkpoint can hold: a model, an optimiser, a scheduler, a callback of one's own.

    A state is a dict with texts as keys, of numbers, texts, None, arrays, and lists, tuples and
    dicts of these. `load_state_dict` of what `state_dict` returned makes the object go on exactly
    as it would have gone on then.
    """

    def state_dict(self) -> Mapping[str, Any]:
        """All that changes while it works."""
        ...

    def load_state_dict(self, state_dict: Any, /) -> object:
        """Take over what `state_dict` returned, or raise and change nothing."""
        ...


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint file holds; arrays are NumPy's.

    epoch      finished epochs
    model, optimizer, scheduler   state dicts; None for what was not saved
    history    of the training so far, or None
    recipe     as a dict: `minirnn.Recipe.from_dict` reads it, if the data were no arrays
    extra      what the caller added
    versions   of minirnn and NumPy that wrote it
    kinds      the classes of model, optimiser and scheduler, by those names
    cells      the model's recurrent cells, by the names of their modules
    random     states of the model's own generators and of those given as `rng`
    progress   where `fit` was, for `fit(resume=...)`; None if `fit` did not save it
    """

    path: str
    epoch: int
    model: dict[str, Any]
    optimizer: dict[str, Any] | None = None
    scheduler: dict[str, Any] | None = None
    history: History | None = None
    recipe: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    cells: dict[str, Any] = field(default_factory=dict)
    random: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] | None = None

    def restore(
        self,
        *,
        model: Module | None = None,
        optimizer: Optimizer | Stateful | None = None,
        scheduler: Stateful | None = None,
        rng: np.random.Generator | Mapping[str, np.random.Generator] | None = None,
    ) -> None:
        """Put what was saved into these, in place, on whatever device they are.

        With the model its own generators (of dropout) go on where they were.

        Raises: CheckpointError that names the argument, for what was not saved or does not fit;
        then nothing was changed.
        """
        self.put_back(model=model, optimizer=optimizer, scheduler=scheduler, rng=rng)

    def put_back(
        self,
        *,
        model: Module | None = None,
        optimizer: Optimizer | Stateful | None = None,
        scheduler: Stateful | None = None,
        rng: Any = None,
    ) -> Undo:
        """`restore`; returns a function that takes it back."""
        generators = []
        if model is not None:
            check_model(model)
            check_cells(model, self.cells)
            generators += checked_states(generators_of(model), self.random.get("model"), "model")
        if rng is not None:
            if self.random.get("given") is None:
                raise _not_saved("rng", self.path)
            generators += checked_states(given_generators(rng), self.random["given"], "rng")
        given = (("model", model), ("optimizer", optimizer), ("scheduler", scheduler))
        parts: list[tuple[str, Stateful, Mapping[str, Any]]] = []
        for name, thing in given:
            if thing is not None:
                state = getattr(self, name)
                if state is None:
                    raise _not_saved(name, self.path)
                check_kind(name, thing, self.kinds.get(name, ""))
                parts.append((name, thing, state))
        before = [(each, each.bit_generator.state) for each, _ in generators]
        take_back = load_all(parts)

        def undo() -> None:
            take_back()
            for each, state in before:
                each.bit_generator.state = state

        for each, state in generators:
            each.bit_generator.state = state
        return undo


def save_checkpoint(
    path: str | PathLike[str],
    *,
    model: Module,
    optimizer: Optimizer | Stateful | None = None,
    scheduler: Stateful | None = None,
    rng: np.random.Generator | Mapping[str, np.random.Generator] | None = None,
    recipe: Any = None,
    history: History | None = None,
    epoch: int | None = None,
    extra: Mapping[str, Any] | None = None,
    progress: Mapping[str, Any] | None = None,
) -> None:
    """Write a training to a file: whole, or the file stays as it was.

    model      its parameters, and the states of the generators that its modules hold
    optimizer, scheduler   anything with `state_dict` and `load_state_dict`: see `Stateful`
    rng        generators of your own: one, or a dict of them by name
    recipe     a `minirnn.Recipe` (its arrays are told by shape, not kept) or a dict
    history    of the training so far
    epoch      finished epochs; by default the number of the history's last, or 0
    extra      a dict of what else is wanted: numbers, texts, arrays, lists and dicts of them
    progress   `fit`'s own

    Arrays on the GPU are copied from there. Modes (training, evaluation) are not saved.

    Raises: CheckpointError that names `path` if it cannot be written (a full disk, a missing
    folder), ArgumentError that names another argument.
    """
    check_model(model)
    if history is not None and not isinstance(history, History):
        raise ArgumentError("history", f"a {type(history).__name__}", "a History, or None")
    if epoch is None:
        epoch = history.epochs[-1].number if history is not None and history.epochs else 0
    parts: dict[str, Any] = {
        "model": model.state_dict(),
        "rng": {"model": states_of(generators_of(model))},
        "recipe": recipe.describe() if hasattr(recipe, "describe") else recipe,
        "history": None if history is None else to_columns(history),
        "extra": {} if extra is None else extra,
        "progress": progress,
    }
    kinds = {"model": type(model).__name__}
    for name, thing in (("optimizer", optimizer), ("scheduler", scheduler)):
        if thing is not None:
            check_stateful(name, thing)
            parts[name], kinds[name] = thing.state_dict(), type(thing).__name__
    if rng is not None:
        parts["rng"]["given"] = states_of(given_generators(rng))
    for name in ("recipe", "extra", "progress"):
        check_dict(name, parts[name])
    arrays: dict[str, Any] = {}
    told = {name: take_apart(parts.get(name), name, arrays) for name in PARTS}
    about = {
        "epoch": check_count("epoch", epoch, 0),
        "kinds": kinds,
        "cells": cells_of(model),
        "parts": told,
    }
    document.save(path, FORMAT, VERSION, about, arrays)


def load_checkpoint(path: str | PathLike[str]) -> Checkpoint:
    """Read a checkpoint. Nothing is unpickled, and nothing is believed that was not checked.

    Raises: CheckpointError that names `path`, for anything that is not the whole of a checkpoint:
    another file, a damaged one, one of a version that this minirnn does not know.
    """
    about, contents = document.load(path, FORMAT, (VERSION,))
    arrays = dict(contents.arrays)
    try:
        parts = {name: put_together(about["parts"][name], arrays) for name in PARTS}
        if set(about["parts"]) != set(PARTS):
            raise ValueError(f"its parts are {sorted(about['parts'])}")
        if arrays:
            raise ValueError(f"the tensor {sorted(arrays)[0]!r} belongs to nothing")
        for name, part in parts.items():
            needed = name in ("model", "rng", "extra")
            if not isinstance(part, dict) and (needed or part is not None):
                raise ValueError(f"{name!r} is {part!r}")
        epoch = about["epoch"]
        if type(epoch) is not int or epoch < 0:
            raise ValueError(f"'epoch' is {epoch!r}")
        history = parts.pop("history")
        return Checkpoint(
            path=str(path),
            epoch=epoch,
            history=None if history is None else from_columns(history),
            random=parts.pop("rng"),
            versions=_texts(about["versions"]),
            kinds=_texts(about["kinds"]),
            cells={name: dict(cell) for name, cell in about["cells"].items()},
            **parts,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise document.damaged(path, FORMAT, error) from error


def check_stateful(name: str, thing: object) -> None:
    """Raises: ArgumentError, for what has no state to save."""
    if not isinstance(thing, Stateful):
        wanted = "an object with state_dict() and load_state_dict()"
        raise ArgumentError(name, f"a {type(thing).__name__}", wanted)


def check_dict(name: str, thing: object) -> None:
    """Raises: ArgumentError, for what is neither None nor a dict."""
    if thing is not None and not isinstance(thing, Mapping):
        raise ArgumentError(name, f"a {type(thing).__name__}", "a dict")


def load_all(parts: list[tuple[str, Stateful, Mapping[str, Any]]]) -> Undo:
    """Have each object take over its state; if one refuses, all are as they were.

    Returns a function that takes it back. Raises: CheckpointError that names the object's argument.
    """
    taken: list[tuple[Stateful, Mapping[str, Any]]] = []

    def undo() -> None:
        for thing, before in reversed(taken):
            # Who refuses its own state has to be believed to have changed nothing.
            with suppress(Exception):
                thing.load_state_dict(before)

    for name, thing, state in parts:
        try:
            taken.append((thing, thing.state_dict()))
            thing.load_state_dict(state)
        except Exception as error:
            undo()
            kind = "" if isinstance(error, MinirnnError) else f"{type(error).__name__}: "
            came = f"a {type(thing).__name__} that refuses the state ({kind}{error})"
            raise CheckpointError(name, came, "the one it was saved of") from error
        except BaseException:
            undo()
            raise
    return undo


def check_kind(name: str, thing: object, saved: str) -> None:
    """Raises: CheckpointError that names `name`, if it is of another class than what was saved.

    A model's class is its owner's: its parameters' names and shapes decide.
    """
    if name != "model" and type(thing).__name__ != saved:
        raise CheckpointError(name, type(thing).__name__, f"{saved}, which was saved")
    if name != "model" and not isinstance(thing, Stateful):
        wanted = "an object with state_dict() and load_state_dict()"
        raise CheckpointError(name, f"a {type(thing).__name__}", wanted)


def _not_saved(name: str, path: str) -> CheckpointError:
    return CheckpointError(name, "one to restore", f"none: {path!r} was saved without {name}")


def _texts(value: Any) -> dict[str, str]:
    if not all(isinstance(each, str) for pair in value.items() for each in pair):
        raise ValueError(f"{value!r} is no dict of texts")
    return dict(value)
