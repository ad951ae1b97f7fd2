"""Detectors of what a watched training loop does wrong: failing cases and near-misses, by seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from minirnn.diagnosis.code import Place
from minirnn.diagnosis.detectors import (
    accumulated_gradients,
    batch_time_swap,
    carried_state,
    constant_output,
    no_recurrence,
    oscillating_loss,
    reads_padding,
    shape_broadcast,
    slow_learning,
    stalled_loss,
)
from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.diagnosis.evidence.loop import (
    AxisOrder,
    LayerFed,
    LoopSeen,
    LossSeen,
    Optimisation,
    Order,
    Padding,
)

seeds = pytest.mark.parametrize("seed", range(5))
LAYER = LayerFed("lstm", batch_first=True, calls=100, steps={20: 100}, sequences={32: 90, 8: 10})
LINES = {
    "layer lstm": (Place("train.py", 12),),
    "loss": (Place("train.py", 30),),
    "backward": (Place("train.py", 31),),
    "step": (Place("train.py", 32),),
}


def evidence(loop: LoopSeen, *, seed: int = 0, learned: bool = False) -> Evidence:
    """Of a loop whose network answers well, or at random."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20, 60, 3))
    wanted = x[-1, :, :1]
    given = wanted + 0.1 * rng.normal(size=wanted.shape) if learned else rng.normal(size=(60, 1))
    return Evidence(x, wanted, answers=Answers(given, wanted), loop=replace(loop, places=LINES))


def steps(seed: int, count: int = 200) -> Optimisation:
    """An optimiser at work, all in order."""
    return Optimisation("Adam", 1e-3, 1e-3, 0.9, count, count, count - 1)


def test_without_a_watched_loop_they_say_nothing() -> None:
    alone = Evidence(np.ones((3, 4, 1)), np.ones((4, 1)))
    for module in (
        accumulated_gradients, batch_time_swap, carried_state, no_recurrence, oscillating_loss,
        reads_padding, shape_broadcast, slow_learning, stalled_loss,
    ):  # fmt: skip
        assert module.detect(alone) is None


# shape-broadcast


@pytest.mark.parametrize(
    ("prediction", "target", "compared"),
    [((32, 1), (32,), [32, 32]), ((7, 7, 1), (7, 7), [7, 7, 7]), ((32,), (32, 1), [32, 32])],
)
def test_shapes_that_stretch_each_other_are_an_illness_at_the_loss(
    prediction: tuple[int, ...], target: tuple[int, ...], compared: list[int]
) -> None:
    loss = LossSeen("mse", prediction, target, calls=10, grown=10)
    found = shape_broadcast.detect(evidence(LoopSeen(loss=loss), learned=True))
    assert found is not None
    assert found.severity == "illness"
    assert found.where == "the loss, train.py:30"
    assert found.evidence["compared"] == compared


def test_a_loss_of_equal_shapes_or_of_a_scalar_is_none() -> None:
    for target in ((32, 1), ()):
        loss = LossSeen("mse", (32, 1), target, calls=10)
        assert shape_broadcast.detect(evidence(LoopSeen(loss=loss))) is None


# accumulated-gradients


@seeds
def test_gradients_used_again_are_found_and_accumulation_on_purpose_is_not(seed: int) -> None:
    norms = np.abs(np.random.default_rng(seed).normal(size=200)).cumsum()
    stale = replace(steps(seed), stale=199)
    found = accumulated_gradients.detect(
        evidence(LoopSeen(200, gradient_norms=norms, optimisation=stale), seed=seed)
    )
    assert found is not None
    assert found.severity == "illness"
    assert "train.py:31" in found.where
    assert found.evidence["gradient_norm_largest"] == norms.max()
    purpose = replace(steps(seed), backwards=800, stale=0)
    assert accumulated_gradients.detect(evidence(LoopSeen(optimisation=purpose))) is None
    seldom = replace(steps(seed), stale=2)
    assert accumulated_gradients.detect(evidence(LoopSeen(optimisation=seldom))) is None


def test_a_network_that_learns_all_the_same_is_warned_of_it() -> None:
    loop = LoopSeen(optimisation=replace(steps(0), stale=150))
    found = accumulated_gradients.detect(evidence(loop, learned=True))
    assert found is not None
    assert found.severity == "warning"


