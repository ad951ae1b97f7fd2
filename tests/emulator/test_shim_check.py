"""A library that is compiled to be checked tells of every race, whatever the order threads ran in,
and of accesses that on a GPU would be wrong in silence.
"""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from launch import EmulationError
from shim_kernels import BLOCKS, KERNELS, RIGHT, THREADS, WRONG
from shim_library import compiler, library, needs_compiler

pytestmark = needs_compiler


@pytest.mark.parametrize(("name", "is_right"), RIGHT)
def test_a_right_kernel_has_no_race(name, is_right):
    assert all(is_right(name, seed, check=True) for seed in range(5))


@pytest.mark.parametrize(("name", "is_right"), WRONG)
def test_a_barrier_left_out_is_a_race_in_every_order(name, is_right):
    for seed in range(20):
        with pytest.raises(EmulationError, match=r"a race: block|nobody has written them"):
            is_right(name, seed, check=True)


MEMORY = """
__device__ float* held() { return reinterpret_cast<float*>(shared_memory()); }

extern "C" __global__ void one_writes(float* to) {  // line 6
    if (threadIdx.x == 5) held()[3] = 1;
    if (threadIdx.x == 40) to[0] = held()[3];
}
extern "C" __global__ void all_write_one(float* to) { to[0] = 1; }
extern "C" __global__ void all_read_one(float* to, const float* from) {
    to[blockIdx.x * blockDim.x + threadIdx.x] = from[0];
}
extern "C" __global__ void some_read_what_one_overwrites(float* to, float* from) {
    if (threadIdx.x < 7) to[threadIdx.x] = from[0];
    if (threadIdx.x == 7) from[0] = 0;
}
extern "C" __global__ void a_warp_waits_for_its_own_readers(float* to, float* from) {
    if (threadIdx.x % 32 < 7) to[threadIdx.x] = from[0];
    for (int i = 0; i < 9; ++i) __syncwarp();
    if (threadIdx.x == 0) from[0] = 0;
}
extern "C" __global__ void blocks_meet_in_memory(float* to) {
    if (threadIdx.x == 0) to[blockIdx.x / 2] = 1;
}
extern "C" __global__ void halves_of_a_word(unsigned short* to) {
    to[threadIdx.x] = static_cast<unsigned short>(threadIdx.x);
}
extern "C" __global__ void count(unsigned* to) { atomicAdd(to, 1u); }
extern "C" __global__ void a_shuffle_is_no_barrier(float* to) {
    held()[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
    to[threadIdx.x] = __shfl_xor_sync(0xffffffffu, held()[threadIdx.x ^ 1], 1);
}
extern "C" __global__ void a_shuffle_and_a_barrier(float* to) {
    held()[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
    __syncwarp();
    to[threadIdx.x] = __shfl_xor_sync(0xffffffffu, held()[threadIdx.x ^ 1], 1);
}
extern "C" __global__ void a_barrier_of_warps_between_warps(float* to) {
    held()[threadIdx.x] = 0;
    __syncthreads();
    if (threadIdx.x == 0) held()[0] = 1;
    for (int i = 0; i < 9; ++i) __syncwarp();
    if (threadIdx.x == 40) to[0] = held()[0];
}

// One thread of each warp waits for a number, then tells its warp, or its block, or nobody.
template <typename Tell>
__device__ void pass_on(float* to, float* from, unsigned* arrived, Tell tell) {
    if (blockIdx.x == 0) {
        from[threadIdx.x] = 5;
        __syncthreads();
        if (threadIdx.x == 0) add_release(arrived, 1);
    } else {
        if (threadIdx.x % WARP == 0)
            while (load_acquire(arrived) < 1) {
            }
        tell();
        to[blockIdx.x * blockDim.x + threadIdx.x] = from[threadIdx.x];
    }
}
extern "C" __global__ void told_in_warps(float* to, float* from, unsigned* arrived) {
    pass_on(to, from, arrived, [] { __syncwarp(); });
}
extern "C" __global__ void told_in_blocks(float* to, float* from, unsigned* arrived) {
    pass_on(to, from, arrived, [] { __syncthreads(); });
}
extern "C" __global__ void told_to_nobody(float* to, float* from, unsigned* arrived) {
    pass_on(to, from, arrived, [] {});
}

extern "C" __global__ void read_what_nobody_wrote(float* to) {
    if (threadIdx.x < 60) held()[threadIdx.x] = 1;
    __syncthreads();
    to[threadIdx.x] = held()[threadIdx.x];
}
extern "C" __global__ void read_shared(float* to, long long at) { to[0] = held()[at]; }
extern "C" __global__ void read_global(float* to, const float* from, long long at) {
    to[0] = from[at];
}
extern "C" __global__ void write_global(float* to, long long at) { to[at] = 1; }
extern "C" __global__ void read_vector(float4* to, const float* from, long long at) {
    to[0] = *reinterpret_cast<const float4*>(from + at);
}
extern "C" __global__ void read_of_vector(float* to, const float* from, long long at) {
    to[0] = reinterpret_cast<const float4*>(from + at)->y;
}
extern "C" __global__ void index(int* to, int i) {
    int numbers[4] = {1, 2, 3, 4};
    numbers[i] = 5;
    to[0] = numbers[to[1] & 3];
}
extern "C" __global__ void shift(int* to, int i) { to[0] = 1 << i; }
extern "C" __global__ void add(int* to, int i) { to[0] = 0x7fffffff + i; }
extern "C" __global__ void divide(int* to, int i) { to[0] = 7 / i; }
extern "C" __global__ void table(int* to, int i) {
    static const int numbers[] = {7, 8, 9};
    to[0] = numbers[i];
}
"""


