"""Optimisers take PyTorch's steps, keep their state, and refuse what cannot work."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.errors import ArgumentError, DTypeError, MinirnnError, ShapeError
from minirnn.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from minirnn.tensor import Tensor

SHAPES = [(3, 4), (5,), (2, 3, 2)]

SETTINGS = [
    (SGD, {}),
    (SGD, {"weight_decay": 0.1}),
    (SGD, {"momentum": 0.9}),
    (SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    (SGD, {"momentum": 0.8, "nesterov": True}),
    (SGD, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.05}),
    (Adam, {}),
    (Adam, {"betas": (0.7, 0.9), "eps": 1e-4}),
    (Adam, {"weight_decay": 0.1}),
    (AdamW, {}),
    (AdamW, {"betas": (0.7, 0.9), "weight_decay": 0.3}),
    (RMSprop, {}),
    (RMSprop, {"alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1}),
    (RMSprop, {"momentum": 0.9}),
]


def parameters_like(values: list[np.ndarray]) -> list[Tensor]:
    return [Tensor(value.copy(), requires_grad=True) for value in values]


def problem(seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s) for s in SHAPES], [rng.normal(size=s) for s in SHAPES]


def gradient_at(value: np.ndarray, target: np.ndarray, step: int) -> np.ndarray:
    """Of a loss that is not quadratic, and changes from step to step."""
    return np.sin(value) * value + (value - target) ** 3 + np.cos(step)


@pytest.mark.parametrize(("kind", "settings"), SETTINGS)
def test_fifty_steps_are_those_of_pytorch(kind: type[Optimizer], settings: dict) -> None:
    torch = pytest.importorskip("torch")
    start, targets = problem()
    ours = parameters_like(start)
    theirs = [torch.tensor(value, requires_grad=True) for value in start]
    optimizer = kind(ours, 0.01, **settings)
    oracle = getattr(torch.optim, kind.__name__)(theirs, lr=0.01, **settings)
    for step in range(50):
        for index, (mine, other, target) in enumerate(zip(ours, theirs, targets, strict=True)):
            absent = index == 1 and step % 7 == 0  # then this parameter is passed over
            mine.grad = None if absent else gradient_at(mine.data, target, step)
            value = other.detach().numpy()
            other.grad = None if absent else torch.tensor(gradient_at(value, target, step))
        if step == 30:
            optimizer.learning_rate = 0.003
            oracle.param_groups[0]["lr"] = 0.003
        optimizer.step()
        oracle.step()
    for mine, other, value in zip(ours, theirs, start, strict=True):
        np.testing.assert_allclose(mine.data, other.detach().numpy(), rtol=1e-12, atol=1e-12)
        assert np.abs(mine.data - value).max() > 0.01


@pytest.mark.parametrize(("kind", "settings"), SETTINGS)
def test_a_step_writes_in_place_and_leaves_gradients_alone(
    kind: type[Optimizer], settings: dict
) -> None:
    start, gradients = problem()
    parameters = parameters_like([value.astype(np.float32) for value in start])
    arrays = [parameter.data for parameter in parameters]
    gradients = [gradient.astype(np.float32) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.copy()
    kind(parameters, 0.1, **settings).step()
    for parameter, array, gradient, value in zip(parameters, arrays, gradients, start, strict=True):
        assert parameter.data is array
        assert array.dtype == np.float32
        assert not np.array_equal(array, value)
        assert np.array_equal(parameter.grad, gradient)


@pytest.mark.parametrize(("kind", "settings"), SETTINGS)
def test_a_resumed_run_goes_on_bit_for_bit(kind: type[Optimizer], settings: dict) -> None:
    start, targets = problem()

    def run(optimizer: Optimizer, steps: range) -> list[np.ndarray]:
        for step in steps:
            for parameter, target in zip(optimizer.parameters, targets, strict=True):
                parameter.grad = gradient_at(parameter.data, target, step)
            optimizer.step()
        return [parameter.data.copy() for parameter in optimizer.parameters]

    whole = run(kind(parameters_like(start), 0.01, **settings), range(10))
    first = kind(parameters_like(start), 0.01, **settings)
    middle = run(first, range(6))
    saved = first.state_dict()
    run(first, range(6, 8))  # must not reach into what was saved
    second = kind(parameters_like(middle), 0.5)
    second.load_state_dict(saved)
    assert second.learning_rate == 0.01
    for resumed, expected in zip(run(second, range(6, 10)), whole, strict=True):
        assert np.array_equal(resumed, expected)


def test_zero_grad_forgets_the_gradients() -> None:
    parameters = parameters_like(problem()[0])
    for parameter in parameters:
        parameter.grad = parameter.data.copy()
    Adam(parameters).zero_grad()
    assert all(parameter.grad is None for parameter in parameters)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_what_is_not_finite_travels_on_without_a_warning(kind: type[Optimizer]) -> None:
    parameter = Tensor(np.ones(3, np.float32), requires_grad=True)
    parameter.grad = np.array([np.nan, 3e38, 1.0], np.float32)
    kind([parameter], 10.0, weight_decay=3e38).step()
    assert np.isnan(parameter.data[0])


def test_a_step_without_gradients_changes_nothing() -> None:
    start, _ = problem()
    parameters = parameters_like(start)
    Adam(parameters, weight_decay=0.1).step()
    for parameter, value in zip(parameters, start, strict=True):
        assert np.array_equal(parameter.data, value)


def leaf() -> Tensor:
    return Tensor(np.ones(3), requires_grad=True)


shared = leaf()
REFUSED = [
    ("parameters", lambda: SGD([], 0.1)),
    ("parameters", lambda: SGD(leaf(), 0.1)),
    ("parameters", lambda: SGD(None, 0.1)),
    ("parameters", lambda: SGD([Tensor(np.ones(3))], 0.1)),
    ("parameters[0]", lambda: Adam([np.ones(3)])),
    ("parameters[1]", lambda: Adam([shared, shared])),
    ("parameters[0]", lambda: Adam([leaf() * 2.0])),
    ("learning_rate", lambda: SGD([leaf()], -0.1)),
    ("learning_rate", lambda: Adam([leaf()], float("nan"))),
    ("learning_rate", lambda: Adam([leaf()], "fast")),
    ("learning_rate", lambda: setattr(Adam([leaf()]), "learning_rate", float("inf"))),
    ("momentum", lambda: SGD([leaf()], 0.1, momentum=-0.5)),
    ("nesterov", lambda: SGD([leaf()], 0.1, nesterov=True)),
    ("nesterov", lambda: SGD([leaf()], 0.1, momentum=0.5, nesterov="yes")),
    ("weight_decay", lambda: SGD([leaf()], 0.1, weight_decay=-1.0)),
    ("weight_decay", lambda: Adam([leaf()], weight_decay=-1.0)),
    ("betas[1]", lambda: Adam([leaf()], betas=(0.9, 1.0))),
    ("betas[0]", lambda: Adam([leaf()], betas=(-0.1, 0.9))),
    ("betas", lambda: Adam([leaf()], betas=0.9)),
    ("eps", lambda: Adam([leaf()], eps=-1e-8)),
    ("betas", lambda: AdamW([leaf()], betas=0.9)),
    ("weight_decay", lambda: AdamW([leaf()], weight_decay=-1.0)),
    ("alpha", lambda: RMSprop([leaf()], alpha=1.0)),
    ("momentum", lambda: RMSprop([leaf()], momentum=-1.0)),
]


@pytest.mark.parametrize(("argument", "make"), REFUSED)
def test_what_cannot_work_is_refused_by_name(argument: str, make) -> None:
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.argument == argument


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    start, gradients = problem()
    optimizer = Adam(parameters_like(start), 0.01)
    for parameter, gradient in zip(optimizer.parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    good = optimizer.state_dict()
    cases: list[tuple[dict, type[MinirnnError]]] = [
        ({k: v for k, v in good.items() if k != "steps"}, ArgumentError),
        ({**good, "velocity.0": np.zeros(3)}, ArgumentError),
        ({**good, "first_moment.1": np.zeros(6)}, ShapeError),
        ({**good, "second_moment.2": good["second_moment.2"].astype(np.float32)}, DTypeError),
        ({**good, "steps": np.zeros(3)}, DTypeError),
        ({**good, "learning_rate": np.array(0.5), "beta1": np.array(2.0)}, ArgumentError),
        ({**good, "learning_rate": np.array(-0.5)}, ArgumentError),
        ({**good, "steps": np.array([1, -1, 1])}, ArgumentError),
    ]
    for state, error in cases:
        with pytest.raises(error, match="state_dict"):
            optimizer.load_state_dict(state)
        for name, value in optimizer.state_dict().items():
            assert np.array_equal(value, good[name]), name
    with pytest.raises(ArgumentError, match="state_dict"):
        optimizer.load_state_dict(None)
