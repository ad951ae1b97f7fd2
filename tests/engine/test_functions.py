"""Every function of minirnn.functional: its gradient, and its values where they are delicate."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from devices import to_device, to_numpy
from function_cases import Case, cases

from minirnn import functional as fn
from minirnn.functional.noise import random_bits
from minirnn.tensor import Tensor
from minirnn.testing import gradcheck

WITHOUT_GRADIENT = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
CHECKED_ELSEWHERE = {"recurrent"}  # tests/nn, through the layers
INF, NAN = np.inf, np.nan
ZEROS = [0.0, 0.0, 0.0]


NAMES = [case.name for case in cases()]


@functools.cache
def cases_on(device: str) -> dict[str, Case]:
    return {case.name: case for case in cases(device)}


@pytest.mark.parametrize("name", NAMES)
def test_gradient(name: str, device: str):
    case = cases_on(device)[name]
    gradcheck(case.function, case.inputs)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "dropout"])
def test_both_devices_give_the_same_values_and_types(name: str, cuda: str):
    ours, theirs = cases_on("cpu")[name], cases_on(cuda)[name]
    here = flat(ours.function(*map(Tensor, ours.inputs)))
    there = flat(theirs.function(*map(Tensor, theirs.inputs)))
    for mine, other in zip(here, there, strict=True):
        assert other.device == cuda
        assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
        # The order of sums differs, and each library's exp and tanh have their own last bit.
        np.testing.assert_allclose(other.numpy(), mine.data, rtol=1e-14, atol=1e-14)


def leaf(values: np.ndarray, device: str) -> Tensor:
    return Tensor(to_device(values, device), requires_grad=True)


def flat(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (result,) if isinstance(result, Tensor) else result


def test_the_table_holds_every_function(monkeypatch):
    called = set()
    for name in fn.__all__:
        original = getattr(fn, name)

        def spy(*args, name=name, original=original, **options):
            called.add(name)
            return original(*args, **options)

        monkeypatch.setattr(fn, name, spy)
    for case in cases():  # built anew, so that it takes the spies
        case.function(*map(Tensor, case.inputs))
    assert set(fn.__all__) - called == WITHOUT_GRADIENT | CHECKED_ELSEWHERE


class TestKinks:
    """Where there is no derivative, the documented choice."""

    @pytest.mark.parametrize(
        ("function", "at", "gradient"),
        [
            (fn.relu, 0.0, 0.0),
            (abs, 0.0, 0.0),
            (lambda x: fn.maximum(x, 1.0), 1.0, 0.5),
            (lambda x: fn.minimum(x, 1.0), 1.0, 0.5),
            (lambda x: fn.maximum(x, x), 1.0, 1.0),
            (lambda x: fn.clip(x, 0.0, 1.0), 1.0, 1.0),
            (lambda x: fn.clip(x, 0.0, 1.0), 0.0, 1.0),
            (lambda x: x**0, 0.0, 0.0),
            (lambda x: fn.l1_loss(x, 0.0), 0.0, 0.0),
            (lambda x: fn.huber_loss(x, 0.0, delta=2.0), 2.0, 2.0),
        ],
    )
    def test_gradient(self, device, function, at, gradient):
        x = leaf(np.array(at), device)
        function(x).backward()
        assert to_numpy(x.grad) == gradient

    def test_tied_elements_share_the_gradient_of_a_maximum(self, device):
        x = leaf(np.array([[3.0, 1.0, 3.0], [2.0, 5.0, 4.0]]), device)
        x.max(1).sum().backward()
        np.testing.assert_array_equal(to_numpy(x.grad), [[0.5, 0, 0.5], [0, 1, 0]])


class TestFarOut:
    """±1e4 overflows any naive formula; -inf is what masking puts in."""

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_sigmoid(self, device, dtype):
        x = leaf(np.array([-INF, -1e4, -50, 0, 50, 1e4, INF], dtype), device)
        y = fn.sigmoid(x)
        np.testing.assert_allclose(y.numpy(), [0, 0, np.exp(-50), 0.5, 1, 1, 1], rtol=1e-6)
        y.sum().backward()
        assert np.isfinite(to_numpy(x.grad)).all()

    def test_softmax_and_its_logarithm(self, device):
        x = leaf(np.array([[1e4, -1e4, 1e4], [-1e4, -1e4, -1e4]]), device)
        np.testing.assert_allclose(fn.softmax(x).numpy(), [[0.5, 0, 0.5], [1 / 3] * 3], rtol=1e-15)
        y = fn.log_softmax(x)
        wanted = [[-np.log(2), -2e4 - np.log(2), -np.log(2)], [-np.log(3)] * 3]
        np.testing.assert_allclose(y.numpy(), wanted, rtol=1e-12)
        np.testing.assert_allclose(fn.logsumexp(x, 1).numpy(), [1e4 + np.log(2), -1e4 + np.log(3)])
        y.sum().backward()
        assert np.isfinite(to_numpy(x.grad)).all()

    def test_rows_with_some_and_with_only_negative_infinity(self, device):
        x = to_device([[0.0, -INF], [-INF, -INF]], device)
        np.testing.assert_array_equal(fn.softmax(x).numpy(), [[1, 0], [NAN, NAN]])
        np.testing.assert_array_equal(fn.log_softmax(x).numpy(), [[0, -INF], [NAN, NAN]])
        np.testing.assert_array_equal(fn.logsumexp(x, 1).numpy(), [0, -INF])
        assert fn.logsumexp(to_device([1.0, INF], device)).item() == INF

    def test_the_gradient_beside_a_masked_logit_is_finite(self, device):
        x = leaf(np.array([[0.3, -INF, 0.1]]), device)
        fn.cross_entropy(x, [0]).backward()
        assert np.isfinite(to_numpy(x.grad)).all()
        assert to_numpy(x.grad)[0, 1] == 0

    def test_cross_entropies(self, device):
        z = leaf(np.array([[1e4, -1e4], [-1e4, 1e4]]), device)
        np.testing.assert_array_equal(
            fn.cross_entropy(z, [0, 0], reduction="none").numpy(), [0, 2e4]
        )
        y = to_device([[1.0, 0.0], [1.0, 0.0]], device)
        loss = fn.binary_cross_entropy_with_logits(z, y, reduction="none")
        np.testing.assert_array_equal(loss.numpy(), [[0, 0], [1e4, 1e4]])
        loss.sum().backward()
        np.testing.assert_array_equal(to_numpy(z.grad), [[0, 0], [-1, 1]])

    def test_small_probabilities_keep_their_digits(self, device):
        loss = fn.binary_cross_entropy_with_logits(leaf(np.array([40.0]), device), [1.0])
        np.testing.assert_allclose(loss.item(), np.exp(-40.0), rtol=1e-14)


class TestNotANumber:
    """NaN goes in, NaN comes out, silently; in the value and in the gradient's place."""

    @pytest.mark.parametrize(
        "function",
        [
            lambda x: x + 1, lambda x: x * 0, lambda x: 1 / x, lambda x: x**2, abs, fn.exp, fn.log,
            fn.sqrt, fn.relu, fn.sigmoid, fn.tanh, fn.softmax, fn.log_softmax, fn.logsumexp,
            lambda x: fn.clip(x, -1, 1), lambda x: fn.maximum(x, 0), lambda x: fn.minimum(0, x),
            lambda x: x.max(), lambda x: x.min(), lambda x: x.sum(), lambda x: x.mean(),
            lambda x: x.var(), lambda x: x @ ZEROS, lambda x: fn.mse_loss(x, ZEROS),
            lambda x: fn.l1_loss(x, ZEROS), lambda x: fn.huber_loss(x, ZEROS),
            lambda x: fn.cross_entropy(x, 0),
            lambda x: fn.binary_cross_entropy_with_logits(x, ZEROS),
            lambda x: fn.dropout(x, 1.0, np.random.default_rng(0)),
        ],
    )  # fmt: skip
    def test_stays(self, device, function):
        x = leaf(np.array([1.0, NAN, 2.0]), device)
        y = function(x)
        assert np.isnan(y.numpy()).any()
        y.backward(to_device(np.full(y.shape, NAN), device))
        assert np.isnan(to_numpy(x.grad)[1])

    @pytest.mark.parametrize("function", [fn.relu, lambda x: fn.clip(x, 0, 1)])
    def test_an_infinite_gradient_is_stopped_outside_and_not_turned_into_nan(
        self, device, function
    ):
        x = leaf(np.array([-1.0]), device)
        function(x).backward(to_device([INF], device))
        assert to_numpy(x.grad) == 0

    def test_overflow_and_division_by_zero_do_not_warn(self, device):
        x = leaf(np.array([0.0, 1e308]), device)
        y = (x * 10) / (x - x) + fn.log(x - 1) + fn.exp(x) + x**-1 + (x @ x) + (x + x).sum()
        y.sum().backward()
        assert not np.isfinite(y.numpy()).any()


