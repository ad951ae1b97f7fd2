"""Clipping scales together or cuts by value, and reports the norm it found."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minirnn.errors import ArgumentError
from minirnn.optim import clip_grad_norm, clip_grad_value
from minirnn.tensor import Tensor


def with_gradients(*gradients: np.ndarray | None) -> list[Tensor]:
    parameters = []
    for gradient in gradients:
        like = np.zeros(3, np.float32) if gradient is None else np.zeros_like(gradient)
        parameter = Tensor(like, requires_grad=True)
        parameter.grad = None if gradient is None else gradient.copy()
        parameters.append(parameter)
    return parameters


def test_the_joint_norm_becomes_the_bound_and_directions_stay() -> None:
    a, b = np.array([[3.0, 0.0], [0.0, 0.0]]), np.array([4.0, 12.0])
    parameters = with_gradients(a, None, b)
    assert clip_grad_norm(parameters, 6.5) == 13.0
    np.testing.assert_allclose(parameters[0].grad, a / 2, rtol=1e-15)
    assert parameters[1].grad is None
    np.testing.assert_allclose(parameters[2].grad, b / 2, rtol=1e-15)


@pytest.mark.parametrize("bound", [5.0, 7.0, math.inf])
def test_a_norm_within_the_bound_changes_no_bit(bound: float) -> None:
    parameters = with_gradients(np.array([3.0, 4.0], np.float32))
    assert clip_grad_norm(parameters, bound) == 5.0
    assert np.array_equal(parameters[0].grad, np.array([3.0, 4.0], np.float32))


def test_clipping_agrees_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    gradients = [rng.normal(size=(7, 5)), rng.normal(size=(11,))]
    ours = with_gradients(*gradients)
    theirs = [torch.zeros(gradient.shape, dtype=torch.float64) for gradient in gradients]
    for tensor, gradient in zip(theirs, gradients, strict=True):
        tensor.grad = torch.tensor(gradient)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.5).item()
    assert clip_grad_norm(ours, 0.5) == pytest.approx(expected, rel=1e-12)
    for mine, other in zip(ours, theirs, strict=True):
        # PyTorch divides by the norm plus 1e-6
        np.testing.assert_allclose(mine.grad, other.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_norm_that_is_not_finite_is_returned_and_nothing_is_touched(bad: float) -> None:
    gradient = np.array([1.0, bad, 2.0], np.float32)
    parameters = with_gradients(gradient, np.array([5.0]))
    norm = clip_grad_norm(parameters, 1.0)
    assert not math.isfinite(norm)
    assert np.array_equal(parameters[0].grad, gradient, equal_nan=True)
    assert np.array_equal(parameters[1].grad, [5.0])


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e30), (np.float64, 1e300)])
def test_large_and_tiny_gradients_neither_overflow_nor_vanish(dtype: type, size: float) -> None:
    for scale in (size, 1.0 / size):
        gradient = np.array([3.0, 4.0]).astype(dtype) * dtype(scale)
        parameters = with_gradients(gradient)
        assert clip_grad_norm(parameters, math.inf) == pytest.approx(5.0 * scale, rel=1e-6)


def test_no_gradients_have_norm_zero() -> None:
    assert clip_grad_norm(with_gradients(None, np.zeros(2)), 1.0) == 0.0
    assert clip_grad_norm(with_gradients(None), 1.0) == 0.0


def test_values_are_cut_at_both_bounds_and_nan_stays() -> None:
    gradient = np.array([-3.0, -0.5, math.nan, 0.5, math.inf])
    parameters = with_gradients(gradient, None)
    clip_grad_value(parameters, 1.0)
    expected = [-1.0, -0.5, math.nan, 0.5, 1.0]
    assert np.array_equal(parameters[0].grad, expected, equal_nan=True)


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan, "much", None])
def test_a_bound_must_be_positive(bound: object) -> None:
    parameters = with_gradients(np.ones(2))
    with pytest.raises(ArgumentError) as caught:
        clip_grad_norm(parameters, bound)
    assert caught.value.argument == "max_norm"
    with pytest.raises(ArgumentError) as caught:
        clip_grad_value(parameters, bound)
    assert caught.value.argument == "max_value"


def test_parameters_are_checked() -> None:
    with pytest.raises(ArgumentError, match="parameters"):
        clip_grad_norm([], 1.0)
    with pytest.raises(ArgumentError, match="parameters"):
        clip_grad_norm(Tensor(np.ones(2), requires_grad=True), 1.0)
