"""Checks of the hyper-parameters that layers and initialisers share."""

from __future__ import annotations

import math
import operator
import sys
from typing import Any

import numpy as np

from minirnn.errors import ArgumentError, DTypeError
from minirnn.kernels.contract import FLOATS
from minirnn.real import is_real


def positive_int(name: str, value: Any) -> int:
    """`value` as an int of at least 1; raises ArgumentError naming `name`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ArgumentError(name, repr(value), "an integer of at least 1") from None
    if number < 1 or isinstance(value, bool):
        raise ArgumentError(name, repr(value), "an integer of at least 1")
    return number


def finite(name: str, value: Any) -> float:
    """`value` as a finite float; raises ArgumentError naming `name`."""
    number = float(value) if is_real(value) else math.nan
    if not math.isfinite(number):
        raise ArgumentError(name, repr(value), "a finite number")
    return number


def drop_probability(name: str, value: Any) -> float:
    """`value` as a probability 0 <= p < 1 (1 would drop everything); raises ArgumentError."""
    number = finite(name, value)
    if not 0.0 <= number < 1.0:
        raise ArgumentError(name, repr(value), "a probability p with 0 <= p < 1")
    return number


def boolean(name: str, value: Any) -> bool:
    """`value` if it is a bool; raises ArgumentError naming `name`."""
    if not isinstance(value, bool | np.bool_):
        raise ArgumentError(name, repr(value), "True or False")
    return bool(value)


def float_dtype(value: Any) -> np.dtype[Any]:
    """`value` as float32 or float64; raises DTypeError naming `dtype`."""
    try:
        dtype: np.dtype[Any] = np.dtype(value)
    except TypeError:
        raise DTypeError("dtype", repr(value), "float32 or float64") from None
    if value is None or dtype not in FLOATS:
        raise DTypeError("dtype", repr(value), "float32 or float64")
    return dtype


def generator(rng: Any) -> np.random.Generator:
    """A random generator from None (fresh entropy), an int seed, or a Generator (returned as is).

    Raises: ArgumentError naming `rng`.
    """
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng)
    try:
        seed = operator.index(rng)
    except TypeError:
        seed = -1
    if seed < 0 or isinstance(rng, bool):
        raise ArgumentError("rng", repr(rng), "None, a seed of at least 0, or a numpy Generator")
    return np.random.default_rng(seed)


def level_of_the_user(*also: str) -> int:
    """The `stacklevel` of a warning that is to name the user's line.

    The nearest line above the caller that is neither minirnn's nor of the packages in `also`.
    """
    passed = {"minirnn", *also}
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] not in passed:
            break
        level, frame = level + 1, frame.f_back
    return level
