"""The kernels' clock: phases add up, and only what runs inside the block is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from kernel_cases import CELLS, Case, random_case

from minirnn.kernels import cpu
from minirnn.kernels.contract import Keep, Needs
from minirnn.kernels.cpu import clock, forward_pass, threads
from minirnn.kernels.phases import PHASES

pytestmark = pytest.mark.alone  # it measures time

NAMES = ["rnn-tanh", "gru-tanh", "lstm-tanh"]
SLICED = [False, True]  # one compiled call for everything, or work cut into slices

# Around the phases of a call lies some Python, and around the kernels some more: what may be left
# out, in seconds and as a share. The best of several calls counts: the others are interrupted.
UNTOLD, UNTOLD_SHARE = 1e-4, 0.05


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = cpu.get_num_threads()
    yield
    cpu.set_num_threads(before)


def cut(monkeypatch: pytest.MonkeyPatch, sliced: bool) -> None:
    cpu.set_num_threads(2 if sliced else 1)
    if sliced:
        monkeypatch.setattr(threads, "OPERATIONS_WORTH_A_THREAD", 1)


def case_of(name: str, T: int = 60, **options: Any) -> Case:
    return random_case(CELLS[name], T=T, B=16, I=24, H=64, dtype="float32", **options)


def both_ways(case: Case, keep: Keep = "tape", needs: Needs | None = None) -> float:
    """Forward and backward; returns the seconds they took."""
    started = time.perf_counter()
    _, _, tape = cpu.forward(
        case.cell, case.x, case.state, case.weights, lengths=case.lengths, keep=keep
    )
    assert tape is not None
    cpu.backward(case.cell, case.doutput, case.dstate, tape, needs=needs or Needs())
    return time.perf_counter() - started


@pytest.mark.parametrize("sliced", SLICED)
@pytest.mark.parametrize("keep", ["tape", "checkpoints", "record"])
@pytest.mark.parametrize("name", NAMES)
def test_phases_sum_to_the_time_in_kernels_and_that_to_the_time_of_the_calls(
    name: str, keep: Keep, sliced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, sliced)
    case = case_of(name, lengths=True)
    both_ways(case, keep)
    untold: dict[str, list[bool]] = {"forward": [], "backward": [], "outside": []}
    for _ in range(9):
        with clock.measured() as times:
            took = both_ways(case, keep)
        assert times.calls == 2
        kernel = sum(times.kernel.values())
        assert kernel <= took
        untold["outside"].append(took - kernel < 3 * UNTOLD + UNTOLD_SHARE * took)
        for which, phases in (("forward", times.forward), ("backward", times.backward)):
            told, whole = sum(phases.values()), times.kernel[which]
            assert all(seconds > 0.0 for seconds in phases.values())
            assert told <= whole * (1 + 1e-9)
            untold[which].append(whole - told < UNTOLD + UNTOLD_SHARE * whole)
    assert all(any(few) for few in untold.values()), untold


@pytest.mark.parametrize("sliced", SLICED)
def test_each_pass_has_its_phases_and_no_other(
    sliced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, sliced)
    with clock.measured() as times:
        both_ways(case_of("lstm-tanh"))
    assert set(times.forward) == {"pack", "input product", "recurrent loop"}
    assert {"pack", "recurrent loop", "weight gradients"} <= set(times.backward)
    assert {*times.forward, *times.backward} <= set(PHASES)
    assert "rebuild" not in times.backward


@pytest.mark.parametrize("sliced", SLICED)
def test_phases_that_are_not_needed_take_no_time(
    sliced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, sliced)
    case = case_of("gru-tanh")
    with clock.measured() as times:
        both_ways(case, needs=Needs(True, True, False, False, False, False))
    assert set(times.backward) == {"pack", "recurrent loop", "input gradient"}
    with clock.measured() as times:
        both_ways(case, needs=Needs(x=False))
    assert set(times.backward) == {"pack", "recurrent loop", "weight gradients"}


@pytest.mark.parametrize("sliced", SLICED)
@pytest.mark.parametrize("name", NAMES)
def test_gates_that_were_not_kept_are_told_as_rebuilt(
    name: str, sliced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, sliced)
    monkeypatch.setattr(forward_pass, "REBUILT_STEPS", (16, 16))
    with clock.measured() as times:
        both_ways(case_of(name), "checkpoints")
    assert times.backward["rebuild"] > 0.0
    assert "input product" not in times.backward
    assert set(times.forward) == {"pack", "input product", "recurrent loop"}


def test_a_phase_grows_with_its_work() -> None:
    """Four times the inputs: the input's phases take several times as long, the others do not."""
    cpu.set_num_threads(1)

    def phases(width: int) -> dict[str, float]:
        case = random_case(CELLS["rnn-tanh"], T=40, B=32, I=width, H=64, dtype="float32")
        both_ways(case)
        with clock.measured() as times:
            for _ in range(9):
                both_ways(case)
        return {name: times.forward[name] for name in ("input product", "recurrent loop")}

    small, large = phases(64), phases(1024)
    assert large["input product"] > 5 * small["input product"]
    assert large["recurrent loop"] < 5 * small["recurrent loop"]


