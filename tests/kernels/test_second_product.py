"""Cells of two products a step: what may be declared; two plain steps are one of theirs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from kernel_cases import random_case

import minirnn as mr
from minirnn.cells import clip, relu, select, sigmoid, tanh
from minirnn.kernels import cpu
from minirnn.kernels.cells.stages import two_steps
from minirnn.kernels.contract import Needs, Weights
from minirnn.testing import gradcheck


@mr.cell(states=("h", "c", "d"), reset="xh", keep="x", new="xh", gain="h", out="xh")
def memory(z: Any, last: Any) -> Any:
    """An early state c, a late one d, a comparison across the products, several late slots."""
    r, k = sigmoid(z.reset), sigmoid(z.keep)
    c = k * last.c + (1.0 - k) * r
    n, g = tanh(z.new), clip(z.gain, -1.5, 1.5)
    d = select(z.keep > z.gain, last.d * 0.5 + n, last.d - c * n)
    h = tanh(c) * n + relu(d) * 0.3 + g * last.h * k
    stored = {"reset": r, "keep": z.keep, "new": n, "gain": z.gain, "out": sigmoid(z.out)}
    return (
        {"h": h * stored["out"], "c": c, "d": d},
        stored,
        dict.fromkeys(("new", "gain", "out"), r * last.h + last.c),
    )


H = 7
FIRST, SECOND = ("reset", "keep"), ("new", "gain", "out")


def test_what_comes_second_is_told() -> None:
    assert memory.second_slots == SECOND
    assert memory.gates == ("reset", "new", "out")
    assert mr.cells.lstm().second_slots == ()
    assert mr.cells.lstm().operand is None
    text = memory.equations()
    assert (
        "operand = (gate.reset * last.h) + last.c  # in the place of last.h in z.new, z.gain"
        in text
    )
    assert mr.cells.gru(reset="before").fingerprint() != mr.cells.gru().fingerprint()
    assert pickle.loads(pickle.dumps(mr.cells.gru(reset="before"))).operand is not None
    early = two_steps(memory).early
    assert early == {"c"}


def test_two_steps_of_the_plain_cell_are_one_step() -> None:
    rng = np.random.default_rng(0)
    plain = two_steps(memory).cell
    last = {s: rng.normal(size=H) for s in memory.states}
    z = {s: rng.normal(size=H) for s in memory.slots}
    wanted = memory.evaluate(z, last)

    held = {s: np.zeros(H) for s in plain.states if s not in memory.states}
    nothing = np.full(H, np.inf)  # whatever the products make of the other half's slots
    middle = plain.evaluate({s: z[s] if s in FIRST else nothing for s in z}, last | held)
    operand = memory.operand_of(wanted.gates, wanted.states, last)
    np.testing.assert_array_equal(middle.states["h"], operand)
    end = plain.evaluate({s: z[s] if s in SECOND else nothing for s in z}, middle.states)
    for state in memory.states:
        np.testing.assert_allclose(end.states[state], wanted.states[state], rtol=1e-15)
    for slot in memory.slots:
        found = middle if slot in FIRST else end
        np.testing.assert_array_equal(found.gates[slot], wanted.gates[slot])
    assert all(not end.states[name].any() for name in held)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_gradients_of_a_cell_of_one_s_own(reverse: bool) -> None:
    layer = mr.Recurrent(memory, 2, 3, bidirectional=reverse, dtype="float64", rng=0)
    rng = np.random.default_rng(1)
    levels = 1 + reverse
    x = rng.normal(size=(4, 3, 2))
    state = [rng.normal(size=(levels, 3, 3)) for _ in memory.states]
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Any, h: Any, c: Any, d: Any, *parameters: Any) -> Any:
        for name, value in zip(names, parameters, strict=True):
            layer.__dict__[name] = value
        output, last = layer(x, (h, c, d), [4, 0, 3])
        return output, *last

    parameters = [p.data.copy() for p in layer.parameters()]
    assert gradcheck(run, [x, *state, *parameters]) <= 1.0


def test_total_gradients_of_every_state_are_recorded() -> None:
    """dL/ds_t is what a nudge of s in step t does to the rest of that step, and of the run."""
    layer = mr.Recurrent(memory, 2, 3, dtype="float64", rng=0)
    rng = np.random.default_rng(2)
    x, weight = rng.normal(size=(4, 2, 2)), rng.normal(size=(4, 2, 3))
    with mr.record() as recording:
        output, _ = layer(mr.Tensor(x))
        (output * weight).sum().backward()
    trace = recording.traces[0]
    t, nudge = 1, 1e-6
    stored = {name: array[t] for name, array in (trace.gates | trace.slots).items()}
    before = {name: array[t - 1] for name, array in trace.states.items()}
    for state in ("h", "c", "d"):
        for unit in range(3):
            losses = []
            for sign in (1, -1):
                moved = np.zeros((2, 3))
                moved[0, unit] = sign * nudge
                h, c, d = rest_of_step(stored, before, {state: moved})
                rest, _ = layer(x[t + 1 :], (h[None], c[None], d[None]))
                losses.append((h * weight[t]).sum() + (rest.data * weight[t + 1 :]).sum())
            slope = (losses[0] - losses[1]) / (2 * nudge)
            found = trace.grad_states[state][t, 0, unit]
            assert found == pytest.approx(slope, rel=1e-6, abs=1e-8), state


def rest_of_step(stored: Any, last: Any, moved: Any) -> tuple[Any, Any, Any]:
    """The new states by hand, each moved before the others are computed from it."""
    k, g = 1 / (1 + np.exp(-stored["keep"])), np.clip(stored["gain"], -1.5, 1.5)
    n = stored["new"]
    c = k * last["c"] + (1 - k) * stored["reset"] + moved.get("c", 0)
    d = np.where(stored["keep"] > stored["gain"], last["d"] * 0.5 + n, last["d"] - c * n)
    d = d + moved.get("d", 0)
    h = (np.tanh(c) * n + np.maximum(d, 0) * 0.3 + g * last["h"] * k) * stored["out"]
    return h + moved.get("h", 0), c, d


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"nothing": "r"}, "second product: got .*nothing.*; wanted a dict: what slots fed by h"),
        ({"only_x": "r"}, "second product: got .*only_x"),
        ([], "second product: got list"),
        ({"new": 1.0}, r"second product\['new'\]: got float; wanted an expression"),
        ({"new": "comparison"}, r"second product\['new'\]: got the comparison"),
        ({"new": "late"}, r"second product: got .* without z.new, which come after it"),
        ({"new": "r", "other": "h"}, "second product: got 2 operands; wanted the same for all"),
        ({"unused": "r"}, r"states\['h'\]: got .* wanted an expression with z.unused"),
    ],
)
def test_a_second_product_that_cannot_be_is_refused(second: Any, told: str) -> None:
    def equations(z: Any, last: Any) -> Any:
        made = {"r": z.reset * last.h, "h": last.h, "late": z.new * last.h,
                "comparison": z.reset > 0}  # fmt: skip
        operands = (
            {k: made.get(v, v) for k, v in second.items()} if isinstance(second, dict) else second
        )
        total = tanh(z.new + z.other + z.only_x) * z.reset
        stored = {s: getattr(z, s) for s in ("reset", "new", "other", "only_x", "unused")}
        return {"h": total}, stored, operands

    with pytest.raises(mr.ArgumentError, match=told):
        mr.cell(states=("h",), reset="xh", new="xh", other="xh", only_x="x", unused="xh")(equations)


def test_a_first_gate_cannot_be_stored_from_the_second_product() -> None:
    def equations(z: Any, last: Any) -> Any:
        h = tanh(z.new) * z.reset
        return {"h": h}, {"reset": z.reset + z.new, "new": z.new}, {"new": z.reset * last.h}

    with pytest.raises(mr.ArgumentError, match=r"gates\['reset'\]: got .* without z.new"):
        mr.cell(states=("h",), reset="xh", new="xh")(equations)


def test_an_infinite_candidate_of_the_other_half_reaches_nothing() -> None:
    """In the first half W x + U h may overflow in the slots of the second: nobody reads it."""
    cell = mr.cells.gru(reset="before")
    big = 1e200
    weights = Weights(
        np.concatenate([np.full((1, 1), -big), np.zeros((1, 1)), np.full((1, 1), big)]),
        np.array([[0.0], [0.0], [big]]), None, None,
    )  # fmt: skip
    # r = σ(-1e200) = 0, so r h = 0 and z_n = 1e200; U h alone would be 1e200 * 1e200 = inf.
    x, h = np.ones((2, 1, 1)), np.full((1, 1), big)
    output, _, tape = cpu.forward(cell, x, [h], weights, keep="tape")
    assert np.isfinite(output).all()
    gradients = cpu.backward(cell, np.ones_like(output), None, tape, needs=Needs())
    assert np.isfinite(gradients.x).all()


def test_a_tape_serves_one_backward_of_its_own_cell() -> None:
    case = random_case(mr.cells.gru(reset="before"))
    _, _, tape = cpu.forward(case.cell, case.x, case.state, case.weights, keep="tape")
    for wrong in (mr.cells.gru(), memory):
        with pytest.raises(mr.ArgumentError, match="wanted the cell of the tape, <cell gru"):
            cpu.backward(wrong, case.doutput, None, tape, needs=Needs())
    with pytest.raises(mr.ShapeError, match=r"doutput: got shape .* wanted \(5, 3, 3\)"):
        cpu.backward(case.cell, case.doutput[:-1], None, tape, needs=Needs())
    cpu.backward(case.cell, case.doutput, case.dstate, tape, needs=Needs())
    with pytest.raises(mr.TapeError, match="has served its backward"):
        cpu.backward(case.cell, case.doutput, case.dstate, tape, needs=Needs())
    with pytest.raises(mr.TraceError, match="has no record"):
        tape.record()


def test_what_a_recording_keeps_is_counted() -> None:
    layer = mr.GRU(4, 16, reset_after=False, rng=0)
    with mr.record() as recording:
        output, _ = layer(np.zeros((50, 8, 4), np.float32))
        before = recording.nbytes
        assert recording.traces[0].hidden.shape == (50, 8, 16)
        output.sum().backward()
    assert recording.traces[0].grad_hidden.shape == (50, 8, 16)
    step = 50 * 8 * 16 * 4
    assert before > 14 * step  # the tape of doubled time
    # 3 gates and their gradients, h and its two gradients, x and what is small beside them.
    assert 9 * step <= recording.nbytes <= 10 * step


def test_a_stream_is_the_layer_step_by_step_bit_for_bit(device: str) -> None:
    layer = mr.GRU(3, 5, 2, reset_after=False, dtype="float32", rng=0).to(device)
    x = mr.Tensor(np.random.default_rng(0).normal(size=(6, 2, 3)).astype("float32")).to(device)
    output, last = layer(x)
    stream = layer.stream(2)
    for t in range(3):
        h = stream.step(x.data[t])
        assert (h == output.data[t]).all()
    twin = copy.deepcopy(stream)
    kept = h.copy()
    for t in range(3, 6):
        following = stream.step(x.data[t])
        assert (following == output.data[t]).all()
        if t == 3:
            assert (h == kept).all()  # good until the step after the next
    assert (stream.state == last.data).all()
    assert (twin.step(x.data[3]) == output.data[3]).all()
    with pytest.raises(TypeError, match="a stream cannot be pickled"):
        pickle.dumps(stream._steps[0])
    stream.state = None
    assert (stream.step(x.data[0]) == output.data[0]).all()
