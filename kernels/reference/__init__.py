"""The reference: RNN, GRU and LSTM by hand, and the specification of every other kernel set.

Read `lstm.py` beside `cells/lstm.py`: the same equations, here with a plain loop over time and with
backpropagation through time derived on paper. Nothing here is shared with what it checks: the
activations, the loop, the gradients and the handling of `lengths` are all written a second time.

    activations.py   values and derivatives, analytic, so that complex arguments work
    rnn.py, gru.py, gru_before.py, lstm.py   one cell each: the equations over time, then their
                     gradients
    sequence.py      order of time, what is past a sequence's end, the tape, the products' gradients

Arrays are float64, or complex128 for complex-step differentiation: with x + i·s in place of x, for
a real s of 1e-30, Im(L)/s is dL/dx to the last digit, because nothing is subtracted. (relu is only
piecewise analytic; away from its kink that makes no difference.)

What the reference says about `lengths` and `reverse`, which every kernel set must repeat: a step at
or past a sequence's length changes no state, gives zero output and takes no gradient, whatever x
and doutput hold there (NaN included), in either direction. So a reverse pass carries the initial
state through the padding and starts at the last valid step.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from minirnn.errors import ArgumentError, TapeError
from minirnn.kernels.contract import Array, Gradients, Keep, Needs, Weights, check_call
from minirnn.kernels.reference import gru, gru_before, lstm, rnn
from minirnn.kernels.reference.sequence import (
    ReferenceTape,
    before,
    check_gradient,
    gradients_of_products,
    time_order,
    valid_steps,
)

if TYPE_CHECKING:
    from minirnn.kernels.cells.cell import Cell

__all__ = ["backward", "forward"]

_DTYPES = (np.dtype(np.float64), np.dtype(np.complex128))
_EQUATIONS: dict[str, ModuleType] = {
    "rnn": rnn,
    "gru": gru,
    "gru reset before": gru_before,
    "lstm": lstm,
}


def forward(
    cell: Cell,
    x: Array,
    state: Sequence[Array],
    weights: Weights,
    *,
    lengths: Array | None = None,
    keep: Keep = "nothing",
    reverse: bool = False,
) -> tuple[Array, tuple[Array, ...], ReferenceTape | None]:
    """Run a built-in cell over a sequence, as `kernels.contract` says.

    x (T, B, I), float64 or complex128. Returns output (T, B, H), the last states (B, H) each, and
    a tape, or None for `keep="nothing"`.

    Raises: ArgumentError for a cell that the reference does not know by hand; ShapeError,
    DTypeError or ArgumentError for arguments that break the contract.
    """
    equations, options = _equations(cell)
    T, B, _, _ = check_call(cell, x, state, weights, lengths, keep, dtypes=_DTYPES)
    valid = valid_steps(T, B, lengths)
    order = time_order(T, reverse)
    x = np.where(valid, x, 0)  # what stands past a sequence's end is nobody's input
    state = tuple(np.array(initial) for initial in state)

    gates, states = equations.forward(x, state, weights, valid, order, **options)

    output = np.where(valid, states["h"], 0)
    last = tuple(
        states[name][order[-1]].copy() if T else initial.copy()
        for name, initial in zip(equations.STATES, state, strict=True)
    )
    if keep == "nothing":
        return output, last, None
    return output, last, ReferenceTape(keep, reverse, valid, x, state, weights, gates, states)


def backward(
    cell: Cell,
    doutput: Array | None,
    dstate: Sequence[Array | None] | None,
    tape: ReferenceTape,
    *,
    needs: Needs,
) -> Gradients:
    """Backpropagate through time, as `kernels.contract` says.

    doutput (T, B, H) is the loss's gradient with respect to the output, dstate holds (B, H) with
    respect to each last state; None stands for zero. The loss is a real function of real arrays;
    complex arrays follow the same formulas, without conjugation.

    Raises: ShapeError or DTypeError for gradients that do not fit; TapeError for a tape that was
    used before.
    """
    equations, options = _equations(cell)
    if tape.used:
        raise TapeError("this tape has served its backward: it is good for one")
    T, B, _ = tape.x.shape
    H = tape.weights.weight_hh.shape[1]
    dtype = tape.x.dtype
    order = time_order(T, tape.reverse)

    doutput = check_gradient("doutput", doutput, (T, B, H), dtype)
    doutput = np.where(tape.valid, doutput, 0)  # nor is what stands there anybody's output
    if dstate is None:
        dstate = (None,) * len(equations.STATES)
    if len(dstate) != len(equations.STATES):
        raise ArgumentError("dstate", f"{len(dstate)} array(s)", f"{len(equations.STATES)}")
    dlast = tuple(
        check_gradient(f"dstate {name!r}", gradient, (B, H), dtype)
        for name, gradient in zip(equations.STATES, dstate, strict=True)
    )

    tape.used = True
    dz, dstates, dinitial = equations.backward(doutput, dlast, tape, order, **options)
    # What the equations made of a step past a sequence's end is void.
    dz = {slot: np.where(tape.valid, gradient, 0) for slot, gradient in dz.items()}
    dstates = {name: np.where(tape.valid, gradient, 0) for name, gradient in dstates.items()}

    if tape.keep == "record":
        tape.remember(dz, dstates, doutput, dlast[0], order)
    dz_x = np.concatenate([dz[slot] for slot in equations.INPUT_SLOTS], axis=2)
    dz_h = np.concatenate([dz[slot] for slot in equations.HIDDEN_SLOTS], axis=2)
    h_before = before(tape.states["h"], tape.state[0], tape.reverse)
    taken = [h_before] * len(equations.HIDDEN_SLOTS)
    if equations is gru_before:  # not every product takes h itself
        by_slot = gru_before.operands(tape.gates, h_before)
        taken = [by_slot[slot] for slot in equations.HIDDEN_SLOTS]
    return gradients_of_products(dz_x, dz_h, dinitial, taken, tape, order, needs)


def _equations(cell: Cell) -> tuple[ModuleType, dict[str, str]]:
    """The module that writes this cell by hand, and the options that its functions take."""
    options = dict(cell.options)
    variant = f" reset {options.pop('reset')}" if "reset" in options else ""
    equations = _EQUATIONS.get(cell.name + variant)
    if equations is None or (
        tuple(cell.states) != equations.STATES
        or tuple(cell.input_slots) != equations.INPUT_SLOTS
        or tuple(cell.hidden_slots) != equations.HIDDEN_SLOTS
        or cell.second_slots != (("new",) if equations is gru_before else ())
    ):
        raise ArgumentError(
            "cell",
            f"{cell.name!r} with states {tuple(cell.states)} and slots {dict(cell.slots)}",
            f"one that is written by hand: {', '.join(_EQUATIONS)}",
            "The reference holds no cells of your own; check those with gradcheck",
        )
    return equations, options
