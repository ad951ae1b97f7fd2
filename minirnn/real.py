"""What is a number, as an argument: an int, a float, or a scalar of NumPy, and never a bool."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, TypeGuard


def is_real(value: Any) -> TypeGuard[float]:
    """Whether it is a real number that a float can hold, NaN and infinities included.

    `True` is an int to Python, and never a number to a person.
    """
    if not isinstance(value, Real) or type(value).__name__ in ("bool", "bool_"):
        return False
    try:
        float(value)
    except OverflowError:  # an int of 400 digits
        return False
    return True


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether it is a whole number, Python's or NumPy's."""
    return isinstance(value, Integral) and type(value).__name__ not in ("bool", "bool_")
