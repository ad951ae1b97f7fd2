// The records of the scheduler: fibers in warps in blocks.

#pragma once

#include <stdint.h>

#include "runtime_fibers.h"
#include "runtime_multiply.h"
#include "shim.h"

namespace emulation {

constexpr unsigned LANES = 32, WARPS = 32, FULL = 0xffffffffu;

enum State : uint8_t { READY, AT_BLOCK, AT_WARP, SPINNING, EXITED };

struct Block;

// One thread of CUDA.
struct Fiber : ThreadView {
    void* stack_pointer;
    uint8_t warp, lane;
    State state;
    // The last load_acquire: of where, and what it found.
    const unsigned* watched;
    unsigned seen;
    // What it brings to its warp.
    void* to;
    const void* from[2];
    unsigned size;
    int source;
};

struct Warp {
    uint32_t members, ready, arrived, exited;
    Collective what;  // what those wait for that have arrived, and where
    int line;
};

// A block that has begun and not ended.
struct Block : BlockView {
    unsigned number;     // in the grid
    unsigned threads, alive, arrived;
    int line;            // of the __syncthreads that those wait at that have arrived
    uint32_t ready;      // warps that have lanes that are ready
    uint32_t shunned;    // warps that run only when no other can
    unsigned place;      // in the list of runnable blocks, if it is there
    bool listed, frozen;
    Fiber** fibers;
    char* memory;        // guard, shared memory, guard
    Warp warps[WARPS];

    Fiber& fiber(unsigned warp, unsigned lane) { return *fibers[warp * LANES + lane]; }
};

// Xorshift, from a seed that any number will do for.
struct Random {
    uint64_t state;

    explicit Random(uint64_t seed = 0) {
        state = seed + 0x9e3779b97f4a7c15u;  // splitmix64, once
        state = (state ^ state >> 30) * 0xbf58476d1ce4e5b9u;
        state = (state ^ state >> 27) * 0x94d049bb133111ebu;
        state ^= state >> 31;
        if (!state) state = 1;
    }
    uint64_t bits() {
        state ^= state << 13;
        state ^= state >> 7;
        return state ^= state << 17;
    }
    unsigned below(unsigned n) {  // from the upper half, which is the better one
        return static_cast<unsigned>((bits() >> 32) * n >> 32);
    }
};

}  // namespace emulation
