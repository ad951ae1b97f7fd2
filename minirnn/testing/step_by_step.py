"""Comparing networks with large gains: every step from the other kernel's own values.

In a chaotic network a rounding error doubles every few steps, and two correct kernels part company.
One step, though, is as exact as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.inspect.host import on_host
from minirnn.kernels import reference as kernels
from minirnn.kernels.contract import Array, Gradients, Needs, Record, Weights
from minirnn.kernels.reference.sequence import time_order, valid_steps
from minirnn.testing.reference import ReferenceRun, built_in, initial_state, reference, widen

if TYPE_CHECKING:
    from minirnn.kernels.cells.cell import Cell

__all__ = ["reference_step_by_step"]


def reference_step_by_step(
    cell: Cell | str,
    x: Any,
    state: Sequence[Any] | None,
    weights: Sequence[Any],
    record: Record,
    *,
    lengths: Any = None,
    reverse: bool = False,
    doutput: Any = None,
    dstate: Sequence[Any] | None = None,
) -> ReferenceRun:
    """What the reference makes of each step when it starts from another kernel's values.

    Step t starts from the state that `record`, the other kernel's after its backward, has before
    it; its backward takes the gates and states that `record` has, and the total gradient at it; and
    dx, the gradients of the weights and those of the biases are products and sums of its dz. The
    other arguments are those of :func:`minirnn.testing.reference`, and so is the result, whose
    tolerances are those of single steps.

    Raises: as `reference`; ArgumentError for a record without gradients, or without every gate.
    """
    cell = built_in(cell)
    if record.grad_states is None or record.grad_slots is None:
        raise ArgumentError("record", "no gradients", "a record taken after backward")
    held = record.gates.keys() & record.grad_slots.keys()
    lacking = [slot for slot in cell.slots if slot not in held]
    if lacking:
        raise ArgumentError("record", f"nothing for {', '.join(lacking)}", "a value of every slot")
    arguments = {"lengths": lengths, "reverse": reverse, "doutput": doutput, "dstate": dstate}
    whole = reference(cell, x, state, weights, **arguments)  # checks, and what takes no steps
    T, B = whole.output.shape[:2]
    valid = valid_steps(T, B, None if lengths is None else on_host(lengths))
    if not valid.any():
        return whole
    rows = valid[:, :, 0]
    order = time_order(T, reverse)
    x = widen("x", x)
    initial = initial_state(cell, x, state, Weights(*weights))

    def over_time(values: Array) -> Array:
        """(1, rows, F) as (T, B, F), zero past a sequence's end."""
        array = np.zeros((T, B, values.shape[-1]))
        array[rows] = values[0]
        return array

    # The states that enter each step: those that the record has after the step before.
    entering = []
    for name, last in zip(cell.states, initial, strict=True):
        after, enters = widen(name, record.states[name]), np.zeros_like(whole.output)
        for t in order:
            enters[t] = last
            last = np.where(valid[t], after[t], last)
        entering.append(enters[rows])

    # Every step of every sequence, as a batch of sequences of one step.
    step = reference(cell, x[rows][None], entering, weights)
    widened = Weights(*map(widen, Weights._fields, weights))
    own_gates = {slot: widen(slot, record.gates[slot])[rows][None] for slot in cell.slots}
    own_states = {name: widen(name, record.states[name])[rows][None] for name in cell.states}

    def backward(*incoming: Array | None) -> tuple[Gradients, Record]:
        _, _, tape = kernels.forward(cell, x[rows][None], tuple(entering), widened, keep="record")
        assert tape is not None
        tape.gates, tape.states = own_gates, own_states
        return kernels.backward(cell, None, incoming, tape, needs=Needs()), tape.record()

    # A record has total gradients. What reaches c from outside the step is its total less what h
    # alone sends there within the step (LSTM: through h = o ∘ tanh(c)).
    totals = [widen(name, record.grad_states[name])[rows] for name in cell.states]
    within = backward(totals[0], *(None for _ in totals[1:]))[1].grad_states or {}
    others = zip(cell.states[1:], totals[1:], strict=True)
    leaves, seen = backward(totals[0], *(total - within[name][0] for name, total in others))

    # What leaves a step towards the past is what arrives, from the future, at the step before.
    direct = np.zeros_like(whole.output) if doutput is None else widen("doutput", doutput)
    grad_states, grad_initial = {}, []
    for k, name in enumerate(cell.states):
        here = direct if name == "h" else over_time(within[name])
        leaving = over_time((leaves.state or ())[k][None])
        dlast = None if dstate is None else widen("dstate", dstate[k])
        arriving = np.zeros(whole.output.shape[1:]) if dlast is None else dlast
        total = np.zeros_like(whole.output)
        for t in reversed(order):
            total[t] = np.where(valid[t], here[t] + arriving, 0.0)
            arriving = np.where(valid[t], leaving[t], arriving)
        grad_states[name] = total
        grad_initial.append(arriving)

    final = []
    states = {name: over_time(after) for name, after in step.record.states.items()}
    for name, last in zip(cell.states, initial, strict=True):
        for t in order:
            last = np.where(valid[t], states[name][t], last)
        final.append(last)
    given = {slot: widen(slot, dz)[rows] for slot, dz in record.grad_slots.items()}
    dz_x, dz_h = (
        np.concatenate([given[slot] for slot in slots], axis=1)
        for slots in (cell.input_slots, cell.hidden_slots)
    )
    taken = dict.fromkeys(cell.hidden_slots, entering[0])
    if cell.second_slots:  # GRU with the reset gate before the product
        reset = own_gates["reset"][0]
        taken |= dict.fromkeys(cell.second_slots, reset * entering[0])
    dx, gradients, sums = _products(dz_x, dz_h, x[rows], list(taken.values()), widened)
    slots = seen.grad_slots or {}
    largest = [np.abs(dz).max(initial=0.0) for dz in (*slots.values(), *totals)]
    D = step.magnitudes["S"] * max(*largest, sums["dz W_hh"])
    return replace(
        step,
        output=states["h"],
        state=tuple(final),
        gradients=gradients._replace(x=over_time(dx[None]), state=tuple(grad_initial)),
        magnitudes={**step.magnitudes, "D": float(D), **sums},
        record=Record(
            gates={slot: over_time(gate) for slot, gate in step.record.gates.items()},
            states=states,
            grad_states=grad_states,
            grad_slots={slot: over_time(dz) for slot, dz in slots.items()},
            grad_direct=whole.record.grad_direct,
        ),
        whole_run=False,
        call=None,
    )


