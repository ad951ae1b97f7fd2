"""A cell of two products a step as a cell of one, in twice as many steps.

The kernels compute every product with h at once and know nothing of gates. A cell whose second
product takes an operand in the place of h (the GRU that resets before the product: r * h) becomes
another cell, of which they take two steps where it takes one:

    first     the slots of the first product are filled from x and h. The new "h" is the operand, so
              that the next product is of it, and what the second half needs besides is held in
              further states
    second    the slots of the second product are filled from x and the operand; the new "h" is h

Both halves are one set of equations: a state "stage" that turns between 0 and 1 says which of them
counts. What the products put into the other half's slots is replaced by 0 before anything is
computed from it, so that nothing infinite arises there, and no gradient leaves.

For the GRU, with held states a = 1 - u and b = u h:

    first:   h <- r h,      a <- 1 - u,  b <- u h
    second:  h <- a n + b,  a <- 0,      b <- 0
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cells.vocabulary import (
    Expression,
    constant,
    depends_on,
    in_order,
    is_comparison,
    leaf,
    replaced,
    select,
)


@dataclass(frozen=True, eq=False)
class TwoSteps:
    """A cell of one product, two steps of which are a step of a cell of two.

    `cell` is that cell, and its states are those of the original, then others, which begin at 0.
    `early` names the states of the original that are known after the first of the two steps: their
    total gradients are those of that step.
    """

    cell: Cell
    early: frozenset[str]


@cache
def two_steps(cell: Cell) -> TwoSteps:
    """Two steps for one: of a cell that has an operand."""
    assert cell.operand is not None
    late = {leaf("z", s) for s in cell.second_slots}
    waits = {name: depends_on(e, late) for name, e in cell.new_states.items()}
    # What other states hold anyway: as it was while they wait, and their new value if they do not.
    there = {
        leaf("last", s) if waits[s] else e: leaf("last", s)
        for s, e in cell.new_states.items()
        if s != "h" and e.operation != "constant"
    }
    roots = [e for name, e in cell.new_states.items() if waits[name]]
    held = _held([*roots, *(cell.stored[s] for s in cell.second_slots)], late, there)
    stage, *names = _new_names(cell, 1 + len(held))
    first = constant(0.5) > leaf("last", stage)

    in_first = {
        leaf("z", s): select(first, leaf("z", s), 0.0)
        for s in cell.slots
        if s not in cell.second_slots
    }
    in_second = there | {z: select(first, 0.0, z) for z in late}
    in_second |= {e: leaf("last", name) for e, name in zip(held, names, strict=True)}

    def of_first(e: Expression) -> Expression:
        return replaced([e], in_first)[0]

    def of_second(e: Expression) -> Expression:
        return replaced([e], in_second)[0]

    # Where a state enters the rest of its half, it does so as the expression that becomes the new
    # state: so its total gradient has all of them.
    states = {}
    by_depth = {e: k for k, e in enumerate(in_order(cell.new_states.values()))}
    for name, e in sorted(cell.new_states.items(), key=lambda item: by_depth[item[1]]):
        last = leaf("last", name)
        if name == "h":
            in_second[e] = states[name] = select(first, of_first(cell.operand), of_second(e))
        elif waits[name]:
            in_second[e] = states[name] = select(first, last, of_second(e))
        else:
            in_first[e] = states[name] = select(first, of_first(e), last)
    states = {name: states[name] for name in cell.states}  # h is first
    states[stage] = select(first, 1.0, 0.0)
    for name, e in zip(names, held, strict=True):
        states[name] = select(first, of_first(e), 0.0)
    stored = {
        s: of_second(e) if s in cell.second_slots else of_first(e) for s, e in cell.stored.items()
    }

    def equations(_z: Any, _last: Any) -> tuple[dict[str, Expression], dict[str, Expression]]:
        return states, stored

    made = Cell(f"{cell.name}_in_two_steps", tuple(states), cell.slots, equations, cell.options)
    return TwoSteps(made, frozenset(name for name, wait in waits.items() if not wait))


def _held(
    roots: list[Expression], late: Collection[Expression], there: Collection[Expression]
) -> list[Expression]:
    """What the second half needs of the first: the largest expressions without its own slots."""
    held: dict[Expression, None] = {}
    waits = {e: depends_on(e, late) for e in in_order(roots)}

    def take(e: Expression) -> None:
        if waits[e] or e in there or e.operation == "constant":
            return
        if is_comparison(e):  # has no value to be held, but what is compared has
            for argument in e.arguments:
                take(argument)
        else:
            held[e] = None

    for e in waits:
        if waits[e]:
            for argument in e.arguments:
                take(argument)
    for root in roots:
        take(root)
    return list(held)


def _new_names(cell: Cell, count: int) -> list[str]:
    """Names for further states that neither a state nor a slot has."""
    taken = {*cell.states, *cell.slots}
    names: list[str] = []
    for name in ("stage", *(f"held{k}" for k in range(count - 1))):
        while name in taken:
            name += "_"
        names.append(name)
    return names
