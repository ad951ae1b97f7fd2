"""Values and gradients against PyTorch's autograd in float64, to 1e-12 of the largest value.

Both run the same formula on the same arrays; only the spelling of a few functions differs.
"""

from __future__ import annotations

import numpy as np
import pytest

from minirnn import functional as fn
from minirnn.tensor import Tensor

torch = pytest.importorskip("torch")
nnf = torch.nn.functional
INDEX = np.array([2, 0, 2, 2])
LABELS = np.array([0, 3, 1, 2, 2])


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


A, B, W = normal(5, 4), normal(5, 4, seed=1), normal(4, 3)
FAR = np.array([[1e4, -1e4, 9999.0, 0.0], [-1e4, -1e4, -1e4, 3.0], [1e-3, 0.5, -745.0, 710.0]])


def along(name, kind, x, axis):
    ours, theirs = getattr(fn, name), getattr(torch, name)
    return f"{name} {kind} {axis}", lambda a: ours(a, axis), lambda a: theirs(a, axis), (x,)


# (name, ours, torch's, arrays)
CASES = [
    ("arithmetic", lambda a, b: (a - 2) * b / (b * b + 1) + a / 3 - b, None, (A, B)),
    ("broadcasting", lambda a, b: a * b + b / (1 + a * a), None, (normal(3, 1, 4), normal(5, 1))),
    ("power", lambda a: a**3 + (a * a + 1) ** -0.5, None, (A,)),
    ("matmul", lambda a, b: a @ b, None, (A, W)),
    ("matmul, batched", lambda a, b: a @ b, None, (normal(3, 1, 2, 4), normal(5, 4, 2))),
    ("matmul, folded", lambda a, b: a @ b, None, (normal(6, 5, 4), W)),
    ("matmul, vectors", lambda a, b: (a @ b) * a, None, (normal(4), normal(4, seed=1))),
    ("matmul, matrix by vector", lambda a, b: a @ b, None, (normal(3, 5, 4), normal(4))),
    ("linear", fn.linear, nnf.linear, (normal(6, 5, 4), normal(3, 4), normal(3))),
    ("exp log sqrt", lambda a: fn.log(fn.sqrt(fn.exp(a)) + 1),
     lambda a: torch.log(torch.sqrt(torch.exp(a)) + 1), (A,)),
    ("abs", fn.abs, torch.abs, (A,)),
    ("maximum", fn.maximum, torch.maximum, (A, B)),
    ("maximum, tied", fn.maximum, torch.maximum, (np.round(A), np.round(B))),
    ("minimum", fn.minimum, torch.minimum, (A, B)),
    ("where", lambda a, b: fn.where(a > b, a * b, b), lambda a, b: torch.where(a > b, a * b, b),
     (A, B)),
    ("clip", lambda a: fn.clip(a, -0.5, 0.7), lambda a: torch.clip(a, -0.5, 0.7), (A,)),
    ("mean", lambda a: a.mean(1, keepdims=True) * a, lambda a: a.mean(1, keepdim=True) * a, (A,)),
    ("variance", lambda a: a.var(0, correction=1), lambda a: a.var(0, correction=1), (A,)),
    ("largest", lambda a: a.max(1), lambda a: torch.amax(a, 1), (A,)),
    ("smallest, tied", lambda a: a.min(), torch.amin, (np.round(A),)),
    ("logsumexp", lambda a: fn.logsumexp(a, (0, 1)), lambda a: torch.logsumexp(a, (0, 1)), (A,)),
    ("shapes", lambda a: a.T.reshape(2, 10).swapaxes(0, 1) * 2, None, (A,)),
    ("flip", lambda a: fn.flip(a, 0) * a, lambda a: torch.flip(a, (0,)) * a, (A,)),
    ("concatenate", lambda a, b: fn.concatenate([a, b, a * b], 1),
     lambda a, b: torch.cat([a, b, a * b], 1), (A, B)),
    ("stack", lambda a, b: fn.stack([a, b, a * b], 1), lambda a, b: torch.stack([a, b, a * b], 1),
     (A, B)),
    ("index, repeated", lambda a: a[INDEX] * 2, None, (A,)),
    ("index, mixed", lambda a: a[1:, None, ..., -1] * a[0, 2], None, (A,)),
    ("embedding", lambda w: fn.embedding(w, INDEX),
     lambda w: nnf.embedding(torch.from_numpy(INDEX), w), (W,)),
    *[(f"{name} {kind}", getattr(fn, name), getattr(torch, name), (x,))
      for name in ("sigmoid", "tanh", "relu") for kind, x in (("near", A), ("far", FAR))],
    *[along(name, kind, x, axis) for name in ("softmax", "log_softmax")
      for kind, x in (("near", A), ("far", FAR)) for axis in (0, -1)],
    *[(f"{ours.__name__} {how}", lambda p, t, f=ours, r=how: f(p, t, reduction=r),
       lambda p, t, f=theirs, r=how: f(p, t, reduction=r), (A, B))
      for ours, theirs in ((fn.mse_loss, nnf.mse_loss), (fn.l1_loss, nnf.l1_loss),
                           (fn.huber_loss, nnf.huber_loss)) for how in ("mean", "sum", "none")],
    ("huber, delta", lambda p, t: fn.huber_loss(p, t, delta=0.3),
     lambda p, t: nnf.huber_loss(p, t, delta=0.3), (A, B)),
    ("cross entropy near", lambda z: fn.cross_entropy(z, LABELS),
     lambda z: nnf.cross_entropy(z, torch.from_numpy(LABELS)), (A,)),
    ("cross entropy far", lambda z: fn.cross_entropy(z, LABELS[:3]),
     lambda z: nnf.cross_entropy(z, torch.from_numpy(LABELS[:3])), (FAR,)),
    *[(f"binary cross entropy {kind}", fn.binary_cross_entropy_with_logits,
       nnf.binary_cross_entropy_with_logits, (x, 1 / (1 + np.exp(-normal(*x.shape, seed=3)))))
      for kind, x in (("near", A), ("far", FAR))],
]  # fmt: skip


