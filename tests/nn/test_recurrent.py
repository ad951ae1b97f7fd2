"""Recurrent layers against PyTorch's: outputs, last states, every gradient, names and defaults."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from devices import to_device, to_numpy
from layer_functions import as_function

import minirnn as mr
from minirnn.testing import gradcheck

KINDS = ["RNN", "GRU", "LSTM"]
T, B, WIDTH, H = 6, 3, 4, 5


def pair(kind: str, device: str, seed: int = 0, **options):
    """A PyTorch layer and ours, on `device`, with the same parameters, in float64."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(seed)
    theirs = getattr(torch.nn, kind)(WIDTH, H, dtype=torch.float64, **options)
    ours = getattr(mr, kind)(WIDTH, H, dtype="float64", device=device, **options)
    ours.load_state_dict(theirs.state_dict())
    return torch, theirs, ours


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def tensor(array: np.ndarray, device: str, requires_grad: bool = False) -> mr.Tensor:
    return mr.Tensor(to_device(array, device), requires_grad)


def close(ours, theirs) -> None:
    ours = to_numpy(ours)
    expected = theirs.detach().numpy()
    bound = 1e-9 * max(np.abs(expected).max(), 1e-300)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("with_state", [False, True])
def test_outputs_states_and_gradients_are_pytorchs(
    kind: str,
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
    with_state: bool,
    device: str,
) -> None:
    options = {"num_layers": num_layers, "bidirectional": bidirectional}
    torch, theirs, ours = pair(kind, device, batch_first=batch_first, **options)
    rng = np.random.default_rng(1)
    levels = num_layers * (1 + bidirectional)
    states = 2 if kind == "LSTM" else 1
    x = rng.normal(size=(B, T, WIDTH) if batch_first else (T, B, WIDTH))
    starts = [rng.normal(size=(levels, B, H)) for _ in range(states)]
    x_ours = tensor(x, device, requires_grad=True)
    x_theirs = torch.tensor(x, requires_grad=True)
    s_ours = tuple(tensor(s, device, requires_grad=True) for s in starts)
    s_theirs = tuple(torch.tensor(s, requires_grad=True) for s in starts)

    def unpacked(state):
        return (state if states == 2 else state[0]) if with_state else None

    y, last = ours(x_ours, unpacked(s_ours))
    y_expected, last_expected = theirs(x_theirs, unpacked(s_theirs))
    close(y.data, y_expected)
    for mine, other in zip(as_tuple(last), as_tuple(last_expected), strict=True):
        close(mine.data, other)

    weights = [rng.normal(size=y.shape)] + [rng.normal(size=s.shape) for s in starts]
    results = zip((y, *as_tuple(last)), weights, strict=True)
    sum((r * tensor(w, device)).sum() for r, w in results).backward()
    results = zip((y_expected, *as_tuple(last_expected)), weights, strict=True)
    sum((r * torch.tensor(w)).sum() for r, w in results).backward()
    close(x_ours.grad, x_theirs.grad)
    expected = dict(theirs.named_parameters())
    assert list(expected) == [name for name, _ in ours.named_parameters()]
    for name, parameter in ours.named_parameters():
        close(parameter.grad, expected[name].grad)
    if with_state:
        for mine, other in zip(s_ours, s_theirs, strict=True):
            close(mine.grad, other.grad)


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_are_pytorchs_packed_sequences(kind: str, device: str) -> None:
    torch, theirs, ours = pair(kind, device, num_layers=2, bidirectional=True)
    x = np.random.default_rng(2).normal(size=(T, B, WIDTH))
    lengths = [3, 6, 1]
    x_ours, x_theirs = tensor(x, device, requires_grad=True), torch.tensor(x, requires_grad=True)
    rnn = torch.nn.utils.rnn
    packed, last_expected = theirs(
        rnn.pack_padded_sequence(x_theirs, torch.tensor(lengths), enforce_sorted=False)
    )
    y_expected, _ = rnn.pad_packed_sequence(packed, total_length=T)
    y, last = ours(x_ours, lengths=lengths)
    close(y.data, y_expected)
    for mine, other in zip(as_tuple(last), as_tuple(last_expected), strict=True):
        close(mine.data, other)
    (y * y).sum().backward()
    (y_expected * y_expected).sum().backward()
    close(x_ours.grad, x_theirs.grad)
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        close(parameter.grad, expected[name].grad)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_state_dict_moves_to_pytorch_and_starts_like_pytorchs(kind: str, bias: bool) -> None:
    torch = pytest.importorskip("torch")
    options = {"num_layers": 2, "bidirectional": True, "bias": bias}
    ours = getattr(mr, kind)(WIDTH, 400, dtype="float64", rng=3, **options)
    theirs = getattr(torch.nn, kind)(WIDTH, 400, dtype=torch.float64, **options)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    x = np.random.default_rng(4).normal(size=(2, 1, WIDTH))
    close(ours(x)[0].data, theirs(torch.tensor(x))[0])
    for value in ours.state_dict().values():
        assert np.abs(value).max() <= 0.05
        assert value.std() == pytest.approx(0.05 / np.sqrt(3), rel=0.05)


