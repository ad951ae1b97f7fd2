"""Whether anything tells a target: judges that are no network, and how sure they are."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.datasets import adding
from minirnn.inspect import measure_predictability
from minirnn.inspect.extremes import bounded, extreme
from minirnn.inspect.predictability import certainty


def noise(seed: int, T: int = 8, B: int = 300, features: int = 1) -> np.ndarray:
    """Inputs (T, B, features)."""
    return np.random.default_rng(seed).normal(size=(T, B, features))


def test_no_judge_sees_a_signal_in_noise() -> None:
    for seed in range(3):
        rng = np.random.default_rng(100 + seed)
        for targets in (rng.normal(size=(300, 2)), rng.integers(0, 3, 300)):
            told = measure_predictability(noise(seed), targets)
            assert told is not None
            assert not told.signal


def test_z_of_answers_that_have_nothing_in_common_with_the_targets_is_standard_normal() -> None:
    rng = np.random.default_rng(0)
    # Outputs of different size that go together: the variance has to know of both.
    mixed = np.array([[1.0, 0.0], [5.0, 0.3]])
    zs = [
        certainty(rng.normal(size=(80, 2)) @ mixed, rng.normal(size=(80, 2)) @ mixed.T)
        for _ in range(400)
    ]
    # Standard errors of mean and deviation: 0.05 and 0.035; four of them.
    assert abs(np.mean(zs)) < 0.2
    assert abs(np.std(zs) - 1.0) < 0.14
    assert certainty(np.ones((9, 1)), rng.normal(size=(9, 1))) == 0.0


@pytest.mark.parametrize(
    ("task", "judge"),
    [
        ("sum", "regression"),
        ("product", "chosen"),
        ("order", "summaries"),
        ("parity", "neighbours"),
    ],
)
def test_each_judge_sees_what_it_is_there_for(task: str, judge: str) -> None:
    x = noise(1)
    if task == "sum":
        targets = x[-3:].sum(axis=0)
    elif task == "product":
        made = adding(300, 25, 0)
        x, targets = made.x.swapaxes(0, 1), made.y
    elif task == "order":
        x, targets = np.zeros((12, 300, 2)), np.arange(300) % 2
        rng = np.random.default_rng(0)
        x[rng.integers(0, 6, 300), np.arange(300), targets] = 1.0
        x[rng.integers(6, 12, 300), np.arange(300), 1 - targets] = 1.0
    else:
        x = np.sign(noise(1, T=8, B=400))
        targets = (x[-2:].prod(axis=0)[:, 0] > 0).astype(np.int64)
    told = measure_predictability(x, targets)
    assert told is not None
    assert told.judges[judge].z > 3.5
    assert told.judges[judge].r2 > 0.1
    assert told.signal


def test_neighbours_that_are_always_wrong_see_a_signal() -> None:
    x = np.sign(noise(2, T=8, B=400))
    told = measure_predictability(x, (x.prod(axis=0)[:, 0] > 0).astype(np.int64))
    assert told is not None
    assert told.judges["neighbours"].z < -3.5
    assert told.signal


def test_lengths_are_counted_back_from_each_end() -> None:
    x, lengths = noise(3), np.random.default_rng(0).integers(4, 9, 300)
    targets = x[lengths - 1, np.arange(300)]
    told = measure_predictability(x, targets, lengths)
    assert told is not None
    assert told.best > 0.95
    without = measure_predictability(x, targets)
    assert without is not None
    assert without.best < 0.8


def test_one_target_far_out_does_not_hide_the_others() -> None:
    x = noise(4)
    targets = x[-1].copy()
    targets[7] = 1e6
    told = measure_predictability(x, targets)
    assert told is not None
    assert told.best > 0.6


def test_too_few_sequences_say_nothing() -> None:
    assert measure_predictability(noise(0, B=39), noise(0, B=39)[-1]) is None
    assert measure_predictability(noise(0), np.ones((300, 1))) is None
    broken = noise(0)
    broken[0, 0] = np.nan
    assert measure_predictability(broken, noise(0)[-1]) is None
    again = np.tile(noise(0, B=30), (1, 10, 1))  # 30 different ones, however often
    assert measure_predictability(again, again[-1]) is None


def test_extreme_values_are_few_and_far() -> None:
    values = np.random.default_rng(5).normal(size=(200, 1))
    assert not extreme(values).any()
    values[:3] = [[50.0], [-80.0], [11.0]]
    assert np.flatnonzero(extreme(values)).tolist() == [0, 1, 2]
    assert np.abs(bounded(values)).max() < 12
    assert (bounded(values)[3:] == values[3:]).all()
    values[:20] = 50.0  # a tenth is no exception
    assert not extreme(values).any()
    assert not extreme(np.where(values > 0.5, values, 0.0)).any()  # half are equal: no MAD
