"""A cell: its slots, its states, and its equations, as one object that every device can lower."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

from minirnn.errors import ArgumentError
from minirnn.kernels.cells.derivative import Derivative, differentiate
from minirnn.kernels.cells.text import backward_text, forward_text
from minirnn.kernels.cells.vocabulary import (
    OPERAND,
    Expression,
    depends_on,
    evaluate,
    in_order,
    is_comparison,
    leaf,
)

Feed = Literal["xh", "x", "h"]
Equations = Callable[[Any, Any], tuple[Mapping[str, Any], ...]]

ACTIVATIONS = ("sigmoid", "tanh", "relu", "clip", "exp", "log")


class Step(NamedTuple):
    """One step computed in NumPy; every value is shaped like the slots it came from."""

    states: dict[str, Any]
    gates: dict[str, Any]
    preactivations: dict[str, Any]


class LocalDerivative(NamedTuple):
    """Unit-by-unit derivative of the new states, each value shaped (B, H).

    `slots[state, slot]` is d state / d z.slot; `last[state, previous]` is the part of
    d state / d last.previous that does not pass through a slot. In a cell with a second product its
    operand is differentiated too, under the name "operand" in the place of a state.
    """

    slots: dict[tuple[str, str], Any]
    last: dict[tuple[str, str], Any]


class Cell:
    """The equations of one step of a recurrent cell. Make one with :func:`cell`.

    Attributes
    ----------
    name      the function's name, e.g. "lstm"
    options   what distinguishes variants of one cell, e.g. {"activation": "tanh"}
    states    names of the states; the first is "h", the cell's output
    slots     slot -> what its product is fed by: "xh", "x" or "h"
    input_slots, hidden_slots   the slots fed by x and by h: block order of weight_ih and weight_hh
    gates     slots whose stored value is an activation: what a trace calls gates
    stored_raw   slots stored as they are, without activation (GRU's recurrent_new)
    second_slots   slots whose product with h comes second and takes `operand` in the place of h
    new_states, stored, operand, derivative   the equations, as expressions; operand may be None
    """

    def __init__(
        self,
        name: str,
        states: tuple[str, ...],
        slots: Mapping[str, Feed],
        equations: Equations,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.options = dict(options or {})
        self.states = states
        self.slots = dict(slots)
        self._check_declaration()
        z = SimpleNamespace(**{s: leaf("z", s) for s in self.slots})
        last = SimpleNamespace(**{s: leaf("last", s) for s in states})
        self.new_states, self.stored, second = self._check_result(equations(z, last))
        self.input_slots = tuple(s for s, feed in self.slots.items() if "x" in feed)
        self.hidden_slots = tuple(s for s, feed in self.slots.items() if "h" in feed)
        self.stored_raw = frozenset(
            s
            for s, e in self.stored.items()
            if e is leaf("z", s) and e not in self.new_states.values()
        )
        self.gates = tuple(s for s in self.stored if s not in self.stored_raw)
        self.operand = self._check_second(second)
        self.second_slots = tuple(s for s in self.hidden_slots if s in second)
        self.derivative: Derivative = differentiate(
            self.new_states, self.stored, tuple(self.slots), self.operand
        )

    def __deepcopy__(self, memo: object) -> Cell:
        return self  # immutable; and its expressions are interned, so a copy would not be equal

    def __repr__(self) -> str:
        options = "".join(f", {k}={v!r}" for k, v in self.options.items())
        return f"<cell {self.name}{options}: states {self.states}, slots {self.slots}>"

    @property
    def preactivations(self) -> dict[str, Expression]:
        """Each gate's pre-activation: the argument of the activation that defines the gate."""
        return {
            name: (e.arguments[0] if e.operation in ACTIVATIONS else e)
            for name, e in self.stored.items()
            if name in self.gates
        }

    def equations(self) -> str:
        """Forward and derived backward of one step, written out.

        z.* is what the products give to the slots, last.* the states before, gate.* what is stored
        for the slots, state.* the new states; grad.* is what arrives at a new state from outside
        and from later steps, total.* its total gradient, dz.* the gradient of a slot, dlast.* what
        goes back to a last state without passing a slot. Where there is a second product, operand
        takes the place of last.h in it, and grad.operand is what arrives there through its slots.
        """
        d = self.derivative
        forward = forward_text(self.stored, self.new_states, self.operand, self.second_slots)
        parts = [
            repr(self),
            "forward",
            *[f"    {line}" for line in forward],
            "backward",
            *[f"    {line}" for line in backward_text(d.states, d.slots, d.last)],
        ]
        return "\n".join(parts)

    def fingerprint(self) -> str:
        """A digest of slots, states and equations: equal for cells that compute the same."""
        roots = [
            *self.new_states.values(),
            *self.stored.values(),
            *self.derivative.states.values(),
            *self.derivative.slots.values(),
            *(e for e in self.derivative.last.values() if e is not None),
        ]
        number: dict[Expression, int] = {}
        lines = [repr((self.states, list(self.slots.items()), list(self.stored)))]
        if self.operand is not None:
            roots.append(self.operand)
            lines.append(repr(self.second_slots))
        for e in in_order(roots):
            number[e] = len(number)
            lines.append(f"{e.operation} {[number[a] for a in e.arguments]} {e.payload!r}")
        lines.append(repr([number[e] for e in roots]))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def evaluate(self, slots: Mapping[str, Any], last: Mapping[str, Any]) -> Step:
        """Compute one step in NumPy from the slots' z and the last states (any float dtype)."""
        values = {leaf("z", s): slots[s] for s in self.slots}
        values |= {leaf("last", s): last[s] for s in self.states}
        named = self.preactivations
        done = evaluate([*self.new_states.values(), *self.stored.values(), *named.values()], values)
        return Step(
            {s: done[e] for s, e in self.new_states.items()},
            {s: done[e] for s, e in self.stored.items()},
            {s: done[e] for s, e in named.items()},
        )

    def backward_step(
        self,
        stored: Mapping[str, Any],
        states: Mapping[str, Any],
        last: Mapping[str, Any],
        grads: Mapping[str, Any],
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The backward of one step in NumPy, from what forward stored.

        `grads` maps each state to the gradient that arrives at it. Returns three dicts: total
        gradient of each new state, gradient of each slot's z, and of each last state the part
        that does not pass through a slot (0.0 where there is none). A cell with a second product
        wants its operand's gradient too, as grads["operand"].
        """
        values: dict[Expression, Any] = {leaf("gate", s): v for s, v in stored.items()}
        values |= {leaf("state", s): states[s] for s in self.states}
        values |= {leaf("last", s): last[s] for s in self.states}
        values |= {leaf("grad", s): g for s, g in grads.items()}
        d = self.derivative
        direct = {s: e for s, e in d.last.items() if e is not None}
        done = evaluate([*d.states.values(), *d.slots.values(), *direct.values()], values)
        return (
            {s: done[e] for s, e in d.states.items()},
            {s: done[e] for s, e in d.slots.items()},
            {s: done[direct[s]] if s in direct else 0.0 for s in self.states},
        )

    def local_derivative(
        self, stored: Mapping[str, Any], states: Mapping[str, Any], last: Mapping[str, Any]
    ) -> LocalDerivative:
        """Differentiate each new state, unit by unit, at stored values (shapes as those)."""
        by_slot: dict[tuple[str, str], Any] = {}
        by_last: dict[tuple[str, str], Any] = {}
        zero = states[self.states[0]] * 0.0
        results = self.states if self.operand is None else (*self.states, OPERAND)
        for state in results:
            seeds = {s: zero + float(s == state) for s in results}
            _, slots, previous = self.backward_step(stored, states, last, seeds)
            by_slot |= {(state, s): zero + g for s, g in slots.items()}
            by_last |= {(state, s): zero + g for s, g in previous.items()}
        return LocalDerivative(by_slot, by_last)

    def operand_of(
        self, stored: Mapping[str, Any], states: Mapping[str, Any], last: Mapping[str, Any]
    ) -> Any:
        """What the second product takes in the place of h, from what forward stored, in NumPy."""
        recalled = self.derivative.operand
        assert recalled is not None, f"{self.name} has no second product"
        values: dict[Expression, Any] = {leaf("gate", s): v for s, v in stored.items()}
        values |= {leaf("state", s): v for s, v in states.items()}
        values |= {leaf("last", s): v for s, v in last.items()}
        return evaluate([recalled], values)[recalled]

    def _check_declaration(self) -> None:
        # Names become attributes, file names and parts of generated code.
        if not (self.name == "<lambda>" or self.name.isidentifier()):
            raise ArgumentError("name", repr(self.name), "a Python name")
        for what, names in (("state", self.states), ("slot", self.slots)):
            for name in names:
                if not (isinstance(name, str) and name.isidentifier()):
                    raise ArgumentError(what, repr(name), "a Python name")
        if not self.states or self.states[0] != "h" or len(set(self.states)) != len(self.states):
            raise ArgumentError(
                "states", repr(self.states), 'different names, the first of them "h", the output'
            )
        if not self.slots:
            raise ArgumentError("slots", "none", 'at least one, e.g. new="xh"')
        for slot, feed in self.slots.items():
            if feed not in ("xh", "x", "h"):
                raise ArgumentError(slot, repr(feed), '"xh", "x" or "h"')
            if slot in self.states:
                raise ArgumentError(slot, "the name of a state", "a name of its own")
        for way in "xh":
            if not any(way in feed for feed in self.slots.values()):
                raise ArgumentError("slots", repr(self.slots), f"at least one slot fed by {way}")

    def _check_result(
        self, result: Any
    ) -> tuple[dict[str, Expression], dict[str, Expression], Mapping[str, Expression]]:
        wanted = "two dicts: the new states, and the stored value of each slot"
        if not (isinstance(result, tuple) and len(result) in (2, 3)):
            raise ArgumentError("return value", type(result).__name__, wanted)
        states, stored, second = (*result, {})[:3]
        for what, given, names in (("states", states, self.states), ("gates", stored, self.slots)):
            if not isinstance(given, Mapping) or set(given) != set(names):
                came = sorted(given) if isinstance(given, Mapping) else type(given).__name__
                raise ArgumentError(what, str(came), f"a value for each of {', '.join(names)}")
            for name, e in given.items():
                _check_value(f"{what}[{name!r}]", e)
        # The order of storage is the slots' own: what the products fill, the gates overwrite.
        return {s: states[s] for s in self.states}, {s: stored[s] for s in self.slots}, second

    def _check_second(self, second: Any) -> Expression | None:
        """The operand of the second product, if there is one; what it allows is checked here."""
        if not isinstance(second, Mapping) or not set(second) <= set(self.hidden_slots):
            came = sorted(second) if isinstance(second, Mapping) else type(second).__name__
            wanted = f"a dict: what slots fed by h ({', '.join(self.hidden_slots)}) take instead"
            raise ArgumentError("second product", str(came), wanted)
        if not second:
            return None
        if OPERAND in (*self.states, *self.slots):
            raise ArgumentError("states", repr(OPERAND), "another name in a cell of two products")
        operands = list(second.values())
        for slot, e in second.items():
            _check_value(f"second product[{slot!r}]", e)
        if any(e is not operands[0] for e in operands):
            raise ArgumentError("second product", f"{len(operands)} operands", "the same for all")
        late = {leaf("z", s) for s in second}
        early = {"second product": operands[0]}
        early |= {f"gates[{s!r}]": e for s, e in self.stored.items() if s not in second}
        for what, e in early.items():
            if depends_on(e, late):
                wanted = f"an expression without z.{', z.'.join(second)}, which come after it"
                raise ArgumentError(what, repr(e), wanted)
        if not depends_on(self.new_states["h"], late):
            wanted = f"an expression with z.{' or z.'.join(second)}, or else no second product"
            raise ArgumentError("states['h']", repr(self.new_states["h"]), wanted)
        operand: Expression = operands[0]
        return operand


def _check_value(what: str, e: Any) -> None:
    """Raises ArgumentError unless `e` is an expression that has a value."""
    if not isinstance(e, Expression):
        raise ArgumentError(what, type(e).__name__, "an expression")
    if is_comparison(e):
        wanted = "a value: select(a > b, 1.0, 0.0) makes one"
        raise ArgumentError(what, f"the comparison {e!r}", wanted)


def cell(*, states: tuple[str, ...] | str, **slots: Feed) -> Callable[[Equations], Cell]:
    """Make a cell of a function that writes its equations (decorator).

    `states` names the states, "h" first. Every other keyword is a slot, in the block order of the
    weights: "xh" is W x + b + U h + b', "x" only W x + b, "h" only U h + b'. The function receives
    `z`, with one attribute a slot, and `last`, with one a state, and returns two dicts: the new
    states, and for every slot the value to store in its place. Stored values are what a trace shows
    as gates and what the backward may read; everything else is recomputed.

        @mr.cell(states=("h",), forget="xh", new="xh")
        def minimal(z, last):
            f, n = sigmoid(z.forget), tanh(z.new)
            return {"h": f * last.h + (1 - f) * n}, {"forget": f, "new": n}

    A third dict makes some of the products with h come second: for the slots that it names, U h is
    computed from its value in the place of h, which is one expression, of the last states and the
    other slots. So the GRU whose reset gate acts before the product returns {"new": r * last.h} as
    well. The kernels take two steps where another cell takes one, and twice its time.

    Raises: ArgumentError that names the slot or state at fault.
    """
    if not isinstance(states, str | tuple | list):
        raise ArgumentError("states", repr(states), 'a tuple of names, "h" first')
    names = (states,) if isinstance(states, str) else tuple(states)

    def make(equations: Equations) -> Cell:
        try:
            parameters = str(inspect.signature(equations))
            fits = len(inspect.signature(equations).parameters) == 2
        except (TypeError, ValueError):  # not callable, or a built-in that tells nothing
            parameters, fits = repr(equations), False
        if not fits:
            raise ArgumentError("equations", parameters, "a function of (z, last)")
        name = getattr(equations, "__name__", type(equations).__name__)  # of a partial: its class
        return Cell(name, names, slots, equations)

    return make
