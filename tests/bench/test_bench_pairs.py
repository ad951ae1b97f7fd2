"""The turns, on a clock that only calls and sleep move."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench import pairs
from bench.pairs import Repeated, Rounds


class Time:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.log.append("sleep")

    def call(self, name: str, seconds: float) -> Callable[[], None]:
        def work() -> None:
            self.now += seconds
            self.log.append(name)

        return work


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(pairs, "time", time)
    return time


def test_a_reading_is_the_seconds_of_one_call(time: Time) -> None:
    turn = Repeated(time.call("work", 0.002), seconds=0.03)
    assert turn() == pytest.approx(0.002)


def test_a_turn_lasts_as_long_as_was_asked(time: Time) -> None:
    turn = Repeated(time.call("work", 0.002), seconds=0.03)
    assert turn.calls == 15
    assert Repeated(time.call("long", 0.4), seconds=0.03).calls == 1


def test_the_first_call_which_compiles_is_in_no_estimate(time: Time) -> None:
    costs = iter([9.0])

    def work() -> None:
        time.now += next(costs, 2.0**-10)

    assert Repeated(work, seconds=2.0**-5).calls == 32


def test_nothing_is_timed_before_the_other_sides_threads_sleep(time: Time) -> None:
    turn = Repeated(time.call("work", 0.001), seconds=0.03, settle=0.015)
    before = time.now
    turn()
    assert time.now - before == pytest.approx(0.015 + 0.03)


def test_a_long_call_is_not_run_untimed_to_wait(time: Time) -> None:
    turn = Repeated(time.call("long", 0.4), settle=0.015)
    time.log.clear()
    assert turn() == pytest.approx(0.4)
    assert time.log == ["sleep", "long"]


def test_a_call_that_fills_a_turn_is_warmed_nevertheless(time: Time) -> None:
    turn = Repeated(time.call("work", 0.04), seconds=0.03, settle=0.015)
    time.log.clear()
    assert turn() == pytest.approx(0.04)
    assert time.log == ["work", "work"]


def test_every_round_gives_each_side_one_turn_and_begins_with_another() -> None:
    log: list[str] = []

    def turn(name: str, reading: float) -> Callable[[], float]:
        return lambda: log.append(name) or reading

    rounds = Rounds({"ours": turn("ours", 1.0), "theirs": turn("theirs", 2.0)})
    assert [rounds.next() for _ in range(3)] == [{"ours": 1.0, "theirs": 2.0}] * 3
    assert log == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert rounds.readings == {"ours": [1.0] * 3, "theirs": [2.0] * 3}
