"""What recurrent layers hand to an open recording."""

from __future__ import annotations

import numpy as np

import minirnn as mr


def inputs(T: int = 4, B: int = 2, width: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(T, B, width)).astype(np.float32)


def test_every_layer_and_direction_leaves_a_trace_with_its_own_values() -> None:
    layer = mr.LSTM(2, 3, num_layers=2, bidirectional=True, rng=0)
    with mr.record() as recording:
        output, (h, _) = layer(inputs())
        output.sum().backward()
    assert [t.name for t in recording.traces] == [
        "LSTM.l0",
        "LSTM.l0_reverse",
        "LSTM.l1",
        "LSTM.l1_reverse",
    ]
    for level, trace in enumerate(recording.traces):
        end = 0 if trace.reverse else -1
        assert np.array_equal(trace.hidden[end], h.data[level])
    joined = np.concatenate([trace.hidden for trace in recording.traces[2:]], axis=2)
    assert np.array_equal(joined, output.data)
    assert np.array_equal(recording.traces[3].direct_grad_hidden, np.ones((4, 2, 3), np.float32))


def test_recording_changes_no_bit_of_outputs_and_gradients() -> None:
    layer = mr.GRU(2, 3, num_layers=2, rng=0)

    def run() -> list[np.ndarray]:
        layer.zero_grad()
        output, h = layer(inputs(), lengths=[4, 1])
        ((output * output).sum() + h.sum()).backward()
        return [output.data, h.data, *(p.grad for p in layer.parameters())]

    plain = run()
    with mr.record() as outer, mr.record() as inner:
        recorded = run()
    assert len(outer.traces) == len(inner.traces) == 2
    for before, after in zip(plain, recorded, strict=True):
        assert np.array_equal(before, after)
    run()
    assert outer.calls == 1  # closed


def test_calls_are_counted_and_without_gradients_too() -> None:
    layer = mr.RNN(2, 3, rng=0)
    with mr.record() as recording, mr.no_grad():
        layer(inputs())
        layer(inputs())
    assert [trace.call for trace in recording.traces] == [0, 1]


def test_batch_first_traces_are_time_major() -> None:
    layer = mr.RNN(2, 3, batch_first=True, rng=0)
    with mr.record() as recording:
        output, _ = layer(inputs().swapaxes(0, 1))
    assert np.array_equal(recording.traces[0].hidden, output.data.swapaxes(0, 1))


def test_only_a_state_cut_off_the_tape_marks_a_trace_as_truncated() -> None:
    layer = mr.LSTM(2, 3, rng=0)
    with mr.record() as recording:
        _, (h, c) = layer(inputs())
        layer(inputs(), (h.detach(), c.detach()))
        layer(inputs(), (h, c))
        layer(inputs(), (h.data, c.data))
    assert [trace.truncated for trace in recording.traces] == [False, True, False, False]


def test_a_cell_of_ones_own_is_recorded_under_its_gates() -> None:
    @mr.cell(states=("h",), keep="xh", new="xh")
    def leaky(z, last):
        k, n = mr.cells.sigmoid(z.keep), mr.cells.tanh(z.new)
        return {"h": k * last.h + (1 - k) * n}, {"keep": k, "new": n}

    layer = mr.Recurrent(leaky, 2, 3, rng=0)
    with mr.record() as recording:
        layer(inputs())[0].sum().backward()
    (trace,) = recording.traces
    assert set(trace.gates) == {"keep", "new"}
    assert trace.grad_gates["keep"].shape == (4, 2, 3)
