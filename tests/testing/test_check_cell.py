"""check_cell: what is right passes under every convention; what is wrong is told, not raised."""

from __future__ import annotations

import json

import numpy as np
import pytest
from someones_cell import Someones

from minirnn.errors import ArgumentError, MinirnnError
from minirnn.kernels import cells
from minirnn.kernels.contract import Weights
from minirnn.testing import ConformanceError, check_cell, reference
from minirnn.testing.conformance.cases import cases
from minirnn.testing.conformance.conventions import Conventions, gate_order_of
from minirnn.testing.conformance.guarded import guarded

KINDS = ("rnn", "gru", "lstm")
each_kind = pytest.mark.parametrize("kind", KINDS)


def check(kind, **options):
    mine = Someones(kind)
    return check_cell(mine.forward, cell=kind, backward=mine.backward, **options)


class Turned:
    """Someone's cell behind other conventions, turned by hand."""

    def __init__(self, kind, order, *, columns=False, batch_major=False, biases=2, states=None):
        self.inner = Someones(kind)
        self.order = order  # of our blocks in theirs
        self.columns, self.batch_major, self.biases = columns, batch_major, biases
        self.states = states or slice(None)

    def forward(self, x, state, weights, *, lengths=None, reverse=False):
        w_ih, w_hh, *biases = weights
        if self.columns:
            w_ih, w_hh = w_ih.T, w_hh.T
        ours = [self.ours(w) for w in (w_ih, w_hh, *biases)]
        ours += [np.zeros(len(ours[1]), x.dtype)] * (4 - len(ours))
        x = x.swapaxes(0, 1) if self.batch_major else x
        output, last, saved = self.inner.forward(
            x, state[self.states], ours, lengths=lengths, reverse=reverse
        )
        return (
            output.swapaxes(0, 1) if self.batch_major else output,
            last[self.states],
            saved,
        )

    def backward(self, doutput, dstate, saved):
        doutput = doutput.swapaxes(0, 1) if self.batch_major else doutput
        dx, dstate, dw_ih, dw_hh, *db = self.inner.backward(doutput, dstate[self.states], saved)
        dw_ih, dw_hh, *db = (self.theirs(d) for d in (dw_ih, dw_hh, *db[: self.biases]))
        if self.columns:
            dw_ih, dw_hh = dw_ih.T, dw_hh.T
        dx = dx.swapaxes(0, 1) if self.batch_major else dx
        return dx, dstate[self.states], dw_ih, dw_hh, *db

    def ours(self, array):
        blocks = np.split(array, len(self.order))
        return np.concatenate([blocks[self.order.index(k)] for k in range(len(blocks))])

    def theirs(self, array):
        blocks = np.split(array, len(self.order))
        return np.concatenate([blocks[k] for k in self.order])


@each_kind
@pytest.mark.parametrize("storage", ["float32", "float64"])
def test_a_right_implementation_passes(kind, storage):
    report = check(kind, storage=storage)
    report.assert_passed()
    assert report.counts == {"passed": len(cases("quick"))}


@pytest.mark.parametrize(
    ("kind", "order", "turned", "options"),
    [
        ("lstm", [0, 3, 1, 2], {}, {"gate_order": "onnx"}),
        ("lstm", [0, 3, 1, 2], {"columns": True}, {"gate_order": "iofc", "weights": "columns"}),
        ("lstm", [0, 1, 2, 3], {"batch_major": True}, {"layout": "batch_major"}),
        ("lstm", [0, 1, 2, 3], {"states": slice(None, None, -1)}, {"states": ("c", "h")}),
        ("gru", [1, 0, 2], {}, {"gate_order": "keras"}),
        ("gru", [2, 1, 0], {}, {"gate_order": ("new", "update", "reset")}),
        ("rnn", [0], {"biases": 1}, {"biases": 1}),
        ("lstm", [0, 1, 2, 3], {"biases": 0}, {"biases": 0}),
    ],
)  # fmt: skip
def test_other_conventions_pass_and_are_not_taken_for_ours(kind, order, turned, options):
    theirs = Turned(kind, order, **turned)
    given = {"cell": kind, "backward": theirs.backward}
    check_cell(theirs.forward, **given, **options).assert_passed()
    if not options.keys() & {"biases"}:
        assert not check_cell(theirs.forward, **given, seconds=0, stop=True).passed


def test_an_update_gate_that_replaces_passes_where_it_is_said():
    mine = Someones("gru", "update gate turned round")

    def forward(x, state, weights):
        return mine.forward(x, state, weights)[:2]

    assert not check_cell(forward, cell="gru", seconds=0, stop=True).passed
    check_cell(forward, cell="gru", update_gate="replaces").assert_passed()


