"""What is measured on traces: saturation, dimension, spread, sensitivity."""

from __future__ import annotations

import math

import numpy as np
import pytest
from networks import LAYERS, batch, layer, run, trace_of

import minirnn as mr
from minirnn.errors import ArgumentError, TraceError
from minirnn.inspect import (
    effective_rank,
    gate_saturation,
    input_sensitivity,
    participation_ratio,
    spread_between_sequences,
)


def pushed(kind, gate, size, **options):
    """A trace in which a gate's biases push it to one end of its range."""
    module = layer(kind, **options)
    with mr.no_grad():
        for parameter in module.parameters():
            parameter.data *= 0.1
        at = module.cell.input_slots.index(gate)
        module.bias_ih_l0.data[4 * at : 4 * at + 4] = size
    return run(module, batch())[0]


def test_saturation_tells_the_ends_of_a_sigmoid_gate_apart():
    for size, left, right in ((-9.0, 1.0, 0.0), (9.0, 0.0, 1.0), (0.0, 0.0, 0.0)):
        forget = gate_saturation(pushed("lstm", "forget", size))["forget"]
        np.testing.assert_array_equal(forget.left, np.full(4, left))
        np.testing.assert_array_equal(forget.right, np.full(4, right))
        assert forget.share == left + right
        assert forget.activation == "sigmoid"


def test_the_middle_of_tanh_is_not_an_end():
    # a = 0 is less than 0.1, and as far from saturation as tanh can be.
    for kind, gate in (("lstm", "cell"), ("gru", "new"), ("rnn", "new")):
        middle = gate_saturation(pushed(kind, gate, 0.0))[gate]
        assert middle.activation == "tanh"
        assert middle.share == 0.0
        assert gate_saturation(pushed(kind, gate, -9.0))[gate].left.min() == 1.0
        assert gate_saturation(pushed(kind, gate, 9.0))[gate].right.min() == 1.0


def test_the_range_follows_the_activation_of_the_cell():
    as_sigmoid = gate_saturation(pushed("gru", "new", -9.0, activation="sigmoid"))["new"]
    assert (as_sigmoid.activation, as_sigmoid.left.min()) == ("sigmoid", 1.0)
    off = gate_saturation(pushed("rnn", "new", -9.0, nonlinearity="relu"))["new"]
    assert (off.activation, off.left.min(), off.right.max()) == ("relu", 1.0, 0.0)
    on = gate_saturation(pushed("rnn", "new", 9.0, nonlinearity="relu"))["new"]
    assert on.share == 0.0
    assert gate_saturation(trace_of("rnn", nonlinearity="identity")) == {}


def test_saturation_is_per_unit():
    module = layer("rnn")
    module.bias_ih_l0.data[...] = [9.0, -9.0, 0.0, 0.0]
    module.weight_hh_l0.data[...] = 0.0
    new = gate_saturation(run(module, 0.1 * batch())[0])["new"]
    np.testing.assert_array_equal(new.right, [1, 0, 0, 0])
    np.testing.assert_array_equal(new.left, [0, 1, 0, 0])
    np.testing.assert_array_equal(new.either, [1, 1, 0, 0])


def test_saturation_counts_valid_steps_only():
    # Outside valid gates are 0: of a sigmoid that would look like its left end.
    lengths = np.array([5, 1, 0])
    module = layer("lstm")
    shares = gate_saturation(run(module, batch(), lengths=lengths)[0])
    assert all(each.left.max() == 0.0 for each in shares.values())
    nothing = gate_saturation(run(module, batch(), lengths=np.zeros(3, int))[0])
    assert np.isnan(nothing["forget"].left).all()


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.9), (0.9, 0.1), (0.1, 1.0), (np.nan, 0.9)])
def test_thresholds_that_make_no_sense_are_refused(low, high):
    with pytest.raises(ArgumentError, match="low, high"):
        gate_saturation(trace_of(), low=low, high=high)


def test_effective_rank_of_known_matrices():
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.normal(size=(6, 6)))[0]
    for rank in (1, 3, 6):
        assert effective_rank(turn[:rank]) == pytest.approx(rank)
    # Two singular values 3 and 1: entropy of (3/4, 1/4).
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(np.diag([3.0, 1.0, 0.0])) == pytest.approx(math.exp(entropy))


def test_participation_ratio_of_known_covariances():
    points = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert participation_ratio(points) == pytest.approx(2.0)
    assert participation_ratio(points * [1.0, 0.0]) == pytest.approx(1.0)
    # Variances 4 and 1: (4 + 1)^2 / (16 + 1).
    assert participation_ratio(points * [2.0, 1.0]) == pytest.approx(25 / 17)
    assert participation_ratio(points + 100.0) == pytest.approx(2.0)  # the mean does not count
    wide = np.random.default_rng(0).normal(size=(3, 50))
    eigenvalues = np.linalg.eigvalsh(np.cov(wide.T))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert participation_ratio(wide) == pytest.approx(expected)


