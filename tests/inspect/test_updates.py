"""How far a step moved each parameter."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minirnn as mr
from minirnn.inspect import update_ratios


def test_the_ratio_is_of_norms() -> None:
    before = {"a": np.array([[3.0, 0.0], [0.0, 4.0]]), "b": np.array([2.0])}
    after = {"a": np.array([[3.0, 0.3], [0.4, 4.0]]), "b": np.array([2.0])}
    assert update_ratios(before, after) == pytest.approx({"a": 0.1, "b": 0.0})


def test_a_step_of_sgd_moves_by_the_rate_times_the_gradient(device: str) -> None:
    layer = mr.Linear(3, 2, rng=0).to(device)
    before = {name: p.data.copy() for name, p in layer.named_parameters()}
    optimizer = mr.optim.SGD(layer.parameters(), 0.1)
    x = mr.Tensor(mr.device.to_device(np.ones((4, 3), np.float32), device))
    (layer(x) ** 2).sum().backward()
    expected = {
        name: 0.1 * float((p.grad**2).sum()) ** 0.5 / float((p.data**2).sum()) ** 0.5
        for name, p in layer.named_parameters()
    }
    optimizer.step()
    assert update_ratios(before, dict(layer.named_parameters())) == pytest.approx(
        expected, rel=1e-5
    )


def test_numbers_that_have_no_ratio() -> None:
    zero, one, nan = np.zeros(2), np.ones(2), np.array([1.0, math.nan])
    found = update_ratios({"a": zero, "b": zero, "c": one}, {"a": one, "b": zero, "c": nan})
    assert (found["a"], found["b"]) == (math.inf, 0.0)
    assert math.isnan(found["c"])


def test_what_does_not_belong_together_is_named() -> None:
    with pytest.raises(mr.ArgumentError, match=r"^after: .*\bb\b"):
        update_ratios({"a": np.ones(2)}, {"a": np.ones(2), "b": np.ones(2)})
    with pytest.raises(mr.ShapeError, match=r"^after\['a'\]: "):
        update_ratios({"a": np.ones(2)}, {"a": np.ones((2, 1))})
