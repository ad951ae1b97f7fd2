"""Tensor as a value: what it holds, dtypes, operators, indexing, conversions."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from minirnn import functional as fn
from minirnn.errors import ArgumentError, DTypeError, MinirnnError, ShapeError, TapeError
from minirnn.tensor import Tensor, as_tensor, no_grad

FLOATS = [np.float32, np.float64]


class TestConstruction:
    @pytest.mark.parametrize(
        ("data", "dtype"),
        [
            (1.5, np.float32),
            ([1.0, 2.0], np.float32),
            ([[1, 2.5]], np.float32),
            ([], np.float32),
            (3, np.int64),
            ([1, 2], np.int64),
            (True, np.bool_),
            (np.float64(1.5), np.float64),
            ([np.float64(1.5), np.float64(2.0)], np.float64),
            ([np.zeros(2), np.ones(2)], np.float64),
            (np.zeros(2, np.float32), np.float32),
            (np.zeros(2, np.uint8), np.uint8),
        ],
    )
    def test_dtype(self, data, dtype):
        assert Tensor(data).dtype == dtype

    def test_an_array_is_held_and_not_copied(self):
        array = np.zeros(3)
        assert Tensor(array).data is array

    def test_facts(self):
        x = Tensor(np.zeros((2, 3), np.float32))
        assert (x.shape, x.ndim, x.size, x.device, len(x)) == ((2, 3), 2, 6, "cpu", 2)
        assert (x.requires_grad, x.is_leaf, x.grad, x._truncated) == (False, True, None, False)

    def test_requires_grad_can_be_switched_on_a_leaf(self):
        x = Tensor([1.0])
        x.requires_grad = True
        (x * 2.0).backward()
        x.requires_grad = False
        assert not (x * 2.0).requires_grad

    def test_attributes_cannot_be_misspelt(self):
        with pytest.raises(AttributeError):
            Tensor([1.0]).required_grad = True


class TestOneDTypeThroughout:
    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
    def test_results_and_gradients_keep_the_dtype(self, dtype, shape):
        x = Tensor(np.full(shape, 0.3, dtype), requires_grad=True)
        results = [
            x + 1, 1 - x, x * 0.1, 1 / x, x**2, x**0.5, -x, abs(x), fn.exp(x), fn.log(x),
            fn.sqrt(x), fn.maximum(x, 0.1), fn.minimum(0.1, x), fn.where(x > 0, x, 0.0),
            fn.clip(x, 0, 1), x.sum(), x.mean(), x.max(), x.min(), x.var(), fn.sigmoid(x),
            fn.tanh(x), fn.relu(x),
            fn.logsumexp(x), x.reshape(-1), x.T, fn.dropout(x, 0.5, np.random.default_rng(0)),
            fn.mse_loss(x, x.data), fn.l1_loss(x, x.data), fn.huber_loss(x, x.data),
            fn.binary_cross_entropy_with_logits(x, x.data),
        ]  # fmt: skip
        for result in results:
            assert result.dtype == dtype
            assert type(result.data) is np.ndarray
            x.grad = None
            result.sum().backward()
            assert x.grad.dtype == dtype
            assert type(x.grad) is np.ndarray

    @pytest.mark.parametrize(
        "operation", [fn.add, fn.sub, fn.mul, fn.div, fn.maximum, fn.equal, fn.less]
    )
    @pytest.mark.parametrize("other", [np.ones(2), np.float64(1), Tensor(np.ones(2))])
    def test_float32_never_meets_float64(self, operation, other):
        x = Tensor(np.ones(2, np.float32))
        with pytest.raises(DTypeError, match="float64"):
            operation(x, other)
        with pytest.raises(DTypeError, match="float"):
            operation(other, x)

    def test_numpy_arrays_and_scalars_of_the_same_dtype_may(self):
        x = Tensor(np.ones(2, np.float32))
        assert (x + np.float32(2)).dtype == np.float32
        assert (np.float32(2) * x).dtype == np.float32

    def test_a_python_number_too_large_for_float32_is_refused(self):
        with pytest.raises(DTypeError, match="1e\\+300"):
            Tensor(np.ones(2, np.float32)) * 1e300

    def test_infinity_and_nan_are_numbers_that_float32_can_hold(self):
        x = Tensor(np.ones(1, np.float32))
        assert np.isinf((x * float("inf")).item())
        assert np.isnan((x * float("nan")).item())

    def test_an_integer_tensor_takes_integers_only(self):
        x = Tensor([1, 2])
        np.testing.assert_array_equal((x + 1).data, [2, 3])
        with pytest.raises(DTypeError, match=r"0\.5"):
            x + 0.5
        with pytest.raises(DTypeError, match="float32 or float64"):
            x / 2

    def test_astype_is_the_way_across_and_brings_the_gradient_back(self):
        x = Tensor(np.ones(2, np.float32), requires_grad=True)
        y = x.astype("float64") * np.array([2.0, 3.0])
        y.sum().backward()
        assert x.grad.dtype == np.float32
        np.testing.assert_array_equal(x.grad, [2.0, 3.0])


class TestOperators:
    def test_with_arrays_and_numbers_on_either_side(self):
        a = np.array([1.0, 2.0])
        x = Tensor(np.array([3.0, 5.0]))
        for result, wanted in [
            (x + a, [4, 7]), (a + x, [4, 7]), (x - a, [2, 3]), (a - x, [-2, -3]),
            (x * a, [3, 10]), (a * x, [3, 10]), (x / a, [3, 2.5]), (a / x, [1 / 3, 0.4]),
            (2 - x, [-1, -3]), (30 / x, [10, 6]), (x**2, [9, 25]), (x @ a, 13), (a @ x, 13),
        ]:  # fmt: skip
            assert isinstance(result, Tensor)
            np.testing.assert_array_equal(result.data, wanted)

    def test_numpy_never_makes_an_object_array_of_tensors(self):
        x = Tensor(np.ones(2))
        result = np.arange(2.0) + x
        assert isinstance(result, Tensor)
        assert isinstance(np.float64(2) * x, Tensor)
        assert isinstance(np.float64(2) > x, Tensor)
        with pytest.raises(TypeError):
            np.add(np.ones(2), x)

    def test_numpy_functions_take_data_but_never_lose_a_gradient(self):
        x = Tensor(np.arange(3.0))
        np.testing.assert_array_equal(np.asarray(x), [0, 1, 2])
        x.requires_grad = True
        with pytest.raises(TapeError, match="numpy"):
            np.asarray(x)
        with pytest.raises(TapeError):
            np.concatenate([x, x])
        with no_grad():
            np.testing.assert_array_equal(np.asarray(x), [0, 1, 2])

    def test_comparisons_give_booleans(self):
        x = Tensor(np.array([1.0, 2.0, np.nan]), requires_grad=True)
        for result, wanted in [
            (x == 2.0, [0, 1, 0]), (x != 2.0, [1, 0, 1]), (x < 2.0, [1, 0, 0]),
            (x <= 2.0, [1, 1, 0]), (x > 1.0, [0, 1, 0]), (x >= 1.0, [1, 1, 0]),
            (np.full(3, 1.0) < x, [0, 1, 0]), (np.full(3, 2.0) == x, [0, 1, 0]),
        ]:  # fmt: skip
            assert result.dtype == np.bool_
            assert not result.requires_grad
            np.testing.assert_array_equal(result.data, np.array(wanted, bool))

    def test_none_and_text_are_simply_unequal(self):
        x = Tensor([1.0])
        assert (x == None) is False  # noqa: E711
        assert (x != "auto") is True

    def test_tensors_hash_by_identity(self):
        x, y = Tensor([1.0]), Tensor([1.0])
        assert len({x, y, x}) == 2
        assert {x: "x"}[x] == "x"

    def test_assignment_operators_make_a_new_tensor(self):
        x = Tensor(np.ones(2))
        y = x
        y += 1
        np.testing.assert_array_equal(x.data, [1, 1])
        with pytest.raises(TypeError):
            x[0] = 5.0


class TestConversions:
    def test_single_elements(self):
        x = Tensor(np.array([[2.5]]))
        assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
        assert not Tensor(0.0)
        assert isinstance(Tensor([1]).item(), int)

    @pytest.mark.parametrize("convert", [float, int, bool, Tensor.item])
    def test_more_than_one_element_is_ambiguous(self, convert):
        with pytest.raises(ShapeError, match="one element"):
            convert(Tensor([1.0, 2.0]))

    def test_numpy_shares_memory(self):
        x = Tensor(np.zeros(2), requires_grad=True)
        x.numpy()[0] = 5.0
        assert x.data[0] == 5.0

    def test_iteration_gives_slices_that_carry_gradients(self):
        x = Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
        rows = list(x)
        assert len(rows) == 3
        (rows[0] * 2.0 + rows[2] * rows[2]).sum().backward()
        np.testing.assert_array_equal(x.grad, [[2, 2], [0, 0], [8, 10]])

    def test_unpacking_a_vector_gives_scalars(self):
        a, b = Tensor(np.array([1.0, 2.0]))
        assert (a.shape, b.item()) == ((), 2.0)

    def test_repr(self):
        x = Tensor([1.0, 2.0], requires_grad=True)
        assert repr(x) == "Tensor([1., 2.], dtype=float32, requires_grad=True)"
        assert repr(x * 2.0) == "Tensor([2., 4.], dtype=float32, from='mul')"
        assert repr(Tensor([1])) == "Tensor([1], dtype=int64)"
        assert len(repr(Tensor(np.zeros((1000, 1000))))) < 1000

    def test_leaves_are_copied_and_pickled_with_their_gradient(self):
        x = Tensor(np.arange(2.0), requires_grad=True)
        (x * x).sum().backward()
        for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            np.testing.assert_array_equal(twin.data, x.data)
            np.testing.assert_array_equal(twin.grad, x.grad)
            assert twin.requires_grad
            assert not np.shares_memory(twin.data, x.data)
        with pytest.raises(TapeError, match="detach"):
            copy.deepcopy(x * 2.0)

    def test_detach_shares_data_and_marks_what_was_cut(self):
        x = Tensor(np.ones(2), requires_grad=True)
        assert not x.detach()._truncated
        y = x * 2.0
        cut = y.detach()
        assert cut.data is y.data
        assert (cut.requires_grad, cut._truncated, cut.detach()._truncated) == (False, True, True)
        with no_grad():
            assert not (x * 2.0).detach()._truncated


class TestAsTensor:
    def test_a_tensor_comes_back_itself(self):
        x = Tensor([1.0])
        assert as_tensor(x) is x
        assert as_tensor(x, np.float32) is x

    def test_python_numbers_adopt_the_dtype(self):
        assert as_tensor([1, 2], np.float64).dtype == np.float64
        assert as_tensor(0.1, np.float64).item() == 0.1
        assert as_tensor(2**70, np.float32).item() == 2.0**70

    def test_errors_name_the_argument(self):
        with pytest.raises(DTypeError, match=r"^target: got float32; wanted float64"):
            as_tensor(np.ones(2, np.float32), np.float64, "target")
        with pytest.raises(ArgumentError) as caught:
            as_tensor(object(), None, "context")
        assert caught.value.argument == "context"
        assert isinstance(caught.value, MinirnnError)


class TestIndexing:
    X = np.arange(24.0).reshape(2, 3, 4)

    @pytest.mark.parametrize(
        "index",
        [
            0, -1, slice(None), (0, 1, 2), (0, slice(None, None, -1)), (Ellipsis, 0), None,
            (slice(None), None, 1), Ellipsis, (slice(0, 0),), [1, 1, 0], np.array([[0, 1], [1, 1]]),
            (0, [2, 2, 2]), (slice(None), [0, 0], 1), ([0, 1, 0], [1, 1, 1]), np.int64(1),
            np.array([True, False]), (0, np.array([True, False, True])), X > 11, [],
            (np.array([0, 0]), slice(None), np.array([3, 3])),
            (Ellipsis, np.array([True] * 4), None),
        ],
        ids=str,
    )  # fmt: skip
    def test_values_are_numpys_and_gradients_count_how_often_an_element_was_taken(self, index):
        x = Tensor(self.X.copy(), requires_grad=True)
        y = x[index]
        np.testing.assert_array_equal(y.data, self.X[index])
        weights = np.random.default_rng(0).standard_normal(y.shape)
        (y * weights).sum().backward()
        flat = np.arange(24).reshape(2, 3, 4)[index]
        wanted = np.bincount(np.ravel(flat).astype(int), np.ravel(weights), 24)
        np.testing.assert_allclose(x.grad.ravel(), wanted, rtol=1e-15, atol=0)

    def test_tensors_serve_as_indexes(self):
        x = Tensor(np.arange(4.0), requires_grad=True)
        x[x > 1.0].sum().backward()
        x[Tensor([0, 0])].sum().backward()
        np.testing.assert_array_equal(x.grad, [2, 0, 1, 1])
