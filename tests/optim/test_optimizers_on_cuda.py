"""Optimisers and clipping on the GPU: the CPU's steps, and state that follows the parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from devices import to_device, to_numpy

from minirnn.optim import SGD, Adam, clip_grad_norm, clip_grad_value
from minirnn.tensor import Tensor

SHAPES = [(3, 4), (5,)]
SETTINGS = [
    (SGD, {}),
    (SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    (SGD, {"momentum": 0.8, "nesterov": True}),
    (Adam, {}),
    (Adam, {"weight_decay": 0.1}),
]


def parameters_on(device: str, dtype: type = np.float64) -> list[Tensor]:
    rng = np.random.default_rng(0)
    return [
        Tensor(to_device(rng.normal(size=shape).astype(dtype), device), requires_grad=True)
        for shape in SHAPES
    ]


def step(optimizer, parameters: list[Tensor], number: int) -> None:
    for parameter in parameters:
        parameter.grad = parameter.data * parameter.data + 0.1 * number
    optimizer.step()


def assert_close(first: list[Tensor], second: list[Tensor]) -> None:
    for one, other in zip(first, second, strict=True):
        # Each operation is rounded alike; only a compiler's fused multiply-add may differ.
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(("kind", "settings"), SETTINGS)
def test_the_steps_are_those_of_the_cpu_and_nothing_moves(kind, settings, cuda, emulated):
    here, there = parameters_on("cpu"), parameters_on(cuda)
    ours, theirs = kind(here, 0.01, **settings), kind(there, 0.01, **settings)
    with emulated.transfers() as log:
        for number in range(10):
            step(theirs, there, number)
    assert not list(log), str(log)
    for number in range(10):
        step(ours, here, number)
    assert_close(here, there)


@pytest.mark.parametrize(("kind", "settings"), SETTINGS)
@pytest.mark.parametrize("start", ["cpu", "cuda"])
def test_state_follows_parameters_that_are_moved(kind, settings, start, cuda):
    plain, moved = parameters_on("cpu"), parameters_on(start)
    ours, theirs = kind(plain, 0.01, **settings), kind(moved, 0.01, **settings)
    for number in range(9):
        if number in (3, 6):  # over, and back again
            for parameter in moved:
                parameter.data = to_device(
                    to_numpy(parameter.data), "cuda" if parameter.device == "cpu" else "cpu"
                )
        step(ours, plain, number)
        step(theirs, moved, number)
    assert_close(plain, moved)


@pytest.mark.parametrize("start", ["cpu", "cuda"])
def test_a_saved_state_goes_on_on_the_other_device(start, cuda):
    other = "cuda" if start == "cpu" else "cpu"
    whole = parameters_on("cpu")
    optimizer = Adam(whole, 0.01)
    first = parameters_on(start)
    half = Adam(first, 0.01)
    for number in range(4):
        step(optimizer, whole, number)
        step(half, first, number)
    second = [
        Tensor(to_device(to_numpy(parameter.data), other), requires_grad=True)
        for parameter in first
    ]
    resumed = Adam(second, 0.5)
    resumed.load_state_dict(half.state_dict())
    for number in range(4, 8):
        step(optimizer, whole, number)
        step(resumed, second, number)
    assert_close(whole, second)


class TestClipping:
    def test_the_norm_is_one_number_for_all_gradients(self, emulated):
        parameters = parameters_on("cuda", np.float32)
        for parameter in parameters:
            parameter.grad = parameter.data.copy()
        norm = math.sqrt(sum(float((p.numpy().astype(float) ** 2).sum()) for p in parameters))
        with emulated.transfers() as log:
            assert clip_grad_norm(parameters, norm / 2) == pytest.approx(norm, rel=1e-14)
        assert (len(log.arrays), len(log.scalars)) == (0, 1), str(log)
        for parameter in parameters:
            np.testing.assert_allclose(to_numpy(parameter.grad), parameter.numpy() / 2, rtol=1e-6)

    @pytest.mark.parametrize("scale", [1e300, 1e-300, 0.0])
    def test_a_norm_beyond_the_range_of_its_square(self, scale, cuda):
        parameter = Tensor(to_device(np.zeros(2), cuda), requires_grad=True)
        parameter.grad = to_device(np.array([3.0, 4.0]) * scale, cuda)
        assert clip_grad_norm([parameter], math.inf) == pytest.approx(5.0 * scale, rel=1e-15)

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_a_norm_that_is_not_finite_touches_nothing(self, bad, cuda):
        parameter = Tensor(to_device(np.zeros(3), cuda), requires_grad=True)
        parameter.grad = to_device(np.array([1.0, bad, 2.0]), cuda)
        assert not math.isfinite(clip_grad_norm([parameter], 1.0))
        np.testing.assert_array_equal(to_numpy(parameter.grad), [1.0, bad, 2.0])

    def test_parameters_on_two_devices_have_one_norm(self, cuda):
        pair = [Tensor(to_device(np.zeros(1), d), requires_grad=True) for d in ("cpu", cuda)]
        for parameter, value in zip(pair, (3.0, 4.0), strict=True):
            parameter.grad = to_device([value], parameter.device)
        assert clip_grad_norm(pair, math.inf) == 5.0

    def test_values_are_cut_and_nan_stays(self, cuda):
        parameter = Tensor(to_device(np.zeros(5), cuda), requires_grad=True)
        parameter.grad = to_device([-3.0, -0.5, math.nan, 0.5, math.inf], cuda)
        clip_grad_value([parameter], 1.0)
        np.testing.assert_array_equal(to_numpy(parameter.grad), [-1.0, -0.5, math.nan, 0.5, 1.0])
