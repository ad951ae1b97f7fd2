"""A cell's equations, forward and derived backward, written out to be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from minirnn.kernels.cells.vocabulary import OPERAND, Expression, in_order, leaf

SIGNS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "greater": ">",
    "greater_equal": ">=",
}
WIDTH = 60  # what is longer gets a name and a line of its own


def written(results: Mapping[str, Expression], given: Mapping[Expression, str]) -> list[str]:
    """Assignments, one a line, that compute `results`; `given` names what is already there."""
    names = dict(given)
    order = in_order(results.values())
    uses = Counter(a for e in order for a in e.arguments)
    wanted: dict[Expression, list[str]] = {}
    for name, e in results.items():
        wanted.setdefault(e, []).append(name)
    lines: list[str] = []
    for e in order:
        text = names.get(e) or _one(e, names)
        if e in wanted:
            first, *others = wanted[e]
            lines.append(f"{first} = {bare(text)}")
            lines += [f"{other} = {first}" for other in others]
            names[e] = first
        elif e not in names and e.arguments and (uses[e] > 1 or len(text) > WIDTH):
            name = f"t{sum(line.startswith('t') and line[1].isdigit() for line in lines) + 1}"
            lines.append(f"{name} = {bare(text)}")
            names[e] = name
        else:
            names[e] = text
    return lines


def _one(e: Expression, names: Mapping[Expression, str]) -> str:
    if e.operation == "leaf":
        return ".".join(e.payload)
    if e.operation == "constant":
        return f"{e.payload:g}"
    arguments = [names[a] for a in e.arguments]
    if e.operation in SIGNS:
        return f"({arguments[0]} {SIGNS[e.operation]} {arguments[1]})"
    arguments = [bare(a) for a in arguments]
    if e.operation == "clip":
        arguments += [f"{bound:g}" for bound in e.payload]
    return f"{e.operation}({', '.join(arguments)})"


def bare(text: str) -> str:
    """Without a pair of parentheses around the whole."""
    if not text.startswith("("):
        return text
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return text[1:-1] if at == len(text) - 1 else text
    return text


def forward_text(
    stored: Mapping[str, Expression],
    states: Mapping[str, Expression],
    operand: Expression | None = None,
    second_slots: Collection[str] = (),
) -> list[str]:
    """The equations as the cell wrote them: gates, then states; z and last are given.

    The gates of a second product come after its operand.
    """
    gates = {n: e for n, e in stored.items() if e is not leaf("z", n)}
    results = {f"gate.{n}": e for n, e in gates.items() if n not in second_slots}
    if operand is not None:
        results[OPERAND] = operand
    results |= {f"gate.{n}": e for n, e in gates.items() if n in second_slots}
    lines = written(results | {f"state.{n}": e for n, e in states.items()}, {})
    note = f"  # in the place of last.h in z.{', z.'.join(second_slots)}"
    return [line + note if line.startswith(f"{OPERAND} = ") else line for line in lines]


def backward_text(
    states: Mapping[str, Expression],
    slots: Mapping[str, Expression],
    last: Mapping[str, Expression | None],
) -> list[str]:
    """The derived equations; grad is what arrives at each new state from outside and later."""
    results = {f"total.{n}": e for n, e in states.items()}
    results |= {f"dz.{n}": e for n, e in slots.items()}
    results |= {f"dlast.{n}": e for n, e in last.items() if e is not None}
    return written(results, {})