def assert_close(ours, theirs):
    theirs = theirs.detach().numpy()
    scale = np.abs(theirs).max() if theirs.size else 0.0
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_values_and_gradients(case):
    _, function, counterpart, arrays = case
    ours = [Tensor(array.copy(), requires_grad=True) for array in arrays]
    theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
    result, wanted = function(*ours), (counterpart or function)(*theirs)
    assert_close(result.data, wanted)
    gradient = np.random.default_rng(7).standard_normal(result.shape)
    result.backward(gradient)
    wanted.backward(torch.tensor(gradient))
    for mine, other in zip(ours, theirs, strict=True):
        assert_close(mine.grad, other.grad)


def test_a_small_network_over_several_steps():
    """A recurrence written by hand: weights used at every step, two losses, two backwards."""
    arrays = [normal(4, 6), 0.3 * normal(6, 6), normal(6), normal(6, 2)]
    x, target = normal(7, 3, 4), normal(3, 2)

    def loss(step, last, library_tanh, library_mse, parameters, steps, target):
        w_in, w_rec, bias, w_out = parameters
        h = None
        for x_t in steps:
            z = x_t @ w_in + bias
            h = library_tanh(z if h is None else z + h @ w_rec)
        return library_mse(h @ w_out, target) + step * (h * h).mean(last)[0]

    ours = [Tensor(array.copy(), requires_grad=True) for array in arrays]
    theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
    for weight in (0.1, 0.5):
        loss(weight, 1, fn.tanh, fn.mse_loss, ours, Tensor(x), target).backward()
        steps = torch.tensor(x)
        loss(weight, 1, torch.tanh, nnf.mse_loss, theirs, steps, torch.tensor(target)).backward()
    for mine, other in zip(ours, theirs, strict=True):
        assert_close(mine.grad, other.grad)