def run(name: str, *arguments: object, threads: int = 64, blocks: int = 1, **options) -> None:
    library(MEMORY, check=True).launch(
        name, (blocks,), (threads,), arguments, threads * 4, **options
    )


def says(name: str, *arguments: object, **options) -> str:
    with pytest.raises(EmulationError) as caught:
        run(name, *arguments, **options)
    return str(caught.value)


def test_a_race_is_told_with_both_threads_the_bytes_and_the_lines():
    reader = "block (0, 0, 0), thread (40, 0, 0) reads 4 bytes of shared memory, byte 12"
    writer = "block (0, 0, 0), thread (5, 0, 0) wrote them with nothing in between"
    found = set()
    for seed in range(10):
        words = says("one_writes", np.zeros(1, np.float32), seed=seed)
        is_race = "nobody has written" not in words  # else the reader came first
        assert f"a race: {reader}" in words if is_race else reader in words
        assert (writer in words) == is_race
        if shutil.which("addr2line"):
            assert "(line 9)" in words
            assert ("(line 8)" in words) == is_race
        found.add(is_race)
    assert found == {True, False}


def test_writing_one_place_twice_is_a_race():
    assert "to + 0 bytes" in says("all_write_one", np.zeros(1, np.float32))
    run("all_write_one", np.zeros(1, np.float32), threads=1)
    words = says("all_write_one", np.zeros(1, np.float32), threads=1, blocks=2)
    assert re.search(r"block \((0|1), 0, 0\), thread .* and block \((0|1), 0, 0\)", words)


def test_readers_do_not_race_but_a_writer_races_with_all_of_them():
    to, one = np.zeros(300, np.float32), np.ones(1, np.float32)
    run("all_read_one", to, one, threads=100, blocks=3)
    run("all_read_one", to, one, threads=100, blocks=3, cooperative=True)
    words = {says("some_read_what_one_overwrites", to, one, seed=seed) for seed in range(10)}
    assert any("threads of warp 0 read them" in one for one in words)
    assert any("wrote them" in one for one in words)
    run("a_warp_waits_for_its_own_readers", to, one, threads=32)
    for seed in range(20):
        assert "a race" in says("a_warp_waits_for_its_own_readers", to, one, seed=seed)


def test_blocks_race_in_a_plain_launch_and_in_a_cooperative_one():
    for cooperative in (False, True):
        to = np.zeros(5, np.float32)
        words = says("blocks_meet_in_memory", to, blocks=9, cooperative=cooperative)
        assert "wrote them" in words
    run("blocks_meet_in_memory", np.zeros(1, np.float32), blocks=1)


def test_neighbours_of_two_bytes_and_atomic_operations_do_not_race():
    run("halves_of_a_word", np.zeros(64, np.uint16))
    counter = np.zeros(1, np.uint32)
    run("count", counter, blocks=5)
    assert counter[0] == 320


def test_a_barrier_orders_the_memory_of_those_that_meet_there_and_a_shuffle_none():
    to = np.zeros(64, np.float32)
    run("a_shuffle_and_a_barrier", to)
    for seed in range(20):
        assert "a race" in says("a_barrier_of_warps_between_warps", to, seed=seed)
        words = says("a_shuffle_is_no_barrier", to, seed=seed)
        assert re.search("a race|nobody has written", words)


