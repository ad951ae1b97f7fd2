"""The gradient probe: a loss at each sequence's last valid step only."""

from __future__ import annotations

import math

import numpy as np
import pytest
from networks import LAYERS, batch

import minirnn as mr
from minirnn.errors import ArgumentError, ShapeError, TraceError
from minirnn.inspect import gradient_probe

T, B = 7, 4
LENGTHS = np.array([7, 3, 0, 1])


def model(cell="lstm", readout="all", **options):
    options = {"input_size": 3, "hidden_size": 5, "output_size": 2, "rng": 0} | options
    return mr.SequenceModel(cell, readout=readout, dtype="float64", **options)


def targets(*leading):
    return np.random.default_rng(1).normal(size=(*leading, 2))


def only_at_end(trace):
    """Whether a gradient enters at the last step of every sequence that has one, and only there."""
    entered = np.abs(trace.direct_grad_hidden).sum(axis=2) > 0
    expected = np.zeros_like(entered)
    for b, length in enumerate(trace.lengths):
        if length:
            expected[length - 1, b] = True
    return bool((entered == expected).all())


@pytest.mark.parametrize("cell", list(LAYERS))
@pytest.mark.parametrize("readout", ["all", "last"])
def test_gradient_enters_at_the_last_valid_step_only(cell, readout):
    y = targets(T, B) if readout == "all" else targets(B)
    for lengths in (None, LENGTHS):
        probe = gradient_probe(model(cell, readout), batch(T, B), y, lengths=lengths)
        (trace,) = probe.traces
        assert only_at_end(trace)
        assert trace.gradient_norms("hidden")[0] > 0.0


def test_the_two_readouts_are_probed_alike():
    y = targets(T, B)
    every = gradient_probe(model(readout="all"), batch(T, B), y, lengths=LENGTHS)
    ends = np.stack([y[max(length - 1, 0), b] for b, length in enumerate(LENGTHS)])
    last = gradient_probe(model(readout="last"), batch(T, B), ends, lengths=LENGTHS)
    assert every.prediction.shape == (3, 2)  # one of the four has no step
    np.testing.assert_allclose(every.prediction, last.prediction, rtol=1e-12)
    assert every.loss == pytest.approx(last.loss)
    np.testing.assert_allclose(every.traces[0].grad_hidden, last.traces[0].grad_hidden, rtol=1e-9)


def test_the_loss_is_that_of_the_last_steps():
    network, x, y = model(), batch(T, B), targets(T, B)
    probe = gradient_probe(network, x, y)
    expected = ((network(x).data[-1] - y[-1]) ** 2).mean()
    assert probe.loss == pytest.approx(expected)
    absolute = gradient_probe(network, x, y, loss=mr.l1_loss)
    assert absolute.loss == pytest.approx(np.abs(network(x).data[-1] - y[-1]).mean())


def test_labels_are_met_with_cross_entropy():
    labels = np.random.default_rng(0).integers(0, 2, size=(T, B))
    network, x = model(), batch(T, B)
    probe = gradient_probe(network, x, labels)
    expected = mr.cross_entropy(mr.Tensor(network(x).data[-1]), mr.Tensor(labels[-1])).item()
    assert probe.loss == pytest.approx(expected)


def test_a_batch_first_model_is_probed_alike():
    plain = gradient_probe(model(), batch(T, B), targets(T, B), lengths=LENGTHS)
    swapped = gradient_probe(
        model(batch_first=True),
        np.ascontiguousarray(batch(T, B).swapaxes(0, 1)),
        np.ascontiguousarray(targets(T, B).swapaxes(0, 1)),
        lengths=LENGTHS,
    )
    assert swapped.loss == pytest.approx(plain.loss)
    assert only_at_end(swapped.traces[0])


def test_the_model_is_left_as_it_was():
    network = model(num_layers=2, dropout=0.5, head_dropout=0.5)
    x, y = batch(T, B), targets(T, B)
    mr.mse_loss(network(x), mr.Tensor(y)).backward()
    network.head.eval()
    before = {name: p.grad.copy() for name, p in network.named_parameters()}
    first, second = (gradient_probe(network, x, y) for _ in range(2))
    assert first.loss == second.loss  # evaluation mode: no dropout
    assert network.training
    assert not network.head.training
    for name, parameter in network.named_parameters():
        np.testing.assert_array_equal(parameter.grad, before[name])
    network.zero_grad()
    assert gradient_probe(network, x, y).parameters == first.parameters


