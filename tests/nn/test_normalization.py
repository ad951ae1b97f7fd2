"""LayerNorm, BatchNorm and Embedding: PyTorch's values and gradients, state, and bad input."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from minirnn.device import to_device
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.nn import BatchNorm, Embedding, LayerNorm, Sequential
from minirnn.tensor import Tensor
from minirnn.testing import gradcheck

RNG = np.random.default_rng(7)
X = RNG.normal(1.0, 3.0, size=(4, 5, 6))
DY = RNG.normal(size=X.shape)


def given(module):
    """The module with parameters that are not its first ones."""
    rng = np.random.default_rng(3)
    for parameter in module.parameters():
        parameter.data[...] = rng.normal(size=parameter.shape)
    return module


def backward(module, x):
    x = Tensor(x.copy(), requires_grad=True)
    y = module(x)
    (y * Tensor(DY)).sum().backward()
    return y.data, x.grad, [p.grad for p in module.parameters()]


def test_layer_norm_is_pytorchs():
    torch = pytest.importorskip("torch")
    ours = given(LayerNorm(6, dtype="float64"))
    theirs = torch.nn.LayerNorm(6, dtype=torch.float64)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    x = torch.tensor(X, requires_grad=True)
    y = theirs(x)
    (y * torch.tensor(DY)).sum().backward()
    found = backward(ours, X)
    np.testing.assert_allclose(found[0], y.detach().numpy(), atol=1e-13)
    np.testing.assert_allclose(found[1], x.grad.numpy(), atol=1e-13)
    for mine, other in zip(found[2], theirs.parameters(), strict=True):
        np.testing.assert_allclose(mine, other.grad.numpy(), atol=1e-12)


def test_batch_norm_is_pytorchs_in_training_and_evaluation():
    torch = pytest.importorskip("torch")
    ours = given(BatchNorm(6, dtype="float64", momentum=0.3))
    theirs = torch.nn.BatchNorm1d(6, momentum=0.3, dtype=torch.float64)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        ours.zero_grad()
        theirs.zero_grad()
        x = torch.tensor(X, requires_grad=True)
        y = theirs(x.reshape(-1, 6)).reshape(X.shape)
        (y * torch.tensor(DY)).sum().backward()
        found = backward(ours, X)
        np.testing.assert_allclose(found[0], y.detach().numpy(), atol=1e-13)
        np.testing.assert_allclose(found[1], x.grad.numpy(), atol=1e-13)
        for mine, other in zip(found[2], theirs.parameters(), strict=True):
            np.testing.assert_allclose(mine, other.grad.numpy(), atol=1e-12)
        for name, array in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[name], array.numpy(), atol=1e-13)


def test_normalised_features_have_mean_zero_and_variance_one():
    y = LayerNorm(6, dtype="float64", eps=1e-12)(X).data
    np.testing.assert_allclose(y.mean(axis=-1), 0.0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=-1), 1.0, rtol=1e-9)
    y = BatchNorm(6, dtype="float64", eps=1e-12)(X).data
    np.testing.assert_allclose(y.mean(axis=(0, 1)), 0.0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=(0, 1)), 1.0, rtol=1e-9)


@pytest.mark.parametrize("kind", [LayerNorm, BatchNorm])
def test_gradients_are_those_of_differences(kind):
    module = given(kind(6, dtype="float64"))
    gradcheck(lambda x: module(x), [X])


def test_buffers_are_saved_loaded_and_copied():
    module = Sequential(BatchNorm(6, dtype="float64"))
    module(X)
    state = module.state_dict()
    assert list(state) == [
        "0.weight", "0.bias", "0.running_mean", "0.running_var", "0.num_batches_tracked",
    ]  # fmt: skip
    assert state["0.num_batches_tracked"] == 1
    other = Sequential(BatchNorm(6, dtype="float64"))
    other.load_state_dict(state)
    copied = copy.deepcopy(other)
    module(X)  # must not reach into what was saved
    np.testing.assert_allclose(other[0].running_mean, 0.1 * X.mean(axis=(0, 1)))
    other(X)
    np.testing.assert_array_equal(copied[0].running_mean, state["0.running_mean"])
    copied(X)
    np.testing.assert_array_equal(copied[0].running_mean, other[0].running_mean)
    np.testing.assert_array_equal(copied.state_dict()["0.running_mean"], other[0].running_mean)
    with pytest.raises(ArgumentError, match=r"missing: '0\.running_mean'"):
        other.load_state_dict({k: v for k, v in state.items() if k != "0.running_mean"})


def test_a_buffer_keeps_its_shape_and_dtype():
    module = BatchNorm(3)
    module.running_mean = np.ones(3, np.float32)
    assert module.state_dict()["running_mean"].sum() == 3
    with pytest.raises(ShapeError, match=r"^running_mean: "):
        module.running_mean = np.ones(4, np.float32)
    with pytest.raises(DTypeError, match=r"^running_mean: "):
        module.running_mean = np.ones(3)
    with pytest.raises(DTypeError, match=r"^running_mean: "):
        module.running_mean = None
    with pytest.raises(ArgumentError, match=r"^name: "):
        module.register_buffer("weight", np.ones(3))
    del module.running_mean
    assert "running_mean" not in module.state_dict()


def test_norms_move_with_the_model(cuda):
    module = given(BatchNorm(6)).to(cuda)
    x = to_device(X.astype(np.float32), cuda)
    y = module(x)
    assert type(y.data) is type(x)
    host = given(BatchNorm(6))
    expected = host(X.astype(np.float32)).data
    np.testing.assert_allclose(y.data.get(), expected, rtol=1e-5, atol=1e-5)
    back = module.to("cpu")
    np.testing.assert_allclose(back.running_var, host.running_var, rtol=1e-5)
    assert isinstance(back.state_dict()["running_var"], np.ndarray)


def test_an_embedding_gives_rows_and_their_gradients():
    module = Embedding(5, 3, dtype="float64", rng=0)
    indices = np.array([[0, 4], [4, 4]])
    y = module(indices)
    np.testing.assert_array_equal(y.data, module.weight.data[indices])
    y.sum().backward()
    np.testing.assert_array_equal(module.weight.grad[:, 0], [1, 0, 0, 0, 3])
    assert list(module.state_dict()) == ["weight"]


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("features", lambda: LayerNorm(0)),
        ("eps", lambda: LayerNorm(3, eps=0.0)),
        ("affine", lambda: LayerNorm(3, affine=1)),
        ("momentum", lambda: BatchNorm(3, momentum=1.5)),
        ("x", lambda: LayerNorm(3)(np.zeros((2, 4), np.float32))),
        ("x", lambda: LayerNorm(3)(np.zeros((2, 3)))),
        ("x", lambda: BatchNorm(3)(np.zeros((1, 3), np.float32))),
        ("num_embeddings", lambda: Embedding(0, 3)),
        ("indices", lambda: Embedding(4, 3)(np.array([4]))),
        ("indices", lambda: Embedding(4, 3)(np.array([0.5]))),
    ],
)
def test_bad_input_is_named(argument, call):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert caught.value.argument == argument
