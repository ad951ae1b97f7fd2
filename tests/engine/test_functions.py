"""Every function of minirnn.functional: its gradient, and its values where they are delicate."""

from __future__ import annotations

import numpy as np
import pytest
from function_cases import Case, cases

from minirnn import functional as fn
from minirnn.tensor import Tensor
from minirnn.testing import gradcheck

WITHOUT_GRADIENT = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
CHECKED_ELSEWHERE = {"recurrent"}  # tests/nn, through the layers
INF, NAN = np.inf, np.nan


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_gradient(case: Case):
    gradcheck(case.function, case.inputs)


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
    def test_gradient(self, function, at, gradient):
        x = Tensor(np.array(at), requires_grad=True)
        function(x).backward()
        assert x.grad == gradient

    def test_tied_elements_share_the_gradient_of_a_maximum(self):
        x = Tensor(np.array([[3.0, 1.0, 3.0], [2.0, 5.0, 4.0]]), requires_grad=True)
        x.max(1).sum().backward()
        np.testing.assert_array_equal(x.grad, [[0.5, 0, 0.5], [0, 1, 0]])


class TestFarOut:
    """±1e4 overflows any naive formula; -inf is what masking puts in."""

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_sigmoid(self, dtype):
        x = Tensor(np.array([-INF, -1e4, -50, 0, 50, 1e4, INF], dtype), requires_grad=True)
        y = fn.sigmoid(x)
        np.testing.assert_allclose(y.data, [0, 0, np.exp(-50), 0.5, 1, 1, 1], rtol=1e-6)
        y.sum().backward()
        assert np.isfinite(x.grad).all()

    def test_softmax_and_its_logarithm(self):
        x = Tensor(np.array([[1e4, -1e4, 1e4], [-1e4, -1e4, -1e4]]), requires_grad=True)
        np.testing.assert_allclose(fn.softmax(x).data, [[0.5, 0, 0.5], [1 / 3] * 3], rtol=1e-15)
        y = fn.log_softmax(x)
        wanted = [[-np.log(2), -2e4 - np.log(2), -np.log(2)], [-np.log(3)] * 3]
        np.testing.assert_allclose(y.data, wanted, rtol=1e-12)
        np.testing.assert_allclose(fn.logsumexp(x, 1).data, [1e4 + np.log(2), -1e4 + np.log(3)])
        y.sum().backward()
        assert np.isfinite(x.grad).all()

    def test_rows_with_some_and_with_only_negative_infinity(self):
        x = np.array([[0.0, -INF], [-INF, -INF]])
        np.testing.assert_array_equal(fn.softmax(x).data, [[1, 0], [NAN, NAN]])
        np.testing.assert_array_equal(fn.log_softmax(x).data, [[0, -INF], [NAN, NAN]])
        np.testing.assert_array_equal(fn.logsumexp(x, 1).data, [0, -INF])
        assert fn.logsumexp(np.array([1.0, INF])).item() == INF

    def test_the_gradient_beside_a_masked_logit_is_finite(self):
        x = Tensor(np.array([[0.3, -INF, 0.1]]), requires_grad=True)
        fn.cross_entropy(x, [0]).backward()
        assert np.isfinite(x.grad).all()
        assert x.grad[0, 1] == 0

    def test_cross_entropies(self):
        z = Tensor(np.array([[1e4, -1e4], [-1e4, 1e4]]), requires_grad=True)
        np.testing.assert_array_equal(fn.cross_entropy(z, [0, 0], reduction="none").data, [0, 2e4])
        y = np.array([[1.0, 0.0], [1.0, 0.0]])
        loss = fn.binary_cross_entropy_with_logits(z, y, reduction="none")
        np.testing.assert_array_equal(loss.data, [[0, 0], [1e4, 1e4]])
        loss.sum().backward()
        np.testing.assert_array_equal(z.grad, [[0, 0], [-1, 1]])

    def test_small_probabilities_keep_their_digits(self):
        loss = fn.binary_cross_entropy_with_logits(Tensor(np.array([40.0])), np.array([1.0]))
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
            lambda x: x.var(), lambda x: x @ np.zeros(3), lambda x: fn.mse_loss(x, np.zeros(3)),
            lambda x: fn.l1_loss(x, np.zeros(3)), lambda x: fn.huber_loss(x, np.zeros(3)),
            lambda x: fn.cross_entropy(x, 0),
            lambda x: fn.binary_cross_entropy_with_logits(x, np.zeros(3)),
            lambda x: fn.dropout(x, 1.0, np.random.default_rng(0)),
        ],
    )  # fmt: skip
    def test_stays(self, function):
        x = Tensor(np.array([1.0, NAN, 2.0]), requires_grad=True)
        y = function(x)
        assert np.isnan(y.data).any()
        y.backward(np.full(y.shape, NAN))
        assert np.isnan(x.grad[1])

    @pytest.mark.parametrize("function", [fn.relu, lambda x: fn.clip(x, 0, 1)])
    def test_an_infinite_gradient_is_stopped_outside_and_not_turned_into_nan(self, function):
        x = Tensor(np.array([-1.0]), requires_grad=True)
        function(x).backward(np.array([INF]))
        assert x.grad == 0

    def test_overflow_and_division_by_zero_do_not_warn(self):
        x = Tensor(np.array([0.0, 1e308]), requires_grad=True)
        y = (x * 10) / (x - x) + fn.log(x - 1) + fn.exp(x) + x**-1 + (x @ x) + (x + x).sum()
        y.sum().backward()
        assert not np.isfinite(y.data).any()


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

    def test_no_function_writes_to_its_input(self):
        for case in cases():
            copies = [array.copy() for array in case.inputs]
            tensors = [Tensor(array, requires_grad=True) for array in case.inputs]
            outputs = case.function(*tensors)
            first = outputs if isinstance(outputs, Tensor) else outputs[0]
            first.backward(np.ones(first.shape))
            for array, before in zip(case.inputs, copies, strict=True):
                np.testing.assert_array_equal(array, before)


class TestDropout:
    def test_keeps_the_mean_and_drops_the_share(self):
        x = np.ones(100_000, np.float32)
        y = fn.dropout(x, 0.25, np.random.default_rng(0)).data
        assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
        # standard deviation of the mean: sqrt(p / (1 - p) / n) = 0.0018
        assert abs(y.mean() - 1) < 0.006

    def test_the_ends(self):
        x = Tensor(np.ones(5), requires_grad=True)
        rng = np.random.default_rng(0)
        assert fn.dropout(x, 0.0, rng) is x
        y = fn.dropout(x, 1.0, rng)
        np.testing.assert_array_equal(y.data, np.zeros(5))

    def test_the_generator_decides(self):
        x = np.ones(50)
        first, second, other = (
            fn.dropout(x, 0.5, np.random.default_rng(seed)).data for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, second)
        assert (first != other).any()