def test_relu_is_pytorchs(device: str) -> None:
    torch, theirs, ours = pair("RNN", device, nonlinearity="relu")
    x = np.random.default_rng(5).normal(size=(T, B, WIDTH))
    close(ours(tensor(x, device))[0].data, theirs(torch.tensor(x))[0])


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("RNN", {"nonlinearity": "sigmoid"}),
        ("RNN", {"nonlinearity": "identity"}),
        ("GRU", {"activation": "sigmoid"}),
        ("LSTM", {"activation": "sigmoid"}),
        ("LSTM", {"activation": "relu"}),
    ],
)
def test_other_activations_change_the_output_and_differentiate(
    kind: str, option: dict, device: str
) -> None:
    layer = getattr(mr, kind)(2, 3, dtype="float64", rng=0, device=device, **option)
    plain = getattr(mr, kind)(2, 3, dtype="float64", rng=0, device=device)
    x = to_device(np.random.default_rng(6).normal(size=(3, 2, 2)), device)
    assert np.abs(layer(x)[0].numpy() - plain(x)[0].numpy()).max() > 0.01
    gradcheck(as_function(layer), (x, *layer.parameters()))


def test_no_steps_give_the_initial_state_back(device: str) -> None:
    layer = mr.LSTM(2, 3, num_layers=2, rng=0, device=device)
    h, c = (np.full((2, 4, 3), value, np.float32) for value in (1.0, 2.0))
    x = tensor(np.zeros((0, 4, 2), np.float32), device)
    y, (h_last, c_last) = layer(x, (tensor(h, device), tensor(c, device)))
    assert y.shape == (0, 4, 3)
    assert np.array_equal(h_last.numpy(), h)
    assert np.array_equal(c_last.numpy(), c)


@pytest.mark.parametrize("lengths_on", ["cpu", "cuda"])
def test_a_sequence_of_length_0_keeps_its_state_and_others_do_not(
    device: str, lengths_on: str, request: pytest.FixtureRequest
) -> None:
    lengths = to_device(np.array([0, 4], np.uint8), request.getfixturevalue("cuda"))
    lengths = lengths if lengths_on == "cuda" else to_numpy(lengths)
    layer = mr.GRU(2, 3, rng=0, device=device)
    h = np.full((1, 2, 3), 0.25, np.float32)
    x = to_device(np.ones((4, 2, 2), np.float32), device)
    y, last = layer(x, to_device(h, device), lengths=lengths)
    assert np.array_equal(last.numpy()[0, 0], h[0, 0])
    assert not np.array_equal(last.numpy()[0, 1], h[0, 1])
    assert np.array_equal(y.numpy()[:, 0], np.zeros((4, 3)))