@pytest.mark.parametrize("name", ["told_in_warps", "told_in_blocks"])
def test_what_a_thread_acquired_holds_for_those_it_meets(name):
    for seed in range(10):
        to, arrived = np.zeros(192, np.float32), np.zeros(1, np.uint32)
        run(
            name, to, np.zeros(64, np.float32), arrived, blocks=3, cooperative=True, seed=seed
        )  # fmt: skip
        assert (to[64:] == 5).all()


def test_what_a_thread_acquired_holds_for_nobody_else():
    for seed in range(10):
        to, arrived = np.zeros(192, np.float32), np.zeros(1, np.uint32)
        words = says(
            "told_to_nobody", to, np.zeros(64, np.float32), arrived, blocks=3, cooperative=True,
            seed=seed,
        )  # fmt: skip
        assert "a race" in words


# --- what nobody wrote, and what is not there -----------------------------------------------------


def test_shared_memory_that_nobody_wrote_must_not_be_read():
    words = says("read_what_nobody_wrote", np.zeros(64, np.float32))
    assert re.search(r"thread \(6[0-3], 0, 0\) reads 4 .* byte 2[45]\d.*nobody has written", words)
    run("read_what_nobody_wrote", np.zeros(64, np.float32), threads=60)


@pytest.mark.parametrize("at", [64, -1, 130])
def test_shared_memory_must_not_be_read_outside(at):
    words = says("read_shared", np.zeros(1, np.float32), np.int64(at))
    assert f"byte {4 * at}" in words
    assert "there are not so many" in words


@pytest.mark.parametrize("at", [8, -1, 1000])
def test_arrays_must_not_be_read_or_written_outside(at):
    to, from_ = np.zeros(8, np.float32), np.zeros(8, np.float32)
    words = says("read_global", to, from_, np.int64(at), threads=1)
    assert "reads 4 bytes" in words
    assert "outside of every array" in words
    words = says("write_global", to, np.int64(at), threads=1)
    assert "writes 4 bytes" in words
    if at > 0:
        assert f"to + {4 * at} bytes" in words


def test_memory_that_is_named_is_what_an_address_may_reach():
    held = np.zeros(8, np.float32)
    address = int(held.ctypes.data)
    run("write_global", address, np.int64(7), threads=1, regions=[(address, 32)])
    assert held[7] == 1
    words = says("write_global", address, np.int64(7), threads=1, regions=[(address, 31)])
    assert "outside of every array" in words
    run("write_global", address, np.int64(6), threads=1)  # nothing is known of its memory


@pytest.mark.parametrize("name", ["read_vector", "read_of_vector"])
def test_what_is_misaligned_for_a_gpu_is_an_error(name):
    if name == "read_vector" and compiler(check=True).is_clang:
        pytest.skip("clang does not check the alignment of a structure that is copied whole")
    to, from_ = (np.zeros(16, np.float32) for _ in range(2))
    to, from_ = (one[-(one.ctypes.data // 4) % 4 :][:8] for one in (to, from_))
    run(name, to, from_, np.int64(4), threads=1)
    words = says(name, to, from_, np.int64(1), threads=1)
    assert "what has to be aligned to 16 bytes lies at from + 4 bytes" in words


@pytest.mark.parametrize(
    ("name", "good", "bad", "words"),
    [
        ("index", 3, 4, "an index is outside of its array"),
        ("index", 0, -1, "an index is outside of its array"),
        ("table", 2, 3, "an index is outside of its array"),
        ("shift", 30, 32, "a shift by more than there are bits"),
        ("add", 0, 1, "a sum of signed integers overflows"),
        ("divide", 1, 0, "an integer is divided by zero"),
    ],
)
def test_what_is_undefined_in_cpp_is_an_error(name, good, bad, words):
    to = np.zeros(2, np.int32)
    run(name, to, np.int32(good), threads=1)
    line = next(n for n, text in enumerate(MEMORY.splitlines(), 4) if f" {name}(" in text)
    found = says(name, to, np.int32(bad), threads=1)
    assert words in found
    assert int(re.findall(r"line (\d+)", found)[0]) - line in (0, 1, 2)


def test_only_a_library_compiled_for_it_is_checked():
    assert library(KERNELS, check=True).checked
    assert not library(KERNELS).checked
    to = np.zeros(BLOCKS, np.float32)
    library(KERNELS, check=True).launch(
        "sum", (BLOCKS,), (THREADS,), (to, np.ones(BLOCKS * THREADS, np.float32)), THREADS * 4
    )
    assert (to == THREADS).all()
