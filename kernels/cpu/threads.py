"""Threads: a small pool of our own, because the kernels release the interpreter lock.

Numba's own layers abort on concurrent use or do not survive a fork; here any number of callers may
call at once, a forked child starts a fresh pool, and nothing spins after a call returns.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from minirnn.errors import ArgumentError

# Handing a part to another thread costs some 20 µs; a part should be worth several times that.
OPERATIONS_WORTH_A_THREAD = 2_000_000
OPEN = 1 << 62  # a gate that nobody waits at

_lock = threading.Lock()
_team = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def cores() -> int:
    """How many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


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


def parts(size: int, operations: float) -> int:
    """Into how many slices of range(size) that much work is worth cutting."""
    if operations < 2 * OPERATIONS_WORTH_A_THREAD:  # most often, where microseconds count
        return 1
    return min(_threads, size, int(operations / OPERATIONS_WORTH_A_THREAD))


def run(work: Callable[[int, int], None], size: int, operations: float) -> None:
    """Call `work(first, last)` on even slices of range(size), as many as the work is worth."""
    count = parts(size, operations)
    if count == 1:
        work(0, size)
    else:
        edges = [size * i // count for i in range(count + 1)]
        run_each(lambda i: work(edges[i], edges[i + 1]), count)


def run_each(work: Callable[[int], None], count: int, gate: Any = None) -> None:
    """Call `work(0)` … `work(count - 1)`, each in a thread, the first in the caller's.

    Returns when all are done, also if one fails; then raises that one's exception. With a `gate`
    they may wait for one another, if a team was reserved: until gate[0], an int64, has counted
    enough of them. If one fails it is set so high that the others go on.
    """

    def guarded(i: int) -> None:
        try:
            work(i)
        except BaseException:
            if gate is not None:
                gate[0] = OPEN
            raise

    futures: list[Future[None]] = []
    try:
        if count > 1:
            pool = _executor(count - 1)
            for i in range(1, count):
                futures.append(pool.submit(guarded, i))
        guarded(0)
    except BaseException:
        if gate is not None:
            gate[0] = OPEN
        raise
    finally:
        wait(futures)
    for future in futures:
        future.result()


def reserve_team() -> bool:
    """Whether a team may work now. Two that wait could keep each other's members from starting."""
    return _team.acquire(blocking=False)


def release_team() -> None:
    """The reserved team has done its work."""
    _team.release()


def _executor(size: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size < size:
            # An older, smaller pool finishes what it was given and goes when nobody holds it.
            _pool = ThreadPoolExecutor(size, thread_name_prefix="minirnn")
            _pool_size = size
        return _pool


def _forget_pool() -> None:
    global _pool, _pool_size, _lock, _team
    _pool, _pool_size, _lock, _team = None, 0, threading.Lock(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)  # a child inherits the object, not its threads
