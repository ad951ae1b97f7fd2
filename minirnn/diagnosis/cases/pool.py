"""Play many cases, in processes of one thread each, and give what was seen as it comes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context

from minirnn.diagnosis.cases.case import Case
from minirnn.diagnosis.cases.play import play
from minirnn.diagnosis.cases.seen import CaseSeen

# Told before NumPy and Numba are loaded: the processes are what runs in parallel.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


def cores() -> int:
    """How many processes can run at the same time."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def play_all(asked: Sequence[tuple[Case, int]], jobs: int) -> Iterator[CaseSeen]:
    """What was seen of each case and seed, in the order in which they are done.

    However this ends, no process is left.
    """
    if jobs == 1 or len(asked) < 2:
        for case, seed in asked:
            yield play(case, seed)
        return
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    others = set(active_children())
    # Spawned, not forked: no thread or lock of this process is carried over.
    pool = ProcessPoolExecutor(
        min(jobs, len(asked)), mp_context=get_context("spawn"), initializer=_leave_interrupts
    )
    done_all = False
    try:
        waiting: list[Future[CaseSeen]] = [
            pool.submit(_play, case.id, seed) for case, seed in asked
        ]
        for done in as_completed(waiting):
            yield done.result()
        done_all = True
    finally:
        if not done_all:  # nobody waits for what they are at
            for process in set(active_children()) - others:
                process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _leave_interrupts() -> None:
    """Ctrl-C is for the process that asked, which ends these."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _play(name: str, seed: int) -> CaseSeen:
    """In another process, which a case reaches by its name: its recipes are functions."""
    from minirnn.diagnosis.cases import case_of

    return play(case_of(name), seed)
