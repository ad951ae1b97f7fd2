"""RNNCell, GRUCell and LSTMCell: a loop over one is the layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn import nn

T, B, I, H = 5, 3, 4, 6  # noqa: E741

PAIRS = {
    "rnn": (nn.RNNCell, nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRUCell, nn.GRU, {}),
    "gru-before": (nn.GRUCell, nn.GRU, {"reset_after": False}),
    "lstm": (nn.LSTMCell, nn.LSTM, {}),
    "lstm-no-bias": (nn.LSTMCell, nn.LSTM, {"bias": False}),
}


def states_of(last: Any) -> tuple[Any, ...]:
    return last if isinstance(last, tuple) else (last,)


@pytest.mark.parametrize("kind", PAIRS)
def test_a_loop_over_a_cell_is_the_layer_of_its_weights(kind: str) -> None:
    make_cell, make_layer, options = PAIRS[kind]
    cell = make_cell(I, H, dtype="float64", rng=0, **options)
    layer = make_layer(I, H, dtype="float64", rng=1, **options)
    layer.load_state_dict({f"{name}_l0": array for name, array in cell.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(T, B, I))

    inputs, state = mr.Tensor(x, requires_grad=True), None
    for t in range(T):
        state = cell(inputs[t], state)
    ends = states_of(state)
    (ends[0] * ends[0]).sum().backward()

    whole = mr.Tensor(x, requires_grad=True)
    _, last = layer(whole)
    (states_of(last)[0] * states_of(last)[0]).sum().backward()
    for a, b in zip(ends, states_of(last), strict=True):
        np.testing.assert_allclose(a.data, b.data[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(inputs.grad, whole.grad, rtol=1e-10, atol=1e-13)
    for name, parameter in cell.named_parameters():
        wanted = getattr(layer, f"{name}_l0").grad
        np.testing.assert_allclose(parameter.grad, wanted, rtol=1e-10, atol=1e-13, err_msg=name)


def test_gradients_reach_the_initial_states_of_a_cell() -> None:
    cell = nn.LSTMCell(I, H, dtype="float64", rng=0)
    rng = np.random.default_rng(1)
    x, h, c = (rng.normal(size=(B, size)) for size in (I, H, H))
    assert mr.testing.gradcheck(lambda x, h, c: cell(x, (h, c)), [x, h, c]) <= 1.0


def test_a_recording_has_a_trace_of_one_step_for_each_call() -> None:
    cell = nn.GRUCell(I, H, rng=0)
    x = np.ones((T, B, I), np.float32)
    with mr.record() as recording:
        h = None
        for t in range(T):
            h = cell(x[t], h)
        h.sum().backward()
    assert [trace.call for trace in recording.traces] == list(range(T))
    assert recording.traces[0].name == "GRUCell.l0"
    assert recording.traces[0].shape == (1, B, H)
    assert (recording.traces[-1].hidden[0] == h.data).all()
    assert recording.traces[0].grad_hidden.any()


@pytest.mark.parametrize("shape", [(I,), (B, I + 1), (0, I), (1, B, I)])
def test_an_x_that_is_no_batch_of_samples_is_refused(shape: Any) -> None:
    with pytest.raises(mr.ShapeError, match=r"x: got shape .* wanted \(B, 4\)"):
        nn.RNNCell(I, H)(np.zeros(shape, np.float32))


def test_a_state_that_does_not_fit_is_refused() -> None:
    x, good, bad = (np.zeros(s, np.float32) for s in ((B, I), (B, H), (1, B, H)))
    with pytest.raises(mr.ShapeError, match=r"state: .* wanted \(3, 6\), which is \(B, H\)"):
        nn.GRUCell(I, H)(x, bad)
    with pytest.raises(mr.ShapeError, match="state 'c'"):
        nn.LSTMCell(I, H)(x, (good, bad))
    with pytest.raises(mr.ArgumentError, match=r"state: got one .*wanted a tuple \(h, c\)"):
        nn.LSTMCell(I, H)(x, good)


def test_it_tells_what_it_is() -> None:
    assert repr(nn.LSTMCell(2, 3, bias=False)) == "LSTMCell(2, 3, bias=False)"
    own = nn.RecurrentCell(mr.cells.rnn("identity"), 2, 3)
    assert "'rnn', 2, 3" in repr(own)
