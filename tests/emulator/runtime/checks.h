// Checks of memory: races, reads of shared memory that nobody wrote, accesses outside of all arrays.
//
// A library is checked if it was compiled with EMULATION_CHECK; else all of this is nothing. The
// compiler's calls come in through sanitizers.h.
//
// Two accesses to the same bytes, one of them a write, race unless something orders them, whatever the
// order they happened to come in: __syncthreads within a block, __syncwarp within a warp, and between
// the blocks of a cooperative launch a release that the other acquired. A release is taken to publish
// what its block did before its last __syncthreads; an acquire holds for its thread, and for its warp
// or block after their next barrier. Atomic operations race with nothing here.

#pragma once

#include "words.h"

namespace emulation {
namespace {
namespace check {

#ifndef EMULATION_CHECK

constexpr bool ON = false;
bool prepare() { return true; }
void end() {}
void block_starts(Block&) {}
void comes_to_block(Fiber&, Block&) {}
void block_meets(Block&) {}
void warp_meets(Block&, unsigned) {}
void releases(Fiber&, const unsigned*) {}
void acquires(Fiber&, const unsigned*) {}

#else

constexpr bool ON = true;
Shadow shadow;
Arena<Cell> shared_cells;
Arena<uint32_t> clocks;

// What the releases of a counter have published: how many phases of each block.
struct Counter {
    const unsigned* at;
    uint32_t* published;
};
constexpr unsigned COUNTERS = 64;
Counter counters[COUNTERS];

size_t cells_of_block() { return s.shared / Shadow::CELL + 1; }

bool prepare() {
    if (!shared_cells.take(cells_of_block() * s.slots)) return false;
    for (unsigned i = 0; i < s.slots; ++i) {
        Block& b = s.blocks[i];
        b.cells = shared_cells.at(cells_of_block() * i);
        if (!s.request->cooperative) continue;
        b.known = clocks.take(s.slots);
        b.coming = clocks.take(s.slots);
        if (!b.known || !b.coming) return false;
    }
    return true;
}

void end() {
    shadow.clear();
    shared_cells.clear();
    clocks.clear();
    memset(counters, 0, sizeof counters);
}

void block_starts(Block& b) {
    memset(static_cast<void*>(b.cells), 0, cells_of_block() * sizeof(Cell));
    b.phase = 0;
    for (unsigned i = 0; i < b.threads; ++i) b.fibers[i]->acquired = nullptr;
}

void join(uint32_t* to, const uint32_t* from) {
    for (unsigned i = 0; i < s.slots; ++i)
        if (to[i] < from[i]) to[i] = from[i];
}

uint32_t* own_clock(Fiber& f) {
    if (!f.acquired) f.acquired = clocks.take(s.slots);
    return f.acquired;
}

void comes_to_block(Fiber& f, Block& b) {
    if (f.acquired) join(b.coming, f.acquired);
}

void block_meets(Block& b) {
    ++b.phase;
    if (b.known) join(b.known, b.coming);
}

void warp_meets(Block& b, unsigned warp) {
    Warp& w = b.warps[warp];
    ++w.phase;
    for (unsigned lane = 0; lane < LANES; ++lane)
        if (w.members >> lane & 1 && b.fiber(warp, lane).acquired)
            for (unsigned other = 0; other < LANES; ++other)
                if (w.members >> other & 1)
                    join(own_clock(b.fiber(warp, other)), b.fiber(warp, lane).acquired);
}

Counter* counter(const unsigned* p) {
    for (Counter& one : counters) {
        if (!one.at) one = {p, clocks.take(s.slots)};
        if (one.at == p) return one.published ? &one : nullptr;
    }
    return nullptr;
}

void releases(Fiber& f, const unsigned* p) {
    Block& b = block_of(f);
    Counter* c = b.known ? counter(p) : nullptr;
    if (!c) return;
    join(c->published, b.known);
    if (f.acquired) join(c->published, f.acquired);
    if (c->published[b.number] < b.phase) c->published[b.number] = b.phase;
}

void acquires(Fiber& f, const unsigned* p) {
    Counter* c = block_of(f).known ? counter(p) : nullptr;
    if (c && own_clock(f)) join(own_clock(f), c->published);
}

// --- every access --------------------------------------------------------------------------------

#ifdef __ELF__
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start, _end;

// Where in the library, for tools that find the line.
uint32_t offset_of(const void* code) {
    return static_cast<uint32_t>(static_cast<const char*>(code) - &__ehdr_start);
}
bool in_library(uintptr_t p) {
    return p - reinterpret_cast<uintptr_t>(&__ehdr_start) <
           static_cast<uintptr_t>(&_end - &__ehdr_start);
}
#else
uint32_t offset_of(const void*) { return 0; }
bool in_library(uintptr_t) { return false; }
#endif

bool in_regions(uintptr_t p, size_t size) {
    if (s.request->region_count < 0) return true;
    for (long long i = 0; i < s.request->region_count; ++i) {
        const Region& r = s.request->regions[i];
        if (p - r.address < r.size && size <= r.size - (p - r.address)) return true;
    }
    return false;
}

// Which argument an address belongs to: the pointer that lies closest before it.
void say_place(uintptr_t p) {
    uintptr_t closest = 0;
    unsigned number = 0;
    for (unsigned i = 0; i < s.entry->parameter_count; ++i) {
        uintptr_t base = 0;
        if (s.entry->parameters[i].is_pointer)
            memcpy(&base, s.request->arguments[i], sizeof base);
        if (base && base <= p && base >= closest) closest = base, number = i;
    }
    if (!closest) return say("address 0x%zx", static_cast<size_t>(p));
    const char* name = s.entry->parameter_names;
    for (unsigned i = 0; i < number; ++i) name = strchr(name, ',') + 1;
    say("%.*s + %zu bytes", static_cast<int>(strcspn(name, ",")), name,
        static_cast<size_t>(p - closest));
}

void say_code(uint32_t code) {
    if (code) say(" [code 0x%x]", code);
}

void say_other(const Access& a) {
    const uint3 block = index_of_block(a.block - 1);
    say("block (%u, %u, %u), ", block.x, block.y, block.z);
    if (a.thread == WARPS_OF_BLOCK) return say("threads of several warps");
    if (a.thread & LANES_OF_WARP) return say("threads of warp %u", a.warp());
    const uint3 thread = place_in(s.block, a.thread);
    say("thread (%u, %u, %u)", thread.x, thread.y, thread.z);
}

struct Touch {
    uintptr_t address;
    size_t size;
    bool writes, is_shared;
    uint32_t code;
};

void say_touch(const Touch& t) {
    say_thread(self());
    say(" %s %zu bytes of %s memory, ", t.writes ? "writes" : "reads", t.size,
        t.is_shared ? "shared" : "global");
    if (t.is_shared)
        say("byte %td", static_cast<ptrdiff_t>(t.address) -
                            reinterpret_cast<ptrdiff_t>(self().block->shared));
    else
        say_place(t.address);
    say_code(t.code);
}

[[noreturn]] void race(const Touch& t, const Access& other, bool wrote) {
    say("a race: ");
    say_touch(t);
    say(", and ");
    say_other(other);
    say(" %s them with nothing in between that orders the two", wrote ? "wrote" : "read");
    say_code(other.code);
    leave_failed();
}

[[noreturn]] void wrong(const Touch& t, const char* why) {
    say_touch(t);
    say(": %s", why);
    leave_failed();
}

void touch_cell(const Touch& t, Cell& cell, const Observer& o) {
    if (cell.write.block && !o.comes_after(cell.write)) race(t, cell.write, true);
    if (!t.writes) {
        if (t.is_shared && !cell.write.block) wrong(t, "nobody has written them");
        shadow.note_read(cell, o);
        return;
    }
    if (const Access* read = shadow.unordered_read(cell, o)) race(t, *read, false);
    cell = {};
    cell.write = o.self;
}

void touch(const void* address, size_t size, bool writes, const void* code) {
    if (!current || pool->has(address)) return;
    Fiber& f = self();
    Block& b = block_of(f);
    Touch t = {reinterpret_cast<uintptr_t>(address), size, writes, false, offset_of(code)};
    const unsigned thread = f.warp * LANES + f.lane;
    const Observer o = {{b.number + 1, b.phase, b.warps[f.warp].phase, t.code,
                         static_cast<uint16_t>(thread)}, b.known, f.acquired};
    const size_t cells = (t.address % Shadow::CELL + size + Shadow::CELL - 1) / Shadow::CELL;
    if (t.address - reinterpret_cast<uintptr_t>(s.memories) < s.memories_size) {
        t.is_shared = true;
        const uintptr_t at = t.address - reinterpret_cast<uintptr_t>(b.shared);
        if (at >= s.shared || size > s.shared - at) wrong(t, "there are not so many");
        for (size_t i = 0; i < cells; ++i) touch_cell(t, b.cells[at / Shadow::CELL + i], o);
        return;
    }
    if (in_library(t.address) ||
        t.address - reinterpret_cast<uintptr_t>(s.blocks) < s.slots * sizeof(Block))
        return;
    if (!in_regions(t.address, size)) wrong(t, "outside of every array that the kernel was given");
    for (size_t i = 0; i < cells; ++i) {
        Cell* cell = shadow.cell(t.address + i * Shadow::CELL);
        if (!cell) wrong(t, "the emulator has no memory left to check them");
        touch_cell(t, *cell, o);
    }
}

// --- what is undefined in C++ --------------------------------------------------------------------

struct Where {
    const char* file;
    uint32_t line, column;
};
struct Mismatch {
    Where where;
    const void* type;
    uint8_t log_alignment, kind;
};

[[noreturn]] void undefined(const void* data, const char* what) {
    say_thread(self());
    say(" came to line %u: %s", static_cast<const Where*>(data)->line, what);
    leave_failed();
}

[[noreturn]] void wrong_address(const Mismatch* data, uintptr_t p) {
    if (!p) undefined(data, "a null pointer is followed");
    say_thread(self());
    say(" came to line %u: what has to be aligned to %u bytes lies at ", data->where.line,
        1u << data->log_alignment);
    if (p - reinterpret_cast<uintptr_t>(s.memories) < s.memories_size)
        say("byte %td of shared memory",
            static_cast<ptrdiff_t>(p) - reinterpret_cast<ptrdiff_t>(self().block->shared));
    else
        say_place(p);
    leave_failed();
}

#endif  // EMULATION_CHECK

}  // namespace check
}  // namespace
}  // namespace emulation
