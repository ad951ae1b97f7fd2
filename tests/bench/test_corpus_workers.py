from __future__ import annotations

import multiprocessing
import time

import pytest
from corpus_work import named

from bench.corpus import workers
from bench.corpus.row import Key, Row


def keys(*numbers: int) -> list[Key]:
    return [Key("a", "faulty", "tuning", number) for number in numbers]


def test_what_crashes_or_hangs_loses_one_run_and_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "STARTING", 2.0)
    asked = keys(0, 13, 1, 99, 2, 3)
    made = {row.key.number: row for row in workers.rows(asked, jobs=2, limit=2.0, work=named)}
    assert made.keys() == {0, 1, 2, 3, 13, 99}
    assert all(made[number].told_right for number in (0, 1, 2, 3))
    assert made[13].error == "its process ended with status 7: a last word"
    assert made[99].error.startswith("still at it after 2 s")
    assert not made[13].told_right
    assert not multiprocessing.active_children()


def test_leaving_early_ends_the_processes_at_once() -> None:
    begun = workers.rows(keys(0, 99, 99), jobs=2, limit=600.0, work=named)
    assert isinstance(next(begun), Row)
    before = time.monotonic()
    begun.close()  # as Ctrl-C makes `evaluate` do
    assert time.monotonic() - before < 5
    assert not multiprocessing.active_children()


def test_nothing_to_do_starts_nothing() -> None:
    assert list(workers.rows([], jobs=2, limit=1.0, work=named)) == []
