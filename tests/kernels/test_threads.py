"""Work that is cut into parts: who is waited for, and what a failure of one part means."""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
import time

import numpy as np
import pytest

from minirnn.kernels.cpu import threads


@pytest.mark.parametrize("failing", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_a_call_returns_when_all_begun_parts_are_done_also_if_one_fails(
    failing: tuple[int, ...],
) -> None:
    together = threading.Barrier(3)
    done: list[int] = []

    def work(i: int) -> None:
        together.wait(timeout=30)
        if i not in failing:
            time.sleep(0.1)
            done.append(i)
            return
        if i:
            time.sleep(0.05)
        raise ValueError(f"part {i}")

    with pytest.raises(ValueError, match="part") as caught:
        threads.run_each(work, 3)
    assert sorted(done) == sorted({0, 1, 2} - set(failing))
    assert int(str(caught.value).split()[1]) in failing


@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError])
def test_an_interruption_at_any_moment_waits_for_the_others_and_hangs_nobody(
    error: type[BaseException],
) -> None:
    """A signal's handler may raise anything, between any two instructions of the caller."""
    armed = False

    def handler(*_: object) -> None:
        if armed:
            raise error

    working: set[int] = set()

    def work(i: int) -> None:
        if i:
            working.add(i)
            time.sleep(0.0004)
            working.discard(i)

    before = signal.signal(signal.SIGALRM, handler)
    gc.disable()  # in its callbacks, if anybody has registered some, nothing may be raised
    rng, interrupted = random.Random(0), 0
    try:
        for _ in range(400):
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 8e-4))
            try:
                armed = True
                threads.run_each(work, 3)
                armed = False
            except error:
                armed = False
                interrupted += 1
                assert not working
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    assert interrupted > 20


def test_parts_run_side_by_side_the_first_in_the_callers_thread() -> None:
    barrier = threading.Barrier(4)
    where: dict[int, str] = {}

    def work(i: int) -> None:
        barrier.wait(timeout=30)
        where[i] = threading.current_thread().name

    threads.run_each(work, 4)
    assert where[0] == threading.current_thread().name
    assert len(set(where.values())) == 4


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_workers_begin_on_other_cores_than_the_caller() -> None:
    ours = os.sched_getaffinity(0)
    if len(ours) < 2:
        pytest.skip("one core")
    asleep = 0.005  # so long that a virtual machine's other cores have gone to sleep
    allowed: list[set[int]] = []
    try:
        for core in sorted(ours)[:2]:
            os.sched_setaffinity(0, {core})  # so the caller is there
            os.sched_setaffinity(0, ours)
            for _ in range(5):
                time.sleep(asleep)
                threads.run_each(lambda i: i and allowed.append(os.sched_getaffinity(0)), 2)
            assert threads._kept_off is not None
            assert allowed[-1] == ours - {threads._kept_off}
        assert os.sched_getaffinity(0) == ours  # the caller's own is left alone
        # A caller who may run on one core alone: there is no other to begin on.
        os.sched_setaffinity(0, {core})
        threads.run_each(lambda i: None, 3)
    finally:
        os.sched_setaffinity(0, ours)


def test_cores_that_cannot_be_chosen_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refused, raising=False)
    monkeypatch.setattr(threads, "_kept_off", None)
    done: list[int] = []
    threads.run_each(done.append, 3)
    monkeypatch.setattr(threads, "_core", None)
    threads.run_each(done.append, 3)
    assert sorted(done) == [0, 0, 1, 1, 2, 2]


def test_a_part_that_fails_opens_the_gate_for_those_that_wait() -> None:
    gate = np.zeros(1, np.int64)
    given_up: list[int] = []

    def work(i: int) -> None:
        if i == 0:
            raise ValueError("first")
        limit = time.monotonic() + 30
        while gate[0] < 3 and time.monotonic() < limit:
            time.sleep(0.001)
        if gate[0] < 3:
            given_up.append(i)

    with pytest.raises(ValueError, match="first"):
        threads.run_each(work, 3, gate)
    assert not given_up
    assert gate[0] == threads.OPEN


@pytest.mark.parametrize(("operations", "count"), [(0.0, 1), (9.9, 1), (10.0, 2), (1e3, 3)])
def test_work_is_cut_into_parts_that_are_worth_a_thread(
    operations: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_threads", 3)
    monkeypatch.setattr(threads, "OPERATIONS_WORTH_A_THREAD", 5)
    assert threads.parts(operations) == count


def test_a_team_that_was_left_waiting_is_let_go_by_the_next() -> None:
    """As if its caller had been interrupted again while it dealt with an interruption."""
    left = np.zeros(1, np.int64)
    waiting = threading.Event()

    def wait_for_ever(i: int) -> None:
        waiting.set()
        while left[0] < 2:
            time.sleep(0.001)

    threads._last = left
    threads._staffed(1).put(threads._Group(wait_for_ever, 2, left))
    assert waiting.wait(timeout=30)
    done: list[int] = []
    threads.run_each(done.append, 2, np.zeros(1, np.int64))
    assert sorted(done) == [0, 1]
    assert left[0] == threads.OPEN
