"""What a trace measures, where numbers are zero, tiny, huge, or not numbers at all."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from networks import LAYERS, batch, layer, minimal, run, trace_of

import minirnn as mr
from minirnn.errors import ArgumentError, TraceError
from minirnn.inspect.norms import by_distance, half_life, norm

TINY = float(np.finfo(np.float64).tiny)


def test_norms_neither_underflow_nor_overflow():
    for size in (1e-300, 1e-170, 1.0, 1e170, 1e300):
        np.testing.assert_allclose(norm(size * np.ones((2, 3, 4)), (1, 2)), size * np.sqrt(12))
    subnormal = np.full((1, 4), 5e-324)
    assert norm(subnormal, (1,))[0] == 1e-323


def test_a_norm_of_nan_is_nan_and_of_infinity_infinite():
    values = np.array([[1.0, np.nan], [1.0, -np.inf], [0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_array_equal(norm(values, (1,)), [np.nan, np.inf, 0.0, 5.0])


def test_a_norm_over_nothing_is_zero():
    np.testing.assert_array_equal(norm(np.zeros((3, 0, 4)), (1, 2)), np.zeros(3))
    assert norm(np.zeros((0, 2, 4)), (1, 2)).shape == (0,)


@pytest.mark.parametrize("life", [0.5, 1.5, 20.0, 3000.0])
def test_half_life_of_an_exact_decay(life):
    assert half_life(0.5 ** (np.arange(100) / life), TINY) == pytest.approx(life)


def test_half_life_lives_with_zeros_and_leaves_out_subnormals():
    norms = 0.5 ** (np.arange(100) / 2.0)
    norms[::3] = 0.0
    norms[50:] = 0.0
    assert half_life(norms, TINY) == pytest.approx(2.0)
    norms[60:80] = 5e-324  # noise at the edge of the numbers
    assert half_life(norms, TINY) == pytest.approx(2.0)


def test_half_life_is_infinite_where_nothing_decays():
    assert half_life(np.ones(10), TINY) == math.inf
    assert half_life(2.0 ** np.arange(10), TINY) == math.inf


def test_half_life_is_zero_where_all_is_gone_after_a_step():
    assert half_life(np.array([1.0, 0.0, 0.0]), TINY) == 0.0


@pytest.mark.parametrize("norms", [[], [1.0], [0.0, 0.0], [1.0, np.nan, 0.5], [1.0, np.inf]])
def test_half_life_of_what_says_nothing_is_nan(norms):
    assert math.isnan(half_life(np.array(norms), TINY))


@pytest.mark.parametrize("reverse", [False, True])
def test_distance_is_counted_from_each_sequences_own_end(reverse):
    lengths = np.array([4, 2, 0])
    gradient = np.zeros((4, 3, 2))
    for b, length in enumerate(lengths):
        for d in range(length):
            t = d if reverse else length - 1 - d
            gradient[t, b] = 0.5**d
    measured = by_distance(gradient, lengths, reverse)
    np.testing.assert_allclose(measured, np.sqrt(2) * 0.5 ** np.arange(4))


def test_lengths_do_not_blur_the_half_life():
    # A linear unit of weight 1/2: dL/dh halves each step, whatever the lengths.
    unit = layer("rnn", 1, 1, nonlinearity="identity", bias=False)
    unit.weight_hh_l0.data[...] = 0.5
    for lengths in (None, np.array([9, 2, 5, 0])):
        with mr.record() as recording:
            _, h = unit(batch(12, 4, 1), None, lengths)
            h.sum().backward()
        (trace,) = recording.traces
        assert trace.half_life() == pytest.approx(1.0)
        np.testing.assert_allclose(trace.gradient_decay(), 0.5 ** np.arange(max(trace.lengths)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_that_dies_on_the_way_has_a_half_life(dtype):
    # 400 steps at 0.6 pass the smallest normal float32. Subnormals must not enter the fit: 0.6 of
    # the smallest one rounds to itself, so that the gradient stays there for ever.
    unit = layer("rnn", 1, 1, nonlinearity="identity", bias=False, dtype=dtype)
    unit.weight_hh_l0.data[...] = 0.6
    with mr.record() as recording:
        _, h = unit(batch(400, 2, 1, dtype=dtype))
        h.sum().backward()
    (trace,) = recording.traces
    assert trace.half_life() == pytest.approx(math.log(2) / -math.log(0.6), rel=1e-6)
    smallest = float(np.finfo(dtype).tiny)
    assert (trace.gradient_norms("hidden")[0] < smallest) == (dtype == "float32")


def test_no_gradient_at_the_last_step_leaves_no_decay_to_speak_of():
    with mr.record() as recording:
        output, _ = layer()(batch())
        output[1].sum().backward()
    (trace,) = recording.traces
    assert np.isnan(trace.gradient_decay()).all()
    assert trace.half_life() >= 0.0


def test_one_step_has_a_gradient_but_no_half_life():
    trace = trace_of(T=1)
    assert trace.gradient_norms("hidden")[0] > 0.0
    assert trace.gradient_decay().tolist() == [1.0]
    assert math.isnan(trace.half_life())


def test_states_go_by_their_common_and_their_own_names():
    trace = trace_of()
    np.testing.assert_array_equal(trace.gradient_norms("cell"), trace.gradient_norms("c"))
    np.testing.assert_array_equal(trace.state("hidden"), trace.state("h"))
    np.testing.assert_array_equal(trace.grad_states["c"], trace.grad_cell)


def test_what_a_cell_does_not_have_is_a_typed_error():
    gru, lstm, bare = trace_of("gru"), trace_of("lstm"), trace_of("rnn", bias=False)
    for ask, words in (
        (lambda: gru.cell_state, "no state 'c'"),
        (lambda: gru.grad_cell, "no state 'c'"),
        (lambda: gru.gradient_norms("cell"), "no state 'c'"),
        (lambda: gru.half_life("memory"), "no state 'memory'"),
        (lambda: lstm.recurrent_new, "no slot 'recurrent_new'"),
        (lambda: bare.weight_gradient_norms("bias_hh"), "without biases"),
    ):
        with pytest.raises(TraceError, match=words):
            ask()
    with pytest.raises(ArgumentError, match="weight_hh"):
        lstm.weight_gradient_norms("weight")


@pytest.mark.parametrize("t", [5, -6, 100])
def test_a_step_that_is_not_there_is_a_typed_error(t):
    for ask in (trace_of().jacobian, trace_of().input_jacobian):
        with pytest.raises(ArgumentError, match="0 to 4"):
            ask(t)


@pytest.mark.parametrize("kind", list(LAYERS))
def test_jacobian_at_a_padded_step_is_the_identity(kind):
    trace = trace_of(kind, lengths=np.array([5, 2, 0]))
    S = trace.jacobian(0).shape[1]
    for t in range(5):
        for b, length in enumerate([5, 2, 0]):
            same = np.array_equal(trace.jacobian(t)[b], np.eye(S))
            assert same == (t >= length)
            assert trace.input_jacobian(t)[b].any() == (t < length)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_is_in_the_dtype_of_the_layer(dtype):
    for kind in LAYERS:
        trace = trace_of(kind, dtype=dtype)
        derived = [trace.grad_input, trace.jacobian(1), trace.input_jacobian(1), trace.inputs]
        for array in [*trace.preactivations.values(), *trace.grad_gates.values(), *derived]:
            assert array.dtype == dtype


def test_what_stands_in_the_padding_is_nobodys_business():
    lengths = np.array([5, 2, 0])
    clean, dirty = batch(), batch()
    for b, length in enumerate(lengths):
        clean[length:, b], dirty[length:, b] = 0.0, np.nan
    for kind in LAYERS:
        (first,), (second,) = (run(layer(kind), x, lengths=lengths) for x in (clean, dirty))
        assert first.compare(second).equal
        np.testing.assert_array_equal(first.inputs, second.inputs)
        for weight in ("weight_ih", "weight_hh"):
            shares = first.weight_gradient_norms(weight), second.weight_gradient_norms(weight)
            np.testing.assert_array_equal(*shares)
        for gate, z in first.preactivations.items():
            np.testing.assert_array_equal(z, second.preactivations[gate])


def test_a_network_that_diverged_can_be_looked_at():
    unit = layer("rnn", nonlinearity="relu")
    for parameter in unit.parameters():
        parameter.data[...] = 1e8
    (trace,) = run(unit, np.abs(batch(60)))
    assert not np.isfinite(trace.hidden[-1]).any()
    assert not np.isfinite(trace.gradient_norms("hidden")).all()
    assert math.isnan(trace.half_life())
    for look in (
        lambda: trace.preactivations,
        lambda: trace.jacobian(59),
        lambda: trace.grad_input,
        lambda: trace.weight_gradient_norms("weight_hh"),
        lambda: trace.gradient_decay(),
        lambda: mr.inspect.gate_saturation(trace),
        lambda: mr.inspect.input_sensitivity(trace),
        lambda: mr.inspect.spread_between_sequences(trace),
        lambda: mr.inspect.effective_rank(trace),
        lambda: mr.inspect.participation_ratio(trace),
        lambda: json.dumps(trace.to_dict(), allow_nan=False),
        lambda: trace.compare(trace),
    ):
        look()  # without a warning, which would be an error here


@pytest.mark.parametrize("nonlinearity", ["relu", "sigmoid", "identity", "tanh"])
def test_jacobian_follows_the_nonlinearity(nonlinearity):
    trace = trace_of("rnn", nonlinearity=nonlinearity)
    z, W = trace.preactivations["new"], trace.weights.weight_hh
    slope = {
        "relu": (z > 0).astype(float),
        "sigmoid": np.exp(-z) / (1 + np.exp(-z)) ** 2,
        "identity": np.ones_like(z),
        "tanh": 1 - np.tanh(z) ** 2,
    }[nonlinearity]
    for t in range(5):
        np.testing.assert_allclose(trace.jacobian(t), slope[t][:, :, None] * W, atol=1e-12)


def test_a_cell_of_ones_own_is_as_visible():
    (trace,) = run(mr.Recurrent(minimal, 3, 4, dtype="float64", rng=1), batch())
    assert trace.name == "Recurrent.l0"
    assert set(trace.gates) == set(trace.grad_gates) == {"forget", "new"}
    z, W, U = trace.preactivations, trace.weights.weight_ih, trace.weights.weight_hh
    before = np.concatenate([trace.initial_state["h"][None], trace.hidden[:-1]])
    both = trace.inputs @ W.T + before @ U.T + trace.weights.bias_ih + trace.weights.bias_hh
    np.testing.assert_allclose(z["forget"], both[:, :, :4], rtol=1e-12)
    np.testing.assert_allclose(np.tanh(z["new"]), trace.gates["new"], rtol=1e-12)

    def step(h, t):
        out, _ = mr.Recurrent(minimal, 3, 4, dtype="float64", rng=1)(
            trace.inputs[t : t + 1], mr.Tensor(h[None])
        )
        return out.data[0]

    epsilon = 1e-6
    for j in range(4):
        move = np.zeros((3, 4))
        move[:, j] = epsilon
        column = (step(before[2] + move, 2) - step(before[2] - move, 2)) / (2 * epsilon)
        np.testing.assert_allclose(trace.jacobian(2)[:, :, j], column, atol=1e-9)


def test_summary_is_json_and_tells_the_shapes():
    trace = trace_of(lengths=np.array([5, 2, 0]))
    told = json.loads(json.dumps(trace.to_dict(), allow_nan=False))
    assert told["shape"] == {"T": 5, "B": 3, "I": 3, "H": 4}
    assert told["gradient_norms"]["h"] == pytest.approx(trace.gradient_norms("hidden").tolist())
    assert told["gates"]["forget"]["max"] <= 1.0
    assert trace_of(backward=False).to_dict()["half_life"] is None
    assert trace_of(T=1).to_dict()["half_life"] == {"h": "nan", "c": "nan"}


def test_numpy_names_arrays_by_where_they_stand_in_the_trace():
    trace = trace_of("gru")
    arrays = trace.numpy()
    np.testing.assert_array_equal(arrays["gates.update"], trace.gates["update"])
    np.testing.assert_array_equal(arrays["slots.recurrent_new"], trace.recurrent_new)
    np.testing.assert_array_equal(arrays["grad_states.h"], trace.grad_hidden)
    np.testing.assert_array_equal(arrays["weights.bias_hh"], trace.weights.bias_hh)
    for path, array in arrays.items():
        attribute, _, key = path.partition(".")
        held = getattr(trace, attribute)
        if key:
            held = getattr(held, key) if attribute == "weights" else held[key]
        np.testing.assert_array_equal(array, held)
    assert "grad_states.h" not in trace_of(backward=False).numpy()
