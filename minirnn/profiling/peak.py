"""What this processor can do at most, measured: fused multiply-adds, and bytes read from memory.

A share of the peak says how much room is left. So the peak is measured where and when the work is,
on as many threads, in vectors as wide as the kernels use, and not taken from a data sheet.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.diagnosis.wording import counted
from minirnn.errors import ArgumentError
from minirnn.kernels.cpu.threads import get_num_threads
from minirnn.nn.arguments import finite, float_dtype, positive_int

BURST_SECONDS = 0.02  # long against the start of threads, and still several in a tenth of a second
SLOWEST = 1.0  # GFLOP/s of one thread, below which bursts take longer
LINKS = 8  # of every chain in a turn: a body so long is not unrolled, which would cost moves
PASSES = 5  # over the array that is read
# Where the size of the last-level cache is not told; and the least array worth reading.
ASSUMED_CACHE = 64 * 2**20
LEAST_ARRAY = 256 * 2**20
LARGEST_ARRAY = 2 * 2**30


@dataclass(frozen=True)
class Peak(ABC):
    """The most that was measured of a device.

    gflops        GFLOP/s of fused multiply-adds, two operations each
    bandwidth     GB/s (1e9 bytes) of memory
    dtype         of the multiply-adds
    """

    gflops: float
    bandwidth: float
    dtype: str

    @abstractmethod
    def where(self) -> str:
        """What was measured, in words."""

    @abstractmethod
    def words(self) -> str:
        """The two figures' meaning: {} stands for each."""


@dataclass(frozen=True)
class CpuPeak(Peak):
    """The most that was measured on this processor.

    gflops        GFLOP/s of fused multiply-adds, two operations each
    bandwidth     GB/s (1e9 bytes) read from memory
    dtype         of the multiply-adds;  `threads` that ran at once;  `vector_bytes` of a vector
    """

    threads: int
    vector_bytes: int

    def where(self) -> str:
        """What was measured, in words."""
        return f"cpu with {counted(self.threads, 'thread')}"

    def words(self) -> str:
        """The two figures' meaning: {} stands for each."""
        return f"{{}} GFLOP/s in vectors of {self.vector_bytes} bytes; {{}} GB/s read from memory"


def fma_peak(dtype: Any = "float32", threads: int | None = None, seconds: float = 0.1) -> float:
    """GFLOP/s of fused multiply-adds that nothing holds up, two operations each.

    Every thread runs a loop of independent chains of `llvm.fma` on vectors as wide as the kernels
    use, in registers alone. Bursts are repeated for `seconds`, and the best one counts: whatever
    else the machine does can only slow them.

    dtype      "float32" or "float64"
    threads    how many run at once; None is `minirnn.get_num_threads()`

    Raises: DTypeError or ArgumentError that names the argument.
    """
    name = float_dtype(dtype).name
    count = _threads(threads)
    if finite("seconds", seconds) <= 0.0:
        raise ArgumentError("seconds", repr(seconds), "a positive number")
    burn, flop_a_turn = _burner(name)
    turns = int(BURST_SECONDS * SLOWEST * 1e9 / flop_a_turn)
    # A machine that is faster than the slowest gets longer bursts; the least of three times, since
    # one that was held up would leave bursts too short to time.
    took = min(_together(lambda _: burn(turns), 1) for _ in range(3))
    turns = int(turns * max(1.0, BURST_SECONDS / took))
    best, until = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < until:
        best = min(best, _together(lambda _: burn(turns), count))
    return count * flop_a_turn * turns / best / 1e9


def read_bandwidth(threads: int | None = None) -> float:
    """GB/s (1e9 bytes) at which `threads` threads read an array that no cache can hold.

    The array has four times the size of the last-level cache, at least 256 MiB and at most 2 GiB;
    each thread reads its own part, and the best of several passes counts. `threads` is as in
    `fma_peak`.

    Raises: ArgumentError that names `threads`.
    """
    count = _threads(threads)
    size = min(max(4 * last_level_cache(), LEAST_ARRAY), LARGEST_ARRAY) // 8
    array = np.ones(size, np.int64)  # written, so that every page is there
    parts = np.array_split(array, count)
    add_up = _reader()
    add_up(array[:1])
    best = min(_together(lambda i: add_up(parts[i]), count) for _ in range(PASSES))
    return array.nbytes / best / 1e9


