"""Where two arrays meet they are on one device; numbers go where the array is."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from devices import to_device, to_numpy

import minirnn as mr
from minirnn import functional as fn
from minirnn.errors import DeviceError
from minirnn.tensor import Tensor, as_tensor

X = np.arange(6.0).reshape(2, 3)
ONE = np.float64(1)
LABELS = np.array([0, 2])


def parameter(array, device):
    return Tensor(to_device(array, device), requires_grad=True)


def optimise(here, there):
    p = parameter(X, here)
    p.grad = to_device(X, there)
    mr.optim.SGD([p], 0.1).step()


def moved_between_forward_and_backward(here, there):
    layer = mr.Linear(3, 2, rng=0, dtype="float64", device=here)
    loss = layer(to_device(X, here)).sum()
    layer.to(there)
    loss.backward()


def add_to_a_gradient_from_elsewhere(here, there):
    p = parameter(X, here)
    p.grad = to_device(X, there)
    (p * 2.0).sum().backward()


# (the argument it names, what is done with arrays on one device and on the other)
MEET = [
    ("b", lambda h, t: Tensor(to_device(X, h)) + to_device(X, t)),
    ("b", lambda h, t: Tensor(to_device(X, h)) * Tensor(to_device(X, t))),
    ("a", lambda h, t: to_device(X, t) - Tensor(to_device(X, h))),
    ("b", lambda h, t: Tensor(to_device(X, h)) / to_device(X[0], t)),
    ("b", lambda h, t: Tensor(to_device(X, h)) > to_device(X, t)),
    ("b", lambda h, t: Tensor(to_device(X, h)) == to_device(X, t)),
    ("b", lambda h, t: fn.maximum(to_device(X, h), to_device(X, t))),
    ("b", lambda h, t: Tensor(to_device(X, h)) @ to_device(X.T, t)),
    ("b", lambda h, t: fn.matmul(to_device(X, h), to_device(X[0], t))),
    ("b", lambda h, t: Tensor(to_device(X, h)) * Tensor(to_device(np.array(2.0), t))),
    ("x", lambda h, t: fn.linear(to_device(X, t), to_device(X, h))),
    ("bias", lambda h, t: fn.linear(to_device(X, h), to_device(X, h), to_device(X[:, 0], t))),
    ("condition", lambda h, t: fn.where(to_device(X > 1, t), to_device(X, h), 0.0)),
    ("b", lambda h, t: fn.where(to_device(X > 1, h), to_device(X, h), to_device(X, t))),
    ("index", lambda h, t: Tensor(to_device(X, h))[to_device(LABELS[:1], t)]),
    ("index", lambda h, t: Tensor(to_device(X, h))[:, Tensor(to_device(LABELS, t))]),
    ("index", lambda h, t: Tensor(to_device(X, h))[to_device(X > 1, t)]),
    ("indices", lambda h, t: fn.embedding(to_device(X, h), to_device(LABELS[:1], t))),
    ("tensors[1]", lambda h, t: fn.concatenate([to_device(X, h), to_device(X, t)])),
    ("tensors[1]", lambda h, t: fn.stack([Tensor(to_device(X, h)), Tensor(to_device(X, t))])),
    ("target", lambda h, t: mr.mse_loss(Tensor(to_device(X, h)), to_device(X, t))),
    ("target", lambda h, t: mr.l1_loss(Tensor(to_device(X, h)), Tensor(to_device(X, t)))),
    ("target", lambda h, t: mr.huber_loss(to_device(X, h), to_device(X, t))),
    ("target", lambda h, t: mr.binary_cross_entropy_with_logits(
        to_device(X, h), to_device(X / 6, t))),
    ("labels", lambda h, t: mr.cross_entropy(to_device(X, h), to_device(LABELS, t))),
    ("gradient", lambda h, t: (parameter(X, h) * 2.0).backward(to_device(X, t))),
    ("h0", lambda h, t: as_tensor(to_device(X, t), None, "h0", to_device(X, h))),
    ("x", lambda h, t: mr.Linear(3, 2, dtype="float64", device=h)(to_device(X, t))),
    ("x", lambda h, t: mr.GRU(3, 2, dtype="float64", device=h)(to_device(X[None], t))),
    ("state", lambda h, t: mr.GRU(3, 2, dtype="float64", device=h)(
        to_device(X[None], h), to_device(np.zeros((1, 2, 2)), t))),
    ("parameters[0].grad", optimise),
    ("gradient of 'linear'", moved_between_forward_and_backward),
    ("grad", add_to_a_gradient_from_elsewhere),
]  # fmt: skip


@pytest.mark.parametrize("here", ["cpu", "cuda"])
@pytest.mark.parametrize(("argument", "act"), MEET)
def test_arrays_on_two_devices_are_refused_by_name(cuda, here, argument, act):
    there = "cuda" if here == "cpu" else "cpu"
    with pytest.raises(DeviceError) as caught:
        act(here, there)
    assert caught.value.argument == argument
    # What had to move may be either of the two; the message tells both, and what to do.
    assert {caught.value.came, caught.value.wanted} in (
        {"an array on 'cpu'", "one on 'cuda'"},
        {"an array on 'cuda'", "one on 'cpu'"},
    )
    assert "cuda" in caught.value.hint


@pytest.mark.parametrize(
    "function",
    [
        lambda x: 2.0 * x + 1, lambda x: x - np.float64(0.5), lambda x: [1.0, 2.0, 3.0] * x,
        lambda x: fn.maximum([[1.0], [2.0]], x), lambda x: x > 2, lambda x: x @ [1.0, 0.0, 2.0],
        lambda x: fn.where(x > 2, 1.0, 0.0), lambda x: fn.where([True, False, True], x, 0.0),
        lambda x: fn.where(x.data > 2, np.float64(1), np.float64(0)),
        lambda x: fn.clip(x, 1.0, np.float64(4.0)), lambda x: fn.stack([[ONE, ONE, ONE], x[0]]),
        lambda x: x[[1, 0]], lambda x: x[np.int64(1)], lambda x: x[:, [True, False, True]],
        lambda x: fn.embedding(x, [[0, 1], [1, 1]]), lambda x: fn.cross_entropy(x, [0, 2]),
        lambda x: fn.mse_loss(x, [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]),
        lambda x: fn.linear(x, x, [1.0, 2.0]), lambda x: fn.linear([[1.0, 2.0, 3.0]], x),
    ],
)  # fmt: skip
def test_numbers_and_lists_of_them_go_where_the_array_is(cuda, function):
    here, there = function(Tensor(X)), function(Tensor(to_device(X, cuda)))
    assert there.device == cuda
    assert here.dtype == there.dtype
    # Sums of three in another order, and another library's exp: a few of float64's last bits.
    np.testing.assert_allclose(there.numpy(), here.data, rtol=1e-14)


def test_constants_in_a_formula_move_nothing(emulated):
    x = parameter(X, "cuda")
    with emulated.transfers() as log:
        y = fn.clip(2.0 * x + 1, 0.0, 5.0) ** 2 / 3.0
        fn.where(y > 4, y, 0.0).sum().backward()
    assert not list(log), str(log)


class TestTensorTo:
    def test_it_stays_where_it_is(self, device):
        x = parameter(X, device)
        assert x.to(device) is x

    @pytest.mark.parametrize("here", ["cpu", "cuda"])
    def test_a_copy_that_gradients_flow_back_from(self, cuda, here):
        there = "cuda" if here == "cpu" else "cpu"
        x = parameter(X, here)
        y = x.to(there)
        assert (y.device, y.requires_grad, y.is_leaf) == (there, True, False)
        np.testing.assert_array_equal(y.numpy(), X)
        (y * y).sum().backward()
        assert Tensor(x.grad).device == here
        np.testing.assert_array_equal(to_numpy(x.grad), 2 * X)

    def test_integers_and_views(self, cuda):
        assert Tensor(LABELS).to(cuda).dtype == LABELS.dtype
        view = Tensor(X.T).to(cuda)
        np.testing.assert_array_equal(view.to("cpu").data, X.T)

    def test_an_unknown_device_is_refused(self):
        with pytest.raises(DeviceError, match="'cpu' or 'cuda'"):
            Tensor(X).to("gpu")


def test_copies_and_pickles_stay_on_the_device(cuda):
    x = parameter(X, cuda)
    x.grad = to_device(X, cuda)
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert other.device == cuda
        np.testing.assert_array_equal(other.numpy(), X)
        np.testing.assert_array_equal(to_numpy(other.grad), X)


class TestOutOfRangeOnTheGPU:
    """CuPy wraps an index around where NumPy raises; so it is looked at, or shows as NaN."""

    @pytest.mark.parametrize(
        "act",
        [
            lambda x, i: x[to_device(np.array([0, 2]), x.device)],
            lambda x, i: x[..., to_device(np.array([-4]), x.device)],
            lambda x, i: x[None, :, to_device(np.array([[1], [3]]), x.device)],
            lambda x, i: x[to_device(np.array([True, False]), x.device), [3]],
            lambda x, i: x[[5, 0]],
            lambda x, i: fn.embedding(x, [2]),
            lambda x, i: fn.embedding(x, to_device(np.array([-1]), x.device)),
        ],
    )
    def test_an_index_is_an_error_on_both_devices(self, device, act):
        with pytest.raises(mr.ArgumentError, match=r"ind(ex|ices)"):
            act(Tensor(to_device(X, device)), None)

    def test_a_label_makes_its_loss_and_gradient_nan(self, cuda):
        z = parameter(np.ones((3, 4)), cuda)
        loss = mr.cross_entropy(z, [1, 4, -1], reduction="none")
        np.testing.assert_array_equal(np.isnan(loss.numpy()), [False, True, True])
        loss.sum().backward()
        wanted = [[False] * 4, [True] * 4, [True] * 4]
        np.testing.assert_array_equal(np.isnan(to_numpy(z.grad)), wanted)

    def test_a_probability_makes_its_loss_and_gradient_nan(self, cuda):
        z = parameter(np.ones(3), cuda)
        loss = mr.binary_cross_entropy_with_logits(z, [0.5, 1.5, -0.1], reduction="none")
        np.testing.assert_array_equal(np.isnan(loss.numpy()), [False, True, True])
        loss.sum().backward()
        np.testing.assert_array_equal(np.isnan(to_numpy(z.grad)), [False, True, True])

    def test_losses_wait_for_nothing(self, emulated):
        z, labels = parameter(np.ones((3, 4)), "cuda"), to_device(np.array([1, 2, 3]), "cuda")
        with emulated.transfers() as log:
            mr.cross_entropy(z, labels).backward()
            mr.binary_cross_entropy_with_logits(z, z.data / 2).backward()
        assert not list(log), str(log)
