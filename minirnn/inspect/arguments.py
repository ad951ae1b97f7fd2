"""Checks that the measures share, so that a wrong argument is named at the door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.gpu import cupy_array
from minirnn.inspect.host import on_host
from minirnn.inspect.values import TraceValues
from minirnn.kernels.contract import check_lengths
from minirnn.real import is_real, is_whole
from minirnn.tensor import Tensor

Array = Any


def check_trace(trace: object, argument: str = "trace") -> None:
    """Raises: ArgumentError, for what is no `Trace`."""
    if not isinstance(trace, TraceValues):
        hint = "model(x) inside `with minirnn.record() as recording` leaves recording.traces"
        raise ArgumentError(argument, f"a {type(trace).__name__}", "a Trace", hint)


def whole(argument: str, value: Any, least: int, also: str = "") -> int:
    """`value` as an int of at least `least`. Raises: ArgumentError."""
    if not is_whole(value) or value < least:
        raise ArgumentError(argument, repr(value), f"a whole number, {least} or more{also}")
    return int(value)


def positive(argument: str, value: Any) -> float:
    """`value` as a float above 0. Raises: ArgumentError."""
    if not is_real(value) or not value > 0:
        raise ArgumentError(argument, repr(value), "a positive number")
    return float(value)


def share(argument: str, value: Any) -> float:
    """`value` as a float above 0, and at most 1. Raises: ArgumentError."""
    if not is_real(value) or not 0.0 < value <= 1.0:
        raise ArgumentError(argument, repr(value), "a number more than 0, at most 1")
    return float(value)


def numbers(argument: str, value: Any, wanted: str) -> Array:
    """An array of real numbers: as it is, of a Tensor, or made of lists.

    Raises: ArgumentError for what is no array, DTypeError for other elements.
    """
    value = value.data if isinstance(value, Tensor) else value
    if not isinstance(value, np.ndarray) and not cupy_array(value):
        if not isinstance(value, list | tuple | np.generic) and not is_real(value):
            raise ArgumentError(argument, f"a {type(value).__name__}", wanted)
        try:
            value = np.asarray(value)
        except ValueError as error:  # rows of different lengths
            raise ShapeError(argument, f"a {type(value).__name__} ({error})", wanted) from None
    if value.dtype.kind not in "fiub":
        raise DTypeError(argument, value.dtype.name, f"real numbers, {wanted}")
    return value


def sequences(inputs: Any, targets: Any, lengths: Any) -> tuple[Array, Array, Any]:
    """Inputs (T, B, I), one target a sequence, (B, O) or (B,), and lengths (B,) of the host.

    Raises: ArgumentError, ShapeError or DTypeError that names the argument.
    """
    x = numbers("inputs", inputs, "an array (T, B, I)")
    if x.ndim != 3:
        raise ShapeError("inputs", f"shape {x.shape}", "(T, B, I)")
    T, B = x.shape[:2]
    one = f"({B}, O), or class labels ({B},): one target a sequence"
    y = numbers("targets", targets, one)
    if y.ndim not in (1, 2) or len(y) != B:
        per_step = y.shape[:2] == (T, B)
        hint = "Of targets at every step, take those of the last one: targets[-1]"
        raise ShapeError("targets", f"shape {y.shape}", one, hint if per_step else "")
    if lengths is not None:
        lengths = on_host(numbers("lengths", lengths, f"whole numbers ({B},)"))
        check_lengths(lengths, T, B)
    return x, y, lengths


def parameters(argument: str, given: Any) -> dict[str, Array]:
    """Arrays by name. Raises: ArgumentError or DTypeError."""
    if not isinstance(given, Mapping):
        wanted = "parameters by name, such as a model's state_dict()"
        raise ArgumentError(argument, f"a {type(given).__name__}", wanted)
    return {
        name: numbers(f"{argument}[{name!r}]", each, "an array") for name, each in given.items()
    }