def _products(
    dz_x: Array, dz_h: Array, x: Array, taken: Sequence[Array], weights: Weights
) -> tuple[Array, Gradients, dict[str, float]]:
    """dx (N, I), the gradients of the parameters, and the scale of each: what was added up.

    dz_x (N, Gi H) and dz_h (N, Gh H) are dL/dz of the slots fed by x (N, I) and by h, of N steps
    that count; `taken` (N, H) for each of the latter is h, or what its product takes instead.
    """
    factors = {
        "grad.x": (dz_x, weights.weight_ih),
        "grad.weight_ih": (dz_x.T, x),
        "grad.bias_ih": (dz_x.T, np.ones(len(x))),
        "grad.bias_hh": (dz_h.T, np.ones(len(x))),
    }
    sums = {
        name: float((np.abs(a) @ np.abs(b)).max(initial=0.0))
        for name, (a, b) in {**factors, "dz W_hh": (dz_h, weights.weight_hh)}.items()
    }
    dx, dW_ih, db_ih, db_hh = (a @ b for a, b in factors.values())
    blocks = list(zip(np.split(dz_h, len(taken), axis=1), taken, strict=True))
    dW_hh = np.concatenate([dz.T @ h for dz, h in blocks])
    sums["grad.weight_hh"] = max(
        float((np.abs(dz.T) @ np.abs(h)).max(initial=0.0)) for dz, h in blocks
    )
    gradients = Gradients(
        None,
        None,
        dW_ih,
        dW_hh,
        None if weights.bias_ih is None else db_ih,
        None if weights.bias_hh is None else db_hh,
    )
    return dx, gradients, sums