def measure_peak(dtype: str, threads: int) -> CpuPeak:
    """Both of the above."""
    from minirnn.kernels.cpu.vector import vector_bytes

    return CpuPeak(
        fma_peak(dtype, threads), read_bandwidth(threads), dtype, threads, vector_bytes()
    )


def last_level_cache() -> int:
    """Bytes of the largest cache that the operating system tells of; 64 MiB where it is silent."""
    sizes = [0]
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text(encoding="ascii").strip()
        unit = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:])
        if unit and text[:-1].isdigit():
            sizes.append(int(text[:-1]) * unit)
    if "SC_LEVEL3_CACHE_SIZE" in getattr(os, "sysconf_names", {}):
        sizes.append(os.sysconf("SC_LEVEL3_CACHE_SIZE"))
    return max(sizes) if max(sizes) > 0 else ASSUMED_CACHE


def _threads(threads: int | None) -> int:
    return get_num_threads() if threads is None else positive_int("threads", threads)


def _together(work: Callable[[int], Any], count: int) -> float:
    """Seconds from the moment when all of `count` threads are there until the last is done."""
    if count == 1:
        started = time.perf_counter()
        work(0)
        return time.perf_counter() - started
    times = [(0.0, 0.0)] * count
    barrier = threading.Barrier(count)

    def run(i: int) -> None:
        barrier.wait()
        started = time.perf_counter()
        work(i)
        times[i] = started, time.perf_counter()

    others = [threading.Thread(target=run, args=(i,)) for i in range(1, count)]
    for thread in others:
        thread.start()
    run(0)
    for thread in others:
        thread.join()
    return max(end for _, end in times) - min(start for start, _ in times)


@cache
def _burner(dtype: str) -> tuple[Callable[[int], float], int]:
    """A function of a number of turns, and the operations in one turn."""
    from llvmlite import ir
    from numba import njit, types
    from numba.extending import intrinsic

    from minirnn.kernels.cpu.vector import FORMATS, Vectors, vector_bytes

    # Four cycles of latency on two units ask for 8 chains, on four for 16; each takes a register,
    # and two more hold the factor and the summand.
    arm = platform.machine().lower() in ("arm64", "aarch64")
    chains = 20 if vector_bytes() == 64 or arm else 12
    counter = ir.IntType(64)

    def chained(typingctx: Any, turns: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            v = Vectors(builder, dtype)
            factor, summand = v.splat(0.999), v.splat(1e-3)  # p -> 0.999 p + 0.001 stays near 1
            before = builder.block
            loop, end = builder.append_basic_block("turn"), builder.append_basic_block("end")
            builder.branch(loop)
            builder.position_at_end(loop)
            turn = builder.phi(counter)
            turn.add_incoming(ir.Constant(counter, 0), before)
            values = [builder.phi(v.type) for _ in range(chains)]
            links = list(values)
            for _ in range(LINKS):
                links = [v.fma(factor, link, summand) for link in links]
            for i, (value, link) in enumerate(zip(values, links, strict=True)):
                value.add_incoming(v.splat(2.0 + i), before)
                value.add_incoming(link, loop)
            following = builder.add(turn, ir.Constant(counter, 1))
            turn.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, args[0]), loop, end)
            builder.position_at_end(end)
            total = links[0]
            for link in links[1:]:  # every chain must count, or it is optimised away
                total = v.add(total, link)
            first = builder.extract_element(total, ir.Constant(ir.IntType(32), 0))
            return first if dtype == "float64" else builder.fpext(first, ir.DoubleType())

        return types.float64(types.int64), codegen

    chain: Any = intrinsic(chained)

    @njit("f8(i8)", nogil=True)
    def burn(turns: int) -> float:
        return chain(turns)  # type: ignore[no-any-return]

    return burn, 2 * chains * LINKS * (vector_bytes() // FORMATS[dtype].bytes)


@cache
def _reader() -> Callable[[Any], int]:
    from numba import njit

    # Whole numbers, whose sum may be taken in any order: LLVM then reads in vectors.
    @njit("i8(i8[::1])", nogil=True)
    def add_up(values: Any) -> int:
        total = 0
        for value in values:
            total += value
        return total

    return add_up
