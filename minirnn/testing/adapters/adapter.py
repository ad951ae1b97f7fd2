"""What `check_cell` takes in place of a plain function."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from minirnn.errors import MissingExtraError


@dataclass(frozen=True)
class Adapter:
    """An implementation as two functions on NumPy's arrays, and its conventions.

    forward      `forward(x, state, weights, *, lengths=…, reverse=…)` -> output, state, saved
    conventions  arguments of `check_cell` that fit it
    backward     `backward(doutput, dstate, saved)` -> the gradients; None if there are none
    """

    forward: Callable[..., Any]
    conventions: dict[str, Any] = field(default_factory=dict)
    backward: Callable[..., Any] | None = None


def need(package: str, purpose: str, extra: str | None = None) -> Any:
    """Import a framework, which an extra of its own name brings, or `extra`; "" if none does.

    Raises: MissingExtraError where it is missing.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, package if extra is None else extra, purpose) from error


def by_position(gradients: Sequence[Any], states: int) -> tuple[Any, ...]:
    """Gradients of x, each state and each weight, as `check_cell` wants them."""
    x, rest = gradients[0], gradients[1:]
    group = (tuple(rest[:states]),) if states else ()
    return (x, *group, *rest[states:])
