"""SequenceModel: what the head sees, and what comes back."""

from __future__ import annotations

import numpy as np
import pytest

import minirnn as mr

SIZES = {"input_size": 2, "hidden_size": 3, "output_size": 4, "rng": 0}


def inputs(T: int = 5, B: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(T, B, 2)).astype(np.float32)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_readout_last_sees_where_each_direction_ends(cell: str, bidirectional: bool) -> None:
    model = mr.SequenceModel(cell, num_layers=2, bidirectional=bidirectional, **SIZES)
    lengths = np.array([5, 2, 4])
    output, _ = model.recurrent(inputs(), lengths=lengths)
    ends = output.data[lengths - 1, np.arange(3), :3]
    if bidirectional:
        ends = np.concatenate([ends, output.data[0, :, 3:]], axis=1)
    y = model(inputs(), lengths=lengths)
    assert y.shape == (3, 4)
    assert np.array_equal(y.data, model.head(ends).data)


def test_readout_all_sees_every_step() -> None:
    model = mr.SequenceModel("gru", readout="all", **SIZES)
    y = model(inputs())
    assert y.shape == (5, 3, 4)
    assert np.array_equal(y.data, model.head(model.recurrent(inputs())[0]).data)


@pytest.mark.parametrize("readout", ["last", "all"])
def test_batch_first_swaps_only_the_axes(readout: str) -> None:
    x = inputs()
    plain = mr.SequenceModel(readout=readout, **SIZES)(x).data
    swapped = mr.SequenceModel(readout=readout, batch_first=True, **SIZES)(x.swapaxes(0, 1)).data
    assert np.array_equal(swapped, plain if readout == "last" else plain.swapaxes(0, 1))


def test_the_state_comes_back_and_carries_on() -> None:
    model = mr.SequenceModel("lstm", **SIZES)
    x = inputs()
    whole, (h, c) = model(x, return_state=True)
    _, state = model(x[:2], return_state=True)
    y, (h_joined, c_joined) = model(x[2:], state, return_state=True)
    np.testing.assert_allclose(y.data, whole.data, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(c_joined.data, c.data, rtol=1e-5, atol=1e-6)
    assert h_joined.shape == h.shape == (1, 3, 3)


def test_activation_reaches_the_cell() -> None:
    assert mr.SequenceModel("rnn", activation="relu", **SIZES).recurrent.cell is mr.cells.rnn(
        "relu"
    )
    lstm = mr.SequenceModel("lstm", activation="sigmoid", **SIZES).recurrent
    assert isinstance(lstm, mr.LSTM)
    assert lstm.cell is mr.cells.lstm("sigmoid")


def test_head_dropout_acts_before_the_head_in_training_only() -> None:
    model = mr.SequenceModel("gru", head_dropout=0.9, **SIZES)
    x = inputs(B=50)
    seen = model(x).data
    only_bias = np.isclose(seen, model.head.bias.data).all(axis=1)
    assert 0.5 < only_bias.mean() < 0.95  # all three features dropped: 0.9^3 = 0.73
    model.eval()
    assert np.array_equal(model(x).data, model.head(model.recurrent(x)[1][0]).data)


def test_every_parameter_gets_a_gradient() -> None:
    model = mr.SequenceModel("lstm", num_layers=2, bidirectional=True, **SIZES)
    mr.mse_loss(model(inputs()), mr.Tensor(np.ones((3, 4), np.float32))).backward()
    for name, parameter in model.named_parameters():
        assert np.abs(parameter.grad).max() > 0.0, name
    assert "recurrent.weight_ih_l1_reverse" in model.state_dict()


def test_a_seed_fixes_the_whole_model() -> None:
    first = mr.SequenceModel(**SIZES).state_dict()
    for name, value in mr.SequenceModel(**SIZES).state_dict().items():
        assert np.array_equal(value, first[name])
