"""The fast twin of the reference: the CPU kernels in float64, verified by the reference each time.

The plain loop over time is slow at thousands of steps or units. The kernels compute the same in
float64 with every core, and their result stands for the reference's where these agree, which every
call finds out anew:

* Of `STEPS` steps of single sequences, drawn at random, and among them first and last ones: every
  gate and state is what the reference makes of the state and the x that enter the step; dz of every
  slot, dx and the gradients that leave the step are what the reference makes of those that arrive.
  The total gradient at the step before is that which leaves, and doutput there; at a last step
  dstate; before a first step it is the gradient of the initial state.
* Of `ROWS` rows of each weight's gradient, drawn at random: the sum over all steps and sequences of
  dz times x, or h, by NumPy. Of the biases' gradients: all.
* Of output and last states: all, as copies of the states. What stands past a sequence's end: all,
  as zeros.

What enters a step is the twin's own, as in `reference_step_by_step`: where every step is right, the
whole is, as far as any float64 run can be. The bounds are those of single steps in
`minirnn.testing.tolerances`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minirnn.errors import MinirnnError
from minirnn.kernels import cpu
from minirnn.kernels import reference as by_hand
from minirnn.kernels.contract import Array, Gradients, Needs, Record
from minirnn.kernels.reference.sequence import before, valid_steps
from minirnn.testing.tolerances import Sizes, bound, magnitudes_of, scale, terms

if TYPE_CHECKING:
    from minirnn.testing.reference import Call

__all__ = ["STEPS", "TwinDisagreesError", "Verified", "run_twin"]

STEPS, ROWS = 128, 16


class TwinDisagreesError(MinirnnError, AssertionError):
    """The fast twin's values are not the reference's: take the reference, and tell us.

    Attributes: `array`, `excess` (how many times the allowed difference).
    """

    def __init__(self, array: str, excess: float) -> None:
        self.array = array
        self.excess = excess
        super().__init__(array, excess)

    def __str__(self) -> str:
        return (
            f"the fast twin's {self.array} differs from the reference by {self.excess:.3g} times "
            f"the allowed difference; fast=False runs the reference itself"
        )


@dataclass(frozen=True)
class Verified:
    """What of a twin's run was compared with the reference.

    steps   how many steps of single sequences, of how many (`of`)
    rows    of each weight's gradient
    worst   the largest difference, as a share of the allowed one
    array   where that was
    """

    steps: int
    of: int
    rows: int
    worst: float
    array: str


class Run(NamedTuple):
    """What kernels made of a call; as `kernels.contract` has it."""

    output: Array
    state: tuple[Array, ...]
    gradients: Gradients
    record: Record


def run_twin(call: Call) -> tuple[Run, Verified]:
    """Forward and backward by the CPU kernels, verified.

    Raises: TwinDisagreesError; and what the kernels raise.
    """
    run = run_kernels(call)
    # Other places for other data, and the same for the same.
    seed = zlib.crc32(call.x[:1].tobytes())
    return run, _Verification(call, run, seed).run()


def run_kernels(call: Call) -> Run:
    """Forward and backward by the CPU kernels."""
    output, state, tape = cpu.forward(
        call.cell, call.x, call.state, call.weights,
        lengths=call.lengths, keep="record", reverse=call.reverse,
    )  # fmt: skip
    # Backward may overwrite what the tape holds.
    output, state = output.copy(), tuple(s.copy() for s in state)
    assert tape is not None
    gradients = cpu.backward(call.cell, call.doutput, call.dstate, tape, needs=Needs())
    return Run(output, state, gradients, tape.record())


class _Verification:
    """The comparison of one run with the reference, at random places."""

    def __init__(self, call: Call, run: Run, seed: int) -> None:
        self.call = call
        self.output, self.state, self.gradients, self.record = run
        self.rng = np.random.default_rng(seed)
        T, B, _ = call.x.shape
        self.valid = valid_steps(T, B, call.lengths)[:, :, 0]
        self.worst, self.array = 0.0, "output"

    def check(self, name: str, found: Array, wanted: Array, allowed: float) -> None:
        """Raises: TwinDisagreesError."""
        with np.errstate(all="ignore"):
            ratio = (
                np.abs(found - wanted) / allowed
                if allowed
                else np.where(found == wanted, 0.0, np.inf)
            )
        same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
        worst = float(
            np.where(same, 0.0, np.where(np.isnan(ratio), np.inf, ratio)).max(initial=0.0)
        )
        if worst > 1.0:
            raise TwinDisagreesError(name, worst)
        if worst > self.worst:
            self.worst, self.array = worst, name

    def run(self) -> Verified:
        self._copies()
        count = int(self.valid.sum())
        at = self._drawn() if count else ((), ())
        if count:
            self._steps(*at)
        self._products()
        return Verified(len(at[0]), count, ROWS, self.worst, self.array)

    def _copies(self) -> None:
        """What is a copy or zero, everywhere."""
        states, past = self.record.states, ~self.valid
        self.check("output", self.output, states["h"], 0.0)
        ends = self._ends()
        B = range(self.output.shape[1])
        for name, last, initial in zip(
            self.call.cell.states, self.state, self.call.state, strict=True
        ):
            for b in B:
                t = ends[1][b]
                self.check(
                    f"state.{name}", last[b], initial[b] if t < 0 else states[name][t, b], 0.0
                )
        groups = (self.record.gates, states, self.record.grad_slots, self.record.grad_states)
        for group in groups:
            for name, array in (group or {}).items():
                self.check(f"{name} past a sequence's end", array[past], 0 * array[past], 0.0)
        dx = self.gradients.x
        assert dx is not None
        self.check("grad.x past a sequence's end", dx[past], np.zeros_like(dx[past]), 0.0)

    def _ends(self) -> tuple[Array, Array]:
        """(B,) the step at which forward begins, and at which it ends; -1 for no step."""
        T, B = self.valid.shape
        lengths = np.full(B, T) if self.call.lengths is None else np.asarray(self.call.lengths)
        zero = np.where(lengths > 0, 0, -1)
        return (lengths - 1, zero) if self.call.reverse else (zero, lengths - 1)

    def _drawn(self) -> tuple[Array, Array]:
        """Steps and sequences to look at: some at the ends of sequences, the others anywhere."""
        first, last = self._ends()
        sequences = np.flatnonzero(first >= 0)
        ends = self.rng.choice(sequences, min(len(sequences), STEPS // 8), replace=False)
        places = [*zip(first[ends], ends, strict=True), *zip(last[ends], ends, strict=True)]
        everywhere = np.argwhere(self.valid)
        count = min(len(everywhere), STEPS)
        places += [tuple(p) for p in self.rng.choice(everywhere, count, replace=False)]
        t, b = np.unique(np.array(places), axis=0).T
        return t, b

    def _steps(self, t: Array, b: Array) -> None:
        call, record, names = self.call, self.record, self.call.cell.states
        entering = tuple(
            before(record.states[n], s, call.reverse)[t, b]
            for n, s in zip(names, call.state, strict=True)
        )
        # A sequence that begins late in time, in reverse, is entered by its initial state.
        starts = t == self._ends()[0][b]
        entering = tuple(
            np.where(starts[:, None], s[b], e) for e, s in zip(entering, call.state, strict=True)
        )
        x = call.x[t, b][None]

        def step(*arriving: Array | None) -> tuple[Record, Gradients]:
            _, _, tape = by_hand.forward(call.cell, x, entering, call.weights, keep="record")
            assert tape is not None
            gradients = by_hand.backward(call.cell, None, arriving, tape, needs=Needs())
            return tape.record(), gradients

        # A record has total gradients; what reaches c through h is made within the step.
        totals = [(record.grad_states or {})[n][t, b] for n in names]
        inside, _ = step(totals[0], *(None for _ in totals[1:]))
        within = [(inside.grad_states or {})[n][0] for n in names[1:]]
        from_outside = [total - part for total, part in zip(totals[1:], within, strict=True)]
        wanted, leaving = step(totals[0], *from_outside)

        H, I = call.weights.weight_hh.shape[1], call.x.shape[2]  # noqa: E741
        cell = call.cell
        Gi, Gh = len(cell.input_slots), len(cell.hidden_slots)
        sizes = Sizes(1, len(t), I, H, Gi, Gh, products=2 if cell.second_slots else 1)
        sums = magnitudes_of(cell.hidden_slots, x, entering, call.weights, wanted)

        def allowed(name: str) -> float:
            return bound(np.float64, terms(name, sizes), scale(name, sums))

        for slot, gate in wanted.gates.items():
            self.check(f"gates.{slot}", record.gates[slot][t, b], gate[0], allowed("gates"))
        for n in names:
            self.check(
                f"states.{n}", record.states[n][t, b], wanted.states[n][0], allowed("states")
            )
        for slot, dz in (wanted.grad_slots or {}).items():
            found = (record.grad_slots or {})[slot][t, b]
            self.check(f"grad_slots.{slot}", found, dz[0], allowed("grad_slots"))
        assert leaving.x is not None
        assert self.gradients.x is not None
        self.check("grad.x", self.gradients.x[t, b], leaving.x[0], allowed("grad.x"))
        self._arrivals(t, b, leaving, allowed("grad_states"))

    def _arrivals(self, t: Array, b: Array, leaving: Gradients, allowed: float) -> None:
        """What leaves a step is what the step before has, but for what comes from outside there."""
        call, names = self.call, self.call.cell.states
        first, last = (ends[b] for ends in self._ends())
        earlier = t + (1 if call.reverse else -1)
        starts = t == first
        direct = np.zeros((len(t), self.output.shape[2]))
        if call.doutput is not None:
            direct[~starts] = call.doutput[earlier[~starts], b[~starts]]
        for k, n in enumerate(names):
            total = (self.record.grad_states or {})[n]
            out = (leaving.state or ())[k]
            assert self.gradients.state is not None
            initial = self.gradients.state[k]
            self.check(f"grad.state.{n}", initial[b[starts]], out[starts], allowed)
            inner = ~starts
            at = earlier[inner], b[inner]
            if n == "h":
                self.check("grad_states.h", total[at], out[inner] + direct[inner], allowed)
            else:
                # At the step before, what h sends to this state comes on top: by difference.
                h_alone = self._from_h(*at)[k]
                self.check(f"grad_states.{n}", total[at], out[inner] + h_alone, allowed)
        ends = t == last
        arrives = [None] * len(names) if call.dstate is None else call.dstate
        for k, n in enumerate(names):
            given = arrives[k]
            here = np.zeros((int(ends.sum()), direct.shape[1])) if given is None else given[b[ends]]
            at = t[ends], b[ends]
            if n == "h":
                here = here + (0.0 if call.doutput is None else call.doutput[at])
            else:
                here = here + self._from_h(*at)[k]
            self.check(f"grad_states.{n}", (self.record.grad_states or {})[n][at], here, allowed)

    def _from_h(self, t: Array, b: Array) -> list[Array]:
        """At those steps, the part of each state's total gradient that h sends within the step."""
        call, record, names = self.call, self.record, self.call.cell.states
        if not len(t):
            return [np.zeros((0, self.output.shape[2])) for _ in names]
        starts = (t == self._ends()[0][b])[:, None]
        entering = tuple(
            np.where(starts, s[b], before(record.states[n], s, call.reverse)[t, b])
            for n, s in zip(names, call.state, strict=True)
        )
        x = call.x[t, b][None]
        _, _, tape = by_hand.forward(call.cell, x, entering, call.weights, keep="record")
        assert tape is not None
        total = (record.grad_states or {})["h"][t, b]
        by_hand.backward(call.cell, None, (total, *(None for _ in names[1:])), tape, needs=Needs())
        return [(tape.record().grad_states or {})[n][0] for n in names]

    def _products(self) -> None:
        """Rows of the weights' gradients, and all of the biases'."""
        call, record = self.call, self.record
        cell, weights = call.cell, call.weights
        T, B, _ = call.x.shape
        H, grad_slots = weights.weight_hh.shape[1], record.grad_slots or {}
        x = np.where(self.valid[:, :, None], call.x, 0.0)
        h = before(record.states["h"], call.state[0], call.reverse).copy()
        first, _ = self._ends()
        some = np.flatnonzero(first >= 0)
        h[first[some], some] = call.state[0][some]
        h = np.where(self.valid[:, :, None], h, 0.0)
        for way, slots, fed in (("ih", cell.input_slots, x), ("hh", cell.hidden_slots, h)):
            found = getattr(self.gradients, f"weight_{way}")
            bias = getattr(self.gradients, f"bias_{way}")
            rows = np.unique(self.rng.integers(0, len(slots) * H, ROWS))
            second = cell.second_slots if way == "hh" else ()  # whose product takes r ∘ h
            of_reset = np.array([slots[row // H] in second for row in rows])
            for chosen in (rows[~of_reset], rows[of_reset]):
                if not chosen.size:
                    continue
                by_reset = slots[chosen[0] // H] in second
                taken = fed * record.gates["reset"] if by_reset else fed
                flat = taken.reshape(T * B, taken.shape[2])
                dz = np.stack([grad_slots[slots[r // H]][:, :, r % H] for r in chosen])
                dz = dz.reshape(len(chosen), T * B)
                sums = float((np.abs(dz) @ np.abs(flat)).max(initial=0.0))
                allowed = bound(np.float64, max(1, T * B), sums)
                self.check(f"grad.weight_{way}", found[chosen], dz @ flat, allowed)
            if bias is None:
                continue
            for k, slot in enumerate(slots):
                dz = grad_slots[slot]
                sums = float(np.abs(dz).sum(axis=(0, 1)).max(initial=0.0))
                allowed = bound(np.float64, max(1, T * B), sums)
                part = bias[k * H : (k + 1) * H]
                self.check(f"grad.bias_{way}", part, dz.sum(axis=(0, 1)), allowed)
