"""Which units are off, or stand still, whatever comes in."""

from __future__ import annotations

import numpy as np
import pytest
from networks import LAYERS, batch, layer, run

import minirnn as mr
from minirnn.errors import ArgumentError
from minirnn.inspect import dead_units


def relu(biases, x, lengths=None):
    """A relu RNN without recurrence, h = max(0, x + bias): what each unit does is plain to see."""
    module = mr.RNN(1, len(biases), nonlinearity="relu", rng=0)
    for parameter in module.parameters():
        parameter.data[...] = 0.0
    module.weight_ih_l0.data[...] = 1.0
    module.bias_ih_l0.data[...] = biases
    with mr.record() as recording, mr.no_grad():
        module(np.asarray(x, np.float32)[:, :, None], lengths=lengths)
    return recording.traces[0]


def test_a_unit_is_dead_when_it_is_off_for_everything_and_not_when_it_is_rarely_on():
    x = np.arange(200.0).reshape(20, 10) / 200  # 0 to just below 1
    found = dead_units(relu([0.0, -0.5, -0.98, -1.0, -2.0], x))
    assert found.zeros.tolist() == pytest.approx([0.005, 101 / 200, 197 / 200, 1.0, 1.0])
    assert found.dead.tolist() == [False, False, False, True, True]
    assert found.still.tolist() == [False, False, False, True, True]
    assert found.share == pytest.approx(0.4)
    assert found.sparsity == pytest.approx((1 + 101 + 197 + 200 + 200) / 1000)
    assert dead_units(relu([-0.98, 0.0], x), off=0.98).dead.tolist() == [True, False]


def test_what_lies_behind_a_sequences_end_does_not_count():
    x = np.full((6, 3), -1.0)
    x[2:, 1] = 5.0  # after the end of the second sequence
    assert dead_units(relu([0.0], x)).dead.tolist() == [False]
    found = dead_units(relu([0.0], x, lengths=np.array([6, 2, 0])))
    assert found.dead.tolist() == [True]
    nothing = dead_units(relu([0.0], x, lengths=np.zeros(3, int)))
    assert nothing.dead.tolist() == [False]
    assert np.isnan(nothing.zeros).all()


def test_a_unit_that_stands_still_elsewhere_is_not_called_dead():
    module = mr.RNN(1, 2, rng=0)
    for parameter in module.parameters():
        parameter.data[...] = 0.0
    module.bias_ih_l0.data[...] = [0.5, 0.0]
    with mr.record() as recording, mr.no_grad():
        module(np.ones((4, 3, 1), np.float32))
    found = dead_units(recording.traces[0])
    assert found.still.tolist() == [True, True]
    assert found.dead.tolist() == [False, True]


@pytest.mark.parametrize("kind", LAYERS)
def test_no_unit_of_an_ordinary_network_is_dead(kind):
    assert dead_units(run(layer(kind), batch())[0]).share == 0.0


@pytest.mark.parametrize("off", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(off):
    with pytest.raises(ArgumentError, match="off"):
        dead_units(run(layer("rnn"), batch())[0], off=off)
