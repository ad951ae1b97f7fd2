"""RNN, GRU and LSTM in float64 that can be wrong in one place, on purpose.

A third writing of the equations (after `cells` and `kernels/reference`), compact, with a switch for
each thing that implementations get wrong. Without a fault it computes what the reference does; the
tests hold it to that. What is wrong in forward has the gradients that automatic differentiation
would give it; what is wrong in backward alone follows a right forward.

T time steps, B batch, I input size, H units; zx and zh are what the products with x and with h give
to the slots. Steps are told as forward visits them, from T-1 down in a reverse direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minirnn.kernels.contract import Array

if TYPE_CHECKING:
    from minirnn.testing.reference import Call

# φ(z), and φ'(z) told by y = φ(z).
ACTIVATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "tanh": (np.tanh, lambda y: 1 - y * y),
    "sigmoid": (lambda z: 0.5 + 0.5 * np.tanh(0.5 * z), lambda y: y * (1 - y)),
    "relu": (lambda z: np.where(z <= 0, 0.0, z), lambda y: np.where(y <= 0, 0.0, 1.0)),
    "identity": (lambda z: z, np.ones_like),
    "hard sigmoid (z/5 + 1/2)": (
        lambda z: np.clip(z / 5 + 0.5, 0, 1),
        lambda y: np.where((y > 0) & (y < 1), 0.2, 0.0),
    ),
    "hard sigmoid (z/6 + 1/2)": (
        lambda z: np.clip(z / 6 + 0.5, 0, 1),
        lambda y: np.where((y > 0) & (y < 1), 1 / 6, 0.0),
    ),
    "hard tanh": (lambda z: np.clip(z, -1, 1), lambda y: np.where(np.abs(y) < 1, 1.0, 0.0)),
    "softsign": (lambda z: z / (1 + np.abs(z)), lambda y: (1 - np.abs(y)) ** 2),
}


def rounded(array: Array, bits: int) -> Array:
    """To so many significant bits, ties to even."""
    mantissa, exponent = np.frexp(array)
    return np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)


class Forward(NamedTuple):
    """What is wrong in forward; the gradients are those of the wrong function."""

    activations: tuple[tuple[str, str], ...] = ()  # (slot, or "state": LSTM's of c; activation)
    reset: str = ""  # GRU: "before", "after", "ignored", or "bias outside" of r ∘ (U h + b)
    complement: bool = False  # GRU: h = u n + (1 - u) h
    forgotten: tuple[str, ...] = ()  # states that enter every step as 0
    no_initial: tuple[str, ...] = ()  # initial states taken as 0
    run_on: bool = False  # steps past a sequence's end count
    clean: bool = False  # … with x taken as 0 there
    padded_output: bool = False  # what h is past the end is handed out
    output: str = "h"  # or "c", or "entering": the h that a step begins with
    last: str = "last"  # or "one earlier", or "output[-1]"
    bits: int = 0  # significant ones of the h that products read; 0: all


class Backward(NamedTuple):
    """What is wrong in backward alone."""

    derivatives: tuple[tuple[str, str], ...] = ()  # (slot or "state", another's, or "none")
    cut: tuple[str, ...] = ()  # "U": h through its products; "c", "keep": the direct ways back
    no_forget: bool = False  # dc goes back whole, not f ∘ dc
    no_dc_from_h: bool = False  # dc without what comes through h_t = o φ(c_t)
    after: bool = False  # dz of forget (update) takes the state after the step for the one before
    transposed: bool = False  # dh goes back through U, not its transpose
    every: int = 0  # nothing goes back across each so many steps (0: everything does)
    from_end: bool = False  # … counted from the end
    no_reset: bool = False  # GRU: dq = dz_n, without r
    raw_doutput: bool = False  # doutput past a sequence's end counts
    ignored: tuple[str, ...] = ()  # "doutput", or the states whose dstate is


class Products(NamedTuple):
    """What is wrong in the products after the loop; `of` names the gradients concerned."""

    of: tuple[str, ...] = ()
    steps: str = "all"  # or "not first", "not last", "only first", "only last"
    h_after: bool = False  # dU takes the h after the step for the one before
    same_bias: bool = False  # GRU: the gradient of b_hh is a copy of that of b_ih
    initial: str = ""  # "total": dL/dh_0 is the total gradient at the first step


RIGHT_FORWARD, RIGHT_BACKWARD, RIGHT_PRODUCTS = Forward(), Backward(), Products()


@dataclass
class Steps:
    """What forward leaves for backward: all (T, B, H), `valid` (T, B, 1)."""

    order: list[int]
    read: Array  # the steps whose x is read
    valid: Array  # the steps that change a state
    shown: Array  # the steps whose output is handed out
    x: Array
    entering: dict[str, Array]
    states: dict[str, Array]
    gates: dict[str, Array]
    output: Array
    last: dict[str, Array]
    kept: dict[str, Array] = field(default_factory=dict)


class Faulty:
    """One call, run with faults; forward at once, backward when asked."""

    def __init__(self, call: Call, faults: Forward = RIGHT_FORWARD) -> None:
        self.call = call
        self.faults = faults
        cell = call.cell
        self.slots_x, self.slots_h = cell.input_slots, cell.hidden_slots
        if cell.name == "gru":  # q stands for itself here, wherever the reset gate acts
            self.slots_h = (*self.slots_h[:2], "recurrent_new")
        self.H = call.weights.weight_hh.shape[1]
        plain = cell.options.get("activation", cell.options.get("nonlinearity", "tanh"))
        self.phi = dict.fromkeys(self.slots_x, "sigmoid")
        self.phi |= {"new": plain, "state": plain}
        if cell.name == "lstm":
            self.phi["cell"] = plain
        self.phi |= dict(faults.activations)
        self.reset = faults.reset or cell.options.get("reset", "after")
        self.U = dict(
            zip(self.slots_h, np.split(call.weights.weight_hh, len(self.slots_h)), strict=True)
        )
        with np.errstate(all="ignore"):
            self.steps = self._forward()

    def value(self, slot: str, z: Array) -> Array:
        """φ(z) of a slot."""
        return ACTIVATIONS[self.phi[slot]][0](z)

    def slope(self, slot: str, y: Array, faults: Backward) -> Array:
        """φ'(z) of a slot, told by y; or what a fault takes for it."""
        name = dict(faults.derivatives).get(slot, self.phi[slot])
        return 1.0 if name == "none" else ACTIVATIONS[name][1](y)

    def _split(self, product: Array, slots: tuple[str, ...]) -> dict[str, Array]:
        return dict(zip(slots, np.split(product, len(slots), axis=-1), strict=True))

    def _forward(self) -> Steps:
        call, faults = self.call, self.faults
        T, B, _ = call.x.shape
        names = call.cell.states
        W, U, b, b_h = call.weights
        b, b_h = (0.0 if bias is None else bias for bias in (b, b_h))
        real = np.ones((T, B, 1), bool)
        if call.lengths is not None:
            real = (np.arange(T)[:, None] < call.lengths)[:, :, None]
        valid = np.ones_like(real) if faults.run_on else real
        read = valid if not faults.clean else real
        x = np.where(read, call.x, 0.0)
        order = list(range(T))[:: -1 if call.reverse else 1]
        last = {
            n: np.zeros_like(s) if n in faults.no_initial else s
            for n, s in zip(names, call.state, strict=True)
        }

        def blank(*names: str) -> dict[str, Array]:
            return {name: np.zeros((T, B, self.H)) for name in names}

        entering, states = blank(*names), blank(*names)
        gates = blank(*dict.fromkeys((*self.slots_x, *self.slots_h)))
        from_x = x @ W.T + b
        for t in order:
            enters = {n: 0 * s if n in faults.forgotten else s for n, s in last.items()}
            zx = self._split(from_x[t], self.slots_x)
            read_h = rounded(enters["h"], faults.bits) if faults.bits else enters["h"]
            zh = self._split(read_h @ U.T + b_h, self.slots_h)
            stored, new = self._step(zx, zh, enters)
            for name, gate in stored.items():
                gates[name][t] = gate
            for n in names:
                entering[n][t] = enters[n]
                last[n] = np.where(valid[t], new[n], last[n])
                states[n][t] = last[n]
        shown = np.ones_like(real) if faults.padded_output else real
        given = {"h": states["h"], "c": states.get("c"), "entering": entering["h"]}
        output = np.where(shown, given[faults.output], 0.0)
        final = dict(last)
        if T and faults.last == "one earlier":
            at = self.last_steps(valid, order)
            final = {n: entering[n][at, np.arange(B)] for n in names}
        elif T and faults.last == "output[-1]":
            final = {n: np.where(shown[-1], states[n][-1], 0.0) for n in names}
        return Steps(order, read, valid, shown, x, entering, states, gates, output, final)

    @staticmethod
    def last_steps(valid: Array, order: list[int]) -> Array:
        """(B,) the step that forward visits last, of each sequence; T-1 or 0 if it has none."""
        backwards = order[::-1]
        return np.asarray(backwards)[valid[backwards, :, 0].argmax(axis=0)]

    def _step(
        self, zx: dict[str, Array], zh: dict[str, Array], last: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """What each slot stores, and the new states."""
        cell = self.call.cell.name
        if cell == "rnn":
            new = self.value("new", zx["new"] + zh["new"])
            return {"new": new}, {"h": new}
        if cell == "lstm":
            i, f, g, o = (self.value(s, zx[s] + zh[s]) for s in self.slots_x)
            c = f * last["c"] + i * g
            h = o * self.value("state", c)
            return dict(zip(self.slots_x, (i, f, g, o), strict=True)), {"h": h, "c": c}
        r, u = (self.value(s, zx[s] + zh[s]) for s in ("reset", "update"))
        q = zh["recurrent_new"]
        if self.reset == "before":  # q = U_n (r ∘ h) + b: what zh has for r = 1, and the rest
            q = q + ((r - 1) * last["h"]) @ self.U["recurrent_new"].T
        inside = self.bias_of("recurrent_new") if self.reset == "bias outside" else 0.0
        scaled = r * (q - inside) + inside if self.reset in ("after", "bias outside") else q
        n = self.value("new", zx["new"] + scaled)
        a, k = (u, 1 - u) if self.faults.complement else (1 - u, u)
        return {"reset": r, "update": u, "new": n, "recurrent_new": q}, {"h": a * n + k * last["h"]}

    def bias_of(self, slot: str) -> Array:
        """The part of bias_hh for a slot, 0.0 without one."""
        bias = self.call.weights.bias_hh
        k = self.slots_h.index(slot)
        return 0.0 if bias is None else bias[k * self.H : (k + 1) * self.H]

    def forward_arrays(self) -> dict[str, Array]:
        """The arrays of forward, named as the reference's."""
        steps, slots = self.steps, self.call.cell.slots
        named = {"output": steps.output}
        named |= {f"state.{n}": s for n, s in steps.last.items()}
        gates = {n: g for n, g in steps.gates.items() if n in slots}
        named |= {f"gates.{n}": np.where(steps.valid, g, 0.0) for n, g in gates.items()}
        named |= {f"states.{n}": np.where(steps.valid, s, 0.0) for n, s in steps.states.items()}
        return named
