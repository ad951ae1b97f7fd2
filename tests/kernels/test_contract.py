"""What every kernel set refuses, and how: typed errors that name the argument."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from kernel_cases import CELLS, Case, random_case

from minirnn.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    MinirnnError,
    ShapeError,
    TapeError,
    TraceError,
)
from minirnn.kernels import cells, cpu, kernel_set, reference
from minirnn.kernels.contract import Needs

every_kernel = pytest.mark.parametrize("kernels", ["reference", "cpu", "cuda"], indirect=True)


def the_case() -> Case:
    """An LSTM with T 5, B 3, I 4, H 3."""
    return random_case(CELLS["lstm-tanh"])


def with_weight(field: str, change: Any) -> Any:
    def broken(case: Case) -> Case:
        array = getattr(case.weights, field)
        return replace(case, weights=case.weights._replace(**{field: change(array)}))

    return broken


def with_state(change: Any) -> Any:
    return lambda case: replace(case, state=change(case.state))


BAD_FORWARDS: dict[str, tuple[Any, type[MinirnnError], str]] = {
    "x-of-rank-2": (lambda c: replace(c, x=c.x[:, 0]), ShapeError, "x: "),
    "x-of-another-width": (lambda c: replace(c, x=c.x[:, :, :2]), ShapeError, "x: "),
    "no-sequences": (lambda c: replace(c, x=c.x[:, :0]), ShapeError, "x: "),
    "x-of-integers": (lambda c: replace(c, x=c.x.astype(int)), DTypeError, "x: "),
    "x-of-half-precision": (lambda c: replace(c, x=c.x.astype("f2")), DTypeError, "x: "),
    "weight-of-another-dtype": (
        with_weight("weight_hh", lambda w: w.astype("f4")), DTypeError, "weight_hh: ",
    ),
    "weight-of-three-gates": (with_weight("weight_ih", lambda w: w[:9]), ShapeError, "weight_ih: "),
    "weight-not-square": (with_weight("weight_hh", lambda w: w[:, :2]), ShapeError, "weight_hh: "),
    "bias-too-short": (with_weight("bias_ih", lambda b: b[:-1]), ShapeError, "bias_ih: "),
    "bias-of-rank-2": (with_weight("bias_hh", lambda b: b[None]), ShapeError, "bias_hh: "),
    "one-state-for-two": (with_state(lambda s: s[:1]), ArgumentError, "state: "),
    "state-of-another-batch": (with_state(lambda s: (s[0][:2], s[1])), ShapeError, "state 'h': "),
    "state-of-another-dtype": (
        with_state(lambda s: (s[0], s[1].astype("f4"))), DTypeError, "state 'c': ",
    ),
    "lengths-for-two": (lambda c: replace(c, lengths=np.array([1, 2])), ShapeError, "lengths: "),
    "lengths-of-floats": (lambda c: replace(c, lengths=np.ones(3)), DTypeError, "lengths: "),
    "length-negative": (lambda c: replace(c, lengths=np.array([1, -1, 2])), ArgumentError, "-1"),
    "length-too-long": (lambda c: replace(c, lengths=np.array([1, 6, 2])), ArgumentError, "6"),
}  # fmt: skip


def forward(kernels: Any, case: Case, keep: Any = "tape") -> Any:
    return kernels.forward(
        case.cell, case.x, case.state, case.weights, lengths=case.lengths, keep=keep
    )


def backward(kernels: Any, case: Case, tape: Any) -> Any:
    return kernels.backward(case.cell, case.doutput, case.dstate, tape, needs=Needs())


@every_kernel
@pytest.mark.parametrize("bad", BAD_FORWARDS)
def test_forward_refuses(kernels: Any, bad: str) -> None:
    broken, error, named = BAD_FORWARDS[bad]
    with pytest.raises(error, match=named):
        forward(kernels, broken(the_case()))


@every_kernel
def test_forward_refuses_an_unknown_keep(kernels: Any) -> None:
    with pytest.raises(ArgumentError, match="keep: got 'everything'"):
        forward(kernels, the_case(), keep="everything")


BAD_BACKWARDS: dict[str, tuple[Any, type[MinirnnError], str]] = {
    "doutput-of-another-shape": (
        lambda c: replace(c, doutput=c.doutput[:4]), ShapeError, "doutput",
    ),
    "doutput-of-another-dtype": (
        lambda c: replace(c, doutput=c.doutput.astype("f4")), DTypeError, "doutput",
    ),
    "dstate-that-would-broadcast": (
        lambda c: replace(c, dstate=(c.dstate[0], c.dstate[1][:1])), ShapeError, "dstate 'c'",
    ),
    "dstate-for-one": (lambda c: replace(c, dstate=c.dstate[:1]), ArgumentError, "dstate"),
}  # fmt: skip


@every_kernel
@pytest.mark.parametrize("bad", BAD_BACKWARDS)
def test_backward_refuses(kernels: Any, bad: str) -> None:
    broken, error, named = BAD_BACKWARDS[bad]
    case = the_case()
    _, _, tape = forward(kernels, case)
    with pytest.raises(error, match=named):
        backward(kernels, broken(case), tape)
    backward(kernels, case, tape)  # and the tape is as good as before


@every_kernel
def test_a_tape_serves_one_backward(kernels: Any) -> None:
    _, _, tape = forward(kernels, the_case())
    backward(kernels, the_case(), tape)
    with pytest.raises(TapeError, match="served"):
        backward(kernels, the_case(), tape)


@every_kernel
def test_only_a_recording_tape_has_a_record(kernels: Any) -> None:
    _, _, tape = forward(kernels, the_case())
    with pytest.raises(TraceError, match="record"):
        tape.record()


@every_kernel
def test_a_record_gains_its_gradients_in_backward(kernels: Any) -> None:
    _, _, tape = forward(kernels, the_case(), keep="record")
    before, size = tape.record(), tape.nbytes
    assert before.grad_states is before.grad_slots is before.grad_direct is None
    assert size >= sum(a.nbytes for a in (*before.gates.values(), *before.states.values()))
    backward(kernels, the_case(), tape)
    after = tape.record()
    assert after.grad_slots.keys() == before.gates.keys()
    assert tape.nbytes > size
    for slot, gate in after.gates.items():
        assert np.array_equal(gate, before.gates[slot])


def test_the_reference_takes_float64_and_complex128_only() -> None:
    case = the_case()
    with pytest.raises(DTypeError, match="float64 or complex128"):
        forward(reference, case.astype(np.float32))
    output, _, _ = forward(reference, case.astype(np.complex128))
    assert output.dtype == np.complex128


def test_the_reference_refuses_a_cell_that_it_does_not_hold() -> None:
    def equations(z: Any, last: Any) -> Any:
        forget, new = cells.sigmoid(z.forget), cells.tanh(z.new)
        return {"h": forget * last.h + (1 - forget) * new}, {"forget": forget, "new": new}

    case = random_case(CELLS["rnn-tanh"])
    for name in ("minimal", "gru"):  # the name alone does not make it one of ours
        equations.__name__ = name
        own = cells.cell(states=("h",), forget="xh", new="xh")(equations)
        with pytest.raises(ArgumentError, match="cell: "):
            forward(reference, replace(case, cell=own))


def test_kernel_sets_go_by_name() -> None:
    assert kernel_set("cpu") is cpu
    assert kernel_set("reference") is reference
    with pytest.raises(DeviceError, match="abacus"):
        kernel_set("abacus")
