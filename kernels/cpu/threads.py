"""Threads: a small pool of our own, because the kernels release the interpreter lock.

Numba's own layers abort on concurrent use or do not survive a fork; here any number of callers may
call at once, a forked child starts a fresh pool, and nothing spins after a call returns.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from minirnn.errors import ArgumentError

# An idle thread takes up to 100 µs to begin; a part should be worth about as much.
OPERATIONS_WORTH_A_THREAD = 5_000_000
OPEN = 1 << 62  # a barrier that nobody waits at

_lock = threading.Lock()
_team: dict[str, int] = {}  # whose call has several threads that meet
_last: Any = None  # what the threads of the last such call met at
_jobs: SimpleQueue[_Group] = SimpleQueue()
_workers: list[threading.Thread] = []
_kept_off: int | None = None  # the core that workers keep off


def cores() -> int:
    """How many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def _asks_core() -> Callable[[], int] | None:
    """What tells the core that the calling thread runs on, where threads can be kept off one."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        asks: Callable[[], int] = ctypes.PyDLL(None).sched_getcpu
    except (OSError, AttributeError):
        return None
    return asks


_core = _asks_core()
_threads = cores()


def set_num_threads(n: int) -> None:
    """Use at most `n` threads for each kernel call, n >= 1; more than there are cores is allowed.

    Results are the same bits for any number. Raises: ArgumentError.
    """
    global _threads
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ArgumentError("n", repr(n), "an integer of at least 1")
    _threads = n


def get_num_threads() -> int:
    """How many threads a kernel call may use; at first, as many as this process may run on."""
    return _threads


def parts(operations: float) -> int:
    """Into how many parts so much work is worth cutting."""
    if is_small(operations):
        return 1
    return min(_threads, int(operations / OPERATIONS_WORTH_A_THREAD))


def is_small(operations: float) -> bool:
    """Whether so much work is not worth a second thread, however many there may be."""
    return operations < 2 * OPERATIONS_WORTH_A_THREAD


def run_each(work: Callable[[int], None], count: int, barrier: Any = None) -> None:
    """Call `work(0)` … `work(count - 1)`, each in a thread, the first in the caller's.

    Returns when all that were begun are done, also if one fails or the caller is interrupted; then
    raises that. With a `barrier` they may wait for one another, if a team was reserved: until an
    int64 of it has counted enough of them. If one fails all are set so high that the others go on.
    """
    if count == 1:
        work(0)
        return
    global _last
    if barrier is not None:
        # A team is alone, so the one before is over; but if its caller was interrupted twice,
        # before it let the others go, they wait still, and would be missing here.
        if _last is not None:
            _last[:] = OPEN
        _last = barrier
    group = _Group(work, count, barrier)
    failure: BaseException | None = None
    try:
        jobs = _staffed(count - 1)
        _keep_off_our_core()
        for _ in range(1, count):
            jobs.put(group)
        work(0)
    except BaseException as problem:  # noqa: BLE001 (raised again below)
        failure = problem
    failure = group.wait(failure)
    if failure is not None:
        raise failure


class _Group:
    """The parts of a piece of work that other threads take.

    What has been begun and done stands in counters under a lock; the queue only wakes the caller.
    So an interruption, which may come between any two of the caller's instructions, loses nothing.
    """

    def __init__(self, work: Callable[[int], None], count: int, barrier: Any) -> None:
        self._work, self._barrier = work, barrier
        self._lock = threading.Lock()
        self._begun, self._done, self._most = 0, 0, count - 1
        self._failure: BaseException | None = None
        self._wake: SimpleQueue[None] = SimpleQueue()

    def serve(self) -> None:
        """Do the next part, if there is one left."""
        with self._lock:
            if self._begun >= self._most:
                return
            self._begun += 1
            number = self._begun
        failure: BaseException | None = None
        try:
            self._work(number)
        except BaseException as problem:  # noqa: BLE001 (raised again in the thread that waits)
            failure = problem
            self.abandon()
        with self._lock:
            self._done += 1
            self._failure = self._failure or failure
        self._wake.put(None)

    def abandon(self) -> None:
        """Begin no further part, and let nobody wait for one."""
        with self._lock:
            self._most = self._begun
            if self._barrier is not None:
                self._barrier[:] = OPEN

    def wait(self, failure: BaseException | None) -> BaseException | None:
        """Return when all parts that were begun are done: what failed or interrupted, if any.

        `failure` is that of the caller's own part.
        """
        while True:
            try:  # whatever comes next, an interruption of this included
                if failure is not None:
                    self.abandon()
                while self._done < self._most:
                    with suppress(Empty):
                        self._wake.get(timeout=1.0)  # a lost word is missed for so long at most
                return self._failure or failure
            except BaseException as problem:  # noqa: BLE001 (raised again by `run_each`)
                failure = failure or problem


def reserve_team() -> bool:
    """Whether a team may work now. Two that wait could keep each other's members from starting.

    A thread whose last call was interrupted before it released its team has it still.
    """
    ours = threading.get_ident()
    return _team.setdefault("caller", ours) == ours  # in one step, which nothing interrupts


def release_team() -> None:
    """The reserved team has done its work."""
    _team.pop("caller", None)


def _staffed(workers: int) -> SimpleQueue[_Group]:
    """The queue of jobs, with at least so many threads that serve it."""
    global _kept_off
    with _lock:
        while len(_workers) < workers:
            name = f"minirnn-{len(_workers) + 1}"
            worker = threading.Thread(target=_serve, args=(_jobs,), name=name, daemon=True)
            worker.start()
            _workers.append(worker)
            _kept_off = None  # the new one may be anywhere
        return _jobs


def _keep_off_our_core() -> None:
    """Let the workers begin on other cores than the caller's, of those that it may run on.

    Otherwise the system often wakes a worker on the core that wakes it, always so where it takes
    the others for busy (Linux, of a virtual machine's cores that have slept for a millisecond), and
    there it waits until the caller has done its own part.
    """
    global _kept_off
    if _core is None:
        return
    core = _core()
    if core == _kept_off:
        return
    others = os.sched_getaffinity(0) - {core}
    for worker in _workers if others else ():
        if worker.native_id is not None:
            with suppress(OSError):  # it has ended, or the system does not let us
                os.sched_setaffinity(worker.native_id, others)
    _kept_off = core


def _serve(jobs: SimpleQueue[_Group]) -> None:
    while True:
        group = jobs.get()
        group.serve()
        del group  # an idle thread holds nobody's arrays


def _forget_threads() -> None:
    global _jobs, _lock, _kept_off, _last
    _last = None
    _jobs, _lock = SimpleQueue(), threading.Lock()
    _team.clear()
    _workers.clear()
    _kept_off = None


if hasattr(os, "register_at_fork"):
    # A child inherits the objects, not the threads.
    os.register_at_fork(after_in_child=_forget_threads)
