"""How far back a target looks, measured on sequences whose rule is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minirnn.datasets import adding
from minirnn.device import to_device
from minirnn.inspect.dependence import measure_dependence
from minirnn.inspect.regression import aligned_at_end

RNG = np.random.default_rng(5)
T, B = 50, 200
NOISE = RNG.normal(size=(T, B, 1))


@pytest.mark.parametrize("back", [1, 2, 3, 7, 20, 50])
def test_the_step_that_is_recalled_is_the_lag(back: int) -> None:
    found = measure_dependence(NOISE, NOISE[-back])
    assert found is not None
    assert found.lag is not None
    assert back <= found.lag <= back + max(1, back // 16)
    assert found.best > 0.99
    assert found.without < 0.1


def test_the_mean_of_all_steps_needs_nearly_all() -> None:
    found = measure_dependence(NOISE, NOISE.mean(axis=0))
    assert found is not None
    assert found.lag is not None
    assert 45 <= found.lag <= 50
    assert 0.3 < found.without < 0.6


def test_what_the_last_steps_tell_already_is_not_counted_again() -> None:
    # A slow series: every step correlates with the target, the last one says it all.
    slow = np.cumsum(RNG.normal(size=(T + 1, B, 1)), axis=0)
    found = measure_dependence(slow[:-1], slow[-1])
    assert found is not None
    assert found.lag == 1


def test_a_value_that_is_marked_is_found_by_its_product_with_the_mark() -> None:
    task = adding(240, 20)
    found = measure_dependence(task.x.swapaxes(0, 1), task.y)
    assert found is not None
    assert found.lag is not None
    assert found.lag >= 18


def test_classes_and_lengths() -> None:
    labels = RNG.integers(0, 3, B)
    lengths = RNG.integers(20, T + 1, B)
    x = RNG.normal(size=(T, B, 3))
    x[lengths - 12, np.arange(B)] += 4 * np.eye(3)[labels]
    found = measure_dependence(x, labels, lengths)
    assert found is not None
    assert found.lag == 12


@pytest.mark.parametrize(("first", "least"), [(0, 20), (3, 20), (0, 46)])
def test_what_stands_at_the_beginning_of_sequences_of_different_lengths(
    first: int, least: int
) -> None:
    rng = np.random.default_rng(11)
    lengths = rng.integers(least, T + 1, B)
    inside = np.arange(T)[:, None, None] < lengths[None, :, None]
    x = np.where(inside, NOISE, 9.0)
    found = measure_dependence(x, NOISE[first], lengths)
    assert found is not None
    assert found.lag == int(np.median(lengths)) - first
    assert found.best > 0.99
    assert found.without < 0.1
    nothing = measure_dependence(x, rng.normal(size=(B, 1)), lengths)
    assert nothing is not None
    assert nothing.lag is None


def test_padding_is_not_read() -> None:
    lengths = RNG.integers(1, T + 1, B)
    padded = np.where(np.arange(T)[:, None, None] < lengths[:, None], NOISE, 99.0)
    aligned = aligned_at_end(padded, lengths)
    assert aligned.shape == (B, T, 1)
    assert (aligned != 99.0).all()
    for b, length in enumerate(lengths):
        assert (aligned[b, length:] == 0).all()
    np.testing.assert_array_equal(aligned[:, 0, 0], NOISE[lengths - 1, np.arange(B), 0])


@pytest.mark.parametrize("count", [40, 60, 200])
def test_noise_has_no_lag(count: int) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        found = measure_dependence(rng.normal(size=(30, count, 2)), rng.normal(size=(count, 1)))
        assert found is not None
        assert found.lag is None


def test_a_parity_is_not_seen_and_no_lag_is_guessed() -> None:
    signs = np.sign(NOISE)
    found = measure_dependence(signs, signs[-4:].prod(axis=0))
    assert found is not None
    assert found.lag is None


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        (NOISE[:, :20], NOISE[-1, :20]),  # too few
        (NOISE, np.ones((B, 1))),  # nothing to tell
        (np.where(NOISE > 3, np.nan, NOISE), NOISE[-1]),
        (NOISE, np.where(NOISE[-1] > 2, np.inf, NOISE[-1])),
    ],
)
def test_where_nothing_can_be_said_nothing_is(inputs: Any, targets: Any) -> None:
    assert measure_dependence(inputs, targets) is None


def test_inputs_that_do_not_vary_tell_nothing() -> None:
    found = measure_dependence(np.ones((T, B, 1)), NOISE[-1])
    assert found is not None
    assert found.lag is None


@pytest.mark.parametrize("count", range(40, 48))
@pytest.mark.parametrize("steps", [4, 5, 8])
def test_folds_may_differ_in_size(count: int, steps: int) -> None:
    # With 42 sequences the folds leave 31 or 32 to fit on, and 8 features are then more than a
    # quarter of the one, and not of the other.
    noise = np.random.default_rng(count).normal(size=(steps, count, 1))
    found = measure_dependence(noise, noise[-3])
    assert found is not None
    assert found.lag == 3


@pytest.mark.parametrize("products", [1, 2, 6])
def test_a_gpus_arrays_give_the_same_numbers(products: int, device: str) -> None:
    x = RNG.normal(size=(12, 60, products))
    lengths = RNG.integers(6, 13, 60)
    target = x[lengths - 4, np.arange(60), :1] + 0.1 * RNG.normal(size=(60, 1))
    here = measure_dependence(x, target, lengths)
    there = measure_dependence(to_device(x, device), to_device(target, device), lengths)
    assert here is not None
    assert there is not None
    assert there.lag == here.lag == 4
    # Ridge regressions on well-conditioned noise: rounding parts them by little more than eps.
    np.testing.assert_allclose(there.skill, here.skill, rtol=1e-9)
    labels = (target[:, 0] > 0).astype(int)
    told = measure_dependence(to_device(x, device), to_device(labels, device), lengths)
    assert told is not None
    assert told.lag == 4


def test_sequences_that_come_again_tell_nothing_new() -> None:
    """Noise is not told by noise, though every sequence stands in the data several times."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(6, 60, 2)), rng.normal(size=(60, 1))
    again = measure_dependence(np.tile(x, (1, 4, 1)), np.tile(y, (4, 1)))
    assert again is not None
    assert again.lag is None
    assert again.best < 0.2
    # Fewer than can be told from, however often they come.
    assert measure_dependence(np.tile(x[:, :30], (1, 8, 1)), np.tile(y[:30], (8, 1))) is None


def test_equal_inputs_with_other_targets_all_count() -> None:
    rng = np.random.default_rng(6)
    x = np.tile(rng.normal(size=(6, 30, 1)), (1, 2, 1))
    y = x[-1, :, :1] + 0.01 * rng.normal(size=(60, 1))
    found = measure_dependence(x, y)
    assert found is not None
    assert found.lag == 1