def test_gate_orders_turn_there_and_back():
    rng = np.random.default_rng(0)
    for name, order in (("lstm", "ofig"), ("gru", "nzr"), ("gru", "urc")):
        cell = getattr(cells, name)()
        for weights in ("rows", "columns"):
            for update in ("keeps", "replaces"):
                conventions = Conventions(
                    cell, gate_order_of(cell, order), weights=weights, update_gate=update,
                    states=cell.states,
                )  # fmt: skip
                w = rng.normal(size=(len(cell.input_slots) * 3, 5))
                there = conventions.to_theirs("weight_ih", w)
                assert there.shape == (w.shape if weights == "rows" else w.shape[::-1])
                assert (conventions.from_theirs("weight_ih", there) == w).all()
    lstm = cells.lstm()
    assert gate_order_of(lstm, "onnx") == ("input", "output", "forget", "cell")
    assert gate_order_of(lstm, "keras") == gate_order_of(lstm, "pytorch") == lstm.input_slots


def test_what_a_function_has_no_parameter_for_is_not_asked():
    mine = Someones("lstm")

    def forward(x, state, weights):
        return mine.forward(x, state, weights)

    report = check_cell(forward, cell="lstm", backward=mine.backward)
    report.assert_passed()
    reasons = {r.reason for r in report.results if r.outcome == "not applicable"}
    assert reasons == {"it takes no direction", "it takes no lengths"}
    assert "not applicable: 8 cases, since it takes no lengths" in str(report)


def test_an_implementation_without_states_passes():
    mine = Someones("rnn")

    def forward(x, state, weights):
        assert state is None
        zeros = (np.zeros((x.shape[1], weights[1].shape[1]), x.dtype),)
        output, _, saved = mine.forward(x, zeros, weights)
        return output, (saved, zeros)

    def backward(doutput, dstate, saved):
        assert dstate is None
        dx, _, *rest = mine.backward(doutput, saved[1], saved[0])
        return dx, *rest

    options = {"initial_state": False, "last_state": False}
    check_cell(forward, cell="rnn", backward=backward, **options).assert_passed()


def test_forward_alone_is_checked_without_a_backward_and_said_to_be():
    mine = Someones("gru")
    report = check_cell(lambda x, s, w: mine.forward(x, s, w)[:2], cell="gru")
    report.assert_passed()
    assert not report.backward
    assert "no gradient was checked" in str(report)


def test_some_gradients_may_be_left_out_where_that_is_said():
    mine = Someones("gru")

    def backward(doutput, dstate, saved):
        dx, _, dw_ih, *_ = mine.backward(doutput, dstate, saved)
        return {"x": dx, "weight_ih": dw_ih}

    report = check_cell(mine.forward, cell="gru", backward=backward, stop=True)
    assert report.cause == "wrong-result"
    assert "got no gradient of state, weight_hh, bias_ih, bias_hh" in str(report)
    some = ("x", "weight_ih")
    check_cell(mine.forward, cell="gru", backward=backward, gradients=some).assert_passed()


@pytest.mark.parametrize(
    ("change", "cause", "told"),
    [
        (lambda y, s, saved: (y[:, :, :1], s, saved), "wrong-shape", "output: got shape"),
        (lambda y, s, saved: (y, s[0].T, saved), "wrong-shape", "its axes are in another order"),
        (lambda y, s, saved: (y, (), saved), "wrong-result", "state: got a tuple of 0"),
        (lambda y, s, saved: y, "wrong-result", "wanted output, state, saved"),
        (lambda y, s, saved: (None, s, saved), "wrong-dtype", "output: got None; wanted floats"),
        (lambda y, s, saved: (y.astype(int), s, saved), "wrong-dtype", "output: got dtype int64"),
        (lambda y, s, saved: (y.astype("f8"), s, saved), "wrong-dtype", "output float64"),
        (lambda y, s, saved: 1 / 0, "raised", "forward raised ZeroDivisionError: division by zero"),
    ],
)
def test_bad_results_are_failures_that_name_what_came(change, cause, told):
    mine = Someones("gru")
    report = check_cell(
        lambda x, s, w: change(*mine.forward(x, s, w)), cell="gru", backward=mine.backward
    )
    assert not report.passed
    assert report.cause == cause
    assert told in str(report)


def test_an_interrupt_is_not_swallowed():
    def forward(x, state, weights):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_cell(forward, cell="rnn")


