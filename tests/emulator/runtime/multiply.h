// What the tensor cores compute, from the fragments that the 32 lanes of a warp hold.

#pragma once

#include <stdint.h>
#include <string.h>

namespace emulation {

inline float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

inline float float_of_bfloat16(uint32_t bits) { return float_of_bits(bits << 16); }

inline float float_of_float16(uint32_t bits) {
    const uint32_t sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, rest = bits & 0x3ffu;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000u | rest << 13);
    if (exponent) return float_of_bits(sign | (exponent + 112) << 23 | rest << 13);
    const float size = static_cast<float>(rest) * 0x1p-24f;  // subnormal: exact
    return sign ? -size : size;
}

// The registers of a warp's lanes: what each passed to a multiplication.
struct Fragments {
    float* c[32];
    const unsigned* a[32];
    const unsigned* b[32];
};

// The lane that holds a tf32 operand which was not rounded; -1 if there is none. The tensor cores
// would cut off its lower bits, which is twice the error of rounding and biased towards zero.
inline int unrounded_lane(const Fragments& f) {
    auto bad = [](uint32_t bits) {
        return (bits & 0x1fffu) != 0 && (bits & 0x7f800000u) != 0x7f800000u;
    };
    for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 4; ++i)
            if (bad(f.a[lane][i])) return lane;
        for (int i = 0; i < 2; ++i)
            if (bad(f.b[lane][i])) return lane;
    }
    return -1;
}

// c += a b in float32: products are exact, and are added one by one in order of k. The tensor cores
// add several at a time to more bits than float32 has, and say not how: to the last bits of the
// result, neither is the other.
template <int K> inline void accumulate(const Fragments& f, float (&a)[K][16], float (&b)[K][8]) {
    float c[16][8];
    for (int lane = 0; lane < 32; ++lane) {
        const int g = lane / 4, q = lane % 4;
        for (int e = 0; e < 4; ++e) c[g + e / 2 * 8][2 * q + e % 2] = f.c[lane][e];
    }
    for (int k = 0; k < K; ++k)
        for (int m = 0; m < 16; ++m)
            for (int n = 0; n < 8; ++n) c[m][n] += a[k][m] * b[k][n];
    for (int lane = 0; lane < 32; ++lane) {
        const int g = lane / 4, q = lane % 4;
        for (int e = 0; e < 4; ++e) f.c[lane][e] = c[g + e / 2 * 8][2 * q + e % 2];
    }
}

inline void multiply_8(const Fragments& f) {
    float a[8][16], b[8][8];
    for (int lane = 0; lane < 32; ++lane) {
        const int g = lane / 4, q = lane % 4;
        a[q][g] = float_of_bits(f.a[lane][0]);
        a[q][g + 8] = float_of_bits(f.a[lane][1]);
        a[q + 4][g] = float_of_bits(f.a[lane][2]);
        a[q + 4][g + 8] = float_of_bits(f.a[lane][3]);
        b[q][g] = float_of_bits(f.b[lane][0]);
        b[q + 4][g] = float_of_bits(f.b[lane][1]);
    }
    accumulate(f, a, b);
}

template <float (*VALUE)(uint32_t)> inline void multiply_16(const Fragments& f) {
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; ++lane) {
        const int g = lane / 4, q = lane % 4;
        for (int half = 0; half < 2; ++half) {  // the lower k is in the lower half
            auto element = [&](unsigned pair) { return VALUE(pair >> (16 * half) & 0xffffu); };
            const int k = 2 * q + half;
            a[k][g] = element(f.a[lane][0]);
            a[k][g + 8] = element(f.a[lane][1]);
            a[k + 8][g] = element(f.a[lane][2]);
            a[k + 8][g + 8] = element(f.a[lane][3]);
            b[k][g] = element(f.b[lane][0]);
            b[k + 8][g] = element(f.b[lane][1]);
        }
    }
    accumulate(f, a, b);
}

}  // namespace emulation
