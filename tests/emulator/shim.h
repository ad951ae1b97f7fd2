// What CUDA C++ gives to every kernel, for a C++ compiler: words, built-in types and variables,
// barriers, shuffles, atomics. The threads behind them are fibers; runtime/scheduler.cpp schedules them.
//
// Every kernel text begins with this file, so it includes no header of the system.

#pragma once

// --- words ---------------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)  // the compiler's script reads them: see compile_cpp.py
// __shared__ is not a word here: kernels take their memory from shared_memory().

typedef decltype(sizeof(0)) size_t;

// --- vector types --------------------------------------------------------------------------------

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };

inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// --- the runtime ---------------------------------------------------------------------------------

namespace emulation {

// What a thread can read of the block it is in, and of itself.
struct BlockView {
    uint3 index;
    dim3 block_dim, grid_dim;
    char* shared;
};
// What a thread has begun to copy and not waited for, see machine.cuh: in groups, the oldest first.
struct Copies {
    static constexpr unsigned MOST = 256;
    struct Copy {
        void* to;
        const void* from;  // null: zeros
        unsigned group;
    } waiting[MOST];
    unsigned begun, done, group;
};
struct ThreadView {
    uint3 index;
    const BlockView* block;
    Copies copies;
};
extern ThreadView* current;  // the thread that runs

// What a warp does together; all of its lanes have to come.
enum Collective {
    SYNCWARP, SHUFFLE, MULTIPLY_TF32, MULTIPLY_BFLOAT16, MULTIPLY_FLOAT16, COLLECTIVES
};

void wait_for_block(int line);
void wait_for_warp(Collective what, int line);
// Each lane's value goes to those that name it as their source.
void shuffle(void* to, const void* from, unsigned size, int source, int line);
// c += a b over the fragments of a warp's lanes.
void multiply(Collective what, float* c, const unsigned* a, const unsigned* b, int line);

void yield();  // let another thread run now
unsigned add(unsigned* p, unsigned value);  // returns what was there
unsigned add_and_release(unsigned* p, unsigned value);
unsigned read_and_acquire(const unsigned* p);  // who reads one value again waits for another
[[noreturn]] void refuse(const char* what, int line);

// Other threads come in between now and then where memory is shared with them.
extern unsigned until_yield;
inline void maybe_yield() {
    if (--until_yield == 0) yield();
}

}  // namespace emulation

constexpr int warpSize = 32;
#define threadIdx (emulation::current->index)
#define blockIdx (emulation::current->block->index)
#define blockDim (emulation::current->block->block_dim)
#define gridDim (emulation::current->block->grid_dim)

// --- barriers ------------------------------------------------------------------------------------

// The line in the kernel's text tells one barrier from another.
inline void __syncthreads(int line = __builtin_LINE()) { emulation::wait_for_block(line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) {
    if (mask != 0xffffffffu) emulation::refuse("__syncwarp of a part of the warp", line);
    emulation::wait_for_warp(emulation::SYNCWARP, line);
}
inline void __threadfence() { __asm__ volatile("" ::: "memory"); }
inline void __threadfence_block() { __asm__ volatile("" ::: "memory"); }

// --- shuffles ------------------------------------------------------------------------------------

namespace emulation {
template <typename T> inline T shuffled(unsigned mask, T value, int source, int line) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
    if (mask != 0xffffffffu) refuse("a shuffle among a part of the warp", line);
    T found;
    shuffle(&found, &value, sizeof(T), source, line);
    return found;
}
int lane();
}  // namespace emulation

// A source past the end of its segment of `width` lanes is the lane itself.
template <typename T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32,
                     int line = __builtin_LINE()) {
    const int first = emulation::lane() & ~(width - 1);
    return emulation::shuffled(mask, value, first + (source & (width - 1)), line);
}
template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                         int line = __builtin_LINE()) {
    const int lane = emulation::lane(), source = lane ^ bits;
    return emulation::shuffled(mask, value, source / width > lane / width ? lane : source, line);
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32,
                          int line = __builtin_LINE()) {
    const int lane = emulation::lane(), source = lane + static_cast<int>(distance);
    return emulation::shuffled(mask, value, source / width > lane / width ? lane : source, line);
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32,
                        int line = __builtin_LINE()) {
    const int lane = emulation::lane(), source = lane - static_cast<int>(distance);
    const int first = lane & ~(width - 1);
    return emulation::shuffled(mask, value, source < first ? lane : source, line);
}

// --- memory --------------------------------------------------------------------------------------

template <typename T> inline T __ldg(const T* p) { return *p; }
template <typename T> inline T __ldcg(const T* p) {
    emulation::maybe_yield();
    return *p;
}

inline unsigned atomicAdd(unsigned* p, unsigned value) { return emulation::add(p, value); }
inline int atomicAdd(int* p, int value) {
    return static_cast<int>(
        emulation::add(reinterpret_cast<unsigned*>(p), static_cast<unsigned>(value)));
}

#include "shim_math.h"
