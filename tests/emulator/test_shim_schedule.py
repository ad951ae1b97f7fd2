"""The order in which threads run shows what a kernel left out; what would hang is an error.

Each pair of kernels here differs in one barrier. The right one gives the right numbers for every
seed; the wrong one is found out by nearly every one.
"""

from __future__ import annotations

import threading
import time

import launch
import numpy as np
import pytest
from launch import EmulationError
from shim_kernels import (
    BLOCKS,
    KERNELS,
    RIGHT,
    THREADS,
    WRONG,
    grid_is_right,
    numbers,
    sums_are_right,
)
from shim_library import library, needs_compiler

pytestmark = needs_compiler
SEEDS = 20
NEARLY_ALL = 18  # nine of ten


@pytest.mark.parametrize(("name", "is_right"), RIGHT)
def test_a_right_kernel_is_right_in_every_order(name, is_right):
    assert all(is_right(name, seed) for seed in range(5 * SEEDS))


@pytest.mark.parametrize(("name", "is_right"), WRONG)
def test_a_barrier_left_out_shows(name, is_right):
    assert sum(not is_right(name, seed) for seed in range(SEEDS)) >= NEARLY_ALL


def test_a_block_that_leaves_before_the_grid_s_barrier_is_found_out_by_every_seed():
    for seed in range(SEEDS):
        with pytest.raises(EmulationError, match=r"spin on load_acquire"):
            grid_is_right("grid_that_a_block_leaves", seed)


def test_a_grid_s_barrier_in_a_plain_launch_is_an_error():
    given = np.zeros(BLOCKS * THREADS, np.float32)
    held, arrived = np.zeros(2 * given.size, np.float32), np.zeros(1, np.uint32)
    arguments = (given, held, arrived)
    with pytest.raises(EmulationError, match="spin on load_acquire"):
        library(KERNELS).launch("grid", (BLOCKS,), (THREADS,), arguments)


# --- what would hang or be undefined --------------------------------------------------------------

HANGING = """
extern "C" __global__ void nothing(int* x) {}
extern "C" __global__ void some_return_first() {
    if (threadIdx.x < 3) return;
    __syncthreads();
}
extern "C" __global__ void different_barriers() {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
}
extern "C" __global__ void barrier_of_a_warp_and_of_a_block() {
    for (int i = threadIdx.x; i < 64; i += 63) __syncwarp();
    __syncthreads();
}
extern "C" __global__ void multiply_with_half_a_warp() {
    float c[4] = {};
    unsigned a[4] = {}, b[2] = {};
    if (threadIdx.x % 32 < 16) multiply_bfloat16(c, a, b);
}
extern "C" __global__ void shuffle_with_part_of_the_mask(int* x) {
    x[threadIdx.x] = __shfl_sync(0xffffu, 1, 0);
}
extern "C" __global__ void wait_for_nobody(unsigned* x) {
    while (load_acquire(x) == 0) {
    }
}
extern "C" __global__ void ping(unsigned* x, int turns) {
    for (int n = 0; n < turns; ++n) {
        while (load_acquire(x) % gridDim.x != blockIdx.x) {
        }
        add_release(x, 1);
    }
}
extern "C" __global__ void without_end(volatile int* x) {
    while (x[0] == 0) {
    }
}
extern "C" __global__ void barriers_without_end(volatile int* x) {
    while (x[0] == 0) __syncthreads();
}
extern "C" __global__ void write_at(int* x, long long at) {
    reinterpret_cast<int*>(shared_memory())[at] = 5;
}
extern "C" __global__ void write_to(int* x) { *x = 1; }
__noinline__ __device__ int deep(volatile int* x, int n) {
    volatile int much[200];
    much[n % 200] = *x;
    return n == 0 ? much[0] : deep(x, n - 1) + much[3];
}
extern "C" __global__ void deep_down(int* x, int n) { x[threadIdx.x] = deep(x, n); }
extern "C" __global__ void __launch_bounds__(64, 2) at_most_64(int* x) { x[threadIdx.x] = 1; }
extern "C" __global__ void what_shared_memory_holds(unsigned* to) {
    unsigned* held = reinterpret_cast<unsigned*>(shared_memory());
    to[blockIdx.x * blockDim.x + threadIdx.x] = held[threadIdx.x];
    __syncthreads();
    held[threadIdx.x] = 0;
}
extern "C" __global__ void where_shared_memory_is(unsigned long long* to) {
    to[blockIdx.x] = reinterpret_cast<unsigned long long>(shared_memory());
}
"""


def run(name: str, *arguments: object, threads: int = 64, blocks: int = 2, **options) -> None:
    library(HANGING).launch(name, (blocks,), (threads,), arguments, 256, **options)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("some_return_first", r"(is|wait) at __syncthreads (in |\()line 8"),
        (
            "different_barriers",
            r"__syncthreads in line 1[24], where .*\n.*syncthreads \(line 1[24]\)",
        ),
        (
            "barrier_of_a_warp_and_of_a_block",
            r"deadlock.*\n.*63 wait at __syncthreads \(line 18\); 1 wait at __syncwarp \(line 17\)",
        ),
        ("multiply_with_half_a_warp", r"(is|wait) at multiply_bfloat16 (in |\()line 23"),
    ],
)
def test_threads_that_do_not_come_to_a_barrier_are_an_error(name, words):
    for seed in range(10):
        with pytest.raises(EmulationError, match=rf"{name} \(seed {seed}\): (.|\n)*{words}"):
            run(name, seed=seed)


