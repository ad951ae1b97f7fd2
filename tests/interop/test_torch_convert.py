"""`from_torch` and `to_torch`: the same layer on the other side, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

# ruff: noqa: E402 (PyTorch may be missing)
import torch_configurations as drawn
from test_torch_accelerate import COUNT
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import minirnn as mr
from minirnn.interop.torch import from_torch, to_torch


def test_random_configurations_agree_both_ways() -> None:
    for case in drawn.configurations(COUNT, seed=1):
        theirs = drawn.torch_arrays(case)
        layer = from_torch(case.layer)
        ours = drawn.minirnn_arrays(case, layer)
        difference, name = drawn.worst(ours, theirs)
        assert difference <= drawn.TOLERANCE, (case.text, name)
        difference, name = drawn.worst(drawn.torch_arrays(case, to_torch(layer)), ours)
        assert difference <= drawn.TOLERANCE, (case.text, name)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_cells_agree_both_ways(kind: Any) -> None:
    torch.manual_seed(0)
    cell = kind(3, 5, bias=kind is not nn.GRUCell, dtype=torch.float64)
    x = torch.randn(4, 3, dtype=torch.float64)
    h = torch.randn(4, 5, dtype=torch.float64)
    state = (h, h.flip(0)) if kind is nn.LSTMCell else h
    theirs = drawn.states_of(cell(x, state))
    layer = from_torch(cell)
    assert type(layer) is getattr(mr.nn, kind.__name__)
    given = tuple(s.numpy() for s in drawn.states_of(state))
    ours = drawn.states_of(layer(x.numpy(), given if len(given) > 1 else given[0]))
    back = drawn.states_of(to_torch(layer)(x, state))
    for mine, other, again in zip(ours, theirs, back, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.detach().numpy(), rtol=0, atol=1e-14)
        assert torch.equal(again, other)


def make(kind: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return getattr(nn, kind)(3, 4, **options)


def test_a_state_dict_has_the_same_names_and_bits_on_both_sides() -> None:
    theirs = make("LSTM", num_layers=2, bidirectional=True, proj_size=2)
    ours = from_torch(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in ours.state_dict().items():
        assert np.array_equal(value, theirs.state_dict()[name].numpy())
    fresh = make("LSTM", num_layers=2, bidirectional=True, proj_size=2)
    fresh.load_state_dict({n: torch.from_numpy(v) for n, v in ours.state_dict().items()})
    ours.load_state_dict(theirs.state_dict())


@pytest.mark.parametrize("share", [False, True])
def test_parameters_are_copied_unless_they_are_to_be_shared(share: bool) -> None:
    theirs = make("GRU")
    ours = from_torch(theirs, share=share)
    with torch.no_grad():
        theirs.weight_hh_l0.fill_(7.0)
    assert bool((ours.weight_hh_l0.data == 7.0).all()) == share
    back = to_torch(ours, share=share)
    ours.weight_ih_l0.data[...] = 5.0
    assert bool((back.weight_ih_l0 == 5.0).all()) == share
    assert bool((theirs.weight_ih_l0 == 5.0).all()) == share


def test_options_modes_and_frozen_parameters_come_along() -> None:
    theirs = make("RNN", nonlinearity="relu", num_layers=2, dropout=0.25, batch_first=True).eval()
    theirs.bias_hh_l1.requires_grad_(False)
    ours = from_torch(theirs)
    assert repr(ours) == "RNN(3, 4, num_layers=2, batch_first=True, dropout=0.25)"
    assert ours.cell is mr.cells.rnn("relu")
    assert not ours.training
    frozen = [name for name, p in ours.named_parameters() if not p.requires_grad]
    assert frozen == ["bias_hh_l1"]
    back = to_torch(ours)
    assert back.mode == "RNN_RELU"
    assert not back.training
    assert not back.bias_hh_l1.requires_grad
    assert back.dropout == 0.25


@pytest.mark.parametrize("place", [lambda m: m, nn.Sequential])
def test_a_dropout_without_effect_is_warned_of_at_the_users_line(place: Any) -> None:
    with pytest.warns(UserWarning, match="dropout"):
        theirs = place(nn.GRU(3, 4, dropout=0.5))
    with pytest.warns(UserWarning, match="no effect with num_layers=1") as warned:
        from_torch(theirs)
    assert [each.filename for each in warned] == [__file__]


def test_a_chain_keeps_its_parts_and_what_they_share() -> None:
    torch.manual_seed(0)
    first, last = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
    last.weight = first.weight
    theirs = nn.Sequential(first, nn.Dropout(0.5), last, nn.GRU(3, 2)).eval()
    ours = from_torch(theirs)
    assert ours[0].weight is ours[2].weight
    x = torch.randn(5, 2, 3)
    np.testing.assert_allclose(ours(x.numpy())[0].numpy(), theirs(x)[0].detach(), atol=1e-6)
    back = to_torch(ours)
    assert back[0].weight is back[2].weight
    assert torch.equal(back(x)[0], theirs(x)[0])


class Classifier(nn.Module):
    """As users write them."""

    def __init__(self, kind: str = "GRU", last: str = "output", **options: Any) -> None:
        super().__init__()
        self.encoder = getattr(nn, kind)(3, 4, batch_first=True, **options)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(8 if options.get("bidirectional") else 4, 2)
        self.last = last

    def forward(self, x: Any) -> Any:
        output, h = self.encoder(x)
        if self.last == "output":
            return self.out(self.drop(output[:, -1]))
        if self.last == "state":
            h = h[0] if isinstance(h, tuple) else h
            return self.out(self.drop(torch.cat([h[-2], h[-1]], 1)))
        if self.last == "all":
            return self.out(self.drop(output))
        if self.last == "mean":
            return self.out(self.drop(output).mean(1))
        if self.last == "dropped first":
            return self.out(self.encoder(self.drop(x))[0][:, -1])
        return self.out(output[:, -1], x)


@pytest.mark.parametrize(
    ("kind", "last", "options", "readout"),
    [
        ("GRU", "output", {}, "last"),
        ("LSTM", "output", {"num_layers": 2, "dropout": 0.1}, "last"),
        ("LSTM", "state", {"bidirectional": True}, "last"),
        ("RNN", "all", {"bidirectional": True}, "all"),
    ],
)
def test_a_users_model_is_known_by_what_it_computes(
    kind: str, last: str, options: dict[str, Any], readout: str
) -> None:
    torch.manual_seed(0)
    theirs = Classifier(kind, last, **options).eval()
    seed = torch.random.get_rng_state()
    ours = from_torch(theirs)
    assert torch.equal(torch.random.get_rng_state(), seed)  # trying it has drawn nothing
    assert not theirs.training
    assert type(ours) is mr.SequenceModel
    assert (ours.readout, ours.head_dropout.p) == (readout, 0.3)
    x = torch.randn(5, 7, 3)
    expected = theirs(x).detach().numpy()
    np.testing.assert_allclose(ours(x.numpy()).numpy(), expected, atol=1e-6)
    back = to_torch(ours)
    np.testing.assert_allclose(back(x).detach().numpy(), expected, atol=1e-6)
    again = from_torch(back)
    assert again.readout == readout


def test_a_model_for_packed_sequences_comes_back_from_ours() -> None:
    ours = mr.SequenceModel("gru", input_size=3, hidden_size=4, output_size=2, rng=0)
    x = np.random.default_rng(0).normal(size=(6, 3, 3)).astype(np.float32)
    lengths = np.array([2, 6, 4])
    expected = ours(x, lengths=lengths).numpy()
    packed = pack_padded_sequence(torch.from_numpy(x), lengths, enforce_sorted=False)
    np.testing.assert_allclose(to_torch(ours)(packed).detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ("mean", "neither the head of the last state nor that of every output"),
        ("dropped first", "neither the head"),
        ("other", "raises TypeError"),
    ],
)
def test_a_model_that_computes_something_else_is_refused(last: str, told: str) -> None:
    with pytest.raises(mr.ArgumentError, match=told):
        from_torch(Classifier(last=last))


class Gated(nn.GRU):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(2 * input, hx)


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (nn.Conv1d(1, 1, 1), "module: got a Conv1d"),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU()), r"module\[1\]: got a ReLU"),
        (Gated(2, 2), "forward of its own"),
        ("gru", "got a str"),
        (nn.Sequential(nn.GRU(2, 2), nn.GRU(2, 2)).append(nn.Conv1d(1, 1, 1)), r"module\[2\]"),
    ],
)
def test_what_minirnn_has_not_is_refused_by_name(module: Any, told: str) -> None:
    with pytest.raises(mr.ArgumentError, match=told):
        from_torch(module)


def test_other_precisions_are_refused() -> None:
    with pytest.raises(mr.DTypeError, match=r"torch\.bfloat16"):
        from_torch(nn.GRU(2, 2, dtype=torch.bfloat16))


@mr.cell(states=("h",), new="xh")
def own(z: Any, last: Any) -> Any:
    n = mr.cells.tanh(z.new)
    return {"h": 0.5 * (n + last.h)}, {"new": n}


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (mr.GRU(2, 2, activation="relu"), "activation='relu'"),
        (mr.GRU(2, 2, reset_after=False), "reset='before'"),
        (mr.LSTM(2, 2, activation="sigmoid"), "activation='sigmoid'"),
        (mr.RNN(2, 2, nonlinearity="identity"), "nonlinearity='identity'"),
        (mr.Recurrent(own, 2, 2), "cell 'own'"),
        (mr.Sequential(mr.Linear(2, 2), mr.GRU(2, 2, activation="relu")), r"layer\[1\]"),
        (nn.Linear(2, 2), "got a Linear; wanted a minirnn layer"),
    ],
)
def test_what_pytorch_has_not_is_refused_by_name(layer: Any, told: str) -> None:
    with pytest.raises(mr.ArgumentError, match=told):
        to_torch(layer)
