"""Formats, tensor cores, shuffles and functions of the modelled machine, held to their definitions.

The reference for a rounding is exact arithmetic in float64, for a product the matrices' own.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from launch import EmulationError
from shim_library import library, needs_compiler

pytestmark = needs_compiler
WARP = 32

ROUND = """
extern "C" __global__ void tf32(unsigned* to, const float* from, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] = round_tf32(from[i]);
}
extern "C" __global__ void bfloat16(unsigned short* to, const float* from, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] = round_bfloat16(from[i]);
}
extern "C" __global__ void float16(unsigned short* to, const float* from, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] = round_float16(from[i]);
}
"""


def rounded(name: str, values: np.ndarray) -> np.ndarray:
    to = np.zeros(len(values), np.uint32 if name == "tf32" else np.uint16)
    arguments = (to, values, np.int32(len(values)))
    library(ROUND).launch(name, (-(-len(values) // 256),), (256,), arguments)
    return to


def hard_values(kept_bits: int, exponents: range) -> np.ndarray:
    """Floats at, just below and just above the half way between two numbers, and of all kinds.

    kept_bits   of the format's mantissa
    """
    random = np.random.default_rng(0)
    cut = 23 - kept_bits
    patterns = []
    for exponent in exponents:
        kept = np.arange(1 << min(kept_bits, 7), dtype=np.uint32) << (23 - min(kept_bits, 7))
        kept |= random.integers(0, 1 << kept_bits, kept.size, dtype=np.uint32) << cut
        half = (np.uint32(exponent << 23) | kept) | np.uint32(1 << (cut - 1))
        patterns += [half - 1, half, half + 1, half ^ np.uint32(1 << (cut - 1))]
    patterns.append(random.integers(0, 1 << 32, 200_000, dtype=np.uint32))
    special = [0, 1, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF]
    patterns.append(np.array(special, np.uint32))
    bits = np.concatenate(patterns)
    return np.concatenate([bits, bits | np.uint32(0x80000000)]).view(np.float32)


def nearest(values: np.ndarray, kept_bits: int, least_exponent: int, away: bool) -> np.ndarray:
    """The nearest numbers with so many bits of mantissa, in float64; ties away or to even."""
    exact = values.astype(np.float64)
    _, exponent = np.frexp(exact)
    quantum = np.ldexp(1.0, np.maximum(exponent - 1, least_exponent) - kept_bits)
    quotient = exact / quantum
    whole = np.floor(np.abs(quotient) + 0.5) if away else np.rint(np.abs(quotient))
    return np.copysign(whole * quantum, exact)


@pytest.mark.parametrize(
    ("name", "kept_bits", "away"), [("tf32", 10, True), ("bfloat16", 7, False)]
)
def test_a_narrow_float_is_the_nearest_one(name, kept_bits, away):
    values = hard_values(kept_bits, range(256))
    bits = rounded(name, values)
    found = (bits.astype(np.uint32) << (0 if name == "tf32" else 16)).view(np.float32)
    finite = np.isfinite(values)
    with np.errstate(over="ignore"):
        wanted = nearest(values[finite], kept_bits, -126, away).astype(np.float32)
    np.testing.assert_array_equal(found[finite].view(np.uint32), wanted.view(np.uint32))
    infinite = np.isinf(values)
    assert infinite.any()
    np.testing.assert_array_equal(found[infinite], values[infinite])
    nan = 0x7FFFFFFF if name == "tf32" else 0x7FFF
    assert np.isnan(values).sum() > 100
    assert (bits[np.isnan(values)] == nan).all()


def test_float16_is_what_numpy_rounds_to():
    values = hard_values(10, range(90, 150))
    bits = rounded("float16", values)
    number = ~np.isnan(values)
    with np.errstate(over="ignore", under="ignore"):
        wanted = values[number].astype(np.float16)
    np.testing.assert_array_equal(bits[number], wanted.view(np.uint16))
    assert (bits[~number] == 0x7FFF).all()


def test_float16_has_every_subnormal_and_every_half_way_beside_it():
    numbers = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    half = (numbers[:-1] + numbers[1:]) / 2  # exact in float32
    values = np.concatenate([numbers, half, np.nextafter(half, 0), np.nextafter(half, np.inf)])
    values = np.concatenate([values, -values]).astype(np.float32)
    wanted = values.astype(np.float16).view(np.uint16)
    np.testing.assert_array_equal(rounded("float16", values), wanted)


# --- tensor cores ---------------------------------------------------------------------------------

MULTIPLY = """
template <typename Multiply>
__device__ void whole(float* c, const unsigned* a, const unsigned* b, Multiply multiply) {
    const int lane = threadIdx.x;
    float c_part[4];
    unsigned a_part[4], b_part[2];
    for (int i = 0; i < 4; ++i) c_part[i] = c[lane * 4 + i];
    for (int i = 0; i < 4; ++i) a_part[i] = a[lane * 4 + i];
    for (int i = 0; i < 2; ++i) b_part[i] = b[lane * 2 + i];
    multiply(c_part, a_part, b_part);
    for (int i = 0; i < 4; ++i) c[lane * 4 + i] = c_part[i];
}
typedef float C[4];
typedef const unsigned A[4], B[2];
extern "C" __global__ void tf32(float* c, const unsigned* a, const unsigned* b) {
    whole(c, a, b, [](C& c, A& a, B& b) { multiply_tf32(c, a, b); });
}
extern "C" __global__ void bfloat16(float* c, const unsigned* a, const unsigned* b) {
    whole(c, a, b, [](C& c, A& a, B& b) { multiply_bfloat16(c, a, b); });
}
extern "C" __global__ void float16(float* c, const unsigned* a, const unsigned* b) {
    whole(c, a, b, [](C& c, A& a, B& b) { multiply_float16(c, a, b); });
}
"""
FORMATS = ("tf32", "bfloat16", "float16")


def words(name: str, values: np.ndarray) -> np.ndarray:
    """Numbers in a format's bits, as float32 holds them exactly."""
    if name == "float16":
        return values.astype(np.float16).view(np.uint16).astype(np.uint32)
    bits = values.astype(np.float32).view(np.uint32)
    return bits >> 16 if name == "bfloat16" else bits