# no-recurrence


def test_one_step_without_a_state_is_no_recurrence_and_one_with_it_is() -> None:
    single = replace(LAYER, steps={1: 100})
    for learned, severity in ((False, "illness"), (True, "warning")):
        found = no_recurrence.detect(evidence(LoopSeen(layers=(single,)), learned=learned))
        assert found is not None
        assert found.severity == severity
        assert found.evidence["features"] == 3
    for healthy in (replace(single, given=99), LAYER, replace(LAYER, steps={1: 4, 20: 96})):
        assert no_recurrence.detect(evidence(LoopSeen(layers=(healthy,)))) is None


# batch-time-swap


def swapped(order: Order, **more: object) -> LoopSeen:
    layer = replace(LAYER, batch_first=False, steps={32: 90, 8: 10}, sequences={20: 100})
    return LoopSeen(layers=(layer,), order=order, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sign",
    [
        swapped(Order(time=AxisOrder(again=40, moved=39))),
        swapped(Order(), single_sequence=1.0),
        swapped(Order(time=AxisOrder(roughness=1.0), batch=AxisOrder(roughness=0.2))),
    ],
)
def test_each_sign_of_swapped_axes_is_enough(sign: LoopSeen) -> None:
    found = batch_time_swap.detect(evidence(sign))
    assert found is not None
    assert found.severity == "illness"
    assert found.evidence["steps_as_read"] == 32
    assert found.evidence["sequences_as_read"] == 20
    assert "train.py:12" in found.where


@pytest.mark.parametrize(
    "healthy",
    [
        # a full batch that comes again in the same order
        swapped(Order(time=AxisOrder(again=400, moved=0))),
        # the last chunk of a long series is shorter, and its steps are noise
        swapped(Order(time=AxisOrder(roughness=1.0), batch=AxisOrder(roughness=1.0))),
        # series side by side that look alike, each of them smooth
        swapped(Order(time=AxisOrder(roughness=0.1), batch=AxisOrder(roughness=0.2))),
        # noise, of channels that are alike, in batches of one size
        LoopSeen(
            layers=(replace(LAYER, sequences={32: 100}),),
            order=Order(time=AxisOrder(roughness=1.0), batch=AxisOrder(roughness=0.2)),
        ),
        # a batch with gradient everywhere
        swapped(Order(), single_sequence=0.05),
    ],
)
def test_what_only_resembles_swapped_axes_is_left_alone(healthy: LoopSeen) -> None:
    assert batch_time_swap.detect(evidence(healthy)) is None


# carried-state


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (Order(batch=AxisOrder(again=60, moved=58)), True),
        (Order(time=AxisOrder(roughness=0.1), jump=20.0), True),
        (Order(batch=AxisOrder(again=60, moved=2)), False),
        (Order(time=AxisOrder(roughness=0.1), jump=1.1), False),
        (Order(time=AxisOrder(roughness=1.0), jump=1.0), False),
        (Order(batch=AxisOrder(again=3, moved=3)), False),
    ],
)
def test_a_state_of_unrelated_sequences_is_told_from_chunks_in_order(
    order: Order, found: bool
) -> None:
    layer = replace(LAYER, given=99, carried=99)
    finding = carried_state.detect(evidence(LoopSeen(layers=(layer,), order=order)))
    assert (finding is not None) == found
    own = replace(LAYER, given=99, carried=0)
    assert carried_state.detect(evidence(LoopSeen(layers=(own,), order=order))) is None


def test_a_state_carried_with_its_graph_is_an_illness_even_where_it_belongs() -> None:
    layer = replace(LAYER, given=1, carried=1, attached=1)
    found = carried_state.detect(evidence(LoopSeen(layers=(layer,)), learned=True))
    assert found is not None
    assert found.severity == "illness"
    assert found.evidence["kind"] == "with its graph"


# reads-padding


def padded(seed: int, *, at_end: bool) -> Padding:
    """Sequences of 5 to 20 of 20 steps, read at the last step or at their own."""
    ends = np.random.default_rng(seed).integers(5, 21, size=60)
    shares = np.zeros((20, 60))
    shares[ends - 1 if at_end else np.full(60, 19), np.arange(60)] = 1.0
    return Padding(0.0, ends, shares)


