"""The small vocabulary in which a cell's equations are written, and the expressions they make.

Calling these functions builds an expression graph instead of computing: a device lowers the graph
to its own code, `derivative` differentiates it, and `evaluate` runs it in NumPy. Every operation
works unit by unit; sums over units happen only in the products that fill a cell's slots.

Equal expressions are one object (they are interned), so a value that is used twice is computed
once and comparing expressions is comparing identities. Graphs are shared and can be deep: nothing
here walks them recursively, and an expression's `repr` shows one level.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable, Mapping
from numbers import Real
from typing import Any, Final

import numpy as np

from minirnn.errors import ArgumentError

__all__ = [
    "Expression",
    "clip",
    "constant",
    "depends_on",
    "divide",
    "evaluate",
    "exp",
    "identity",
    "in_order",
    "leaf",
    "log",
    "relu",
    "select",
    "sigmoid",
    "tanh",
]

# Operations and their number of arguments. A comparison is only ever the condition of a select.
ARITY: Final[Mapping[str, int]] = {
    "leaf": 0,
    "constant": 0,
    "add": 2,
    "subtract": 2,
    "multiply": 2,
    "divide": 2,
    "exp": 1,
    "log": 1,
    "sigmoid": 1,
    "tanh": 1,
    "relu": 1,
    "clip": 1,
    "greater": 2,
    "greater_equal": 2,
    "select": 3,
}

OPERAND: Final = "operand"  # of a second product, where its gradient is named like a state's

_interned: weakref.WeakValueDictionary[tuple[object, ...], Expression] = (
    weakref.WeakValueDictionary()
)


class Expression:
    """One operation on other expressions; immutable, interned.

    `payload` is (kind, name) of a leaf, the value of a constant, (low, high) of a clip, else None.
    """

    __slots__ = ("__weakref__", "arguments", "operation", "payload")

    operation: str
    arguments: tuple[Expression, ...]
    payload: Any

    def __new__(
        cls, operation: str, arguments: tuple[Expression, ...] = (), payload: Any = None
    ) -> Expression:
        """The one expression of that operation on those arguments."""
        key = (operation, arguments, payload)
        known = _interned.get(key)
        if known is not None:
            return known
        self = super().__new__(cls)
        self.operation = operation
        self.arguments = arguments
        self.payload = payload
        return _interned.setdefault(key, self)

    def __add__(self, other: Expression | float) -> Expression:
        return _operation("add", self, other)

    def __radd__(self, other: float) -> Expression:
        return _operation("add", other, self)

    def __sub__(self, other: Expression | float) -> Expression:
        return _operation("subtract", self, other)

    def __rsub__(self, other: float) -> Expression:
        return _operation("subtract", other, self)

    def __mul__(self, other: Expression | float) -> Expression:
        return _operation("multiply", self, other)

    def __rmul__(self, other: float) -> Expression:
        return _operation("multiply", other, self)

    def __truediv__(self, other: Expression | float) -> Expression:
        return divide(self, other)

    def __rtruediv__(self, other: float) -> Expression:
        return divide(other, self)

    def __neg__(self) -> Expression:
        return _operation("multiply", -1.0, self)

    def __gt__(self, other: Expression | float) -> Expression:
        return _operation("greater", self, other)

    def __ge__(self, other: Expression | float) -> Expression:
        return _operation("greater_equal", self, other)

    def __lt__(self, other: Expression | float) -> Expression:
        return _operation("greater", other, self)

    def __le__(self, other: Expression | float) -> Expression:
        return _operation("greater_equal", other, self)

    def __bool__(self) -> bool:
        raise ArgumentError(
            "condition", "an expression of a cell", "select(condition, a, b)",
            "A cell's equations are built once, before there are numbers",
        )  # fmt: skip

    def __reduce__(self) -> tuple[object, ...]:
        # Loading a pickle makes the expression anew, so that it finds its interned self.
        return Expression, (self.operation, self.arguments, self.payload)

    def __repr__(self) -> str:
        if self.operation == "leaf":
            return ".".join(self.payload)
        if self.operation == "constant":
            return repr(self.payload)
        inside = ", ".join(repr(a) if not a.arguments else "…" for a in self.arguments)
        return f"{self.operation}({inside})"


def constant(value: float | Real) -> Expression:
    """A number."""
    return Expression("constant", (), float(value))


def leaf(kind: str, name: str) -> Expression:
    """A value from outside: kind is "z", "last", "gate", "state" or "grad"."""
    return Expression("leaf", (), (kind, name))


def is_comparison(e: Expression) -> bool:
    """Whether it is a condition of `select`, which has no value to compute with."""
    return e.operation.startswith("greater")


def _operation(name: str, *operands: Expression | float) -> Expression:
    return Expression(name, tuple(_expression(operand) for operand in operands))


def _expression(value: Expression | float) -> Expression:
    if isinstance(value, Expression):
        if is_comparison(value):
            raise ArgumentError(
                "operand", f"the comparison {value!r}", "a value: select(a > b, 1.0, 0.0) makes one"
            )
        return value
    if isinstance(value, Real):
        return constant(value)
    raise ArgumentError("operand", type(value).__name__, "an expression of the cell or a number")


def divide(x: Expression | float, y: Expression | float) -> Expression:
    """x / y; infinite or NaN where y is 0."""
    return _operation("divide", x, y)


def exp(x: Expression) -> Expression:
    """e to the power x."""
    return Expression("exp", (_expression(x),))


def log(x: Expression) -> Expression:
    """The natural logarithm: minus infinity at 0, NaN below."""
    return Expression("log", (_expression(x),))


def sigmoid(x: Expression) -> Expression:
    """1 / (1 + exp(-x))."""
    return Expression("sigmoid", (_expression(x),))


def tanh(x: Expression) -> Expression:
    """The hyperbolic tangent."""
    return Expression("tanh", (_expression(x),))


def identity(x: Expression) -> Expression:
    """x itself: the activation of a linear cell."""
    return _expression(x)


def select(condition: Expression, yes: Expression | float, no: Expression | float) -> Expression:
    """`yes` where the comparison `condition` holds, else `no` (a comparison with NaN is false)."""
    if not isinstance(condition, Expression) or not is_comparison(condition):
        raise ArgumentError("condition", repr(condition), "a comparison of two expressions")
    return Expression("select", (condition, _expression(yes), _expression(no)))


def relu(x: Expression) -> Expression:
    """max(x, 0), and NaN where x is NaN."""
    return Expression("relu", (_expression(x),))


def clip(x: Expression, low: float, high: float) -> Expression:
    """x held between two bounds, and NaN where x is NaN."""
    if not low < high:
        raise ArgumentError("low, high", f"{low}, {high}", "low < high")
    return Expression("clip", (_expression(x),), (float(low), float(high)))


def in_order(expressions: Iterable[Expression]) -> list[Expression]:
    """The expressions and all they are made of, each once, arguments before their use."""
    order: dict[Expression, None] = {}
    stack = [(e, False) for e in reversed(list(expressions))]
    while stack:
        expression, ready = stack.pop()
        if expression in order:
            continue
        if ready:
            order[expression] = None
        else:
            stack.append((expression, True))
            stack.extend((a, False) for a in reversed(expression.arguments))
    return list(order)


def depends_on(expression: Expression, leaves: Collection[Expression]) -> bool:
    """Whether any of the leaves enters an expression."""
    return any(e in leaves for e in in_order([expression]))


def replaced(
    expressions: Iterable[Expression], by: Mapping[Expression, Expression]
) -> list[Expression]:
    """The expressions with others in the place of parts of them."""
    roots = list(expressions)
    done = dict(by)
    for e in in_order(roots):
        if e not in done:
            done[e] = Expression(e.operation, tuple(done[a] for a in e.arguments), e.payload)
    return [done[e] for e in roots]


def evaluate(
    expressions: Iterable[Expression], values: Mapping[Expression, Any]
) -> dict[Expression, Any]:
    """Compute expressions in NumPy; `values` gives arrays for leaves (or for any expression)."""
    wanted = list(expressions)
    done: dict[Expression, Any] = dict(values)
    for e in in_order(wanted):
        if e in done:
            continue
        if e.operation == "leaf":
            raise ArgumentError("values", f"nothing for {e!r}", "a value for every leaf")
        done[e] = _compute(e, [done[a] for a in e.arguments])
    return {e: done[e] for e in wanted}


def _compute(e: Expression, a: list[Any]) -> Any:
    match e.operation:
        case "constant":
            return e.payload
        case "add":
            return a[0] + a[1]
        case "subtract":
            return a[0] - a[1]
        case "multiply":
            return a[0] * a[1]
        case "divide":
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.true_divide(a[0], a[1])
        case "exp":
            with np.errstate(over="ignore", under="ignore"):
                return np.exp(a[0])
        case "log":
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.log(a[0])
        case "greater":
            return np.greater(a[0], a[1])
        case "greater_equal":
            return np.greater_equal(a[0], a[1])
        case "select":
            return np.where(a[0], a[1], a[2])
        case "tanh":
            return np.tanh(a[0])
        case "relu":  # a comparison keeps NaN, where a maximum may lose it
            return np.where(np.greater(0.0, a[0]), 0.0, a[0])
        case "clip":
            low, high = e.payload
            return np.where(
                np.greater(low, a[0]), low, np.where(np.greater(a[0], high), high, a[0])
            )
        case "sigmoid":
            # exp of a negative number only, so that nothing overflows.
            small = np.exp(-np.abs(a[0]))
            return np.where(np.less(a[0], 0.0), small / (1.0 + small), 1.0 / (1.0 + small))
    raise AssertionError(e.operation)