# Where element i of a lane lies, in the words of the PTX manual: groupID, threadID_in_group.
def place_a(name: str, group: int, thread: int, i: int) -> tuple[int, int]:
    if name == "tf32":
        return group + (8 if i in (1, 3) else 0), thread + (4 if i in (2, 3) else 0)
    row = group if 0 <= i < 2 or 4 <= i < 6 else group + 8
    return row, thread * 2 + (i & 1) + (0 if i < 4 else 8)


def place_b(name: str, group: int, thread: int, i: int) -> tuple[int, int]:
    if name == "tf32":
        return thread + (4 if i == 1 else 0), group
    return thread * 2 + (i & 1) + (0 if i < 2 else 8), group


def place_c(group: int, thread: int, i: int) -> tuple[int, int]:
    return group if i < 2 else group + 8, thread * 2 + (i & 1)


def fragments(name: str, matrix: np.ndarray, place, count: int) -> np.ndarray:
    """The registers of the 32 lanes; two elements of 16 bits to a register, the first the lower."""
    bits = words(name, matrix)
    found = np.array(
        [[bits[place(name, n // 4, n % 4, i)] for i in range(count)] for n in range(WARP)],
        np.uint32,
    )
    return found if name == "tf32" else found[:, ::2] | found[:, 1::2] << 16


def multiplied(name: str, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    elements = 1 if name == "tf32" else 2
    parts = np.array(
        [[c[place_c(n // 4, n % 4, i)] for i in range(4)] for n in range(WARP)], np.float32
    )
    left = fragments(name, a, place_a, 4 * elements)
    right = fragments(name, b, place_b, 2 * elements)
    library(MULTIPLY).launch(name, (1,), (WARP,), (parts, left, right))
    found = np.full((16, 8), np.nan, np.float32)
    for n in range(WARP):
        for i in range(4):
            found[place_c(n // 4, n % 4, i)] = parts[n, i]
    return found


def depth(name: str) -> int:
    return 8 if name == "tf32" else 16


@pytest.mark.parametrize("name", FORMATS)
def test_every_element_of_a_and_b_meets_its_own(name):
    k = depth(name)
    random = np.random.default_rng(1)
    a, b = random.integers(-9, 10, (16, k)), random.integers(-9, 10, (k, 8))
    c = random.integers(-99, 100, (16, 8))
    np.testing.assert_array_equal(multiplied(name, a, b, c), a @ b + c)  # small integers: exact


@pytest.mark.parametrize("name", FORMATS)
def test_products_are_exact_and_sums_are_in_float32(name):
    k = depth(name)
    random = np.random.default_rng(2)
    kept = {"tf32": 10, "bfloat16": 7, "float16": 10}[name]
    a, b = (
        nearest(random.standard_normal(shape).astype(np.float32), kept, -14, False)
        for shape in ((16, k), (k, 8))
    )
    c = random.standard_normal((16, 8)).astype(np.float32)
    error = np.abs(multiplied(name, a, b, c) - (a @ b + c))
    bound = (k + 1) * np.finfo(np.float32).eps * (np.abs(a) @ np.abs(b) + np.abs(c))
    assert (error <= bound).all()
    assert error.max() > 0


@pytest.mark.parametrize("name", FORMATS)
def test_infinities_subnormals_and_nan_go_through_the_tensor_cores(name):
    k = depth(name)
    a, b, c = np.zeros((16, k)), np.zeros((k, 8)), np.zeros((16, 8), np.float32)
    tiny = 2.0**-24 if name == "float16" else 2.0**-130
    a[0, 0], a[1, 1], a[2, 2], a[3, k - 1] = np.inf, np.nan, tiny, -np.inf
    b[0, 0] = b[1, 1] = b[k - 1, 3] = 2
    b[2, 2] = 2.0**10
    found = multiplied(name, a, b, c)
    assert found[0, 0] == np.inf
    assert np.isnan(found[1]).all()
    assert found[2, 2] == np.float32(tiny * 2.0**10)
    assert found[3, 3] == -np.inf
    assert np.isnan(found[0, 1:]).all()  # infinity times zero
    assert (found[4:] == 0).all()


def test_an_operand_that_was_not_rounded_to_tf32_is_an_error():
    a, b, c = np.zeros((16, 8)), np.zeros((8, 8)), np.zeros((16, 8), np.float32)
    a[9, 3] = 1 + 2.0**-10
    multiplied("tf32", a, b, c)
    a[9, 3] = 1 + 2.0**-11
    with pytest.raises(EmulationError, match=r"thread \(7, 0, 0\) gave .* round_tf32"):
        multiplied("tf32", a, b, c)
    a[9, 3], b[6, 2] = 0, 1 + 2.0**-23
    with pytest.raises(EmulationError, match=r"thread \(10, 0, 0\) gave"):
        multiplied("tf32", a, b, c)


# --- shuffles, indices, functions -----------------------------------------------------------------

OTHERS = """
extern "C" __global__ void shuffles(double* to, int bits, int distance, int source) {
    const double value = threadIdx.x;
    double* mine = to + threadIdx.x * 5;
    mine[0] = __shfl_xor_sync(0xffffffffu, value, bits);
    mine[1] = __shfl_down_sync(0xffffffffu, value, distance);
    mine[2] = __shfl_up_sync(0xffffffffu, value, distance);
    mine[3] = __shfl_sync(0xffffffffu, static_cast<float>(value), source);
    mine[4] = __shfl_down_sync(0xffffffffu, static_cast<int>(threadIdx.x), distance, 8);
}
extern "C" __global__ void indices(int* to) {
    const dim3 g = gridDim, b = blockDim;
    const unsigned block = (blockIdx.z * g.y + blockIdx.y) * g.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * b.y + threadIdx.y) * b.x + threadIdx.x;
    atomicAdd(to + block * (b.x * b.y * b.z) + thread, 1);
}
extern "C" __global__ void vectors(float4* to, const float2* from) {
    const int i = threadIdx.x;
    const float2 pair = __ldg(from + i);
    to[i] = make_float4(pair.x, pair.y, fma(pair.x, pair.y, -1.0f), pair.x * pair.y - 1.0f);
}
extern "C" __global__ void functions(double* to, double x, float y) {
    to[0] = exp(x), to[1] = tanh(x), to[2] = fabs(-x), to[3] = fma(x, x, -x * x);
    to[4] = exp(y), to[5] = tanh(y), to[6] = fabs(-y), to[7] = fma(y, y, -y * y);
    to[8] = sizeof(exp(y)) + sizeof(tanh(y)) + sizeof(fabs(y)) + sizeof(fma(y, y, y));
    to[9] = log(x), to[10] = log(y), to[11] = max(x, 2.0), to[12] = min(1, 2);
}
"""


def test_shuffles_move_values_between_the_lanes():
    lane = np.arange(32)
    for bits, distance, source in ((1, 1, 0), (16, 5, 31), (31, 31, 40)):
        to = np.zeros((32, 5))
        arguments = (to, np.int32(bits), np.int32(distance), np.int32(source))
        library(OTHERS).launch("shuffles", (1,), (32,), arguments)
        np.testing.assert_array_equal(to[:, 0], lane ^ bits)
        np.testing.assert_array_equal(
            to[:, 1], np.where(lane + distance < 32, lane + distance, lane)
        )
        np.testing.assert_array_equal(
            to[:, 2], np.where(lane - distance >= 0, lane - distance, lane)
        )
        np.testing.assert_array_equal(to[:, 3], source % 32)
        inside = lane % 8 + distance < 8
        np.testing.assert_array_equal(to[:, 4], np.where(inside, lane + distance, lane))


@pytest.mark.parametrize("cooperative", [False, True])
def test_every_thread_of_every_block_runs_once(cooperative):
    grid, block = (5, 3, 2), (7, 2, 3)
    ran = np.zeros(30 * 42, np.int32)
    library(OTHERS).launch("indices", grid, block, (ran,), cooperative=cooperative)
    assert (ran == 1).all()


def test_sums_are_fused_with_products_only_where_the_text_says_so():
    pairs = np.full((32, 2), 1 + 2.0**-12, np.float32)
    to = np.zeros((32, 4), np.float32)
    library(OTHERS).launch("vectors", (1,), (32,), (to, pairs))
    exact = np.float64(pairs[0, 0]) ** 2 - 1
    assert (to[:, :2] == pairs).all()
    assert (to[:, 2] == np.float32(exact)).all()
    assert (to[:, 3] == pairs[0, 0] * pairs[0, 0] - np.float32(1)).all()
    assert to[0, 2] != to[0, 3]


def test_functions_keep_the_type_of_their_argument():
    x, y = 0.3, np.float32(0.7)
    to = np.zeros(13)
    library(OTHERS).launch("functions", (1,), (1,), (to, np.float64(x), y))
    np.testing.assert_allclose(to[[0, 1, 9]], [np.exp(x), np.tanh(x), np.log(x)], rtol=1e-15)
    np.testing.assert_allclose(to[[4, 5, 10]], [np.exp(y), np.tanh(y), np.log(y)], rtol=3e-7)
    assert to[2] == x
    assert to[3] == float(Fraction(x) ** 2 - Fraction(x * x))
    assert to[6] == y
    assert to[7] == np.float64(y) * np.float64(y) - np.float64(y * y)
    assert to[8] == 16
    assert list(to[11:]) == [2, 1]
