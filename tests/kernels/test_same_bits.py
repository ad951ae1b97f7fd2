"""The CPU's promises about bits: threads, batches and callers do not change them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernel_cases import CELLS, Case, random_case, run

from minirnn.kernels import cpu
from minirnn.kernels.contract import Keep, Needs
from minirnn.kernels.cpu import backward_pass, forward_pass, plan, threads

BUILT_IN = ["rnn-tanh", "gru-tanh", "lstm-tanh"]
DTYPES = ["float32", "float64"]


@pytest.fixture(autouse=True)
def _every_slice_is_worth_a_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = cpu.get_num_threads()
    monkeypatch.setattr(threads, "OPERATIONS_WORTH_A_THREAD", 1)
    yield
    cpu.set_num_threads(before)


def bits(case: Case, keep: Keep = "record") -> dict[str, bytes]:
    return {n: a.tobytes() for n, a in run(cpu, case, keep=keep).arrays(case.cell).items()}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BUILT_IN)
def test_any_number_of_threads(
    name: str, dtype: str, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = random_case(
        CELLS[name], T=11, B=13, I=7, H=21, dtype=dtype, lengths=True, reverse=reverse
    )
    used = counted_parts(monkeypatch)
    results = {}
    for n in (1, 2, 5, 13):
        cpu.set_num_threads(n)
        used.clear()
        results[n] = bits(case)
        assert max(used, default=1) == n
    assert results[1] == results[2] == results[5] == results[13]


def counted_parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Into how many parts each piece of work is cut from now on."""
    used: list[int] = []
    run_each = threads.run_each

    def watched(work: Any, count: int, gate: Any = None) -> None:
        used.append(count)
        run_each(work, count, gate)

    monkeypatch.setattr(threads, "run_each", watched)
    return used


