"""On both sides of a threshold: what a larger or a smaller one would take for something else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from problems import recall, recipe

from minirnn.diagnosis.detectors import overfitting, slow_learning, underfitting
from minirnn.diagnosis.evidence import Answers, Evidence, HeldOut
from minirnn.diagnosis.evidence.loop import LoopSeen, Optimisation


@pytest.mark.parametrize(("cut", "blamed"), [(95, True), (85, False), (50, False)])
def test_a_bound_is_blamed_for_small_steps_where_it_makes_nearly_all_of_them(
    cut: int, blamed: bool
) -> None:
    steps = 100
    loop = LoopSeen(
        iterations=steps,
        losses=np.full(steps, 1.0),
        gradient_norms=np.where(np.arange(steps) < cut, 2.0, 0.5),
        rates=np.full(steps, 0.1),
        update_ratios=np.full(steps, 1e-5),
        naive=1.0,
        clipped=1.0,
        optimisation=Optimisation(name="SGD", learning_rate=0.1, last_rate=0.1, steps=steps),
    )
    wanted = np.random.default_rng(0).normal(size=(60, 1))
    given = Answers(np.zeros_like(wanted), wanted)
    x = np.zeros((4, 60, 1))
    seen = Evidence(x, wanted, answers=given, recipe=recipe(recall(60, 4, -1)), loop=loop)
    found = slow_learning.detect(seen)
    assert found is not None
    assert found.evidence["clipped_share"] == pytest.approx(cut / 100)
    assert ("cut to a length of 1" in found.cause) is blamed


def held_out_errors(larger: int) -> Answers:
    """100 answers, so many off by more than 1 and the others by less; one of these by a million."""
    off = np.where(np.arange(100) < larger, 1.5, 0.5)
    off[0] = 1e6
    return Answers(off[:, None], np.zeros((100, 1)))


@pytest.mark.parametrize(("larger", "worse"), [(75, True), (66, False), (60, False)])
def test_most_errors_have_to_be_larger_where_one_hides_their_mean(larger: int, worse: bool) -> None:
    # The sign test's z: 5 of 75 in a hundred, 3.2 of 66, 2 of 60.
    usual = Answers(np.ones((100, 1)), np.zeros((100, 1)))
    assert overfitting._surely_worse(usual, held_out_errors(larger)) is worse


@pytest.mark.parametrize(
    ("error", "naive", "well"),
    [
        (0.10, 0.20, True),
        (0.10, 0.12, False),  # R2 of 0.99, as the last value has
        (0.35, 0.70, False),  # half of the last value's error, and R2 of 0.88
    ],
)
def test_a_series_is_well_in_its_own_units_where_it_is_ahead_of_the_last_value_too(
    error: float, naive: float, well: bool
) -> None:
    wanted = np.random.default_rng(0).normal(size=(400, 1))
    wanted = (wanted - wanted.mean()) / wanted.std()
    signs = np.where(np.arange(400) % 2, 1.0, -1.0)[:, None]
    own, last = (Answers(wanted + off * signs, wanted) for off in (error, naive))
    x: Any = np.zeros((400, 4, 1))
    held = HeldOut(x, wanted, x, wanted, own, own, naive=last, trained_naive=last)
    seen = Evidence(x.swapaxes(0, 1), wanted, held_out=held)
    assert underfitting._well_in_own_units(seen) is well
