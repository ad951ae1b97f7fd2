"""Which steps belong to a sequence, and what comes before and after each."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.inspect import steps

LENGTHS = np.array([4, 2, 0])


def test_distance_counts_the_steps_still_to_come():
    forward = steps.distance(4, LENGTHS, reverse=False)
    np.testing.assert_array_equal(forward.T, [[3, 2, 1, 0], [1, 0, -1, -1], [-1] * 4])
    reverse = steps.distance(4, LENGTHS, reverse=True)
    np.testing.assert_array_equal(reverse.T, [[0, 1, 2, 3], [0, 1, -1, -1], [-1] * 4])


def test_the_state_before_each_step_in_either_direction():
    after = np.arange(1.0, 13.0).reshape(4, 3, 1)  # h[t, b] = 3 t + b + 1
    initial = np.array([[-1.0], [-2.0], [-3.0]])
    forward = steps.previous(after, initial, LENGTHS, reverse=False)[:, :, 0]
    np.testing.assert_array_equal(forward.T, [[-1, 1, 4, 7], [-2, 2, 0, 0], [0] * 4])
    reverse = steps.previous(after, initial, LENGTHS, reverse=True)[:, :, 0]
    np.testing.assert_array_equal(reverse.T, [[4, 7, 10, -1], [5, -2, 0, 0], [0] * 4])


@pytest.mark.parametrize("reverse", [False, True])
def test_one_step_of_it_agrees_with_all(reverse):
    after = np.random.default_rng(0).normal(size=(4, 3, 2))
    initial = np.random.default_rng(1).normal(size=(3, 2))
    every = steps.previous(after, initial, LENGTHS, reverse)
    for t in range(4):
        on = t < LENGTHS
        one = steps.previous_at(t, after, initial, LENGTHS, reverse)
        np.testing.assert_array_equal(one[on], every[t, on])