@pytest.mark.parametrize("keep", ["record", "checkpoints"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_team_that_shares_the_units(
    name: str, dtype: str, reverse: bool, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members meet at a barrier in every step, here with more of them than there are cores."""
    monkeypatch.setattr(threads, "cores", lambda: 5)
    monkeypatch.setattr(plan, "MEETING", 0)
    monkeypatch.setattr(forward_pass, "REBUILT_STEPS", (4, 4))
    case = random_case(
        CELLS[name], T=11, B=2, I=7, H=230, dtype=dtype, lengths=(11, 6), reverse=reverse
    )
    cuts: list[plan.Cut] = []
    cut_up = plan.cut_up

    def watched(*arguments: Any) -> plan.Cut:
        cuts.append(cut_up(*arguments))
        return cuts[-1]

    for module in (forward_pass, backward_pass):
        monkeypatch.setattr(module, "cut_up", watched)
    results = {}
    for n in (1, 2, 3):
        cpu.set_num_threads(n)
        cuts.clear()
        results[n] = bits(case, keep)
        if n > 1:
            assert len(cuts) == 2
            assert all(cut.team == len(cut.slices) == n for cut in cuts)
            assert {each.v1 - each.v0 for cut in cuts for each in cut.slices} != {0}
    assert results[1] == results[2] == results[3]


@pytest.mark.parametrize("meeting", [0, 1e9], ids=["team", "rows"])
@pytest.mark.parametrize("keep", ["tape", "record", "checkpoints"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", BUILT_IN)
def test_backward_in_one_part_or_in_several(
    name: str, reverse: bool, keep: Keep, meeting: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too much for the cache goes back through some steps at a time."""
    monkeypatch.setattr(plan, "MEETING", meeting)
    monkeypatch.setattr(threads, "cores", lambda: 2)
    case = random_case(
        CELLS[name], T=11, B=2, I=7, H=130, dtype="float32", lengths=(11, 6), reverse=reverse
    )
    cpu.set_num_threads(1)
    whole = bits(case, keep)
    monkeypatch.setattr(forward_pass, "CACHED_BYTES", 1)
    monkeypatch.setattr(forward_pass, "REBUILT_STEPS", (3, 3))
    for n in (1, 2, 4):  # with 4, more threads than a team may have, or rows of the batch
        cpu.set_num_threads(n)
        assert bits(case, keep) == whole


def test_gates_are_not_rebuilt_over_what_others_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the state's gradient is asked for, so there are no products to meet after."""
    monkeypatch.setattr(threads, "cores", lambda: 5)
    monkeypatch.setattr(plan, "MEETING", 0)
    monkeypatch.setattr(forward_pass, "REBUILT_STEPS", (1, 1))
    needs = Needs(*(name == "state" for name in Needs._fields))
    case = random_case(CELLS["lstm-tanh"], T=40, B=2, I=1, H=230, dtype="float64")

    def gradients(n: int) -> list[bytes]:
        cpu.set_num_threads(n)
        result = run(cpu, case, keep="checkpoints", needs=needs).gradients
        return [gradient.tobytes() for gradient in result.state]

    alone = gradients(1)
    assert all(gradients(n) == alone for n in (2, 3) * 10)


def test_a_second_team_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two teams at once could keep each other's members from starting."""
    monkeypatch.setattr(plan, "MEETING", 0)
    case = random_case(CELLS["gru-tanh"], T=6, B=1, H=70, dtype="float32")
    cpu.set_num_threads(2)
    used = counted_parts(monkeypatch)
    together = bits(case)
    assert max(used) == 2
    used.clear()
    other = threading.Thread(target=threads.reserve_team)  # it ends and has the team still
    other.start()
    other.join()
    try:
        assert not threads.reserve_team()
        assert bits(case) == together
        assert max(used) == 1
    finally:
        threads.release_team()
    used.clear()
    assert threads.reserve_team()  # as if a call of this thread had been interrupted
    assert bits(case) == together
    assert max(used) == 2
    assert threads.reserve_team()
    threads.release_team()


@pytest.mark.parametrize("module", [forward_pass, backward_pass])
def test_a_call_that_finds_no_memory_leaves_its_team(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = random_case(CELLS["gru-tanh"], T=6, B=4, H=70, dtype="float32")
    cpu.set_num_threads(2)
    meeting_place = module.meeting_place

    def none(*_: int) -> Any:
        raise MemoryError

    monkeypatch.setattr(module, "meeting_place", none)
    with pytest.raises(MemoryError):
        bits(case)
    monkeypatch.setattr(module, "meeting_place", meeting_place)
    assert not threads._team


def test_a_member_that_fails_does_not_leave_the_others_waiting() -> None:
    gate = np.zeros(1, np.int64)

    def work(i: int) -> None:
        if i == 1:
            raise KeyboardInterrupt
        while gate[0] < 2:
            time.sleep(0.001)

    with pytest.raises(KeyboardInterrupt):
        threads.run_each(work, 2, gate)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CELLS)
def test_rebuilt_gates_and_their_gradients(
    name: str, dtype: str, lengths: bool, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward_pass, "REBUILT_STEPS", (3, 3))
    cpu.set_num_threads(2)
    case = random_case(
        CELLS[name], T=11, B=5, I=7, H=21, dtype=dtype, lengths=lengths, reverse=reverse
    )
    assert bits(case, "checkpoints") == bits(case, "tape")


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_alone_and_in_a_batch(name: str, dtype: str, lengths: bool) -> None:
    case = random_case(CELLS[name], T=9, B=37, I=6, H=19, dtype=dtype, lengths=lengths)
    whole = run(cpu, case)
    for b in (0, 1, 17, 36):
        only = slice(b, b + 1)
        alone = replace(
            case,
            x=case.x[:, only],
            state=tuple(s[only] for s in case.state),
            lengths=case.lengths[only] if lengths else None,
            doutput=case.doutput[:, only],
            dstate=tuple(d[only] for d in case.dstate or ()),
        )
        single = run(cpu, alone)
        assert single.output.tobytes() == whole.output[:, only].tobytes()
        for s, all_s in zip(single.state, whole.state, strict=True):
            assert s.tobytes() == all_s[only].tobytes()
        for slot, gate in single.record.gates.items():
            assert gate.tobytes() == whole.record.gates[slot][:, only].tobytes(), slot


@pytest.mark.parametrize("name", BUILT_IN)
def test_padding_a_batch_changes_no_sequence(name: str) -> None:
    case = random_case(CELLS[name], T=6, B=4, H=11, dtype="float32")
    padded = replace(
        case,
        x=np.concatenate([case.x, np.full_like(case.x, np.nan)]),
        doutput=np.concatenate([case.doutput, np.full_like(case.doutput, np.nan)]),
        lengths=np.full(4, 6),
    )
    for reverse in (False, True):
        short = run(cpu, replace(case, reverse=reverse))
        long = run(cpu, replace(padded, reverse=reverse))
        wanted, found = short.arrays(case.cell), long.arrays(case.cell)
        for array, values in wanted.items():
            part = found[array][:6] if values.ndim == 3 else found[array]
            if array.startswith(("grad.weight", "grad.bias")):  # other slices of the sum over time
                np.testing.assert_allclose(part, values, rtol=1e-5, atol=1e-5)
            else:
                assert part.tobytes() == values.tobytes(), array


def test_several_callers_at_once() -> None:
    cases = [
        random_case(CELLS[name], T=15, B=6, I=5, H=9 + 8 * k, dtype=dtype, lengths=True, seed=k)
        for k, (name, dtype) in enumerate((n, d) for n in BUILT_IN for d in DTYPES)
    ]
    cpu.set_num_threads(3)
    alone = [bits(case) for case in cases]
    wrong: list[object] = []
    start = threading.Barrier(len(cases))

    def caller(k: int) -> None:
        try:
            start.wait()
            for turn in range(15):
                which = (k + turn) % len(cases)
                if bits(cases[which]) != alone[which]:
                    wrong.append((k, turn))
        except BaseException as error:
            wrong.append(error)
            raise

    callers = [threading.Thread(target=caller, args=(k,)) for k in range(len(cases))]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert not wrong


def test_needs_change_no_bits_of_what_is_still_asked_for() -> None:
    case = random_case(CELLS["lstm-tanh"], T=7, H=18, dtype="float32")
    whole = run(cpu, case).gradients
    for field in Needs._fields:
        needs = Needs(*(name == field for name in Needs._fields))
        found = getattr(run(cpu, case, keep="tape", needs=needs).gradients, field)
        wanted = getattr(whole, field)
        pairs = zip(found, wanted, strict=True) if field == "state" else [(found, wanted)]
        assert all(f.tobytes() == w.tobytes() for f, w in pairs), field


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs os.fork")
def test_a_forked_child_computes_the_same_bits() -> None:
    script = """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork with threads alive
sys.path.insert(0, sys.argv[1])
from kernel_cases import CELLS, random_case, run
from minirnn.kernels import cpu
from minirnn.kernels.cpu import threads

threads.OPERATIONS_WORTH_A_THREAD = 1
cpu.set_num_threads(3)
case = random_case(CELLS["lstm-tanh"], T=9, B=8, I=5, H=12, dtype="float32", lengths=True)

def bits():
    return {n: a.tobytes() for n, a in run(cpu, case).arrays(case.cell).items()}

before = bits()
assert threading.active_count() > 1, "the parent never used its pool"
child = os.fork()
if child == 0:
    os._exit(0 if bits() == before else 3)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert bits() == before
sys.exit(status)
"""
    folder = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", script, folder], timeout=120, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
