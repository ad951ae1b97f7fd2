"""Bad input: each a typed error that names the argument."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn import functional as fn
from minirnn.errors import ArgumentError, DTypeError, MinirnnError, ShapeError, TapeError
from minirnn.tensor import Tensor, as_tensor

RNG = np.random.default_rng(0)
X = np.arange(6.0).reshape(2, 3)
F32 = np.ones((2, 3), np.float32)


def grad(array=X):
    return Tensor(np.array(array), requires_grad=True)


# (error, the argument it names, what is done)
BAD = [
    # what a tensor holds
    (DTypeError, "data", lambda: Tensor(np.ones(2, np.float16))),
    (DTypeError, "data", lambda: Tensor(np.ones(2, np.complex128))),
    (DTypeError, "data", lambda: Tensor(np.array([1, None]))),
    (DTypeError, "data", lambda: Tensor("text")),
    (DTypeError, "data", lambda: Tensor(None)),
    (DTypeError, "data", lambda: Tensor({"x": 1})),
    (DTypeError, "data", lambda: Tensor(1 + 2j)),
    (DTypeError, "data", lambda: Tensor([1.0, "2"])),
    (DTypeError, "data", lambda: Tensor(np.array(["2024-01-01"], "M8[D]"))),
    (DTypeError, "data", lambda: Tensor(np.ones(2, ">f8"))),
    (DTypeError, "data", lambda: Tensor(np.ma.masked_array([1.0, 2.0], [True, False]))),
    (DTypeError, "data", lambda: Tensor(10**400)),
    (DTypeError, "data", lambda: Tensor(1e300)),
    (ShapeError, "data", lambda: Tensor([[1.0], [1.0, 2.0]])),
    (ArgumentError, "data", lambda: Tensor(Tensor(1.0))),
    (DTypeError, "data", lambda: Tensor([1, 2], requires_grad=True)),
    (DTypeError, "data", lambda: Tensor([True], requires_grad=True)),
    (ArgumentError, "requires_grad", lambda: Tensor(X, "float64")),
    (DTypeError, "data", lambda: setattr(Tensor([1]), "requires_grad", True)),
    (ArgumentError, "requires_grad", lambda: setattr(Tensor([1.0]), "requires_grad", 1)),
    (TapeError, None, lambda: setattr(grad() * 2.0, "requires_grad", False)),
    (DTypeError, "h0", lambda: as_tensor(F32, np.float64, "h0")),
    (DTypeError, "h0", lambda: as_tensor(Tensor(F32), np.float64, "h0")),
    # backward
    (TapeError, None, lambda: Tensor(X).sum().backward()),
    (ShapeError, "gradient", lambda: (grad() * 2.0).backward()),
    (ShapeError, "gradient", lambda: grad().sum(0).backward(np.ones((1, 3)))),
    (ShapeError, "gradient", lambda: (grad() * 2.0).backward(np.ones(()))),
    (DTypeError, "gradient", lambda: grad().sum().backward(np.float32(1))),
    (DTypeError, "gradient", lambda: grad().sum().backward(np.array(1))),
    (DTypeError, "gradient", lambda: grad().sum().backward("one")),
    # arithmetic
    (ShapeError, "b", lambda: Tensor(X) + np.ones(2)),
    (ShapeError, "b", lambda: Tensor(X) * np.ones((2, 2))),
    (ShapeError, "b", lambda: np.ones(2) / Tensor(X)),
    (ShapeError, "b", lambda: Tensor(X) < np.ones(4)),
    (DTypeError, "b", lambda: Tensor(X) + "1"),
    (DTypeError, "b", lambda: Tensor(X) - None),
    (DTypeError, "b", lambda: Tensor(X) * 1j),
    (DTypeError, "b", lambda: Tensor(X) @ F32.T),
    (DTypeError, "b", lambda: Tensor(X) + np.arange(3)),
    (DTypeError, "b", lambda: Tensor(X) == F32),
    (DTypeError, "b", lambda: Tensor(F32) + 1e39),
    (DTypeError, "b", lambda: Tensor(np.ones(2, np.int8)) + 300),
    (DTypeError, "a", lambda: 0.5 - Tensor([1, 2])),
    (DTypeError, "a", lambda: Tensor([1, 2]) / Tensor([1, 2])),
    (DTypeError, "a", lambda: Tensor([True]) + Tensor([True])),
    (DTypeError, "x", lambda: -Tensor([True])),
    (DTypeError, "x", lambda: Tensor([1]) ** 2),
    (ArgumentError, "exponent", lambda: Tensor(X) ** Tensor(X)),
    (ArgumentError, "exponent", lambda: Tensor(X) ** "2"),
    (DTypeError, "x", lambda: fn.exp(Tensor([1]))),
    (DTypeError, "x", lambda: fn.sqrt([1, 2])),
    (DTypeError, "condition", lambda: fn.where(np.array([1, 0, 1]), X, X)),
    (ShapeError, "condition, a, b", lambda: fn.where([True, False], X, X)),
    (ArgumentError, "low", lambda: fn.clip(X, 2.0, 1.0)),
    (ArgumentError, "low", lambda: fn.clip(X, X, 1.0)),
    (DTypeError, "high", lambda: fn.clip(F32, None, np.float64(1))),
    (DTypeError, "dtype", lambda: Tensor(X).astype("float16")),
    (DTypeError, "dtype", lambda: Tensor(X).astype("no such type")),
    (DTypeError, "dtype", lambda: grad().astype("int64")),
    # products
    (ShapeError, "a @ b", lambda: Tensor(X) @ X),
    (ShapeError, "a @ b", lambda: Tensor(X) @ np.ones(2)),
    (ShapeError, "a @ b", lambda: Tensor(np.ones(2)) @ np.ones((4, 3, 2))),
    (ShapeError, "b", lambda: Tensor(X) @ 2.0),
    (ShapeError, "b", lambda: Tensor(np.ones((4, 2, 3))) @ np.ones((5, 3, 2))),
    (DTypeError, "a", lambda: Tensor([[1]]) @ [[1]]),
    (ShapeError, "x", lambda: fn.linear(X, np.ones((4, 2)))),
    (ShapeError, "x", lambda: fn.linear(1.0, np.ones((4, 2)))),
    (ShapeError, "weight", lambda: fn.linear(X, np.ones(3))),
    (ShapeError, "bias", lambda: fn.linear(X, np.ones((4, 3)), np.ones(3))),
    (ShapeError, "bias", lambda: fn.linear(X, np.ones((4, 3)), np.ones(1))),
    (DTypeError, "x", lambda: fn.linear(F32, np.ones((4, 3)))),
    (DTypeError, "bias", lambda: fn.linear(F32, F32, np.ones(2))),
    # reductions and axes
    (ArgumentError, "axis", lambda: Tensor(X).sum(2)),
    (ArgumentError, "axis", lambda: Tensor(X).sum(-3)),
    (ArgumentError, "axis", lambda: Tensor(X).sum((0, -2))),
    (ArgumentError, "axis", lambda: Tensor(X).mean("rows")),
    (ArgumentError, "axis", lambda: Tensor(X).max(True)),
    (ShapeError, "x", lambda: fn.mean(np.ones((0, 3)))),
    (ShapeError, "x", lambda: fn.max(np.ones((0, 3)), 0)),
    (ShapeError, "x", lambda: fn.var(np.ones(1), correction=1)),
    (ArgumentError, "correction", lambda: fn.var(X, correction=0.5)),
    (DTypeError, "x", lambda: Tensor([1, 2]).mean()),
    (ArgumentError, "axis", lambda: fn.softmax(X, 2)),
    (ArgumentError, "axis", lambda: fn.softmax(np.float64(1))),
    (ShapeError, "x", lambda: fn.log_softmax(np.ones((2, 0)))),
    # shapes
    (ShapeError, "shape", lambda: Tensor(X).reshape(4)),
    (ShapeError, "shape", lambda: Tensor(X).reshape(-1, -1)),
    (ShapeError, "shape", lambda: Tensor(X).reshape("3")),
    (ArgumentError, "axes", lambda: Tensor(X).transpose(0)),
    (ArgumentError, "axes", lambda: Tensor(X).transpose(0, 0)),
    (ArgumentError, "second", lambda: Tensor(X).swapaxes(0, 2)),
    (ShapeError, "x", lambda: Tensor(X).squeeze(0)),
    (ArgumentError, "axis", lambda: fn.expand_dims(X, 3)),
    (ShapeError, "shape", lambda: fn.broadcast_to(X, (3, 2))),
    (ArgumentError, "tensors", lambda: fn.concatenate([])),
    (ArgumentError, "tensors", lambda: fn.stack(Tensor(X))),
    (ShapeError, "tensors[1]", lambda: fn.concatenate([X, np.ones((2, 2))])),
    (ShapeError, "tensors[1]", lambda: fn.concatenate([X, np.ones(3)])),
    (ShapeError, "tensors[1]", lambda: fn.concatenate([np.ones(3), np.float64(1)])),
    (ShapeError, "tensors[1]", lambda: fn.stack([X, X[0]])),
    (DTypeError, "tensors[1]", lambda: fn.stack([X, F32])),
    (ShapeError, "sizes", lambda: fn.split(X, 2, axis=1)),
    (ShapeError, "sizes", lambda: fn.split(X, [1, 1], axis=1)),
    (ShapeError, "sizes", lambda: fn.split(X, [4, -1], axis=1)),
    (ShapeError, "x", lambda: fn.unbind(np.float64(1))),
    (ShapeError, "x", lambda: list(Tensor(1.0))),
    (ShapeError, "tensor", lambda: len(Tensor(1.0))),
    (ShapeError, "tensor", lambda: Tensor(X).item()),
    (ShapeError, "tensor", lambda: bool(Tensor(X) > 1)),
    # indexing
    (ArgumentError, "index", lambda: Tensor(X)[2]),
    (ArgumentError, "index", lambda: Tensor(X)[0, 0, 0]),
    (ArgumentError, "index", lambda: Tensor(X)["a"]),
    (ArgumentError, "index", lambda: Tensor(X)[[0, 5]]),
    (ArgumentError, "index", lambda: Tensor(X)[np.array([True])]),
    (DTypeError, "index", lambda: Tensor(X)[np.array([0.0])]),
    (DTypeError, "index", lambda: Tensor(X)[Tensor([1.0])]),
    (ArgumentError, "indices", lambda: fn.embedding(X, [2])),
    (ArgumentError, "indices", lambda: fn.embedding(X, [-1])),
    (DTypeError, "indices", lambda: fn.embedding(X, [1.0])),
    (ShapeError, "weight", lambda: fn.embedding(X[0], [1])),
    # dropout
    (ArgumentError, "p", lambda: fn.dropout(X, 1.5, RNG)),
    (ArgumentError, "p", lambda: fn.dropout(X, float("nan"), RNG)),
    (ArgumentError, "rng", lambda: fn.dropout(X, 0.5, 0)),
    # losses
    (ShapeError, "target", lambda: fn.mse_loss(np.ones((5, 1)), np.ones(5))),
    (ShapeError, "target", lambda: fn.mse_loss(np.ones(5), np.ones((5, 1)))),
    (ShapeError, "target", lambda: fn.l1_loss(X, 1.0)),
    (ShapeError, "target", lambda: fn.huber_loss(X, X[:1])),
    (ShapeError, "target", lambda: fn.binary_cross_entropy_with_logits(X, X[:, :1])),
    (DTypeError, "target", lambda: fn.mse_loss(X, F32)),
    (DTypeError, "target", lambda: fn.mse_loss(X, np.zeros((2, 3), int))),
    (DTypeError, "prediction", lambda: fn.mse_loss([1, 2], [1, 2])),
    (ShapeError, "prediction", lambda: fn.mse_loss(np.ones((0, 3)), np.ones((0, 3)))),
    (ArgumentError, "reduction", lambda: fn.mse_loss(X, X, reduction="average")),
    (ArgumentError, "delta", lambda: fn.huber_loss(X, X, delta=0.0)),
    (ArgumentError, "delta", lambda: fn.huber_loss(X, X, delta="1")),
    (ArgumentError, "target", lambda: fn.binary_cross_entropy_with_logits(X, X)),
    (ShapeError, "labels", lambda: fn.cross_entropy(X, [[0], [1]])),
    (ShapeError, "labels", lambda: fn.cross_entropy(X, 0)),
    (DTypeError, "labels", lambda: fn.cross_entropy(X, [0.0, 1.0])),
    (DTypeError, "labels", lambda: fn.cross_entropy(X, [True, False])),
    (ArgumentError, "labels", lambda: fn.cross_entropy(X, [0, 3])),
    (ArgumentError, "labels", lambda: fn.cross_entropy(X, [-1, 0])),
    (ShapeError, "logits", lambda: fn.cross_entropy(np.ones((0, 3)), np.ones(0, int))),
    (DTypeError, "logits", lambda: fn.cross_entropy([[1, 2]], [0])),
]


@pytest.mark.parametrize(("error", "argument", "act"), BAD)
def test_bad_input_is_a_typed_error_that_names_the_argument(error, argument, act):
    with pytest.raises(MinirnnError) as caught:
        act()
    assert type(caught.value) is error
    if argument is not None:
        assert caught.value.argument == argument
        assert str(caught.value).startswith(f"{argument}: got ")


def test_a_loss_names_both_shapes():
    with pytest.raises(ShapeError) as caught:
        fn.mse_loss(np.ones((7, 1)), np.ones(7))
    for part in ("prediction", "target", "(7, 1)", "(7,)", "broadcast"):
        assert part in str(caught.value)


def test_a_label_out_of_range_is_named():
    with pytest.raises(ArgumentError, match=r"a value of 3; wanted 0 <= value < 3"):
        fn.cross_entropy(X, [0, 3])
