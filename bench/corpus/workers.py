"""Processes that run samples: what crashes or hangs in one loses one run, not the evaluation."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bench.corpus.row import Key, Row

# One thread each, told before NumPy and Numba are loaded: the processes are what runs in parallel.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
STARTING = 120.0  # seconds more for a process's first run, which imports and compiles
Work = Callable[[Key, bool], Row]


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    errors: Path
    key: Key | None = None
    began: float = 0.0
    fresh: bool = True


def work(key: Key, mend: bool) -> Row:
    """A run, with the digest of the sources as they were when this process loaded them."""
    from bench.corpus.fingerprint import digest

    before = digest(key.symptom)  # and only then are the sources loaded
    from bench.corpus.runs import run

    return replace(run(key, mend=mend), digest=before)


def rows(
    keys: Sequence[Key],
    *,
    jobs: int,
    limit: float,
    mend: bool = True,
    work: Work = work,
) -> Iterator[Row]:
    """The row of every key, as it comes.

    A process that ends, or is at one run for more than `limit` seconds, gives a row with an error
    that says so, and another takes its place. However this ends, no process is left.
    """
    waiting = deque(keys)
    pool: list[_Worker] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            while waiting or any(worker.key is not None for worker in pool):
                while waiting and len(pool) < jobs:
                    pool.append(_start(work, Path(folder)))
                for worker in pool:
                    if worker.key is None and waiting:
                        _give(worker, waiting.popleft(), mend)
                for worker in _answering(pool, limit):
                    row = _taken(worker, limit)
                    if row.error and not worker.process.is_alive():
                        pool.remove(worker)
                    yield row
        finally:
            for worker in pool:
                _end(worker)


def _start(work: Work, folder: Path) -> _Worker:
    # Spawned, not forked: no thread or lock of this process is carried over.
    context = get_context("spawn")
    here, there = context.Pipe()
    handle, errors = tempfile.mkstemp(dir=folder)
    os.close(handle)
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        process = context.Process(target=_loop, args=(there, errors, work), daemon=True)
        process.start()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    there.close()
    return _Worker(process, here, Path(errors))


def _loop(pipe: Connection, errors: str, work: Work) -> None:
    """What a process does: a run for every key that comes, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends this
    _say_into(errors)
    while True:
        try:
            key, mend = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(work(key, mend))
        except BrokenPipeError:  # nobody is left to tell
            return


def _say_into(errors: str) -> None:
    """Send what is printed to nowhere, and what is complained of to a file."""
    import faulthandler

    handle = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    faulthandler.enable(file=sys.stderr)


def _give(worker: _Worker, key: Key, mend: bool) -> None:
    worker.key, worker.began = key, time.monotonic()
    with suppress(OSError):  # it has ended: told where its answer is looked for
        worker.pipe.send((key, mend))


def _answering(pool: list[_Worker], limit: float) -> list[_Worker]:
    """Those that have an answer, have ended, or are over their time; waits for the first."""
    busy = [worker for worker in pool if worker.key is not None]
    now = time.monotonic()
    left = min(_deadline(worker, limit) for worker in busy) - now
    watched: list[Any] = [each for w in busy for each in (w.pipe, w.process.sentinel)]
    ready = set(map(id, wait(watched, timeout=max(0.0, left))))
    now = time.monotonic()
    return [
        worker
        for worker in busy
        if id(worker.pipe) in ready
        or not worker.process.is_alive()
        or now >= _deadline(worker, limit)
    ]


def _deadline(worker: _Worker, limit: float) -> float:
    return worker.began + limit + (STARTING if worker.fresh else 0.0)


def _taken(worker: _Worker, limit: float) -> Row:
    """The row of a worker that was found to answer, to have ended, or to be late."""
    key, worker.key = worker.key, None
    assert key is not None
    try:
        if worker.pipe.poll():
            row: Row = worker.pipe.recv()
            worker.fresh = False
            return row
    except (EOFError, OSError):
        pass  # it ended while it answered
    planted = key.symptom if key.kind == "faulty" else None
    late = worker.process.is_alive() and time.monotonic() >= _deadline(worker, limit)
    _end(worker)
    if late:
        return Row(key, planted=planted, error=f"still at it after {limit:g} s: ended")
    code = worker.process.exitcode
    said = worker.errors.read_text(errors="replace").strip().splitlines()
    words = f": {said[-1]}" if said else ""
    return Row(key, planted=planted, error=f"its process ended with status {code}{words}"[:400])


def _end(worker: _Worker) -> None:
    """End a process, gently first."""
    worker.pipe.close()
    worker.process.terminate()
    worker.process.join(2.0)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