@seeds
def test_an_answer_read_in_the_padding_is_found_and_one_before_it_is_not(seed: int) -> None:
    loop = LoopSeen(layers=(LAYER,), padding=padded(seed, at_end=False))
    found = reads_padding.detect(evidence(loop, seed=seed))
    assert found is not None
    assert found.severity == "illness"
    assert found.evidence["read_from_padding"] == 1.0
    copes = reads_padding.detect(evidence(loop, seed=seed, learned=True))
    assert copes is not None
    assert copes.severity == "note"
    own = replace(loop, padding=padded(seed, at_end=True))
    assert reads_padding.detect(evidence(own, seed=seed)) is None
    packed = replace(loop, layers=(replace(LAYER, packed=100),))
    assert reads_padding.detect(evidence(packed, seed=seed)) is None


def test_a_quiet_end_of_one_length_is_no_padding() -> None:
    padding = padded(0, at_end=False)
    same = replace(padding, ends=np.full(60, 12))
    assert reads_padding.detect(evidence(LoopSeen(layers=(LAYER,), padding=same))) is None


# The loss curve.


def curve(seed: int, course: Callable[[np.ndarray], np.ndarray], count: int = 200) -> np.ndarray:
    """A loss that takes a course over 0..1, with the noise of batches."""
    noise = 1.0 + 0.15 * np.random.default_rng(seed).normal(size=count)
    return course(np.linspace(0, 1, count)) * noise


def trained(seed: int, course: Callable[[np.ndarray], np.ndarray], update: float) -> LoopSeen:
    ratios = update * (1 + 0.1 * np.random.default_rng(seed).random(30))
    return LoopSeen(
        200,
        losses=curve(seed, course),
        gradient_norms=np.ones(200),
        update_ratios=ratios,
        naive=1.0,
        optimisation=steps(seed),
    )


@seeds
def test_a_rate_that_throws_the_weights_about_is_found(seed: int) -> None:
    wild = trained(seed, lambda t: 1.0 + 150.0 * t * np.exp(-20 * t), 0.05)
    ratios = wild.update_ratios.copy()
    ratios[0] = 4.0
    found = oscillating_loss.detect(evidence(replace(wild, update_ratios=ratios), seed=seed))
    assert found is not None
    assert found.severity == "illness"
    assert found.evidence["peak"] > 2
    assert "train.py:32" in found.where


@seeds
def test_large_steps_that_learn_and_noise_of_small_ones_are_no_oscillation(seed: int) -> None:
    learns = trained(seed, lambda t: 3.0 * np.exp(-8 * t), 0.8)
    assert oscillating_loss.detect(evidence(learns, seed=seed, learned=True)) is None
    noise = trained(seed, np.ones_like, 0.005)
    assert oscillating_loss.detect(evidence(noise, seed=seed)) is None
    # A step that is large on paper, and a loss that stays where it is.
    still = trained(seed, np.ones_like, 0.5)
    assert oscillating_loss.detect(evidence(still, seed=seed)) is None


def test_a_loss_that_left_the_range_of_numbers_oscillates_without_bound() -> None:
    wild = trained(0, np.ones_like, 2.0)
    losses = wild.losses.copy()
    losses[50:] = np.nan
    found = oscillating_loss.detect(evidence(replace(wild, losses=losses)))
    assert found is not None
    assert found.evidence["peak"] == np.inf


@seeds
def test_steps_too_small_for_the_way_are_slow_and_steps_that_arrive_are_not(seed: int) -> None:
    slow = trained(seed, np.ones_like, 1e-5)
    found = slow_learning.detect(evidence(slow, seed=seed))
    assert found is not None
    assert found.severity == "illness"
    assert found.evidence["way"] == pytest.approx(200 * 1e-5, rel=0.1)
    # As small, of a network that was nearly done before.
    tuned = trained(seed, lambda t: 0.1 * np.ones_like(t), 1e-5)
    assert slow_learning.detect(evidence(tuned, seed=seed, learned=True)) is None
    usual = trained(seed, np.ones_like, 5e-3)
    assert slow_learning.detect(evidence(usual, seed=seed)) is None
    falling = slow_learning.detect(evidence(trained(seed, lambda t: 1 - 0.4 * t, 4e-4), seed=seed))
    assert falling is not None
    assert falling.severity == "note"


