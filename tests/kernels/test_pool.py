"""Buffers come from the pool, belong to whoever looks into them, and come back by themselves."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn.kernels.cpu import pool

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
LARGE = pool.SMALLEST // 4  # float32 elements: the smallest that is pooled


@pytest.fixture(autouse=True)
def _nothing_idle() -> Iterator[None]:
    gc.collect()
    pool.release()
    yield
    pool.release()


def place(array: Any) -> int:
    start: int = array.__array_interface__["data"][0]
    return start


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64])
@pytest.mark.parametrize("extra", [0, 1, 13, 4096])
def test_what_is_not_small_begins_on_a_cache_line(extra: int, dtype: np.dtype[Any]) -> None:
    made = [pool.empty((LARGE + extra + i,), dtype) for i in range(9)]
    assert all(place(a) % 64 == 0 for a in made)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64])
@pytest.mark.parametrize("count", [0, 1, 5, 100, LARGE - 1, LARGE, 3 * LARGE])
def test_aligned_begins_on_a_cache_line_however_small(count: int, dtype: np.dtype[Any]) -> None:
    made = [pool.aligned(count, dtype) for _ in range(9)]
    for i, array in enumerate(made):
        assert array.shape == (count,)
        assert array.dtype == dtype
        assert place(array) % 64 == 0 or count == 0
        array.fill(i)
    assert all((array == i).all() for i, array in enumerate(made))


@pytest.mark.parametrize("shape", [(2, LARGE), (3, 5, LARGE // 7), (LARGE,), (2, 3), (0, 4)])
def test_an_array_is_as_asked(shape: tuple[int, ...]) -> None:
    array = pool.empty(shape, FLOAT64)
    assert type(array) is np.ndarray
    assert array.shape == shape
    assert array.dtype == FLOAT64
    assert array.flags.carray
    array.fill(3.0)
    assert (array == 3.0).all()
    assert not pool.zeros(shape, FLOAT64).any()


def test_zeros_are_zeros_in_used_memory_too() -> None:
    array = pool.empty((LARGE,), FLOAT32)
    before = place(array)
    array.fill(7.0)
    del array
    again = pool.zeros((LARGE,), FLOAT32)
    assert place(again) == before
    assert not again.any()


def test_arrays_in_use_share_no_memory() -> None:
    made = [pool.empty((LARGE + 100 * i,), FLOAT32) for i in range(8)]
    for i, array in enumerate(made):
        array.fill(i)
    assert all((array == i).all() for i, array in enumerate(made))
    assert not any(np.shares_memory(a, b) for a in made for b in made if a is not b)


def test_a_small_array_is_the_systems() -> None:
    small = pool.empty((LARGE - 1,), FLOAT32)
    del small
    assert pool.idle_bytes() == 0


def test_memory_comes_back_and_is_used_again() -> None:
    array = pool.empty((2, LARGE), FLOAT32)
    before = place(array)
    del array
    assert 8 * LARGE <= pool.idle_bytes() <= 9 * LARGE + 4096
    again = pool.empty((LARGE, 1), FLOAT64)  # as many bytes in another shape
    assert place(again) == before
    assert pool.idle_bytes() == 0


def test_a_size_that_is_nearly_the_same_fits_the_same_memory() -> None:
    array = pool.empty((100 * LARGE,), FLOAT32)
    before = place(array)
    del array
    assert place(pool.empty((100 * LARGE - 50,), FLOAT32)) == before


def test_memory_stays_while_a_view_of_a_view_looks_into_it() -> None:
    array = pool.empty((4, LARGE), FLOAT32)
    array.fill(1.0)
    view = array[1:].reshape(-1)[LARGE:][::2]
    other = array.T[:, 3].view(np.int32)
    del array
    gc.collect()
    assert pool.idle_bytes() == 0
    thief = pool.empty((4, LARGE), FLOAT32)
    thief.fill(2.0)
    assert (view == 1.0).all()
    del view
    gc.collect()
    assert pool.idle_bytes() == 0
    assert (other == np.float32(1.0).view(np.int32)).all()
    del other
    assert pool.idle_bytes() > 0


def test_an_output_stays_when_its_layer_has_run_again() -> None:
    layer = mr.GRU(3, 64, rng=0)
    x = np.random.default_rng(0).normal(size=(40, 8, 3)).astype(np.float32)
    with mr.no_grad():
        kept = layer(x)[0].data[5:7]
        values = kept.copy()
        for _ in range(5):
            layer(-x)
    assert np.array_equal(kept, values)


def test_a_training_step_takes_no_more_memory_than_the_one_before() -> None:
    layer = mr.LSTM(3, 64, rng=0)
    x = np.random.default_rng(0).normal(size=(40, 8, 3)).astype(np.float32)

    def step() -> int:
        layer.zero_grad()
        layer(x)[0].sum().backward()
        return pool.idle_bytes()

    first = step()
    assert first > 40 * 8 * 6 * 64 * 4  # the tape, at least
    assert {step() for _ in range(5)} == {first}


def test_no_more_than_a_bound_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST", 10 * pool.SMALLEST)
    made = [pool.empty((LARGE,), FLOAT32) for _ in range(30)]
    for i, array in enumerate(made):
        array.fill(i)
    assert all((array == i).all() for i, array in enumerate(made))
    del made, array
    assert pool.idle_bytes() == 10 * pool.SMALLEST
    too_large = pool.empty((20 * LARGE,), FLOAT32)
    del too_large
    assert pool.idle_bytes() <= 10 * pool.SMALLEST


def test_what_lies_idle_makes_room_for_other_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST", 10 * pool.SMALLEST)
    made = [pool.empty((LARGE,), FLOAT32) for _ in range(9)]
    del made
    larger = pool.empty((4 * LARGE,), FLOAT32)
    before = place(larger)
    assert pool.idle_bytes() == 0
    del larger
    assert place(pool.empty((4 * LARGE,), FLOAT32)) == before


def test_idle_memory_can_be_given_back() -> None:
    array = pool.empty((LARGE,), FLOAT32)
    kept = pool.empty((LARGE,), FLOAT32)
    kept.fill(5.0)
    del array
    assert pool.idle_bytes() > 0
    pool.release()
    assert pool.idle_bytes() == 0
    assert (kept == 5.0).all()
    del kept
    assert pool.idle_bytes() > 0


def test_threads_never_get_the_same_memory() -> None:
    wrong: list[int] = []
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for i in range(300):
            array = pool.empty((LARGE + number % 2,), FLOAT32)
            array.fill(number)
            other = pool.empty((LARGE,), FLOAT32)
            other.fill(-1)
            if not (array == number).all():
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_is_taken_before_another_thread_can_look() -> None:
    """What `_take` returns holds a reference of its own, made while the pool is still locked."""
    array = pool.empty((LARGE,), FLOAT32)
    before = place(array)
    del array
    used_before = pool._take(pool.SMALLEST)
    assert pool.idle_bytes() == 0, "another thread would be given the same memory"
    new = pool._take(pool.SMALLEST)
    assert pool.idle_bytes() == 0, "another thread would be given the same memory"
    assert not np.shares_memory(used_before[0], new[0])
    assert place(used_before[0]) <= before < place(used_before[0]) + pool.ALIGNMENT


def test_an_array_may_go_while_the_pool_is_locked() -> None:
    """As when a garbage collection frees it in a thread that is inside the pool."""
    arrays = [pool.empty((LARGE,), FLOAT32)]

    def let_go() -> None:
        with pool._lock:
            arrays.clear()  # would wait for ever if that took the lock

    thread = threading.Thread(target=let_go, daemon=True)
    thread.start()
    thread.join(timeout=5.0)
    assert not thread.is_alive()
    assert pool.empty((LARGE,), FLOAT32).shape == (LARGE,)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_the_pool_is_locked_has_a_pool() -> None:
    code = (
        "import os, numpy as np\n"
        "from minirnn.kernels.cpu import pool\n"
        "with pool._lock:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        pool.empty((pool.SMALLEST,), np.dtype(np.float32))\n"
        "        os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(mr.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
