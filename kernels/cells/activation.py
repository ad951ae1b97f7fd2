"""The activations that a cell's option may name."""

from __future__ import annotations

from collections.abc import Callable

from minirnn.errors import ArgumentError
from minirnn.kernels.cells.vocabulary import Expression, identity, relu, sigmoid, tanh

_BY_NAME: dict[str, Callable[[Expression], Expression]] = {
    "tanh": tanh,
    "relu": relu,
    "sigmoid": sigmoid,
    "identity": identity,
}


def activation_of(
    argument: str, name: str, allowed: tuple[str, ...]
) -> Callable[[Expression], Expression]:
    """The activation of that name. Raises: ArgumentError if it is not among `allowed`."""
    if not isinstance(name, str) or name not in allowed:
        raise ArgumentError(argument, repr(name), f"one of {', '.join(allowed)}")
    return _BY_NAME[name]