def test_the_state_carries_a_sequence_across_calls(device: str) -> None:
    layer = mr.LSTM(2, 3, num_layers=2, rng=0, dtype="float64", device=device)
    x = to_device(np.random.default_rng(7).normal(size=(8, 2, 2)), device)
    whole, last = layer(x)
    first, state = layer(x[:5])
    second, state = layer(x[5:], state)
    joined = np.concatenate([first.numpy(), second.numpy()])
    np.testing.assert_allclose(joined, whole.numpy(), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(state[1].numpy(), last[1].numpy(), rtol=1e-14, atol=1e-15)


def test_arrays_tensors_and_lists_of_states_are_taken(device: str) -> None:
    layer = mr.LSTM(2, 3, rng=0, device=device)
    x = np.random.default_rng(8).normal(size=(4, 1, 2)).astype(np.float32)
    x, h = to_device(x, device), to_device(np.ones((1, 1, 3), np.float32), device)
    expected = layer(mr.Tensor(x), (mr.Tensor(h), mr.Tensor(h)))[0].numpy()
    assert np.array_equal(layer(x, (h, h))[0].numpy(), expected)
    lengths = tensor(np.array([4]), device)
    assert np.array_equal(layer(x, [h, h], lengths=lengths)[0].numpy(), expected)


def test_a_replaced_parameter_is_used(device: str) -> None:
    layer = mr.RNN(2, 3, rng=0, device=device)
    x = to_device(np.ones((2, 1, 2), np.float32), device)
    for name, parameter in layer.named_parameters():
        zeros = np.zeros(parameter.shape, np.float32)
        setattr(layer, name, tensor(zeros, device, requires_grad=True))
    assert np.array_equal(layer(x)[0].numpy(), np.zeros((2, 1, 3)))


@pytest.mark.parametrize("here", ["cpu", "cuda"])
def test_a_parameter_replaced_by_one_elsewhere_is_refused(here: str, cuda: str) -> None:
    layer = mr.GRU(2, 3, rng=0, device=here)
    zeros, there = np.zeros(9, np.float32), "cuda" if here == "cpu" else "cpu"
    layer.bias_hh_l0 = tensor(zeros, there, requires_grad=True)
    with pytest.raises(mr.DeviceError, match=f"bias_hh: got an array on '{there}'"):
        layer(to_device(np.ones((2, 1, 2), np.float32), here))


def test_dropout_acts_between_layers_in_training_only(device: str) -> None:
    layer = mr.GRU(2, 50, num_layers=2, dropout=0.5, rng=0, device=device)
    x = to_device(np.ones((3, 2, 2), np.float32), device)
    plain = layer.eval()(x)[0].numpy()
    assert np.array_equal(layer(x)[0].numpy(), plain)
    layer.train()
    first, (low, high) = layer(x)
    assert not np.array_equal(first.numpy(), plain)
    assert not np.array_equal(layer(x)[0].numpy(), first.numpy())
    assert not np.any(first.numpy() == 0.0)  # not after the last layer
    plain_low = layer.eval()(x)[1].numpy()[0]
    assert np.array_equal(low.numpy(), plain_low)  # and not within the first
    assert high.shape == (2, 50)


def test_the_same_seed_drops_the_same_units(device: str) -> None:
    x = to_device(np.ones((3, 2, 2), np.float32), device)
    options = {"num_layers": 2, "dropout": 0.5, "rng": 9, "device": device}
    first, second = (mr.GRU(2, 5, **options)(x)[0].numpy() for _ in "ab")
    assert np.array_equal(first, second)


@pytest.mark.parametrize("make", [mr.LSTM, lambda *a, **k: mr.Recurrent("rnn", *a, **k)])
def test_dropout_without_a_second_layer_warns_the_caller(make) -> None:
    with pytest.warns(UserWarning, match=r"dropout=0\.3 .*num_layers=1") as caught:
        make(2, 3, dropout=0.3)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(2, 3, 2, dropout=0.3)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_a_cell_may_be_named(name: str, device: str) -> None:
    named = mr.Recurrent(name, 2, 3, rng=0, device=device)
    layer = getattr(mr, name.upper())(2, 3, rng=0, device=device)
    assert named.cell is layer.cell
    x = to_device(np.ones((3, 1, 2), np.float32), device)
    assert np.array_equal(named(x)[0].numpy(), layer(x)[0].numpy())


@mr.cell(states=("h",), forget="xh", new="xh")
def minimal(z, last):
    """A gated unit with one gate (after Zhou et al. 2016), the gate off the candidate's path."""
    f, n = mr.cells.sigmoid(z.forget), mr.cells.tanh(z.new)
    return {"h": f * last.h + (1 - f) * n}, {"forget": f, "new": n}


def test_a_cell_of_ones_own_runs_in_layers_and_directions_and_differentiates(device: str) -> None:
    options = {"num_layers": 2, "bidirectional": True, "dtype": "float64", "device": device}
    layer = mr.Recurrent(minimal, 2, 3, rng=0, **options)
    shapes = {name: p.shape for name, p in layer.named_parameters()}
    assert shapes["weight_ih_l0"] == (6, 2)
    assert shapes["weight_ih_l1_reverse"] == (6, 6)
    assert shapes["bias_hh_l1"] == (6,)
    rng = np.random.default_rng(10)
    x, h = (to_device(rng.normal(size=size), device) for size in ((4, 2, 2), (4, 2, 3)))
    function = as_function(layer, lambda x, h: layer(x, h, lengths=[4, 2]), inputs=2)
    gradcheck(function, (x, h, *layer.parameters()))


def test_a_cell_of_ones_own_computes_its_equations(device: str) -> None:
    layer = mr.Recurrent(minimal, 2, 3, dtype="float64", rng=0, device=device)
    x = np.random.default_rng(11).normal(size=(5, 2, 2))
    w_x, w_h, b_x, b_h = (p.numpy() for p in layer.parameters())
    h = np.zeros((2, 3))
    expected = []
    for step in x:
        f, n = np.split(step @ w_x.T + b_x + h @ w_h.T + b_h, 2, axis=1)
        f = 1.0 / (1.0 + np.exp(-f))
        h = f * h + (1 - f) * np.tanh(n)
        expected.append(h)
    y, last = layer(to_device(x, device))
    np.testing.assert_allclose(y.numpy(), np.stack(expected), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(last.numpy()[0], h, rtol=1e-13, atol=1e-14)
