"""Kernels with a barrier left out, and as they should be; what each has to compute.

`sums_are_right(name, seed)` and the like run one and tell whether its numbers are right.
"""

from __future__ import annotations

import numpy as np
from shim_library import library

THREADS, BLOCKS = 128, 5

KERNELS = """
constexpr int THREADS = 128;

// The sum of a block's numbers, each thread's.
template <bool FIRST, bool EACH> __device__ void sum_of_block(float* to, const float* from) {
    float* sums = reinterpret_cast<float*>(shared_memory());
    const int i = threadIdx.x;
    sums[i] = from[blockIdx.x * THREADS + i];
    if (FIRST) __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (i < half) sums[i] += sums[i + half];
        if (EACH) __syncthreads();
    }
    if (i == 0) to[blockIdx.x] = sums[0];
}
extern "C" __global__ void sum(float* to, const float* from) { sum_of_block<true, true>(to, from); }
extern "C" __global__ void sum_without_first(float* to, const float* from) {
    sum_of_block<false, true>(to, from);
}
extern "C" __global__ void sum_without_each(float* to, const float* from) {
    sum_of_block<true, false>(to, from);
}

// Each thread adds up what all of its block or warp have, passed around in one buffer.
template <int N, typename Sync, typename Again>
__device__ void pass_around(float* to, const float* from, Sync sync, Again again) {
    float* held = reinterpret_cast<float*>(shared_memory()) + threadIdx.x / N * N;
    const int i = threadIdx.x % N, at = blockIdx.x * THREADS + threadIdx.x;
    float value = from[at], total = 0;
    for (int n = 0; n < N; ++n) {
        total += value;
        held[i] = value;
        sync();
        value = held[(i + 1) % N];
        again();
    }
    to[at] = total;
}
extern "C" __global__ void exchange(float* to, const float* from) {
    pass_around<THREADS>(to, from, [] { __syncthreads(); }, [] { __syncthreads(); });
}
extern "C" __global__ void exchange_in_one_buffer(float* to, const float* from) {
    pass_around<THREADS>(to, from, [] { __syncthreads(); }, [] {});
}
extern "C" __global__ void in_warps(float* to, const float* from) {
    pass_around<WARP>(to, from, [] { __syncwarp(); }, [] { __syncwarp(); });
}
extern "C" __global__ void in_warps_without_first(float* to, const float* from) {
    pass_around<WARP>(to, from, [] {}, [] { __syncwarp(); });
}
extern "C" __global__ void in_warps_without_second(float* to, const float* from) {
    pass_around<WARP>(to, from, [] { __syncwarp(); }, [] {});
}

__device__ void meet(unsigned* arrived, unsigned& round) {
    __syncthreads();
    round += gridDim.x;
    if (threadIdx.x == 0) {
        add_release(arrived, 1);
        while (load_acquire(arrived) < round) {
        }
    }
    __syncthreads();
}

// Blocks pass numbers to the next block. `apart` keeps what comes from what goes.
template <int EVERY, bool APART>
__device__ void around_the_grid(float* to, float* held, unsigned* arrived) {
    unsigned round = 0;
    const int mine = blockIdx.x * THREADS + threadIdx.x, all = gridDim.x * THREADS;
    for (int n = 0; n < 8; ++n) {
        float* now = held + (APART ? n % 2 : 0) * all;
        float* next = held + (APART ? 1 - n % 2 : 0) * all;
        next[mine] = __ldcg(now + (mine + THREADS) % all) + 1;
        if (n % EVERY == 0) meet(arrived, round);
    }
    to[mine] = held[mine];
}
extern "C" __global__ void grid(float* to, float* held, unsigned* arrived) {
    around_the_grid<1, true>(to, held, arrived);
}
extern "C" __global__ void grid_with_every_second_barrier(float* to, float* held,
                                                          unsigned* arrived) {
    around_the_grid<2, true>(to, held, arrived);
}
extern "C" __global__ void grid_in_one_buffer(float* to, float* held, unsigned* arrived) {
    around_the_grid<1, false>(to, held, arrived);
}
extern "C" __global__ void grid_that_a_block_leaves(float* to, float* held, unsigned* arrived) {
    if (blockIdx.x == 3) return;
    around_the_grid<1, true>(to, held, arrived);
}
"""


def numbers(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 100, BLOCKS * THREADS).astype(np.float32)


def sums_are_right(name: str, seed: int, check: bool = False) -> bool:
    given, to = numbers(seed), np.zeros(BLOCKS, np.float32)
    library(KERNELS, check).launch(name, (BLOCKS,), (THREADS,), (to, given), THREADS * 4, seed=seed)
    return bool((to == given.reshape(BLOCKS, THREADS).sum(axis=1)).all())


def passing_is_right(name: str, seed: int, check: bool = False) -> bool:
    given, to = numbers(seed), np.zeros(BLOCKS * THREADS, np.float32)
    library(KERNELS, check).launch(name, (BLOCKS,), (THREADS,), (to, given), THREADS * 4, seed=seed)
    width = 32 if "warps" in name else THREADS
    return bool((to.reshape(-1, width) == given.reshape(-1, width).sum(axis=1)[:, None]).all())


def grid_is_right(name: str, seed: int, check: bool = False) -> bool:
    given, to = numbers(seed), np.zeros(BLOCKS * THREADS, np.float32)
    held = np.concatenate([given, np.full_like(given, np.nan)])
    arrived = np.zeros(1, np.uint32)
    arguments = (to, held, arrived)
    library(KERNELS, check).launch(
        name, (BLOCKS,), (THREADS,), arguments, cooperative=True, seed=seed
    )
    return bool((to == np.roll(given, -8 * THREADS) + 8).all())


RIGHT = [
    ("sum", sums_are_right),
    ("exchange", passing_is_right),
    ("in_warps", passing_is_right),
    ("grid", grid_is_right),
]
WRONG = [
    ("sum_without_first", sums_are_right),
    ("sum_without_each", sums_are_right),
    ("exchange_in_one_buffer", passing_is_right),
    ("in_warps_without_first", passing_is_right),
    ("in_warps_without_second", passing_is_right),
    ("grid_with_every_second_barrier", grid_is_right),
    ("grid_in_one_buffer", grid_is_right),
]
