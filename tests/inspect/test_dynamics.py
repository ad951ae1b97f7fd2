"""Spectra, Lyapunov exponents, fixed points and the memory horizon, against analytic values."""

from __future__ import annotations

import numpy as np
import pytest
from networks import batch, layer, trace_of

import minirnn as mr
from minirnn.inspect import (
    fixed_points,
    free_run_exponents,
    jacobian_spectrum,
    lyapunov_exponents,
    memory_horizon,
)


def linear_rnn(weight, inputs=1):
    """h' = W h + W_ih x, without bias."""
    rnn = mr.RNN(inputs, len(weight), nonlinearity="identity", bias=False, dtype="float64", rng=0)
    rnn.weight_hh_l0.data[...] = weight
    return rnn


def tanh_rnn(weight, gain=1.0):
    rnn = mr.RNN(1, len(weight), bias=False, dtype="float64", rng=0)
    rnn.weight_hh_l0.data[...] = gain * np.asarray(weight)
    return rnn


def recorded(module, x, state=None, lengths=None):
    with mr.no_grad(), mr.record() as recording:
        module(x, state, lengths)
    return recording.traces[0]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_linear_network_has_the_logarithms_of_its_eigenvalues_as_exponents(reverse):
    rng = np.random.default_rng(3)
    basis = rng.normal(size=(4, 4))
    weight = basis @ np.diag([1.1, 0.7, 0.3, 0.05]) @ np.linalg.inv(basis)
    rnn = mr.RNN(
        1, 4, nonlinearity="identity", bias=False, bidirectional=True, dtype="float64", rng=0
    )
    rnn.weight_hh_l0.data[...] = rnn.weight_hh_l0_reverse.data[...] = weight
    with mr.no_grad(), mr.record() as recording:
        rnn(rng.normal(size=(300, 2, 1)), lengths=np.array([300, 250]))
    trace = recording.traces[reverse]
    assert trace.reverse is reverse
    found = lyapunov_exponents(trace, skip=100)
    np.testing.assert_array_equal(found.steps, [200, 150])
    np.testing.assert_allclose(
        found.exponents, np.log([[1.1, 0.7, 0.3, 0.05]] * 2), rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(found.horizon, 1 / np.log(1.1), rtol=1e-8)


def test_the_sum_of_all_exponents_is_the_mean_log_determinant():
    trace = trace_of("lstm", T=12, B=2)
    found = lyapunov_exponents(trace)
    determinants = [np.linalg.slogdet(trace.jacobian(t))[1] for t in range(12)]
    np.testing.assert_allclose(found.exponents.sum(axis=1), np.mean(determinants, axis=0))


def test_a_lost_direction_has_the_exponent_minus_infinity():
    found = lyapunov_exponents(recorded(linear_rnn(np.diag([0.5, 0.0])), np.zeros((9, 1, 1))))
    np.testing.assert_allclose(found.largest, np.log(0.5), atol=0.2)
    assert np.isneginf(found.exponents).any()


def test_an_echo_state_network_is_chaotic_above_gain_one_and_forgets_below():
    """Random tanh networks, gain g: the quiet state loses its hold at g = 1.

    Sompolinsky, Crisanti & Sommers 1988; in discrete time Molgedey, Schuchhardt & Schuster 1992.
    """
    H = 200
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(H, H)) / np.sqrt(H)
    start = rng.normal(size=(1, 1, H))
    for gain, chaotic in ((0.5, False), (3.0, True)):
        rnn = tanh_rnn(weight, gain)
        found = lyapunov_exponents(recorded(rnn, np.zeros((400, 1, 1)), start), 20, skip=100)
        assert bool(found.largest[0] > 0.1) is chaotic
        if not chaotic:  # at the quiet state the steps' Jacobian is the weight itself
            radius = np.abs(np.linalg.eigvals(gain * weight)).max()
            np.testing.assert_allclose(found.largest, np.log(radius), atol=0.02)
            assert found.dimension[0] == 0.0