@seeds
def test_a_loss_at_the_level_of_a_constant_is_stalled(seed: int) -> None:
    found = stalled_loss.detect(evidence(trained(seed, np.ones_like, 5e-3), seed=seed))
    assert found is not None
    assert found.severity == "illness"
    falls = trained(seed, lambda t: 0.05 + np.exp(-6 * t), 5e-3)
    assert stalled_loss.detect(evidence(falls, seed=seed, learned=True)) is None
    half = trained(seed, lambda t: 1 - 0.5 * t, 5e-3)
    assert stalled_loss.detect(evidence(half, seed=seed)) is None


@seeds
def test_a_small_fall_is_no_stall_where_the_least_loss_is_not_known(seed: int) -> None:
    for fall, scatter, stalled in [(0.04, 0.001, False), (0.01, 0.03, True), (0.0, 0.001, True)]:
        seen = trained(seed, np.ones_like, 5e-3)
        noise = scatter * np.random.default_rng(seed).normal(size=len(seen.losses))
        seen = replace(seen, naive=None, losses=1 - fall * np.linspace(0, 1, len(noise)) + noise)
        assert (stalled_loss.detect(evidence(seen, seed=seed)) is not None) is stalled


@seeds
def test_a_loss_stalls_as_a_note_where_nothing_can_be_told(seed: int) -> None:
    ill = evidence(trained(seed, np.ones_like, 5e-3), seed=seed)
    noise = np.random.default_rng(seed + 100).normal(size=(60, 1))
    hopeless = replace(ill, targets=noise, answers=Answers(np.zeros((60, 1)), noise))
    found = stalled_loss.detect(hopeless)
    assert found is not None
    assert found.severity == "note"


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (Optimisation(backwards=5), "no step"),
        (Optimisation(backwards=50, foreign=True), "foreign optimiser"),
        (Optimisation(steps=50, backwards=50, empty=50), "no gradient"),
    ],
)
def test_weights_that_are_never_moved_are_an_illness_at_once(seen: Optimisation, kind: str) -> None:
    found = stalled_loss.detect(evidence(LoopSeen(optimisation=seen), learned=True))
    assert found is not None
    assert found.severity == "illness"
    assert found.evidence["kind"] == kind


def test_a_few_steps_tell_nothing_of_the_answers() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 60, 1))
    for count, severity in ((5, "note"), (80, "illness")):
        same = Answers(np.zeros((60, 1)), x[-1])
        found = constant_output.detect(Evidence(x, x[-1], answers=same, loop=LoopSeen(count)))
        assert found is not None
        assert found.severity == severity


def test_what_the_optimiser_leaves_out_is_named_by_its_layers() -> None:
    left = replace(steps(0), left_out=("rnn.weight_ih_l0", "rnn.bias_hh_l0", "scale"))
    for learned, severity in ((False, "illness"), (True, "note")):
        found = stalled_loss.detect(evidence(LoopSeen(optimisation=left), learned=learned))
        assert found is not None
        assert (found.severity, found.evidence["kind"]) == (severity, "left out")
        assert found.evidence["layers"] == ["rnn", "scale"]
        assert found.where == "rnn and scale, train.py:32"


@pytest.mark.parametrize(
    ("function", "kind", "width", "told"),
    [("sigmoid", "bce", 1, "50% to 73%"), ("softmax", "cross_entropy", 10, "23%")],
)
def test_chances_given_for_logits_are_named(
    function: str, kind: str, width: int, told: str
) -> None:
    loss = LossSeen(kind, (32, width), (32, width), squashed=function)
    for learned, severity in ((False, "illness"), (True, "warning")):
        found = stalled_loss.detect(evidence(LoopSeen(loss=loss), learned=learned))
        assert found is not None
        assert (found.severity, found.evidence["kind"]) == (severity, "squashed twice")
        assert told in found.explanation
        assert found.where.endswith("train.py:30")
    well = replace(loss, squashed="")
    assert stalled_loss.detect(evidence(LoopSeen(loss=well), learned=True)) is None