class TestShapesAndSharing:
    def test_iteration_and_indexing_agree(self):
        x = np.arange(12.0).reshape(3, 4)
        for t, row in enumerate(Tensor(x)):
            np.testing.assert_array_equal(row.data, x[t])

    def test_split_in_equal_parts_and_by_sizes(self):
        x = np.arange(12.0).reshape(3, 4)
        for sizes, cuts in ((2, [2]), ([1, 3], [1]), ((1, 0, 3), [1, 1])):
            parts = fn.split(x, sizes, axis=1)
            for part, wanted in zip(parts, np.split(x, cuts, 1), strict=True):
                np.testing.assert_array_equal(part.data, wanted)

    def test_linear_is_x_times_the_weights_transpose_plus_bias(self):
        rng = np.random.default_rng(0)
        x, w, b = rng.normal(size=(4, 2, 3)), rng.normal(size=(5, 3)), rng.normal(size=5)
        np.testing.assert_allclose(fn.linear(x, w, b).data, x @ w.T + b, rtol=1e-14)

    def test_products_fold_leading_dimensions_into_one(self):
        rng = np.random.default_rng(0)
        x, w = rng.normal(size=(7, 5, 3)), rng.normal(size=(3, 4))
        np.testing.assert_allclose(fn.matmul(x, w).data, x @ w, rtol=1e-13)

    def test_no_function_writes_to_its_input(self, device):
        for case in cases_on(device).values():
            copies = [array.copy() for array in case.inputs]
            tensors = [Tensor(array, requires_grad=True) for array in case.inputs]
            outputs = case.function(*tensors)
            first = outputs if isinstance(outputs, Tensor) else outputs[0]
            first.backward(to_device(np.ones(first.shape), device))
            for array, before in zip(case.inputs, copies, strict=True):
                np.testing.assert_array_equal(to_numpy(array), to_numpy(before))


