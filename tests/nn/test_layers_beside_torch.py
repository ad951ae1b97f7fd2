"""Projection, single steps, and the GRU that resets before the product, against other engines.

Outputs, states and all gradients in float64, to 1e-9 of an array's largest value.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn import nn

torch = pytest.importorskip("torch")


def agree(found: Any, wanted: Any, what: str) -> None:
    found = found.data if isinstance(found, mr.Tensor) else found
    wanted = wanted.detach().numpy() if isinstance(wanted, torch.Tensor) else wanted
    assert found.shape == wanted.shape, what
    error = np.abs(found - wanted).max(initial=0.0)
    assert error <= 1e-9 * np.abs(wanted).max(initial=1e-30), f"{what}: {error:.2e}"


def backward(results: Any, weights: Any) -> None:
    """From the loss that is the sum of results times weights."""
    sum((a * w).sum() for a, w in zip(results, weights, strict=True)).backward()


@pytest.mark.parametrize("seed", range(int(os.environ.get("MINIRNN_EXAMPLES", "12"))))
def test_a_projected_lstm_equals_pytorch_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    T, B, I, L = (int(rng.integers(1, n)) for n in (9, 5, 6, 4))  # noqa: E741
    H = int(rng.integers(2, 9))
    P = int(rng.integers(1, H))
    both, bias, batch_first, packed, given = (bool(rng.integers(2)) for _ in range(5))
    options = {"bias": bias, "batch_first": batch_first, "bidirectional": both, "proj_size": P}
    theirs = torch.nn.LSTM(I, H, L, dtype=torch.float64, **options)
    ours = mr.LSTM(I, H, L, dtype="float64", **options)
    state = {name: p.detach().numpy().copy() for name, p in theirs.named_parameters()}
    assert {n: a.shape for n, a in ours.state_dict().items()} == {
        n: a.shape for n, a in state.items()
    }
    ours.load_state_dict(state)
    levels = L * (1 + both)
    x = rng.normal(size=(B, T, I) if batch_first else (T, B, I))
    h, c = rng.normal(size=(levels, B, P)), rng.normal(size=(levels, B, H))
    lengths = np.sort(rng.integers(1, T + 1, B))[::-1].copy() if packed else None

    def leaf(a: Any) -> Any:
        return torch.from_numpy(a.copy()).requires_grad_()

    x1, h1, c1 = leaf(x), leaf(h), leaf(c)
    fed: Any = x1
    if packed:
        fed = torch.nn.utils.rnn.pack_padded_sequence(x1, torch.from_numpy(lengths), batch_first)
    output1, last1 = theirs(fed, (h1, c1) if given else None)
    if packed:
        output1, _ = torch.nn.utils.rnn.pad_packed_sequence(output1, batch_first, total_length=T)
    x2, h2, c2 = (mr.Tensor(a, requires_grad=True) for a in (x, h, c))
    output2, last2 = ours(x2, (h2, c2) if given else None, lengths)

    weights = [rng.normal(size=tuple(a.shape)) for a in (output1, *last1)]
    backward((output1, *last1), [torch.from_numpy(w) for w in weights])
    backward((output2, *last2), weights)
    agree(output2, output1, "output")
    for name, a, b in zip("hc", last2, last1, strict=True):
        agree(a, b, name)
    agree(x2.grad, x1.grad.numpy(), "x")
    if given:
        agree(h2.grad, h1.grad.numpy(), "grad of h")
        agree(c2.grad, c1.grad.numpy(), "grad of c")
    for name, parameter in theirs.named_parameters():
        agree(getattr(ours, name).grad, parameter.grad.numpy(), name)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_single_steps_equal_pytorch_s(kind: str, bias: bool) -> None:
    theirs = getattr(torch.nn, kind)(4, 5, bias=bias, dtype=torch.float64)
    ours = getattr(nn, kind)(4, 5, bias=bias, dtype="float64")
    ours.load_state_dict({n: p.detach().numpy().copy() for n, p in theirs.named_parameters()})
    x = np.random.default_rng(0).normal(size=(6, 3, 4))
    x1, x2 = torch.from_numpy(x.copy()).requires_grad_(), mr.Tensor(x, requires_grad=True)
    state1 = state2 = None
    for t in range(6):
        state1, state2 = theirs(x1[t], state1), ours(x2[t], state2)
    ends1 = state1 if isinstance(state1, tuple) else (state1,)
    ends2 = state2 if isinstance(state2, tuple) else (state2,)
    backward(ends1, ends1)
    backward(ends2, ends2)
    for a, b in zip(ends2, ends1, strict=True):
        agree(a, b, "state")
    agree(x2.grad, x1.grad.numpy(), "x")
    for name, parameter in theirs.named_parameters():
        agree(getattr(ours, name).grad, parameter.grad.numpy(), name)


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Keras on PyTorch, in float64: unasked, `keras.ops.matmul` casts that to float32."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    module = pytest.importorskip("keras")
    if module.backend.backend() != "torch":
        pytest.skip("Keras was loaded with another backend")
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    return module


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("backwards", [False, True])
def test_gru_with_the_reset_before_the_product_equals_keras(
    backwards: bool, use_bias: bool, keras: Any
) -> None:
    T, B, I, H = 6, 3, 4, 5  # noqa: E741
    theirs = keras.layers.GRU(
        H, reset_after=False, use_bias=use_bias, return_sequences=True, return_state=True,
        go_backwards=backwards, dtype="float64",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(B, T, I)), rng.normal(size=(B, H))
    theirs.build(x.shape)
    kernel, recurrent = rng.normal(size=(I, 3 * H)), rng.normal(size=(H, 3 * H)) * 0.5
    biases = [rng.normal(size=3 * H)] if use_bias else []
    theirs.set_weights([kernel, recurrent, *biases])
    ours = mr.GRU(
        I, H, reset_after=False, bias=use_bias, batch_first=True, bidirectional=backwards,
        dtype="float64",
    )  # fmt: skip
    suffix = "_l0_reverse" if backwards else "_l0"

    def ordered(a: Any) -> Any:  # Keras: update, reset, new, in columns
        z, r, n = np.split(a.T, 3)
        return np.concatenate([r, z, n])

    given = {"weight_ih": ordered(kernel), "weight_hh": ordered(recurrent)}
    if use_bias:
        given |= {"bias_ih": ordered(biases[0]), "bias_hh": np.zeros(3 * H)}
    for name, array in given.items():
        getattr(ours, name + suffix).data[...] = array
    x1 = torch.from_numpy(x.copy()).requires_grad_()
    h1 = torch.from_numpy(h.copy()).requires_grad_()
    output1, last1 = theirs(x1, initial_state=h1)
    if backwards:
        output1 = output1.flip(1)
    weight = rng.normal(size=(B, T, H))
    ((output1 * torch.from_numpy(weight)).sum() + last1.sum()).backward()

    x2 = mr.Tensor(x, requires_grad=True)
    state = np.stack([h] * (1 + backwards))
    h2 = mr.Tensor(state, requires_grad=True)
    output2, last2 = ours(x2, h2)
    output2, last2 = output2[:, :, -H:], last2[-1]
    ((output2 * weight).sum() + last2.sum()).backward()
    agree(output2, output1, "output")
    agree(last2, last1, "state")
    agree(x2.grad, x1.grad.numpy(), "x")
    agree(h2.grad[-1], h1.grad.numpy(), "grad of h")
    grads = [ordered(v.value.grad.numpy()) for v in theirs.trainable_weights]
    for name, gradient in zip(("weight_ih", "weight_hh", "bias_ih"), grads, strict=False):
        agree(getattr(ours, name + suffix).grad, gradient, name)