@pytest.mark.parametrize("size", [1e-300, 1e-20, 1.0, 1e200])
def test_dimensions_do_not_depend_on_the_scale(size):
    values = np.random.default_rng(0).normal(size=(20, 5))
    assert effective_rank(size * values) == pytest.approx(effective_rank(values))
    assert participation_ratio(size * values) == pytest.approx(participation_ratio(values))


def test_dimensions_of_what_has_none():
    for nothing in (np.zeros((4, 3)), np.zeros((0, 3))):
        assert effective_rank(nothing) == 0.0
        assert participation_ratio(nothing) == 0.0
    same = np.tile(np.random.default_rng(0).normal(size=7), (30, 1))
    assert effective_rank(same) == pytest.approx(1.0)
    assert participation_ratio(same) == 0.0  # not the dimension of the mean's rounding
    assert participation_ratio(np.ones((1, 3))) == 0.0
    for bad in (np.nan, np.inf):
        assert math.isnan(effective_rank(np.array([[1.0, bad]])))
        assert math.isnan(participation_ratio(np.array([[1.0, bad], [2.0, 3.0]])))


def test_dimensions_of_a_trace_are_of_its_valid_hidden_states():
    trace = trace_of(lengths=np.array([5, 2, 0]))
    states = trace.hidden[trace.valid]
    assert len(states) == 7
    assert effective_rank(trace) == effective_rank(states)
    assert participation_ratio(trace) == participation_ratio(states)


def test_spread_is_the_deviation_between_sequences():
    trace = trace_of()
    spread = spread_between_sequences(trace)
    for t in range(5):
        expected = np.sqrt(trace.hidden[t].var(axis=0).mean())
        assert spread.by_step[t] == pytest.approx(expected)
    assert spread.at_end == pytest.approx(spread.by_step[-1])
    assert spread.size == pytest.approx(np.sqrt((trace.hidden**2).mean()))
    assert spread.relative == spread.at_end / spread.size
    inputs = spread_between_sequences(trace, "inputs")
    assert inputs.by_step[0] == pytest.approx(np.sqrt(trace.inputs[0].var(axis=0).mean()))
    cell = spread_between_sequences(trace, "cell")
    assert cell.at_end == pytest.approx(np.sqrt(trace.cell_state[-1].var(axis=0).mean()))


def test_spread_at_the_end_takes_each_sequences_own_last_step():
    lengths = np.array([5, 2, 0])
    for number, trace in enumerate(run(layer(bidirectional=True), batch(), lengths=lengths)):
        ends = [(0, 0), (0, 1)] if number else [(4, 0), (1, 1)]
        states = np.array([trace.hidden[at] for at in ends])
        spread = spread_between_sequences(trace)
        assert spread.at_end == pytest.approx(np.sqrt(states.var(axis=0).mean()))
        for t in (0, 1):  # the two sequences that are valid there
            expected = np.sqrt(trace.hidden[t, :2].var(axis=0).mean())
            assert spread.by_step[t] == pytest.approx(expected)
        assert np.isnan(spread.by_step[2:]).all()


def test_a_network_that_ignores_its_input_has_no_spread():
    module = layer("rnn")
    module.weight_ih_l0.data[...] = 0.0
    (trace,) = run(module, batch())
    assert spread_between_sequences(trace).relative < 1e-15
    assert spread_between_sequences(trace, "inputs").relative > 0.1


def test_spread_of_one_sequence_cannot_be_told():
    spread = spread_between_sequences(trace_of(B=1))
    assert math.isnan(spread.at_end)
    assert np.isnan(spread.by_step).all()
    zero = layer("rnn", bias=False)
    zero.weight_ih_l0.data[...] = 0.0
    assert spread_between_sequences(run(zero, batch())[0]).relative == 0.0
    with pytest.raises(TraceError, match="no state"):
        spread_between_sequences(trace_of("gru"), "cell")


def test_sensitivity_of_a_linear_network_is_a_power_of_its_weight():
    module = layer("rnn", 1, 1, nonlinearity="identity")
    module.weight_hh_l0.data[...] = 0.5
    module.weight_ih_l0.data[...] = -3.0
    (trace,) = run(module, batch(6, 3, 1), lengths=np.array([6, 3, 0]), backward=False)
    expected = np.zeros((6, 3))
    expected[:, 0] = 3 * 0.5 ** np.arange(5, -1, -1)
    expected[:3, 1] = 3 * 0.5 ** np.arange(2, -1, -1)
    np.testing.assert_allclose(input_sensitivity(trace), expected)


@pytest.mark.parametrize("kind", list(LAYERS))
def test_sensitivity_needs_no_backward_and_lives_with_one_step(kind):
    trace = trace_of(kind, T=1, B=1, backward=False)
    result = input_sensitivity(trace)
    assert result.shape == (1, 1)
    np.testing.assert_allclose(result[0, 0], np.linalg.norm(trace.input_jacobian(0)[0, :4]))
