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
from minirnn.kernels.contract import Array, Record, Weights
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
    it; its backward starts from the total gradient that `record` has at it. The other arguments
    are those of :func:`minirnn.testing.reference`, and so is the result, whose tolerances are those
    of single steps.

    Raises: as `reference`; ArgumentError for a record without gradients.
    """
    cell = built_in(cell)
    if record.grad_states is None:
        raise ArgumentError("record", "no gradients", "a record taken after backward")
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
    def one_step(*incoming: Array | None) -> ReferenceRun:
        return reference(cell, x[rows][None], entering, weights, dstate=incoming)

    # A record has total gradients. What reaches c from outside the step is its total less what h
    # alone sends there within the step (LSTM: through h = o ∘ tanh(c)).
    totals = [widen(name, record.grad_states[name])[rows] for name in cell.states]
    within = one_step(totals[0], *(None for _ in totals[1:])).record.grad_states or {}
    others = zip(cell.states[1:], totals[1:], strict=True)
    step = one_step(totals[0], *(total - within[name][0] for name, total in others))

    # What leaves a step towards the past is what arrives, from the future, at the step before.
    direct = np.zeros_like(whole.output) if doutput is None else widen("doutput", doutput)
    grad_states, grad_initial = {}, []
    for k, name in enumerate(cell.states):
        here = direct if name == "h" else over_time(within[name])
        leaving = over_time((step.gradients.state or ())[k][None])
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
    dx = step.gradients.x
    assert dx is not None
    slots = step.record.grad_slots or {}
    return replace(
        step,
        output=states["h"],
        state=tuple(final),
        gradients=step.gradients._replace(x=over_time(dx), state=tuple(grad_initial)),
        record=Record(
            gates={slot: over_time(gate) for slot, gate in step.record.gates.items()},
            states=states,
            grad_states=grad_states,
            grad_slots={slot: over_time(dz) for slot, dz in slots.items()},
            grad_direct=whole.record.grad_direct,
        ),
        whole_run=False,
    )