def test_the_largest_exponent_is_the_growth_of_a_small_change():
    H, T = 100, 200
    rng = np.random.default_rng(1)
    rnn = tanh_rnn(rng.normal(size=(H, H)) / np.sqrt(H), 2.0)
    trace = recorded(rnn, np.zeros((T, 1, 1)), rng.normal(size=(1, 1, H)))
    h = trace.hidden[:, 0]
    growth, change = 0.0, 1e-8 * rng.normal(size=H)
    for t in range(50, T):
        moved = np.tanh(rnn.weight_hh_l0.data @ (h[t - 1] + change)) - h[t]
        growth += np.log(np.linalg.norm(moved) / np.linalg.norm(change))
        change = moved * (1e-8 / np.linalg.norm(moved))
    found = lyapunov_exponents(trace, 1, skip=50)
    np.testing.assert_allclose(found.largest, growth / (T - 50), atol=0.02)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_free_run_has_the_exponents_of_the_closed_loop(cell):
    model = mr.SequenceModel(
        cell, input_size=2, hidden_size=3, output_size=2, num_layers=2, dtype="float64", rng=4
    )
    for parameter in model.parameters():
        parameter.data[...] *= 2.0
    context = np.random.default_rng(2).normal(size=(6, 1, 2))
    with mr.no_grad():
        _, state = model(context, return_state=True)

    def closed(s):  # one step of the loop, by hand: (L, 1, H) states in one row
        states = np.split(s.reshape(-1, 2, 1, 3), len(s) // 6)
        states = [each[0] for each in states]
        x = states[0][-1] @ model.head.weight.data.T + model.head.bias.data
        with mr.no_grad():
            _, after = model(x[None], states[0] if len(states) == 1 else tuple(states), None, True)
        return np.concatenate([a.data.ravel() for a in (after if len(states) > 1 else [after])])

    s = np.concatenate([a.data.ravel() for a in (state if isinstance(state, tuple) else [state])])
    logarithms = []
    for _ in range(20):
        jacobian = [(closed(s + e) - closed(s - e)) / 2e-6 for e in 1e-6 * np.eye(len(s))]
        logarithms.append(np.linalg.slogdet(np.array(jacobian))[1])
        s = closed(s)
    # 21 steps of free run: the first one's input came from the context
    found = free_run_exponents(model, context, 21)
    assert found.exponents.shape == (1, len(s))
    np.testing.assert_allclose(found.exponents.sum(), np.mean(logarithms), rtol=1e-5)


def test_a_free_run_is_of_models_that_can_make_one():
    with pytest.raises(mr.ArgumentError, match=r"^model: "):
        free_run_exponents(mr.GRU(2, 3), np.zeros((4, 1, 2), np.float32), 5)
    model = mr.SequenceModel("gru", input_size=2, hidden_size=3, output_size=2)
    with pytest.raises(mr.ArgumentError, match=r"^steps: "):
        free_run_exponents(model, np.zeros((4, 1, 2), np.float32), 1)


def test_kaplan_and_yorkes_dimension_counts_what_does_not_shrink():
    trace = recorded(linear_rnn(np.diag([2.0, 1.0, 0.25])), np.zeros((80, 1, 1)))
    # ln 2 + 0 - ln 4 < 0: two whole directions, and ln 2 / ln 4 of the third
    np.testing.assert_allclose(lyapunov_exponents(trace, skip=40).dimension, 2.5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "argument"), [({"k": 0}, "k"), ({"k": 5}, "k"), ({"skip": -1}, "skip")]
)
def test_bad_options_of_the_exponents_are_named(options, argument):
    with pytest.raises(mr.ArgumentError, match=f"^{argument}: "):
        lyapunov_exponents(trace_of("rnn"), **options)


def test_a_sequence_without_a_measured_step_has_no_exponent():
    found = lyapunov_exponents(trace_of("rnn", lengths=np.array([5, 2, 0])), skip=2)
    np.testing.assert_array_equal(found.steps, [3, 0, 0])
    assert np.isfinite(found.exponents[0]).all()
    assert np.isnan(found.exponents[1:]).all()
    assert np.isnan(found.dimension[1:]).all()


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_each_steps_spectrum_is_that_of_its_jacobian(kind):
    trace = trace_of(kind, lengths=np.array([5, 3, 0]))
    found = jacobian_spectrum(trace)
    J = trace.jacobian(2)[1]
    np.testing.assert_allclose(found.norm[2, 1], np.linalg.norm(J, 2))
    np.testing.assert_allclose(found.radius[2, 1], np.abs(np.linalg.eigvals(J)).max())
    np.testing.assert_allclose(np.prod(found.singular_values[0, 0]), abs(np.linalg.det(
        trace.jacobian(0)[0])))  # fmt: skip
    assert np.isnan(found.norm[3, 1])
    assert np.isnan(found.norm[:, 2]).all()


