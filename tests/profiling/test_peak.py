"""The measured peaks: the work is done, by all threads, and the figures are what it took."""

from __future__ import annotations

import itertools
import platform
import re
import threading
import time

import numpy as np
import pytest

from minirnn.profiling import fma_peak, peak, read_bandwidth

pytestmark = pytest.mark.alone  # it measures time

X86 = platform.machine().lower() in ("x86_64", "amd64")


def chained(dtype, chains, links):
    """What the chains add up to; float64 stands in for the single rounding of a float32 fma."""
    element = np.dtype(dtype).type
    total = element(0.0)
    for i in range(chains):
        p = element(2.0 + i)
        for _ in range(links):
            p = element(float(element(0.999)) * float(p) + float(element(1e-3)))
        total = element(total + p)
    return float(total)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_chain_is_computed(dtype):
    from minirnn.kernels.cpu.vector import FORMATS, vector_bytes

    burn, flop_a_turn = peak._burner(dtype)
    lanes = vector_bytes() // FORMATS[dtype].bytes
    chains = flop_a_turn // (2 * peak.LINKS * lanes)
    assert chains >= 12
    for turns in (1, 3):
        wanted = chained(dtype, chains, turns * peak.LINKS)
        assert burn(turns) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loop_holds_as_many_multiply_adds_as_are_counted(dtype):
    import llvmlite.binding as llvm

    from minirnn.kernels.cpu.vector import FORMATS, vector_bytes

    if not (X86 and llvm.get_host_cpu_features().get("fma")):
        pytest.skip("reads x86 assembly with multiply-adds")
    burn, flop_a_turn = peak._burner(dtype)
    lanes = vector_bytes() // FORMATS[dtype].bytes
    (assembly,) = burn.inspect_asm().values()
    loop = max(re.split(r"(?m)^\.LBB\w+:", assembly), key=lambda part: part.count("vfmadd"))
    assert loop.count("vfmadd") == flop_a_turn // (2 * lanes)


def test_all_threads_work_at_once_and_the_slowest_counts():
    inside, seen = set(), []

    def work(i):
        inside.add(i)
        deadline = time.perf_counter() + 10.0
        while len(inside) < 3 and time.perf_counter() < deadline:
            time.sleep(1e-3)
        seen.append((i, threading.get_ident()))
        time.sleep(0.05 if i == 2 else 0.0)

    took = peak._together(work, 3)
    assert sorted(i for i, _ in seen) == [0, 1, 2]
    assert len({thread for _, thread in seen}) == 3
    assert took >= 0.05


def test_the_figures_follow_from_the_best_time(monkeypatch):
    times = itertools.chain([0.04, 0.04, 0.04], itertools.cycle([0.03, 0.02, 0.05]))
    bursts = []

    def together(work, count):
        bursts.append(count)
        return next(times)

    monkeypatch.setattr(peak, "_together", together)
    monkeypatch.setattr(peak, "_burner", lambda dtype: (lambda turns: 0.0, 1000))
    ticks = itertools.count()
    monkeypatch.setattr(peak.time, "perf_counter", lambda: 0.03 * next(ticks))
    # 0.02 s at 1 GFLOP/s are 20,000 turns of 1000 operations; the best burst took 0.02 s.
    assert fma_peak(threads=2, seconds=0.1) == pytest.approx(2 * 1.0)
    assert bursts == [1, 1, 1, 2, 2, 2, 2]
    monkeypatch.setattr(peak, "LEAST_ARRAY", 8000)
    monkeypatch.setattr(peak, "last_level_cache", lambda: 1000)
    assert read_bandwidth(threads=2) == pytest.approx(8000 / 0.02 / 1e9)


def test_every_part_of_the_array_is_read(monkeypatch):
    read = []

    def reader():
        return lambda part: read.append(part.size)

    monkeypatch.setattr(peak, "_reader", reader)
    monkeypatch.setattr(peak, "LEAST_ARRAY", 8 * 1001)
    monkeypatch.setattr(peak, "last_level_cache", lambda: 0)
    read_bandwidth(threads=3)
    assert sum(read[1:]) == peak.PASSES * 1001


def test_the_reader_adds_up():
    values = np.arange(1000)
    assert peak._reader()(values) == values.sum()


def test_the_array_is_much_larger_than_the_cache(monkeypatch):
    made = []
    ones = np.ones

    def small(size, dtype):
        made.append(8 * size)
        return ones(8, dtype)

    monkeypatch.setattr(peak.np, "ones", small)
    for cache, wanted in ((2**20, 2**28), (2**27, 2**29), (2**30, 2**31)):
        monkeypatch.setattr(peak, "last_level_cache", lambda cache=cache: cache)
        read_bandwidth(threads=1)
        assert made.pop() == wanted


def test_real_figures_are_of_the_right_order():
    single, double = fma_peak("float32", 1), fma_peak("float64", 1)
    assert 1.0 < single < 1000.0
    assert 0.2 < double / single < 1.0
    assert 0.1 < read_bandwidth(1) < 2000.0
    assert peak.last_level_cache() >= 2**18
