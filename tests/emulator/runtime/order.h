// The order in which threads run.
//
// For stretches of random length the draw favours one block and one warp, and keeps some blocks frozen
// and a warp back until nothing else can run: what relies on an order that nothing enforces meets the
// opposite order soon.

#pragma once

#include "words.h"

namespace emulation {
namespace {

void list(Block& b) {
    if (b.listed || b.frozen || !b.ready) return;
    b.listed = true;
    b.place = s.runnable_count;
    s.runnable[s.runnable_count++] = static_cast<unsigned>(&b - s.blocks);
}

void unlist(Block& b) {
    if (!b.listed) return;
    b.listed = false;
    const unsigned last = s.runnable[--s.runnable_count];
    s.runnable[b.place] = last;
    s.blocks[last].place = b.place;
}

void make_ready(Block& b, unsigned warp, uint32_t lanes) {
    b.warps[warp].ready |= lanes;
    b.ready |= 1u << warp;
    list(b);
}

void set_states(Block& b, unsigned warp, uint32_t lanes, State state) {
    for (; lanes; lanes &= lanes - 1)
        b.fiber(warp, static_cast<unsigned>(__builtin_ctz(lanes))).state = state;
}

void thaw() {
    if (!s.frozen_count) return;
    s.frozen_count = 0;
    for (unsigned i = 0; i < s.slots; ++i)
        if (s.blocks[i].frozen) {
            s.blocks[i].frozen = false;
            list(s.blocks[i]);
        }
}

// Those that wait for a value, and find another than they found.
bool wake_changed() {
    unsigned kept = 0;
    for (unsigned i = 0; i < s.spinning_count; ++i) {
        Fiber& f = *s.spinning[i];
        if (*static_cast<const volatile unsigned*>(f.watched) == f.seen) {
            s.spinning[kept++] = &f;
            continue;
        }
        f.state = READY;
        make_ready(block_of(f), f.warp, 1u << f.lane);
    }
    const bool any = kept < s.spinning_count;
    s.spinning_count = kept;
    return any;
}

void wake_all_spinning() {
    for (unsigned i = 0; i < s.spinning_count; ++i) {
        Fiber& f = *s.spinning[i];
        f.state = READY;
        make_ready(block_of(f), f.warp, 1u << f.lane);
    }
    s.spinning_count = 0;
}

// A new stretch: other favourites, others held back.
void change() {
    static constexpr unsigned LOYALTY[] = {0, 8, 15, 16};
    const uint64_t bits = s.random.bits();
    s.until_change = 1 + s.random.below(bits >> 62 ? 64 : 1024);
    s.block_loyalty = LOYALTY[bits & 3];
    s.warp_loyalty = LOYALTY[bits >> 2 & 3];
    wake_changed();
    thaw();
    if (s.slots > 1 && bits >> 4 & 1) {
        const unsigned most = 1 + s.random.below(s.slots - 1);
        for (unsigned i = 0; i < most; ++i) {
            Block& b = s.blocks[s.random.below(s.slots)];
            if (b.frozen || !b.alive) continue;
            b.frozen = true;
            ++s.frozen_count;
            unlist(b);
        }
    }
    for (unsigned i = 0; i < s.slots; ++i)
        s.blocks[i].shunned = bits >> 5 & 1 ? 1u << s.random.below(WARPS) : 0;
}

unsigned draw_bit(uint32_t mask, unsigned at) {
    const uint32_t turned = mask >> at | mask << (-at & 31u);
    return (static_cast<unsigned>(__builtin_ctz(turned)) + at) & 31u;
}

// The next to run; null if none can.
Fiber* draw() {
    if (--s.until_change == 0) change();
    if (!s.runnable_count) {
        thaw();
        if (!s.runnable_count && !wake_changed()) {
            if (!s.spinning_count || ++s.idle_rounds > IDLE_ROUNDS) return nullptr;
            wake_all_spinning();
        }
        if (!s.runnable_count) thaw();
    }
    const uint64_t bits = s.random.bits() >> 24;
    unsigned slot = s.favourite;
    if (!s.blocks[slot].listed || (bits & 15) >= s.block_loyalty)
        slot = s.runnable[(bits & 0xffffu) * s.runnable_count >> 16];
    Block& b = s.blocks[slot];
    uint32_t warps = b.ready & ~b.shunned;
    if (!warps) warps = b.ready;
    unsigned warp = self().warp;
    if (slot != s.favourite || !(warps >> warp & 1) || (bits >> 16 & 15) >= s.warp_loyalty)
        warp = draw_bit(warps, bits >> 20 & 31);
    s.favourite = slot;
    Warp& w = b.warps[warp];
    const unsigned lane = draw_bit(w.ready, bits >> 25 & 31);
    w.ready &= w.ready - 1 ? ~(1u << lane) : 0;
    w.ready &= ~(1u << lane);
    if (!w.ready) {
        b.ready &= ~(1u << warp);
        if (!b.ready) unlist(b);
    }
    return &b.fiber(warp, lane);
}

}  // namespace
}  // namespace emulation
