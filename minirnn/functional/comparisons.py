"""Comparisons, element by element with broadcasting. They give booleans and carry no gradient."""

from __future__ import annotations

from minirnn.device import array_namespace
from minirnn.functional.operands import elementwise, pair
from minirnn.tensor import Operand, Tensor, constant


def _compare(name: str, a: Operand, b: Operand) -> Tensor:
    a, b = pair(a, b)
    return constant(elementwise(getattr(array_namespace(a.data), name), a.data, b.data))


def equal(a: Operand, b: Operand) -> Tensor:
    """a == b. Raises: DTypeError, ShapeError."""
    return _compare("equal", a, b)


def not_equal(a: Operand, b: Operand) -> Tensor:
    """a != b. Raises: DTypeError, ShapeError."""
    return _compare("not_equal", a, b)


def less(a: Operand, b: Operand) -> Tensor:
    """a < b. Raises: DTypeError, ShapeError."""
    return _compare("less", a, b)


def less_equal(a: Operand, b: Operand) -> Tensor:
    """a <= b. Raises: DTypeError, ShapeError."""
    return _compare("less_equal", a, b)


def greater(a: Operand, b: Operand) -> Tensor:
    """a > b. Raises: DTypeError, ShapeError."""
    return _compare("greater", a, b)


def greater_equal(a: Operand, b: Operand) -> Tensor:
    """a >= b. Raises: DTypeError, ShapeError."""
    return _compare("greater_equal", a, b)