class TestDropout:
    def test_keeps_the_mean_and_drops_the_share(self, device):
        x = to_device(np.ones(100_000, np.float32), device)
        y = fn.dropout(x, 0.25, np.random.default_rng(0)).numpy()
        assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
        # standard deviation of the mean: sqrt(p / (1 - p) / n) = 0.0018
        assert abs(y.mean() - 1) < 0.006

    def test_the_ends(self, device):
        x = leaf(np.ones(5), device)
        rng = np.random.default_rng(0)
        assert fn.dropout(x, 0.0, rng) is x
        y = fn.dropout(x, 1.0, rng)
        np.testing.assert_array_equal(y.numpy(), np.zeros(5))

    def test_the_generator_decides(self, device):
        x = to_device(np.ones(50), device)
        first, second, other = (
            fn.dropout(x, 0.5, np.random.default_rng(seed)).numpy() for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, second)
        assert (first != other).any()

    def test_every_call_draws_anew(self, device):
        x, rng = to_device(np.ones(50), device), np.random.default_rng(1)
        first, second = (fn.dropout(x, 0.5, rng).numpy() for _ in range(2))
        assert (first != second).any()

    def test_on_the_gpu_the_bits_are_those_of_splitmix64(self, device):
        seed, mask = 1234567, 2**64 - 1
        wanted, state = [], seed
        for _ in range(6):  # the generator as published, one state after the other
            state = (state + 0x9E3779B97F4A7C15) & mask
            z = state
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
            wanted.append(z ^ (z >> 31))
        # What its authors' own implementation gives for this seed.
        assert wanted[0] == 6457827717110365317
        bits = random_bits(to_device(np.zeros((2, 3)), device), seed)
        assert to_numpy(bits).ravel().tolist() == wanted
