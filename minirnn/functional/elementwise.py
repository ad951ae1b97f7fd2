"""Arithmetic, element by element, with broadcasting; and choosing between elements.

g is dL/d output in every backward. Where a function has a kink its gradient there is stated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from minirnn.device import (
    FLOATS,
    Array,
    array_namespace,
    beside,
    check_beside,
    has_no_device,
    to_device,
)
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.functional.operands import elementwise, floating, numbers, pair, unbroadcast
from minirnn.tensor import Operand, Tensor, apply, as_tensor, constant

Pair = tuple[Array | None, Array | None]

_NUMBER = (int, float, np.integer, np.floating)


def add(a: Operand, b: Operand) -> Tensor:
    """a + b. Raises: DTypeError, ShapeError."""
    a, b = numbers(a, b)
    out = elementwise(np.add, a.data, b.data)
    shape_a, shape_b = a.data.shape, b.data.shape
    need_a, need_b = a._requires_grad, b._requires_grad

    def backward(g: Array) -> Pair:
        return (
            unbroadcast(g, shape_a) if need_a else None,
            unbroadcast(g, shape_b) if need_b else None,
        )

    return apply("add", (a, b), (out,), backward)[0]


def sub(a: Operand, b: Operand) -> Tensor:
    """a - b. Raises: DTypeError, ShapeError."""
    a, b = numbers(a, b)
    out = elementwise(np.subtract, a.data, b.data)
    shape_a, shape_b = a.data.shape, b.data.shape
    need_a, need_b = a._requires_grad, b._requires_grad

    def backward(g: Array) -> Pair:
        return (
            unbroadcast(g, shape_a) if need_a else None,
            unbroadcast(-g, shape_b) if need_b else None,
        )

    return apply("sub", (a, b), (out,), backward)[0]


def mul(a: Operand, b: Operand) -> Tensor:
    """a * b, element by element. Raises: DTypeError, ShapeError."""
    a, b = numbers(a, b)
    x, y = a.data, b.data
    out = elementwise(np.multiply, x, y)
    need_a, need_b = a._requires_grad, b._requires_grad

    def backward(g: Array) -> Pair:
        return (
            unbroadcast(g * y, x.shape) if need_a else None,
            unbroadcast(g * x, y.shape) if need_b else None,
        )

    return apply("mul", (a, b), (out,), backward)[0]


def div(a: Operand, b: Operand) -> Tensor:
    """a / b, of float32 or float64. Raises: DTypeError, ShapeError."""
    a, b = pair(a, b)
    floating(a, "a")
    x, y = a.data, b.data
    out = elementwise(np.divide, x, y)
    need_a, need_b = a._requires_grad, b._requires_grad

    def backward(g: Array) -> Pair:
        share = g / y
        return (
            unbroadcast(share, x.shape) if need_a else None,
            unbroadcast(-share * out, y.shape) if need_b else None,
        )

    return apply("div", (a, b), (out,), backward)[0]


def neg(x: Operand) -> Tensor:
    """-x. Raises: DTypeError."""
    x = as_tensor(x, None, "x")
    if x.data.dtype == np.bool_:
        raise DTypeError("x", "bool", "numbers", "Convert it with .astype(...)")
    return apply("neg", (x,), (-x.data,), lambda g: (-g,))[0]


def pow(x: Operand, exponent: float) -> Tensor:
    """x ** exponent, for a constant exponent (a Python number); 0 ** 0 is 1, with gradient 0.

    Raises: DTypeError; ArgumentError if the exponent is no number.
    """
    x = floating(x)
    if isinstance(exponent, bool) or not isinstance(exponent, _NUMBER):
        hint = "For a variable one write exp(exponent * log(x))"
        raise ArgumentError("exponent", f"a {type(exponent).__name__}", "a Python number", hint)
    power = float(exponent)  # a NumPy scalar would promote
    data = x.data
    with np.errstate(all="ignore"):
        out = data**power

    def backward(g: Array) -> tuple[Array]:
        # At power 0, 0 * 0**-1 would be NaN.
        return (g * (power * data ** (power - 1)) if power != 0 else g * 0,)

    return apply("pow", (x,), (out,), backward)[0]


def exp(x: Operand) -> Tensor:
    """e ** x. Raises: DTypeError."""
    x = floating(x)
    with np.errstate(all="ignore"):
        out = array_namespace(x.data).exp(x.data)
    return apply("exp", (x,), (out,), lambda g: (g * out,))[0]


def log(x: Operand) -> Tensor:
    """The natural logarithm: -inf at 0, NaN below it. Raises: DTypeError."""
    x = floating(x)
    data = x.data
    with np.errstate(all="ignore"):
        out = array_namespace(data).log(data)
    return apply("log", (x,), (out,), lambda g: (g / data,))[0]


def sqrt(x: Operand) -> Tensor:
    """The square root: NaN below 0, and an infinite gradient at 0. Raises: DTypeError."""
    x = floating(x)
    with np.errstate(all="ignore"):
        out = array_namespace(x.data).sqrt(x.data)
    return apply("sqrt", (x,), (out,), lambda g: (g / (2 * out),))[0]


def abs(x: Operand) -> Tensor:
    """|x|; the gradient at 0 is 0. Raises: DTypeError."""
    x = as_tensor(x, None, "x")
    data = x.data
    xp = array_namespace(data)
    return apply("abs", (x,), (xp.abs(data),), lambda g: (g * xp.sign(data),))[0]


def maximum(a: Operand, b: Operand) -> Tensor:
    """The larger of a and b; NaN if either is. Equal elements share the gradient in halves.

    Raises: DTypeError, ShapeError.
    """
    return _extremum("maximum", a, b)


def minimum(a: Operand, b: Operand) -> Tensor:
    """The smaller of a and b; NaN if either is. Equal elements share the gradient in halves.

    Raises: DTypeError, ShapeError.
    """
    return _extremum("minimum", a, b)


def _extremum(name: str, a: Operand, b: Operand) -> Tensor:
    a, b = pair(a, b)
    x, y = a.data, b.data
    xp = array_namespace(x)
    out = elementwise(getattr(xp, name), x, y)
    need_a, need_b = a._requires_grad, b._requires_grad

    def backward(g: Array) -> Pair:
        share = xp.where(x == y, g / 2, g)
        # "The other one is not it" is true of a NaN on both sides, which so receives a gradient.
        return (
            unbroadcast(xp.where((y == out) & (x != out), 0, share), x.shape) if need_a else None,
            unbroadcast(xp.where((x == out) & (y != out), 0, share), y.shape) if need_b else None,
        )

    return apply(name, (a, b), (out,), backward)[0]


def where(condition: Operand, a: Operand, b: Operand) -> Tensor:
    """a where the boolean `condition` holds, b elsewhere; all three broadcast together.

    Raises: DTypeError (also if the condition is not boolean), ShapeError.
    """
    chosen = as_tensor(condition, np.bool_, "condition").data
    first, second = a, b
    a, b = pair(a, b)
    if type(chosen) is not type(a.data):
        if has_no_device(condition):
            chosen = beside(chosen, a.data)
        elif has_no_device(first) and has_no_device(second):
            a, b = constant(beside(a.data, chosen)), constant(beside(b.data, chosen))
        else:
            check_beside(chosen, a.data, "condition")
    xp = array_namespace(a.data)
    try:
        out = xp.where(chosen, a.data, b.data)
    except ValueError:
        came = f"shapes {chosen.shape}, {a.data.shape} and {b.data.shape}"
        raise ShapeError("condition, a, b", came, "shapes that broadcast together") from None
    shape_a, shape_b = a.data.shape, b.data.shape
    need_a, need_b = a._requires_grad, b._requires_grad

    def backward(g: Array) -> Pair:
        return (
            unbroadcast(xp.where(chosen, g, 0), shape_a) if need_a else None,
            unbroadcast(xp.where(chosen, 0, g), shape_b) if need_b else None,
        )

    return apply("where", (a, b), (out,), backward)[0]


def clip(x: Operand, low: float | None, high: float | None) -> Tensor:
    """x held between `low` and `high` (None: no bound); NaN stays NaN.

    The gradient passes inside and on the bounds, and is 0 outside.

    Raises: DTypeError; ArgumentError if low > high, or a bound is no number.
    """
    tensor = as_tensor(x, None, "x")
    data = tensor.data
    bounds = [
        None if bound is None else _bound(bound, data.dtype, name)
        for bound, name in ((low, "low"), (high, "high"))
    ]
    lower, upper = bounds
    if lower is not None and upper is not None and not lower <= upper:
        raise ArgumentError("low", low, f"at most high, which is {high}")
    if lower is None and upper is None:
        return tensor
    xp = array_namespace(data)
    out = xp.clip(data, lower, upper)

    def backward(g: Array) -> tuple[Array]:
        outside = (data < out) | (data > out)  # false for a NaN, which lets the gradient through
        return (xp.where(outside, 0, g),)

    return apply("clip", (tensor,), (out,), backward)[0]


def _bound(bound: float, dtype: np.dtype[np.generic], name: str) -> Array:
    if isinstance(bound, Tensor) or np.ndim(bound) != 0:
        raise ArgumentError(name, f"a {type(bound).__name__}", "a number or None")
    # A scalar, which either device takes as an argument of its kernel.
    return to_device(as_tensor(bound, dtype, name).data, "cpu")[()]


def astype(x: Operand, dtype: DTypeLike) -> Tensor:
    """x as `dtype`: float32, float64, an integer type or bool. The gradient is cast back.

    Integers and booleans carry no gradient, so a tensor that requires one is not made into them.

    Raises: DTypeError.
    """
    tensor = as_tensor(x, None, "x")
    try:
        target = np.dtype(dtype)
    except TypeError:
        raise DTypeError("dtype", repr(dtype), "float32, float64, an integer or bool") from None
    data = tensor.data
    source = data.dtype
    if target.kind not in "iub" and target not in FLOATS:
        raise DTypeError("dtype", target.name, "float32, float64, an integer or bool")
    if tensor._requires_grad and target not in FLOATS:
        hint = "Use .detach() first if the gradient shall end here"
        raise DTypeError("dtype", target.name, "float32 or float64 (x requires a gradient)", hint)
    if target == source:
        return tensor
    with np.errstate(all="ignore"):
        out = data.astype(target)
    return apply("astype", (tensor,), (out,), lambda g: (g.astype(source),))[0]
