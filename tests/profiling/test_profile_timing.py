"""How samples become figures: medians, shares, and rounds that do not count."""

from __future__ import annotations

import itertools
import math
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

import minirnn as mr
from minirnn.profiling import timing
from minirnn.profiling.on_cpu import Cpu
from minirnn.profiling.timing import CALLING, REST, Sample, divide, rounds, spread


def test_a_sample_leaves_nothing_out():
    sample = Sample(10.0, kernel=7.0, phases={"pack": 1.0, "recurrent loop": 4.0})
    assert sample.parts() == {"pack": 1.0, "recurrent loop": 4.0, CALLING: 2.0, REST: 3.0}


def test_two_samples_after_each_other():
    first = Sample(10.0, 7.0, {"pack": 1.0, "input product": 2.0}, {"pack": 1})
    second = Sample(20.0, 9.0, {"pack": 3.0, "weight gradients": 4.0}, {"pack": 2})
    assert first + second == Sample(
        30.0, 16.0, {"pack": 4.0, "input product": 2.0, "weight gradients": 4.0}, {"pack": 3}
    )


def test_phases_add_up_to_the_plain_seconds_and_outliers_do_not_move_them():
    usual = [Sample(t, kernel=0.8 * t, phases={"pack": 0.2 * t}) for t in (1.0, 1.1, 1.2, 1.3, 1.4)]
    held_up = [Sample(50.0, kernel=50.0, phases={"pack": 50.0})]
    preempted = [Sample(0.9, kernel=0.9, phases={"pack": 0.9})]
    divided = divide(0.6, [*held_up, *usual, *preempted])
    assert math.isclose(sum(divided.values()), 0.6)
    assert divided == pytest.approx({"pack": 0.12, CALLING: 0.36, REST: 0.12})


def test_shares_are_means_of_the_middle_half():
    samples = [Sample(2.0, 2.0, {"pack": pack}) for pack in (0.2, 0.4)]
    assert divide(2.0, samples) == pytest.approx({"pack": 0.3, CALLING: 1.7, REST: 0.0})


def test_spread_is_the_distance_of_the_quartiles():
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2.0 / 3.0)
    assert spread([1.0]) == 0.0


class Recorded:
    """An engine that only says what was asked of it."""

    device = Cpu()

    def __init__(self):
        self.asked = []

    def prepare(self, training):
        self.asked.append(training)

    def infer(self):
        self.asked.append("infer")

    def forward(self):
        self.asked.append("forward")
        return "loss"

    def backward(self, result):
        self.asked.append(f"backward of {result}")


STEP = [True, "forward", "backward of loss"]


def test_everything_runs_before_it_is_timed():
    engine = Recorded()
    timing.warm_up(engine)
    assert engine.asked == [False, "infer", *STEP] * 2


def test_a_sample_holds_what_the_clocks_say(monkeypatch):
    from minirnn.kernels.cpu import clock

    times = SimpleNamespace(
        forward={"input product": 1.0}, backward={"weight gradients": 2.0},
        kernel={"forward": 3.0, "backward": 4.0},
        launches={"forward": {"input product": 2}, "backward": {}},
    )  # fmt: skip
    monkeypatch.setattr(clock, "measured", lambda: nullcontext(times))
    now = iter([0.0, 10.0, 100.0, 120.0, 150.0, 200.0, 201.0, 300.0, 302.0, 400.0, 404.0, 409.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(now))
    engine, phases = Recorded(), ({"input product": 1.0}, {"input product": 2})
    assert timing.time_inference(engine) == Sample(10.0, 3.0, *phases)
    forward, backward = timing.time_training(engine)
    assert forward == Sample(20.0, 3.0, *phases)
    assert backward == Sample(30.0, 4.0, {"weight gradients": 2.0})
    assert timing.time_plainly(engine, training=False) == 1.0
    assert timing.time_plainly(engine, training=True) == 2.0
    assert timing.time_halves(engine) == (4.0, 5.0)
    assert engine.asked == [*[False, "infer", *STEP] * 2, *STEP]


def test_turns_alternate(monkeypatch):
    monkeypatch.setattr(timing, "SETTLING_RUNS", 1)
    order: list[str] = []
    first, second = rounds(
        [lambda: order.append("a") or 1, lambda: order.append("b") or 2], 3, Cpu()
    )
    assert (first, second) == ([1, 1, 1], [2, 2, 2])
    assert order == ["a", "b"] * 3


def test_a_short_turn_settles_and_a_long_one_does_not(monkeypatch):
    for seconds, calls in ((0.001, 5), (0.02, 3), (0.06, 1)):
        now = itertools.count(0.0, seconds)
        monkeypatch.setattr(timing.time, "perf_counter", lambda now=now: next(now))
        counted = itertools.count(1)
        (taken,) = rounds([lambda counted=counted: next(counted)], 1, Cpu())
        assert taken == [calls]


def test_without_a_number_there_are_nine_rounds_and_more_within_a_second(monkeypatch):
    for seconds, taken in ((10.0, 9), (0.1, 10), (0.0, 101)):
        now = itertools.count(0.0, seconds)
        monkeypatch.setattr(timing.time, "perf_counter", lambda now=now: next(now))
        monkeypatch.setattr(timing, "ENOUGH_SECONDS", 2.95)  # three looks at the clock a round
        (results,) = rounds([lambda: None], None, Cpu())
        assert len(results) == taken


def compile_something():
    from numba import njit

    @njit("i8(i8)")
    def one_more(n):
        return n + 1

    return one_more(1)


def test_a_round_in_which_something_is_compiled_does_not_count(monkeypatch):
    monkeypatch.setattr(timing, "SETTLING_RUNS", 1)
    turns = itertools.count()

    def turn():
        number = next(turns)
        if number in (0, 2):
            compile_something()
        return number

    assert rounds([turn], 3, Cpu()) == [[1, 3, 4]]


def test_what_compiles_at_every_call_is_refused(monkeypatch):
    monkeypatch.setattr(timing, "SPOILT_ROUNDS", 2)
    with pytest.raises(mr.ArgumentError, match="compiles something at every call"):
        rounds([compile_something], 1, Cpu())
