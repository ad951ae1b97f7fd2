"""The derivative of a cell's equations, derived once and lowered like the equations themselves.

Reverse mode on the expression graph. `grad.h`, `grad.c` stand for what arrives at the new states
from later steps and from outside; the result says what leaves through the slots and through the
last states. A stored value (gate or state) is read back, everything else is recomputed from the
stored ones; derivatives of activations are written in terms of their own output for that reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from minirnn.errors import ArgumentError
from minirnn.kernels.cells.vocabulary import (
    OPERAND,
    Expression,
    constant,
    in_order,
    leaf,
    select,
)


@dataclass(frozen=True)
class Derivative:
    """Expressions in the leaves gate.*, state.*, last.* and grad.*.

    `states`: total gradient of each new state. `slots`: gradient of each slot's z. `last`: the part
    of each last state's gradient that does not pass through a slot (None where there is none).
    `operand`: the operand of a second product, from what is stored; its gradient is the leaf
    grad.operand, of which the gradients of the second product's own slots are free.
    """

    states: dict[str, Expression]
    slots: dict[str, Expression]
    last: dict[str, Expression | None]
    operand: Expression | None = None


def differentiate(
    states: Mapping[str, Expression],
    gates: Mapping[str, Expression],
    slots: tuple[str, ...],
    operand: Expression | None = None,
) -> Derivative:
    """Derive the backward equations of one step; `operand` is that of a second product.

    Raises: ArgumentError if the backward would need a slot's z that the cell does not keep.
    """
    gradient: dict[Expression, Expression] = {}

    def arrive(at: Expression, value: Expression) -> None:
        gradient[at] = gradient[at] + value if at in gradient else value

    for name, expression in states.items():
        arrive(expression, leaf("grad", name))
    roots = list(states.values())
    if operand is not None:
        arrive(operand, leaf("grad", OPERAND))
        roots.append(operand)
    for e in reversed(in_order(roots)):
        if e in gradient:
            for argument, share in _shares(e, gradient[e]):
                arrive(argument, share)

    zero = constant(0.0)
    recalled = _Recall(states, gates)
    return Derivative(
        states={name: recalled(gradient[e]) for name, e in states.items()},
        slots={name: recalled(gradient.get(leaf("z", name), zero)) for name in slots},
        last={
            name: recalled(gradient[leaf("last", name)]) if leaf("last", name) in gradient else None
            for name in states
        },
        operand=None if operand is None else recalled(operand),
    )


def _shares(e: Expression, g: Expression) -> list[tuple[Expression, Expression]]:
    """What each argument of `e` receives of the gradient `g` of `e`."""
    match e.operation, e.arguments:
        case "add", (a, b):
            return [(a, g), (b, g)]
        case "subtract", (a, b):
            return [(a, g), (b, -g)]
        case "multiply", (a, b):
            return [(x, g * y) for x, y in ((a, b), (b, a)) if x.operation != "constant"]
        case "divide", (a, b):  # e = a / b, so de/db = -e / b
            share = g / b
            shares = ((a, share), (b, -(share * e)))
            return [(x, d) for x, d in shares if x.operation != "constant"]
        case "exp", (a,):
            return [(a, g * e)]
        case "log", (a,):
            return [(a, g / a)]
        case "sigmoid", (a,):
            return [(a, g * (e * (1.0 - e)))]
        case "tanh", (a,):
            return [(a, g * (1.0 - e * e))]
        case "relu", (a,):  # 0 at 0, as PyTorch has it; a NaN lets the gradient through
            return [(a, g * select(constant(0.0) >= e, 0.0, 1.0))]  # times 0 keeps a NaN in g
        case "clip", (a,):
            low, high = e.payload
            return [(a, g * select(constant(low) >= e, 0.0, select(e >= high, 0.0, 1.0)))]
        case "select", (condition, yes, no):
            return [
                (x, share)
                for x, share in (
                    (yes, select(condition, g, 0.0)),
                    (no, select(condition, 0.0, g)),
                )
                if x.operation != "constant"
            ]
    return []  # leaves, constants; a condition is piecewise constant


class _Recall:
    """Rewrites an expression to read what forward stored instead of computing it again."""

    def __init__(self, states: Mapping[str, Expression], gates: Mapping[str, Expression]) -> None:
        self.done: dict[Expression, Expression] = {}
        for kind, stored in (("state", states), ("gate", gates)):
            for name, e in stored.items():
                if e.operation != "constant" and not (e.payload and e.payload[0] == "last"):
                    self.done[e] = leaf(kind, name)

    def __call__(self, wanted: Expression) -> Expression:
        for e in in_order([wanted]):
            if e in self.done:
                continue
            if e.operation == "leaf" and e.payload[0] == "z":
                # Only an error if the wanted expression still needs it once the rest is recalled.
                continue
            if all(a in self.done for a in e.arguments):
                arguments = tuple(self.done[a] for a in e.arguments)
                self.done[e] = Expression(e.operation, arguments, e.payload)
        if wanted not in self.done:
            missing = sorted({
                e.payload[1] for e in in_order([wanted])
                if e.operation == "leaf" and e.payload[0] == "z" and e not in self.done
            })  # fmt: skip
            raise ArgumentError(
                "gates", f"nothing stored from which to rebuild z.{', z.'.join(missing)}",
                "the gate, or the slot itself, among the gates that the cell returns",
            )  # fmt: skip
        return self.done[wanted]
