// The records of the scheduler: fibers in warps in blocks in a launch.

#pragma once

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shadow.h"
#include "fibers.h"
#include "multiply.h"
#include "shim_launch.h"

namespace emulation {

constexpr unsigned WARPS = 32, FULL = 0xffffffffu;

enum State : uint8_t { READY, AT_BLOCK, AT_WARP, SPINNING, EXITED };

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
    uint32_t* acquired;  // see checks.h
};

struct Warp {
    uint32_t members, ready, arrived, exited;
    Collective what;  // what those wait for that have arrived, and where
    int line;
    uint32_t phase;  // how often it has met
};

// A block that has begun and not ended.
struct Block : BlockView {
    unsigned number;   // how many began before it
    unsigned threads, alive, arrived;
    int line;          // of the __syncthreads that those wait at that have arrived
    uint32_t ready;    // warps that have lanes that are ready
    uint32_t shunned;  // warps that run only when no other can
    unsigned place;    // in the list of runnable blocks, if it is there
    bool listed, frozen;
    Fiber** fibers;
    uint32_t phase;            // how often it has met
    uint32_t *known, *coming;  // see checks.h
    Cell* cells;               // of its shared memory
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

struct Launch {
    const Entry* entry;
    const Request* request;
    unsigned threads, shared;
    uint64_t total, started, ended;
    uint64_t first, stride;  // block number n is first + n * stride, modulo the total
    dim3 grid, block;
    bool failed;

    Random random{0};
    void* main_stack;  // of the caller, while fibers run
    Block* blocks;
    unsigned slots;
    Fiber** fibers;
    char* memories;  // of all blocks: each with its guards
    size_t memories_size;
    unsigned* runnable;  // blocks with a fiber that is ready, by slot
    unsigned runnable_count, frozen_count, favourite;
    Fiber** spinning;
    unsigned spinning_count, idle_rounds;
    unsigned until_change;
    unsigned block_loyalty, warp_loyalty;  // of 16: how often the same is drawn again
    Block* ended_block;
};

ThreadView* current;
unsigned until_yield;

namespace {

Launch s;
Pool own_pool;
Pool* pool = &own_pool;

Fiber& self() { return *static_cast<Fiber*>(current); }
Block& block_of(const Fiber& f) { return *static_cast<Block*>(const_cast<BlockView*>(f.block)); }

uint3 place_in(const dim3& extents, uint64_t n) {
    return {static_cast<unsigned>(n % extents.x), static_cast<unsigned>(n / extents.x % extents.y),
            static_cast<unsigned>(n / extents.x / extents.y)};
}
uint3 index_of_block(uint64_t number) {
    return place_in(s.grid, (s.first + number % s.total * s.stride) % s.total);
}

[[noreturn]] void leave_failed() {
    s.failed = true;
    void* unused;
    emulation_switch(&unused, s.main_stack);
    __builtin_unreachable();
}

}  // namespace
}  // namespace emulation
