"""What a recording sees, keeps, and lets go."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from networks import batch, layer, run, trace_of

import minirnn as mr
from minirnn.errors import ArgumentError, TraceError
from minirnn.inspect.recording import active


def test_nobody_records_outside_the_block():
    lstm = layer()
    with mr.record() as recording:
        assert active() == (recording,)
    lstm(batch())
    assert active() == ()
    assert recording.traces == ()
    assert recording.calls == 0


def test_traces_are_ordered_by_call_then_layer_then_direction():
    lstm = layer(num_layers=2, bidirectional=True)
    with mr.record() as recording:
        lstm(batch())
        lstm(batch())
    order = [(trace.call, trace.layer, trace.direction) for trace in recording.traces]
    assert order == [
        (call, level, direction)
        for call in (0, 1)
        for level in (0, 1)
        for direction in ("forward", "reverse")
    ]


def test_nested_recordings_both_see_a_call_and_number_their_own():
    lstm = layer()
    with mr.record() as outer:
        lstm(batch())
        with mr.record() as inner:
            lstm(batch(seed=1))
        lstm(batch(seed=2))
    assert [trace.call for trace in outer.traces] == [0, 1, 2]
    assert [trace.call for trace in inner.traces] == [0]
    np.testing.assert_array_equal(inner.traces[0].hidden, outer.traces[1].hidden)


def test_nested_recordings_share_their_copies():
    lstm, x = layer(units=16), batch()
    with mr.record() as outer, mr.record() as inner:
        lstm(x)
    assert inner.traces[0].weights.weight_hh is outer.traces[0].weights.weight_hh
    assert inner.traces[0].inputs is outer.traces[0].inputs


def test_an_error_inside_closes_the_recording():
    with pytest.raises(RuntimeError, match="mine"), mr.record():
        raise RuntimeError("mine")
    assert active() == ()


def test_a_recording_may_be_opened_again_but_not_twice_at_once():
    lstm = layer()
    recording = mr.record()
    for _ in range(2):
        with recording:
            lstm(batch())
            with pytest.raises(TraceError, match="already open"):
                recording.__enter__()
    assert [trace.call for trace in recording.traces] == [0, 1]


def test_recordings_closed_out_of_order_leave_the_others_open():
    first, second = mr.record(), mr.record()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert active() == (second,)
    second.__exit__(None, None, None)
    assert active() == ()


def test_each_thread_has_its_own_recordings():
    lstm, seen = layer(), {}

    def work(number):
        with mr.record() as recording:
            for seed in range(20):
                lstm(batch(seed=100 * number + seed))
        seen[number] = recording.traces

    with mr.record() as mine:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert mine.traces == ()
    for number, traces in seen.items():
        assert [trace.call for trace in traces] == list(range(20))
        for seed, trace in enumerate(traces):
            np.testing.assert_array_equal(trace.inputs, batch(seed=100 * number + seed))


def test_keep_last_keeps_the_traces_of_the_last_calls():
    lstm = layer(num_layers=2)
    with mr.record(keep_last=2) as recording:
        for _ in range(5):
            lstm(batch())
    assert [(t.call, t.layer) for t in recording.traces] == [(3, 0), (3, 1), (4, 0), (4, 1)]
    assert recording.calls == 5


def test_keep_last_lets_older_buffers_go():
    lstm = layer()
    with mr.record(keep_last=1) as recording:
        lstm(batch())
        old = weakref.ref(recording.traces[0])
        size = recording.nbytes
        for seed in range(1, 4):
            lstm(batch(seed=seed))
        gc.collect()
        assert old() is None
        assert recording.nbytes == size


@pytest.mark.parametrize("keep_last", [0, -1, 1.5, True, "2"])
def test_keep_last_must_be_a_positive_integer(keep_last):
    with pytest.raises(ArgumentError, match="keep_last"):
        mr.record(keep_last)


def test_nbytes_tells_what_is_kept():
    T, B, inputs, H = 50, 8, 3, 16
    with mr.record() as recording:
        output, _ = layer(units=H)(batch(T, B))
        before = recording.nbytes
        output.sum().backward()
    gates_and_states = T * B * H * 8 * (4 + 2)
    weights = 4 * H * (inputs + H + 2) * 8
    x = T * B * inputs * 8
    assert before >= gates_and_states + weights + x
    trace = recording.traces[0]
    assert trace.has_gradients  # unpacked, and the kernel's own buffers gone
    with_gradients = 2 * gates_and_states + T * B * H * 8 + weights + x
    assert recording.nbytes == pytest.approx(with_gradients, rel=0.1)
    assert recording.nbytes == trace.nbytes


def test_shared_copies_count_once():
    lstm, x = layer(units=64), batch(T=1, B=1)
    with mr.record() as one:
        lstm(x)
    with mr.record() as three:
        for _ in range(3):
            lstm(x)
    assert three.nbytes < 1.5 * one.nbytes


def test_what_one_layer_hands_to_the_next_counts_once():
    first, second = run(layer(num_layers=2), batch(T=20))
    assert first.has_gradients
    assert second.has_gradients
    shared = first.buffers().keys() & second.buffers().keys()
    assert any(first.buffers()[key] >= second.inputs.nbytes for key in shared)


def test_reading_gradients_before_backward_says_what_to_do():
    trace = trace_of(backward=False)
    assert not trace.has_gradients
    for ask in (
        lambda: trace.grad_hidden,
        lambda: trace.grad_cell,
        lambda: trace.grad_gates,
        lambda: trace.grad_input,
        lambda: trace.direct_grad_hidden,
        lambda: trace.gradient_norms("hidden"),
        lambda: trace.half_life("cell"),
        lambda: trace.weight_gradient_norms("weight_hh"),
    ):
        with pytest.raises(TraceError, match=r"loss\.backward\(\)"):
            ask()


def test_gradients_appear_when_backward_runs_even_after_the_block():
    lstm = layer()
    with mr.record() as recording:
        output, _ = lstm(batch())
    trace = recording.traces[0]
    gates = {name: array.copy() for name, array in trace.gates.items()}
    output.sum().backward()
    assert trace.has_gradients
    assert trace.grad_hidden.any()
    for name, array in gates.items():  # backward leaves what forward recorded
        np.testing.assert_array_equal(trace.gates[name], array)


def test_a_call_under_no_grad_is_recorded_without_gradients():
    with mr.record() as recording, mr.no_grad():
        layer()(batch())
    trace = recording.traces[0]
    assert trace.hidden.any()
    with pytest.raises(TraceError, match="no_grad"):
        _ = trace.grad_hidden


def test_recording_does_not_change_the_results():
    x = batch()
    plain, watched = layer(), layer()
    first, _ = plain(x)
    first.sum().backward()
    with mr.record():
        second, _ = watched(x)
        second.sum().backward()
    np.testing.assert_array_equal(first.data, second.data)
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        np.testing.assert_array_equal(a.grad, b.grad)


def test_a_trace_keeps_the_weights_that_ran():
    lstm, x = layer(), batch()
    with mr.record() as recording:
        for _ in range(2):
            output, _ = lstm(x)
            output.sum().backward()
            for parameter in lstm.parameters():
                parameter.data -= 0.1 * parameter.grad  # as optimisers do, in place
                parameter.grad = None
    first, second = recording.traces
    assert (first.weights.weight_hh != second.weights.weight_hh).any()
    fresh = layer()
    np.testing.assert_array_equal(first.weights.weight_hh, fresh.weight_hh_l0.data)
    for gate, z in first.preactivations.items():  # rebuilt from those weights
        a = np.tanh(z) if gate == "cell" else 1 / (1 + np.exp(-z))
        np.testing.assert_allclose(first.gates[gate], a, rtol=1e-12)


def test_a_trace_keeps_the_users_x_and_state_and_lengths():
    lstm, x = layer(), batch()
    h, c, lengths = np.ones((1, 3, 4)), np.ones((1, 3, 4)), np.array([5, 2, 0])
    with mr.record() as recording:
        lstm(x, (mr.Tensor(h), mr.Tensor(c)), lengths)
    kept = x.copy()
    for buffer in (x, h, c, lengths):
        buffer[...] = 0
    trace = recording.traces[0]
    np.testing.assert_array_equal(trace.inputs[trace.valid], kept[trace.valid])
    np.testing.assert_array_equal(trace.initial_state["c"], np.ones((3, 4)))
    np.testing.assert_array_equal(trace.lengths, [5, 2, 0])
    assert trace.hidden[1, 1].any()


def test_a_trace_cannot_be_written_into():
    for backward in (False, True):
        trace = trace_of(backward=backward)
        for array in (trace.hidden, trace.gates["forget"], trace.inputs, trace.weights.weight_ih):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


def test_chunks_of_truncated_bptt_are_separate_and_marked():
    lstm, x = layer(), batch(T=6)
    with mr.record() as recording:
        state = None
        for chunk in (x[:3], x[3:]):
            output, (h, c) = lstm(chunk, state)
            (output * output).sum().backward()
            state = (h.detach(), c.detach())
        lstm(x)
    first, second, all_of_it = recording.traces
    assert [trace.truncated for trace in recording.traces] == [False, True, False]
    assert "truncated" in repr(second)
    np.testing.assert_array_equal(second.initial_state["h"], first.hidden[-1])
    np.testing.assert_allclose(second.hidden, all_of_it.hidden[3:], rtol=1e-12)
    # The gradient does not cross the cut: the first chunk's last step gets its own output's alone.
    np.testing.assert_allclose(first.grad_hidden[-1], 2 * first.hidden[-1], rtol=1e-12)


def test_a_call_with_no_steps_is_recorded():
    trace = trace_of(T=0)
    assert trace.shape == (0, 3, 4)
    assert trace.gradient_norms("hidden").shape == (0,)
    assert np.isnan(trace.half_life())
    assert trace.preactivations["forget"].shape == (0, 3, 4)


def test_batch_first_is_recorded_time_major():
    x = batch()
    with mr.record() as recording:
        layer(batch_first=True)(np.ascontiguousarray(x.swapaxes(0, 1)))
        layer()(x)
    swapped, plain = recording.traces
    np.testing.assert_array_equal(swapped.inputs, plain.inputs)
    np.testing.assert_array_equal(swapped.hidden, plain.hidden)


def test_repr_says_what_it_is_in_a_line():
    assert repr(trace_of()) == ("<Trace LSTM.l0, call 0: T=5 B=3 I=3 H=4 float64, with gradients>")