def test_what_the_emulator_cannot_do_is_refused():
    x = np.zeros(64, np.int32)
    with pytest.raises(EmulationError, match="a part of the warp"):
        run("shuffle_with_part_of_the_mask", x)
    with pytest.raises(EmulationError, match="less than 32 lanes"):
        run("multiply_with_half_a_warp", threads=16)


@pytest.mark.parametrize("cooperative", [False, True])
def test_waiting_for_what_nobody_writes_ends(cooperative):
    began = time.perf_counter()
    with pytest.raises(EmulationError, match=r"wait_for_nobody .*\n.*: 64 spin on load_acquire"):
        run("wait_for_nobody", np.zeros(1, np.uint32), cooperative=cooperative)
    assert time.perf_counter() - began < 5


def test_threads_that_wait_for_each_other_in_turn_come_to_an_end():
    for seed in range(5):
        x = np.zeros(1, np.uint32)
        run("ping", x, np.int32(50), threads=1, blocks=7, cooperative=True, seed=seed)
        assert x[0] == 350


@pytest.mark.parametrize("name", ["without_end", "barriers_without_end"])
def test_a_loop_without_end_is_ended(name, monkeypatch):
    watch = launch._Watch()
    watch.limit = 0.2
    monkeypatch.setattr(launch, "_watch", watch)
    with pytest.raises(EmulationError, match="longer than it may"):
        run(name, np.zeros(1, np.int32))
    run("nothing", np.zeros(1, np.int32))


@pytest.mark.parametrize(("at", "byte"), [(64, 256), (127, 508), (-1, -4), (-64, -256)])
def test_writing_beside_shared_memory_is_an_error(at, byte):
    with pytest.raises(EmulationError, match=rf"256 bytes of shared memory: at byte {byte}$"):
        run("write_at", np.zeros(1, np.int32), np.int64(at), threads=1)


def test_faults_of_a_kernel_are_errors_and_the_process_goes_on():
    x = np.zeros(64, np.int32)
    for _ in range(3):
        with pytest.raises(EmulationError, match="at address 0x0: a null pointer"):
            run("write_to", 0)
        with pytest.raises(EmulationError, match=r"at address 0x7[0-9a-f]{6,}$"):
            run("write_to", 0x7FFF_FFFF_FF00)
        with pytest.raises(EmulationError, match="more on its stack than the emulator's 128 KiB"):
            run("deep_down", x, np.int32(1000))
        run("deep_down", x, np.int32(10))


def test_a_launch_beyond_its_bounds_is_an_error():
    x = np.zeros(128, np.int32)
    run("at_most_64", x)
    with pytest.raises(EmulationError, match="__launch_bounds__ allows 64"):
        run("at_most_64", x, threads=65)
    for threads, blocks in ((0, 1), (1025, 1), (32, 0)):
        with pytest.raises(EmulationError, match="a grid of"):
            run("nothing", x, threads=threads, blocks=blocks)


def test_shared_memory_begins_as_nan_in_every_block():
    to = np.zeros(32 * 20, np.uint32)
    library(HANGING).launch("what_shared_memory_holds", (20,), (32,), (to,), 128)
    assert np.isnan(to.view(np.float32)).all()
    assert np.isnan(to.view(np.float64)).all()
    assert np.isnan(to.view(np.float16)).all()


def test_shared_memory_is_aligned_to_16_bytes_and_no_more():
    to = np.zeros(9, np.uint64)
    library(HANGING).launch("where_shared_memory_is", (9,), (32,), (to,), 100, cooperative=True)
    assert (to % 32 == 16).all()
    assert len(set(to.tolist())) == 9


# --- seeds ----------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_order_and_another_another():
    def held(seed: int) -> bytes:
        given, to = numbers(0), np.zeros(BLOCKS * THREADS, np.float32)
        arguments = (to, np.concatenate([given, given]), np.zeros(1, np.uint32))
        library(KERNELS).launch(
            "grid_in_one_buffer", (BLOCKS,), (THREADS,), arguments, cooperative=True, seed=seed
        )
        return to.tobytes()

    assert len({held(seed) for seed in range(10)}) > 5
    assert all(held(seed) == held(seed) for seed in range(10))


def test_launches_without_a_seed_take_one_after_the_other():
    seeds = []
    for _ in range(3):
        with pytest.raises(EmulationError) as caught:
            run("some_return_first")
        seeds.append(int(str(caught.value).split("(seed ")[1].split(")")[0]))
    assert seeds == list(range(seeds[0], seeds[0] + 3))


def test_several_threads_of_the_process_may_launch():
    results: list[bool] = []

    def work() -> None:
        results.extend(sums_are_right("sum", seed) for seed in range(30))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert results == [True] * 120