def test_the_model_is_left_as_it_was_when_the_loss_fails():
    network = model()
    with pytest.raises(ShapeError):
        gradient_probe(network, batch(T, B), np.zeros((T, B, 5)))
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_probe_tells_norms_by_layer_and_of_parameters():
    probe = gradient_probe(model(num_layers=2), batch(T, B), targets(T, B))
    assert set(probe.gradient_norms("hidden")) == {"LSTM.l0", "LSTM.l1"}
    assert set(probe.half_lives("cell")) == {"LSTM.l0", "LSTM.l1"}
    assert all(decay[0] == 1.0 for decay in probe.gradient_decay("hidden").values())
    for trace in probe.traces:
        shares = trace.weight_gradient_norms("weight_ih")
        whole = probe.parameters[f"recurrent.weight_ih_l{trace.layer}"]
        assert 0.0 < whole <= shares.sum() * (1 + 1e-12)
    gru = gradient_probe(model("gru"), batch(T, B), targets(T, B))
    assert gru.gradient_norms("cell") == {}


def test_two_layers_of_one_name_are_kept_apart():
    class Twice(mr.Module):
        def __init__(self):
            self.first = mr.LSTM(3, 5, dtype="float64", rng=0)
            self.second = mr.LSTM(5, 2, dtype="float64", rng=1)

        def forward(self, x):
            return self.second(self.first(x)[0])[0]

    probe = gradient_probe(Twice(), batch(T, B), targets(T, B))
    assert set(probe.gradient_norms()) == {"LSTM.l0", "LSTM.l0 (call 1)"}


@pytest.mark.parametrize(("cell", "half_life"), [("identity", math.inf), ("half", 1.0)])
def test_half_life_of_a_known_decay(cell, half_life):
    network = model("rnn", activation="identity", readout="last", bias=False)
    network.recurrent.weight_hh_l0.data[...] = np.eye(5) * (1.0 if cell == "identity" else 0.5)
    probe = gradient_probe(network, batch(T, B), targets(B))
    assert probe.half_lives()["RNN.l0"] == pytest.approx(half_life)


def test_a_loss_at_every_step_hides_what_the_probe_shows():
    network = model("rnn", activation="sigmoid", hidden_size=16)
    x, y = batch(40, B), targets(40, B)
    with mr.record() as recording:
        mr.mse_loss(network(x), mr.Tensor(y)).backward()
    hidden = recording.traces[0].gradient_decay()[-1]
    shown = gradient_probe(network, x, y).traces[0].gradient_decay()[-1]
    assert hidden > 0.1
    assert shown < 1e-6


def test_one_step_and_one_sequence_can_be_probed():
    probe = gradient_probe(model(), batch(1, 1), targets(1, 1))
    assert probe.prediction.shape == (1, 2)
    assert math.isnan(probe.half_lives()["LSTM.l0"])


def test_what_cannot_be_probed_is_a_typed_error():
    x, y = batch(T, B), targets(T, B)
    with pytest.raises(ShapeError, match="targets"):
        gradient_probe(model(), x, targets(B))
    with pytest.raises(ShapeError, match="targets"):
        gradient_probe(model(readout="last"), x, y)
    with pytest.raises(ArgumentError, match="lengths"):
        gradient_probe(model(), x, y, lengths=np.zeros(B, int))
    with pytest.raises(ArgumentError, match="recurrent"):
        gradient_probe(mr.Linear(3, 2, dtype="float64"), x, y)
    with pytest.raises(ArgumentError, match="tuple"):
        gradient_probe(mr.LSTM(3, 2, dtype="float64"), x, y)
    with pytest.raises(ShapeError, match="inputs"):
        gradient_probe(mr.Linear(3, 2, dtype="float64"), x[0, 0], y)
    with mr.no_grad(), pytest.raises(TraceError, match="no_grad"):
        gradient_probe(model(), x, y)
