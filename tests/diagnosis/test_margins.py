"""On both sides of a threshold: what a larger or a smaller one would take for something else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from problems import recall, recipe

from minirnn import functional
from minirnn.diagnosis import Attempt, Diagnosis, Recipe
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.detectors import (
    accumulated_gradients,
    no_recurrence,
    outliers,
    overfitting,
    reads_padding,
    slow_learning,
    underfitting,
    unscaled_input,
    vanishing_gradient,
)
from minirnn.diagnosis.detectors.exploding_gradient import first_power
from minirnn.diagnosis.detectors.low_data_diversity import unknown_classes
from minirnn.diagnosis.early import Glimpse
from minirnn.diagnosis.evidence import Answers, Evidence, HeldOut
from minirnn.diagnosis.evidence.last_value import BesideLastValue
from minirnn.diagnosis.evidence.loop import LayerFed, LoopSeen, Optimisation, Padding
from minirnn.diagnosis.treatment import judge
from minirnn.inspect.dependence import Dependence
from minirnn.inspect.probe import gradient_probe
from minirnn.nn import SequenceModel
from minirnn.training.history import History
from minirnn.training.sequences import Sequences


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


@pytest.mark.parametrize(("gain", "named"), [(0.25, True), (0.08, False)])
def test_early_steps_that_tell_something_are_needed(gain: float, named: bool) -> None:
    data = recall(60, 60, 0)
    x = np.ascontiguousarray(data["x"].swapaxes(0, 1))
    model = SequenceModel("rnn", input_size=1, hidden_size=12, output_size=1, rng=0)
    known = Dependence((30, 60), (0.6 - gain, 0.6), lag=60, best=0.6, without=0.6 - gain)
    seen = Glimpse(
        x,
        data["y"],
        probe=gradient_probe(model, x, data["y"], loss=functional.mse_loss),
        answers=Answers(np.zeros((60, 1)), data["y"].astype(np.float64)),
        known=known,
    )
    found = vanishing_gradient.detect(seen)
    assert (found is not None) is named


@pytest.mark.parametrize(("pinned", "severity"), [(0.3, "illness"), (0.2, "warning")])
def test_large_inputs_are_the_illness_where_they_hold_a_quarter_of_the_gates(
    pinned: float, severity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = recall(60, 5, -1)
    x = np.ascontiguousarray(30.0 * data["x"].swapaxes(0, 1))
    model = SequenceModel("gru", input_size=1, hidden_size=6, output_size=1, rng=0)
    monkeypatch.setattr(unscaled_input, "pinned_share", lambda trace: pinned)
    wanted = data["y"].astype(np.float64)
    probe = gradient_probe(model, x, data["y"], loss=functional.mse_loss)
    seen = Evidence(x, data["y"], probe=probe, answers=Answers(0.0 * wanted, wanted))
    found = unscaled_input.detect(seen)
    assert found is not None
    assert found.severity == severity


@pytest.mark.parametrize(("pull", "severity"), [(0.7, "illness"), (0.3, "note")])
def test_extreme_targets_do_harm_where_most_of_the_error_is_theirs(
    pull: float, severity: str
) -> None:
    data = recall(300, 5, -1)
    data["y"] = data["y"].copy()
    data["y"][:6, 0] = np.linspace(80.0, 120.0, 6)
    declared = recipe(data, {"data.validation": 0.0})
    part = prepare(declared).training
    wanted = part.y.astype(np.float64)
    extreme = wanted[:, 0] >= 80.0
    given = np.zeros_like(wanted)  # of the others nothing, which their inputs tell
    off = np.sqrt(pull / (1.0 - pull) * (wanted[~extreme] ** 2).sum() / extreme.sum())
    given[extreme] = wanted[extreme] - off
    seen = Evidence(
        part.x.swapaxes(0, 1),
        part.y,
        recipe=declared,
        data=prepare(declared),
        answers=Answers(given, wanted),
    )
    found = outliers.detect(seen)
    assert found is not None
    assert found.evidence["pull"] == pytest.approx(pull)
    assert found.severity == severity


@pytest.mark.parametrize(("trained", "unknown"), [(1, [2]), (5, [])])
def test_a_class_is_unknown_below_a_fiftieth_of_the_rows(trained: int, unknown: list[int]) -> None:
    def part(of_class_2: int) -> Sequences:
        y = np.where(np.arange(100) < of_class_2, 2, np.arange(100) % 2)
        return Sequences(np.zeros((100, 3, 1), np.float32), y)

    share, which = unknown_classes(part(trained), part(20))
    assert which == unknown
    assert share == pytest.approx(0.2 if unknown else 0.0)


@pytest.mark.parametrize(("best", "severity"), [(0.75, "illness"), (0.6, "note")])
def test_a_longer_past_has_to_leave_clearly_less(
    best: float, severity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the half that one value leaves, 0.5 or 0.8 are left.
    told = Dependence((1, 8), (0.5, best), lag=8, best=best, without=0.5)
    monkeypatch.setattr(no_recurrence, "past_of_series", lambda evidence: told)
    x: Any = np.zeros((1, 50, 1))
    found = no_recurrence._of_series(Evidence(x, x[0]))
    assert found is not None
    assert found.severity == severity


@pytest.mark.parametrize(("stale", "named"), [(60, True), (40, False)])
def test_gradients_are_used_again_where_half_of_the_steps_or_more_do(
    stale: int, named: bool
) -> None:
    seen = Optimisation(name="SGD", steps=100, backwards=100, first_backwards=100, stale=stale)
    x: Any = np.zeros((2, 3, 1))
    evidence = Evidence(x, x[0], loop=LoopSeen(iterations=100, optimisation=seen))
    assert (accumulated_gradients.detect(evidence) is not None) is named


@pytest.mark.parametrize(("behind", "named"), [(0.6, True), (0.4, False)])
def test_padding_is_read_where_more_than_half_of_the_gradient_enters_it(
    behind: float, named: bool
) -> None:
    ends = np.array([2, 3, 4, 5, 2, 3, 4, 5])
    inside = np.arange(8)[:, None] < ends
    shares = np.where(inside, (1.0 - behind) / ends, behind / (8 - ends))
    x: Any = np.zeros((8, 8, 1))
    layer = LayerFed("rnn", calls=9)
    loop = LoopSeen(layers=(layer,), padding=Padding(0.0, ends, shares))
    assert (reads_padding.detect(Evidence(x, x[0], loop=loop)) is not None) is named


@pytest.mark.parametrize(("loss", "power"), [(12.0, 5.0), (8.0, 0.0)])
def test_a_loss_ten_times_that_of_a_constant_is_far_above_it(loss: float, power: float) -> None:
    loop = LoopSeen(
        losses=np.array([loss]), gradient_norms=np.array([5.0 * loss]), weights=1.0, naive=1.0
    )
    seen = Evidence(np.zeros((2, 2, 1)), np.array([[1.0], [-1.0]]), loop=loop)
    assert first_power(seen) == pytest.approx(power)


@pytest.mark.parametrize(
    ("fair", "surely", "worse"),
    [(1.3, 3.0, True), (1.1, 3.0, False), (1.3, 2.0, False), (1.3, float("nan"), False)],
)
def test_worse_than_the_last_value_takes_a_margin_and_more_than_chance(
    fair: float, surely: float, worse: bool
) -> None:
    assert BesideLastValue(fair, fair, fair, surely).clearly_worse is worse


@pytest.mark.parametrize(("skill", "few"), [(0.25, True), (0.1, False)])
def test_units_are_too_few_only_where_they_are_used(skill: float, few: bool) -> None:
    # One unit explains a third of three numbers that have nothing in common, at most.
    wanted = np.random.default_rng(0).normal(size=(600, 3))
    wanted = (wanted - wanted.mean(axis=0)) / wanted.std(axis=0)
    seen = Glimpse(
        np.zeros((4, 600, 1)),
        wanted,
        recipe=recipe(recall(60, 4, -1), {"model.hidden_size": 1}),
        answers=Answers((1.0 - np.sqrt(1.0 - skill)) * wanted, wanted),
        known=Dependence((4,), (0.95,), lag=4, best=0.95, without=0.0),
    )
    assert seen.ceiling == pytest.approx(0.36, abs=0.04)
    assert seen.skill == pytest.approx(skill)
    assert seen.has_too_few_units is few


@pytest.mark.parametrize(
    ("skill", "best", "short"),
    [(0.7, 0.95, True), (0.7, 0.85, False), (0.82, 1.0, False), (0.4, 0.41, True)],
)
def test_a_network_falls_short_by_a_fifth_or_explains_less_than_half(
    skill: float, best: float, short: bool
) -> None:
    wanted = np.random.default_rng(0).normal(size=(300, 1))
    wanted -= wanted.mean()
    known = Dependence((4,), (best,), lag=4, best=best, without=0.0)
    given = Answers((1.0 - np.sqrt(1.0 - skill)) * wanted, wanted)
    assert Glimpse(np.zeros((4, 300, 1)), wanted, answers=given, known=known).falls_short is short


@pytest.mark.parametrize(("right", "surely"), [(0.75, True), (0.84, False), (0.88, False)])
def test_fewer_right_answers_of_a_hundred_may_be_chance(right: float, surely: bool) -> None:
    # Two standard errors of the difference are 0.10, 0.095 and 0.088.
    before, after = (
        Attempt(
            Recipe(), Diagnosis(), History(), {"held_out_accuracy": each, "held_out_answers": 100}
        )
        for each in (0.9, right)
    )
    assert judge._surely_fewer_right(before, after) is surely
