// A model of kernels/cuda/machine.cuh on a processor: the same functions, over shim.h.

constexpr int WARP = 32;

// This block's dynamic shared memory, aligned to 16 bytes and no more. It begins as NaN.
__device__ __forceinline__ char* shared_memory() { return emulation::current->block->shared; }

// --- memory that other blocks write during this launch -------------------------------------------

// There is no cache that is not kept coherent here: a load that should have been one of these, and
// is not, goes unseen.
__device__ __forceinline__ uint4 load_fresh_vector(const void* p) {
    return __ldcg(static_cast<const uint4*>(p));
}

__device__ __forceinline__ unsigned add_release(unsigned* p, unsigned value) {
    return emulation::add_and_release(p, value);
}

// A thread that reads the same value twice is taken to wait for another: others run until it comes.
__device__ __forceinline__ unsigned load_acquire(const unsigned* p) {
    return emulation::read_and_acquire(p);
}

// Far ahead of a use: nothing that can be seen here.
__device__ __forceinline__ void expect(const void* p) { static_cast<void>(p); }

// --- copies to shared memory that go on by themselves --------------------------------------------

// They come when they are waited for; until then their place holds NaN, whoever looks or still looks.
__device__ __forceinline__ void copy_later(void* to, const void* from, bool inside,
                                           int line = __builtin_LINE()) {
    emulation::Copies& copies = emulation::current->copies;
    if (copies.begun - copies.done == copies.MOST)
        emulation::refuse("a copy while so many are on their way", line);
    *static_cast<uint4*>(to) = make_uint4(~0u, ~0u, ~0u, ~0u);
    copies.waiting[copies.begun++ % copies.MOST] = {to, inside ? from : nullptr, copies.group};
}

__device__ __forceinline__ void end_group() { ++emulation::current->copies.group; }

template <int LATER> __device__ __forceinline__ void wait_for_groups() {
    emulation::Copies& copies = emulation::current->copies;
    for (; copies.done != copies.begun; ++copies.done) {
        const auto& copy = copies.waiting[copies.done % copies.MOST];
        if (copy.group + LATER >= copies.group) break;
        *static_cast<uint4*>(copy.to) = copy.from ? __ldcg(static_cast<const uint4*>(copy.from))
                                                  : make_uint4(0, 0, 0, 0);
    }
}

// --- narrow formats ------------------------------------------------------------------------------

// cvt.rna.tf32.f32: to nearest, ties away from zero, too large to infinity; NaN is 0x7fffffff.
__device__ __forceinline__ unsigned round_tf32(float value) {
    const unsigned bits = __float_as_uint(value);
    if (value != value) return 0x7fffffffu;
    if ((bits & 0x7f800000u) == 0x7f800000u) return bits;
    return (bits + 0x1000u) & ~0x1fffu;
}

// cvt.rn.bf16.f32: to nearest, ties to even, too large to infinity; NaN is 0x7fff.
__device__ __forceinline__ unsigned short round_bfloat16(float value) {
    const unsigned bits = __float_as_uint(value);
    if (value != value) return 0x7fff;
    return static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// cvt.rn.f16.f32: to nearest, ties to even, with subnormals, too large to infinity; NaN is 0x7fff.
__device__ __forceinline__ unsigned short round_float16(float value) {
    const unsigned bits = __float_as_uint(value), sign = bits >> 16 & 0x8000u;
    const unsigned size = bits & 0x7fffffffu;
    if (value != value) return 0x7fff;
    if (size >= 0x477ff000u) return static_cast<unsigned short>(sign | 0x7c00u);  // 65520 and more
    unsigned kept, cut, half;  // the significand is cut: its lower part against one half
    if (size >= 0x38800000u) {  // 2^-14, the smallest normal number
        kept = (size - 0x38000000u) >> 13;
        cut = size & 0x1fffu;
        half = 0x1000u;
    } else {
        const unsigned shift = 126u - (size >> 23);  // 14 for 2^-15 and larger by one each octave
        if (shift > 24) return static_cast<unsigned short>(sign);
        const unsigned significand = (size & 0x7fffffu) | 0x800000u;
        kept = significand >> shift;
        cut = significand & ((1u << shift) - 1);
        half = 1u << (shift - 1);
    }
    if (cut > half || (cut == half && (kept & 1u))) ++kept;
    return static_cast<unsigned short>(sign | kept);
}

// --- parts of matrices -----------------------------------------------------------------------------

namespace emulation {
// Of the row of 16 bytes that `row` points to in some lane, the 16 or 32 bits at an offset.
template <typename Word>
inline Word word_of_lane(const void* row, int lane, int offset, int line) {
    const auto at = shuffled(0xffffffffu, reinterpret_cast<unsigned long long>(row), lane, line);
    return *reinterpret_cast<const Word*>(at + offset);
}
}  // namespace emulation

__device__ __forceinline__ void load_parts(unsigned (&to)[4], const void* row,
                                           int line = __builtin_LINE()) {
    const int lane = emulation::lane();
    for (int n = 0; n < 4; ++n)
        to[n] = emulation::word_of_lane<unsigned>(row, 8 * n + lane / 4, lane % 4 * 4, line);
}

__device__ __forceinline__ void load_parts_turned(unsigned (&to)[4], const void* row,
                                                  int line = __builtin_LINE()) {
    const int lane = emulation::lane(), first = lane % 4 * 2;
    using Half = unsigned short;
    for (int n = 0; n < 4; ++n) {
        const unsigned low =
            emulation::word_of_lane<Half>(row, 8 * n + first, lane / 4 * 2, line);
        const unsigned high =
            emulation::word_of_lane<Half>(row, 8 * n + first + 1, lane / 4 * 2, line);
        to[n] = low | high << 16;
    }
}

// --- tensor cores --------------------------------------------------------------------------------
//
// The fragments are laid out as in kernels/cuda/machine.cuh; runtime/multiply.h puts them together.

__device__ __forceinline__ void multiply_tf32(float (&c)[4], const unsigned (&a)[4],
                                              const unsigned (&b)[2], int line = __builtin_LINE()) {
    emulation::multiply(emulation::MULTIPLY_TF32, c, a, b, line);
}

__device__ __forceinline__ void multiply_bfloat16(float (&c)[4], const unsigned (&a)[4],
                                                  const unsigned (&b)[2],
                                                  int line = __builtin_LINE()) {
    emulation::multiply(emulation::MULTIPLY_BFLOAT16, c, a, b, line);
}

__device__ __forceinline__ void multiply_float16(float (&c)[4], const unsigned (&a)[4],
                                                 const unsigned (&b)[2],
                                                 int line = __builtin_LINE()) {
    emulation::multiply(emulation::MULTIPLY_FLOAT16, c, a, b, line);
}
