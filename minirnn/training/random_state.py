"""The states of random generators: NumPy's, by name, with what they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minirnn.errors import ArgumentError, CheckpointError
from minirnn.nn import Module

Generators = dict[str, np.random.Generator]


def generators_of(model: Module) -> Generators:
    """The generators that a model's modules hold as attributes, by dotted name: "recurrent.rng"."""
    return {
        f"{name}.{attribute}" if name else attribute: value
        for name, module in model.named_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, np.random.Generator)
    }


def given_generators(rng: Any) -> Generators:
    """The generators of an argument: one (named ""), or a mapping of them.

    Raises: ArgumentError that names `rng`.
    """
    named = rng if isinstance(rng, Mapping) else {"": rng}
    for name, each in named.items():
        if not isinstance(name, str) or not isinstance(each, np.random.Generator):
            came = f"a {type(each).__name__}"
            raise ArgumentError("rng", came, "a numpy Generator, or a dict of them by name")
    return dict(named)


def states_of(generators: Generators) -> dict[str, Any]:
    """Which names are the same generator, and each one's state: a tree of plain values.

    Two layers may draw from one generator. Told apart they would draw the same numbers twice.
    """
    distinct, which = _sharing(generators)
    return {"which": which, "states": [each.bit_generator.state for each in distinct]}


def checked_states(
    generators: Generators, told: Any, argument: str
) -> list[tuple[np.random.Generator, dict[str, Any]]]:
    """Each generator with the state that it is to have; none is changed here.

    Raises: CheckpointError that names `argument`.
    """
    distinct, which = _sharing(generators)
    try:
        saved, states = dict(told["which"]), list(told["states"])
    except (TypeError, KeyError, ValueError) as error:
        raise CheckpointError(argument, f"random states without {error}", "whole ones") from error
    if which != saved or len(states) != len(distinct):
        came = f"generators {_words(which)}"
        raise CheckpointError(argument, came, f"{_words(saved)}, as when it was saved")
    pairs = list(zip(distinct, states, strict=True))
    for each, state in pairs:
        trial = type(each.bit_generator)()
        try:
            trial.state = state
        except (
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            OverflowError,
            AttributeError,
        ) as error:
            kind = type(each.bit_generator).__name__
            came = (
                f"the state of a {state.get('bit_generator') if isinstance(state, dict) else '?'}"
            )
            raise CheckpointError(argument, f"{came} ({error})", f"that of a {kind}") from error
    return pairs


def _sharing(generators: Generators) -> tuple[list[np.random.Generator], dict[str, int]]:
    """The distinct generators, and for each name its index among them."""
    distinct: list[np.random.Generator] = []
    which = {}
    for name, each in generators.items():
        index = next((k for k, known in enumerate(distinct) if known is each), len(distinct))
        if index == len(distinct):
            distinct.append(each)
        which[name] = index
    return distinct, which


def _words(which: Mapping[str, int]) -> str:
    groups: dict[int, list[str]] = {}
    for name, index in which.items():
        groups.setdefault(index, []).append(repr(name))
    return ", ".join(" = ".join(names) for names in groups.values()) or "none"