def test_a_report_tells_everything_in_text_and_as_json():
    mine = Someones("lstm", "gates swapped")
    report = check_cell(mine.forward, cell="lstm", backward=mine.backward, stop=True)
    with pytest.raises(ConformanceError, match="gates-permuted") as caught:
        report.assert_passed()
    assert caught.value.report is report
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value, MinirnnError)
    read = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert read["cause"] == "gates-permuted"
    assert not read["passed"]
    failure = next(c for c in read["cases"] if c["outcome"] == "failed")["failures"][0]
    assert failure["array"] in failure["failed"]
    assert failure["excess"] > 1
    assert failure["direction"] == "forward"
    raising = check_cell(lambda x, state, weights: 1 / 0, cell="rnn", grades=(1,))
    json.dumps(raising.to_dict(), allow_nan=False)
    assert "forget, input, cell, output" in report.explanation


def test_nothing_that_was_run_is_no_pass():
    mine = Someones("rnn")
    report = check_cell(mine.forward, cell="rnn")
    report.results = [r for r in report.results if r.outcome == "not applicable"]
    assert not report.passed


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"cell": "elman"}, "cell"),
        ({"cell": None}, "cell"),
        ({"gate_order": "ifgg"}, "gate_order"),
        ({"gate_order": "tensorflow"}, "gate_order"),
        ({"biases": 3}, "biases"),
        ({"layout": "features_first"}, "layout"),
        ({"storage": "float8"}, "storage"),
        ({"storage": "float64", "precision": "tf32"}, "precision"),
        ({"states": ("h",)}, "states"),
        ({"level": "thorough"}, "level"),
        ({"grades": (0, 1)}, "grades"),
        ({"backward": "autograd"}, "backward"),
        ({"backward": True}, "backward"),
        ({"gradients": ("weight_hr",)}, "gradients"),
        ({"bias": 2}, "bias"),
    ],
)
def test_arguments_that_make_no_sense_are_named(options, argument):
    mine = Someones("lstm")
    with pytest.raises(ArgumentError) as caught:
        check_cell(mine.forward, **{"cell": "lstm", **options})
    assert caught.value.argument == argument


def test_what_cannot_be_called_is_named():
    with pytest.raises(ArgumentError, match="implementation: got a list"):
        check_cell([], cell="lstm")


def test_a_layer_without_its_adapter_is_told_which():
    class Layer:
        def __init__(self, input_size, hidden_size):
            self.state_dict = dict

        def forward(self, x):
            return x

    for given in (Layer, Layer(2, 3)):
        with pytest.raises(ArgumentError, match=r"adapters\.torch_module\(Layer\)"):
            check_cell(given, cell="lstm")


def test_a_cell_that_the_reference_does_not_have_is_refused():
    @cells.cell(states=("h",), new="xh")
    def mine(z, last):
        return {"h": z.new}, {"new": z.new}

    with pytest.raises(ArgumentError, match="reference"):
        check_cell(Someones("rnn").forward, cell=mine)


def test_no_case_has_equal_weights():
    for case in cases("full"):
        from minirnn.testing.conformance.cases import problem_of

        cell = cells.lstm()
        conventions = Conventions(cell, cell.input_slots, states=cell.states)
        weights = problem_of(case, conventions).weights
        for weight in weights:
            assert np.unique(weight).size > 0.99 * weight.size


def test_guards_tell_where_was_written():
    array = np.arange(6.0).reshape(2, 3)
    held = guarded(array)
    assert (held.array == array).all()
    assert held.changed() is None
    held.array[1, 2] = 7
    assert held.changed() == "the array"
    held = guarded(array, strided=True)
    assert not held.array.flags.c_contiguous
    np.lib.stride_tricks.as_strided(held.array, (1,), (8,))[0] = 0.5
    assert held.changed() == "the array"
    np.lib.stride_tricks.as_strided(held.array, (2,), (8,))[1] = 0.5
    held = guarded(array)
    np.lib.stride_tricks.as_strided(held.array, (7,), (8,))[6] = 0.5
    assert held.changed() == "around the array"


def test_the_reference_itself_passes_in_float64():
    def forward(x, state, weights, *, lengths=None, reverse=False):
        call = (x, state, Weights(*weights))
        run = reference("gru", *call, lengths=lengths, reverse=reverse)
        return run.output, run.state, (call, lengths, reverse)

    def backward(doutput, dstate, saved):
        call, lengths, reverse = saved
        given = {"doutput": doutput, "dstate": dstate}
        run = reference("gru", *call, lengths=lengths, reverse=reverse, **given)
        return run.gradients

    check_cell(forward, cell="gru", backward=backward, storage="float64").assert_passed()