def test_one_tanh_unit_has_the_fixed_points_of_its_pitchfork():
    """h = tanh(w h): one stable point at 0 for w <= 1, and for w > 1 two more, 0 then unstable."""
    below = fixed_points(tanh_rnn([[0.9]]))
    assert len(below) == 1
    np.testing.assert_allclose(below.states, [[0.0]], atol=1e-5)
    np.testing.assert_allclose(below.radius, [0.9], rtol=1e-8)
    above = fixed_points(tanh_rnn([[1.5]]))
    assert len(above) == 3
    h = np.sort(above.states[:, 0])
    np.testing.assert_allclose(h, [-0.85855, 0.0, 0.85855], atol=2e-5)
    np.testing.assert_allclose(h, np.tanh(1.5 * h), atol=2e-6)
    by_place = np.argsort(above.states[:, 0])
    np.testing.assert_array_equal(above.stable[by_place], [True, False, True])
    np.testing.assert_allclose(above.radius[by_place][1], 1.5, rtol=1e-6)
    assert above.found.sum() <= above.starts == 64


def test_two_units_turn_where_their_eigenvalues_are_complex():
    """W = g R(θ): eigenvalues g e^{±iθ} at 0, which loses its hold at g = 1 (Neimark-Sacker)."""
    turn = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    for gain in (0.8, 1.2):
        found = fixed_points(tanh_rnn(turn, gain), starts=np.full((3, 2), 0.05))
        at_zero = np.abs(found.states).max(axis=1) < 1e-5
        assert at_zero.sum() == 1
        (values,) = found.eigenvalues[at_zero]
        np.testing.assert_allclose(np.abs(values), gain, rtol=1e-6)
        np.testing.assert_allclose(np.abs(np.angle(values)), 0.6, rtol=1e-6)
        assert found.stable[at_zero][0] == (gain < 1)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_layer_stays_at_its_fixed_points(kind):
    module = layer(kind, 2, 3, dtype="float32")
    x = np.array([0.3, -0.5])
    found = fixed_points(module, x, starts=20)
    assert len(found) >= 1
    states = [s.astype(np.float32)[None] for s in np.split(found.states, 1 + (kind == "lstm"), 1)]
    fed = np.broadcast_to(x.astype(np.float32), (1, len(found), 2)).copy()
    _, last = module(fed, tuple(states) if kind == "lstm" else states[0])
    after = [s.data for s in (last if kind == "lstm" else [last])]
    np.testing.assert_allclose(np.concatenate(after, 2), np.concatenate(states, 2), atol=1e-5)


def test_what_has_no_fixed_point_in_reach_finds_none():
    rnn = linear_rnn([[1.0]])
    rnn.weight_ih_l0.data[...] = 1.0
    assert len(fixed_points(rnn, np.ones(1), starts=5)) == 0  # h' = h + 1


def test_fixed_points_are_of_one_level_alone():
    with pytest.raises(mr.ArgumentError, match=r"^layer: "):
        fixed_points(mr.GRU(2, 3, 2))
    with pytest.raises(mr.ShapeError, match=r"^x: "):
        fixed_points(mr.GRU(2, 3), np.zeros(3))
    with pytest.raises(mr.ShapeError, match=r"^starts: "):
        fixed_points(mr.LSTM(2, 3), starts=np.zeros((4, 3)))


def test_the_horizon_is_as_far_back_as_an_input_is_felt():
    # d h_end / d x_{end-d} = 0.5^d: at least 1% of the largest for d <= 6, as 0.5^6 = 1.6%
    trace = recorded(linear_rnn([[0.5]]), batch(20, 3, 1), lengths=np.array([20, 4, 0]))
    np.testing.assert_array_equal(memory_horizon(trace), [6, 3, -1])
    np.testing.assert_array_equal(memory_horizon(trace, share=0.2), [2, 2, -1])
    with pytest.raises(mr.ArgumentError, match=r"^share: "):
        memory_horizon(trace, share=0.0)
