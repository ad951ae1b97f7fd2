"""A layer call on the smallest of inputs costs little more than its kernel.

On an idle machine a call at T = B = 1 is to take at most 20 us forward and 60 us with backward. A
busy machine runs Python two to three times slower, so the bounds here are three times as wide: they
catch a call that does needless work, and leave the exact figures to the benchmarks.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np
import pytest

import minirnn as mr

pytestmark = pytest.mark.alone  # it measures time

FORWARD, WITH_BACKWARD = 3 * 20e-6, 3 * 60e-6


def seconds(call: Callable[[], object]) -> float:
    """The fastest of many short runs: the one that nothing else interrupted."""
    return min(timeit.repeat(call, number=20, repeat=300)) / 20


@pytest.mark.parametrize("kind", [mr.RNN, mr.GRU, mr.LSTM])
def test_a_call_at_one_step_and_one_sequence_is_cheap(kind: type[mr.Recurrent]) -> None:
    layer = kind(32, 32, rng=0)
    x, gradient = np.ones((1, 1, 32), np.float32), np.ones((1, 1, 32), np.float32)

    def forward() -> None:
        with mr.no_grad():
            layer(x)

    def with_backward() -> None:
        layer.zero_grad()
        output, _ = layer(x)
        output.backward(gradient)

    with_backward()  # compiles
    assert seconds(forward) < FORWARD
    assert seconds(with_backward) < WITH_BACKWARD