def test_nothing_is_counted_outside_the_block() -> None:
    case = case_of("rnn-tanh")
    both_ways(case)
    with clock.measured() as times:
        assert times.calls == 0
    both_ways(case)
    assert times.calls == 0
    assert times.forward == times.backward == {}
    assert times.kernel == {"forward": 0.0, "backward": 0.0}


def test_a_block_that_fails_measures_no_longer() -> None:
    with pytest.raises(RuntimeError), clock.measured() as times:
        raise RuntimeError("stop")
    both_ways(case_of("rnn-tanh"))
    assert times.calls == 0


def test_blocks_may_stand_in_one_another() -> None:
    case = case_of("gru-tanh")
    with clock.measured() as outer:
        both_ways(case)
        with clock.measured() as inner:
            both_ways(case)
        both_ways(case)
    assert (outer.calls, inner.calls) == (6, 2)
    assert outer.kernel["forward"] > inner.kernel["forward"] > 0.0
    assert outer.forward["recurrent loop"] > inner.forward["recurrent loop"]


def test_calls_of_all_threads_are_counted() -> None:
    case = case_of("rnn-tanh")
    both_ways(case)
    workers = [threading.Thread(target=both_ways, args=(case,)) for _ in range(6)]
    with clock.measured() as times:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert times.calls == 12
    assert sum(times.forward.values()) <= times.kernel["forward"] * (1 + 1e-9)


@pytest.mark.parametrize("sliced", SLICED)
@pytest.mark.parametrize("keep", ["record", "checkpoints"])
def test_measuring_changes_no_bit(
    keep: Keep, sliced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, sliced)
    case = case_of("lstm-tanh", lengths=True)

    def bits() -> list[bytes]:
        output, last, tape = cpu.forward(
            case.cell, case.x, case.state, case.weights, lengths=case.lengths, keep=keep
        )
        assert tape is not None
        g = cpu.backward(case.cell, case.doutput, case.dstate, tape, needs=Needs())
        return [a.tobytes() for a in (output, *last, g.x, *g.state, *g[2:])]

    plain = bits()
    with clock.measured():
        measured = bits()
    assert plain == measured


def test_shares_are_of_the_wall_clock_however_many_threads_count() -> None:
    """Two threads that count side by side do not make a phase longer than the call."""
    with clock.measured() as times:
        watch = clock.Watch("forward")
        for counts in ((30, 10, 0), (10, 30, 0)):
            watch.ticks()[:3] = counts
        watch.ticks("rebuild")[:3] = (5, 5, 10)
        time.sleep(0.01)
        watch.lap()
        watch.stop()
    whole = times.kernel["forward"]
    assert 0.01 <= sum(times.forward.values()) <= whole
    share = times.forward["rebuild"] / sum(times.forward.values())
    assert share == pytest.approx(0.2)
    assert times.forward["input product"] == pytest.approx(times.forward["recurrent loop"])
    assert np.isclose(times.forward["input product"], 2 * times.forward["rebuild"])
