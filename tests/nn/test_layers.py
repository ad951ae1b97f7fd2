"""Linear, Dropout and Sequential."""

from __future__ import annotations

import numpy as np
import pytest
from devices import to_device
from layer_functions import as_function

import minirnn as mr
from minirnn.errors import ArgumentError
from minirnn.testing import gradcheck


def test_linear_is_pytorchs_and_moves_both_ways() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Linear(4, 3, dtype=torch.float64)
    ours = mr.Linear(4, 3, dtype="float64")
    x = np.random.default_rng(0).normal(size=(5, 2, 4))

    def same() -> None:
        expected = theirs(torch.tensor(x)).detach().numpy()
        np.testing.assert_allclose(ours(x).data, expected, rtol=1e-14, atol=1e-14)

    ours.load_state_dict(theirs.state_dict())
    same()
    other = mr.Linear(4, 3, dtype="float64")
    theirs.load_state_dict({k: torch.tensor(v) for k, v in other.state_dict().items()})
    ours.load_state_dict(theirs.state_dict())
    same()


@pytest.mark.parametrize("bias", [True, False])
def test_linear_differentiates(bias: bool, device: str) -> None:
    layer = mr.Linear(3, 2, bias=bias, dtype="float64", rng=0, device=device)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"][: 1 + bias]
    x = np.random.default_rng(1).normal(size=(4, 2, 3))
    gradcheck(as_function(layer), (to_device(x, device), *layer.parameters()))


def test_linear_starts_within_pytorchs_bound() -> None:
    layer = mr.Linear(25, 400, rng=0)
    for parameter in layer.parameters():
        values = parameter.data
        assert values.dtype == np.float32
        assert np.abs(values).max() <= 0.2
        assert values.std() == pytest.approx(0.2 / np.sqrt(3), rel=0.05)


def test_a_seed_fixes_the_start() -> None:
    first, second, third = (mr.Linear(3, 3, rng=seed).weight.data for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_float32_starts_at_float64s_values() -> None:
    narrow = mr.LSTM(2, 3, rng=5).state_dict()
    wide = mr.LSTM(2, 3, rng=5, dtype="float64").state_dict()
    for name, value in wide.items():
        assert np.array_equal(narrow[name], value.astype(np.float32))


def test_dropout_keeps_the_mean_and_drops_its_share() -> None:
    layer = mr.Dropout(0.3, rng=0)
    x = mr.Tensor(np.ones((200, 500), np.float32), requires_grad=True)
    y = layer(x)
    dropped = y.data == 0.0
    assert dropped.mean() == pytest.approx(0.3, abs=0.01)
    assert np.allclose(y.data[~dropped], 1.0 / 0.7)
    y.sum().backward()
    assert np.array_equal(x.grad, y.data)
    assert not np.array_equal(layer(x).data, y.data)


def test_dropout_leaves_evaluation_and_p_0_alone() -> None:
    x = mr.Tensor(np.ones((20, 20)))
    assert np.array_equal(mr.Dropout(0.5, rng=0).eval()(x).data, x.data)
    assert np.array_equal(mr.Dropout(0.0)(x).data, x.data)


def test_sequential_runs_in_order_and_names_by_position() -> None:
    first, second = mr.Linear(3, 4, rng=0), mr.Linear(4, 2, rng=1)
    chain = mr.Sequential(first, mr.Dropout(0.5), second).eval()
    x = np.ones((5, 3), np.float32)
    assert np.array_equal(chain(x).data, second(first(x)).data)
    assert list(chain.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(chain) == 3
    assert chain[-1] is second
    assert next(iter(chain)) is first
    with pytest.raises(IndexError):
        chain[3]


def test_sequential_says_why_a_recurrent_layer_does_not_chain() -> None:
    chain = mr.Sequential(mr.GRU(2, 3), mr.Linear(3, 1))
    with pytest.raises(ArgumentError, match=r"modules\[0\].*GRU"):
        chain(np.ones((4, 1, 2), np.float32))


def test_a_model_shows_its_parts() -> None:
    model = mr.SequenceModel(
        "lstm", input_size=1, hidden_size=8, output_size=2, num_layers=2, bidirectional=True
    )
    assert repr(model) == (
        "SequenceModel(readout='last')\n"
        "  recurrent: LSTM(1, 8, num_layers=2, bidirectional=True)\n"
        "  head_dropout: Dropout(0.0)\n"
        "  head: Linear(16, 2)"
    )
