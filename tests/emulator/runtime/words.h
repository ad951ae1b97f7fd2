// What is said of a launch that failed: who waits where.

#pragma once

#include <signal.h>

#include "records.h"

namespace emulation {
namespace {

constexpr unsigned IDLE_ROUNDS = 2000;  // of spinning by all before it is called a deadlock

const char* const NAMES[COLLECTIVES] = {"__syncwarp", "a shuffle", "multiply_tf32",
                                        "multiply_bfloat16", "multiply_float16"};

__attribute__((format(printf, 1, 2))) void say(const char* format, ...) {
    const size_t used = strlen(s.request->message);
    if (used + 1 >= s.request->message_size) return;
    va_list values;
    va_start(values, format);
    vsnprintf(s.request->message + used, s.request->message_size - used, format, values);
    va_end(values);
}

void say_block(const Block& b) { say("block (%u, %u, %u)", b.index.x, b.index.y, b.index.z); }
void say_thread(const Fiber& f) {
    say_block(block_of(f));
    say(", thread (%u, %u, %u)", f.index.x, f.index.y, f.index.z);
}

// Who waits for what in a block.
void say_waits(Block& b) {
    unsigned states[EXITED + 1] = {}, at_warp[COLLECTIVES] = {}, lines[COLLECTIVES] = {};
    for (unsigned i = 0; i < b.threads; ++i) {
        const Fiber& f = *b.fibers[i];
        ++states[f.state];
        if (f.state == AT_WARP) {
            ++at_warp[b.warps[f.warp].what];
            lines[b.warps[f.warp].what] = static_cast<unsigned>(b.warps[f.warp].line);
        }
    }
    say("\n  ");
    say_block(b);
    const char* between = ": ";
    auto count = [&](unsigned n, const char* what) {
        if (n) say("%s%u %s", between, n, what), between = "; ";
    };
    count(states[AT_BLOCK], "wait at __syncthreads");
    if (states[AT_BLOCK]) say(" (line %d)", b.line);
    for (unsigned i = 0; i < COLLECTIVES; ++i) {
        count(at_warp[i], "wait at ");
        if (at_warp[i]) say("%s (line %u)", NAMES[i], lines[i]);
    }
    count(states[SPINNING], "spin on load_acquire");
    count(states[READY], "could run");
    count(states[EXITED], "have returned");
}

void say_deadlock() {
    say(s.idle_rounds > IDLE_ROUNDS ? "all threads that are left spin or wait for each other"
                                    : "deadlock: no thread can go on");
    unsigned told = 0;
    for (unsigned i = 0; i < s.slots; ++i) {
        if (!s.blocks[i].alive) continue;
        if (told++ < 4) say_waits(s.blocks[i]);
    }
    if (told > 4) say("\n  and %u blocks more", told - 4);
}

void describe_fault(int signal, const void* address) {
    say_thread(self());
    if (signal == SIGURG) {
        say(" runs, and the launch has taken longer than it may:");
        unsigned told = 0;
        for (unsigned i = 0; i < s.slots && told < 4; ++i)
            if (s.blocks[i].alive) say_waits(s.blocks[i]), ++told;
    } else if (signal == SIGFPE) {
        say(" divided an integer by zero");
    } else if (signal == SIGILL) {
        say(" came to an illegal instruction");
    } else if (pool->is_guard(address)) {
        say(" has more on its stack than the emulator's %zu KiB", Pool::STACK >> 10);
    } else {
        const uintptr_t at = reinterpret_cast<uintptr_t>(address);
        say(" reached for memory that is not there, at address 0x%zx%s", static_cast<size_t>(at),
            at < 1 << 20 ? ": a null pointer" : "");
    }
}

}  // namespace
}  // namespace emulation
