"""The model's copies that go on by themselves, and the parts of matrices that a warp loads."""

from __future__ import annotations

import numpy as np
import pytest
from launch import EmulationError
from shim_library import library, needs_compiler

pytestmark = needs_compiler

NAN = 0xFFFFFFFF  # what a place holds whose copy has not come
LANES = np.arange(32)

KERNELS = """
__device__ unsigned* word(int n) { return reinterpret_cast<unsigned*>(shared_memory()) + n; }

extern "C" __global__ void parts(unsigned* to, const unsigned* from, int turned) {
    const int lane = threadIdx.x;
    copy_later(word(4 * lane), from + 4 * lane, true);
    end_group();
    wait_for_groups<0>();
    __syncwarp();
    unsigned got[4];
    if (turned) load_parts_turned(got, word(4 * lane));
    else load_parts(got, word(4 * lane));
    for (int n = 0; n < 4; ++n) to[4 * lane + n] = got[n];
}
extern "C" __global__ void groups(unsigned* to, const unsigned* from) {
    const int lane = threadIdx.x;
    for (int n = 0; n < 3; ++n) {
        copy_later(word(4 * (32 * n + lane)), from + 4 * lane, n != 0 || lane != 7);
        if (n < 2) end_group();
    }
    wait_for_groups<1>();  // the first; the third has not even ended
    for (int n = 0; n < 3; ++n) to[32 * n + lane] = *word(4 * (32 * n + lane));
    end_group();
    wait_for_groups<0>();
    for (int n = 0; n < 3; ++n) to[96 + 32 * n + lane] = *word(4 * (32 * n + lane));
}
extern "C" __global__ void too_many(const unsigned* from) {
    for (int n = 0; n < 300; ++n) copy_later(word(0), from, true);
}
extern "C" __global__ void read_by_another(unsigned* to, const unsigned* from, int meet) {
    copy_later(word(4 * threadIdx.x), from + 4 * threadIdx.x, true);
    end_group();
    wait_for_groups<0>();
    if (meet) __syncwarp();
    to[threadIdx.x] = *word(4 * (threadIdx.x ^ 1));
}
extern "C" __global__ void overwritten_while_read(unsigned* to, const unsigned* from, int meet) {
    *word(4 * threadIdx.x) = 1;
    __syncwarp();
    to[threadIdx.x] = *word(4 * (threadIdx.x ^ 1));
    if (meet) __syncwarp();
    copy_later(word(4 * threadIdx.x), from + 4 * threadIdx.x, true);
}
"""
SHARED = 3 * 32 * 16


def launched(name: str, *arguments: object, check: bool = True) -> None:
    library(KERNELS, check).launch(name, (1,), (32,), arguments, shared=SHARED)


@pytest.mark.parametrize("turned", [False, True])
def test_each_lane_gets_its_words_of_four_matrices(turned):
    """As "Matrix fragments for ldmatrix" of the PTX manual lays out."""
    matrices = np.random.default_rng(0).integers(0, 1 << 16, (4, 8, 8)).astype(np.uint16)
    to = np.zeros((32, 4), np.uint32)
    launched("parts", to, matrices.view(np.uint32), np.int32(turned))
    given = matrices.transpose(0, 2, 1) if turned else matrices
    words = np.ascontiguousarray(given).view(np.uint32)  # (4, 8, 4)
    np.testing.assert_array_equal(to, words[:, LANES // 4, LANES % 4].T)


def test_a_copy_is_there_once_its_group_was_waited_for():
    from_ = np.arange(1, 129, dtype=np.uint32)
    to = np.zeros((2, 3, 32), np.uint32)
    launched("groups", to, from_)
    first = np.where(LANES == 7, 0, from_[::4])  # zeros where it is not inside
    np.testing.assert_array_equal(to[0], [first, np.full(32, NAN), np.full(32, NAN)])
    np.testing.assert_array_equal(to[1], [first, from_[::4], from_[::4]])


def test_more_copies_than_the_model_has_room_for_are_told():
    with pytest.raises(EmulationError, match="so many are on their way"):
        launched("too_many", np.zeros(4, np.uint32), check=False)


@pytest.mark.parametrize("name", ["read_by_another", "overwritten_while_read"])
def test_a_copy_without_a_barrier_is_a_race(name):
    to, from_ = np.zeros(32, np.uint32), np.arange(128, dtype=np.uint32)
    launched(name, to, from_, np.int32(1))
    with pytest.raises(EmulationError, match=r"a race|nobody has written them"):
        launched(name, to, from_, np.int32(0))
