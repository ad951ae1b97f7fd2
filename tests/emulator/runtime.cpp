// The scheduler: runs the threads of a launch as fibers, in an order drawn from a seed.
//
// A fiber runs until it waits: for its block, its warp, or a value in memory. Then another that is
// ready is drawn. For stretches of random length the draw favours one block and one warp, keeps a
// block frozen or a warp back until nothing else can run: what relies on an order that nothing
// enforces meets the opposite order soon.

#include "runtime.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime_faults.h"
#include "shim_launch.h"

namespace emulation {

ThreadView* current;
unsigned until_yield;

namespace {

constexpr unsigned GUARD = 256;             // bytes before and behind shared memory
constexpr unsigned char UNTOUCHED = 0xa5;   // what they hold
constexpr unsigned char POISON = 0xff;      // shared memory at first: NaN in every format
constexpr unsigned IDLE_ROUNDS = 2000;      // of spinning by all before it is called a deadlock
constexpr unsigned RESIDENT = 4;            // blocks of a plain launch that run at once, at most

const char* const NAMES[COLLECTIVES] = {
    "__syncwarp", "a shuffle", "multiply_tf32", "multiply_bfloat16", "multiply_float16"};

Pool own_pool;
Pool* pool = &own_pool;

struct Launch {
    const Entry* entry;
    void** arguments;
    unsigned threads, shared;
    bool cooperative;
    uint64_t total, started, ended;
    uint64_t first, stride;  // block number n is first + n * stride, modulo the total
    dim3 grid, block;
    char* message;
    size_t message_size;
    bool failed;

    Random random{0};
    void* main_stack;  // of the caller, while fibers run
    Block* blocks;
    unsigned slots;
    Fiber** fibers;
    char* memories;
    unsigned* runnable;  // blocks with a fiber that is ready, by slot
    unsigned runnable_count, frozen_count, favourite;
    Fiber** spinning;
    unsigned spinning_count;
    unsigned idle_rounds;
    unsigned until_change;
    unsigned block_loyalty, warp_loyalty;  // of 16: how often the same is drawn again
    Block* ended_block;
};
Launch s;

Fiber& self() { return *static_cast<Fiber*>(current); }
Block& block_of(const Fiber& f) {
    return *static_cast<Block*>(const_cast<BlockView*>(f.block));
}

// --- words ---------------------------------------------------------------------------------------

__attribute__((format(printf, 1, 2))) void say(const char* format, ...) {
    const size_t used = strlen(s.message);
    if (used + 1 >= s.message_size) return;
    va_list values;
    va_start(values, format);
    vsnprintf(s.message + used, s.message_size - used, format, values);
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

[[noreturn]] void leave_failed() {
    s.failed = true;
    void* unused;
    emulation_switch(&unused, s.main_stack);
    __builtin_unreachable();
}

// --- who runs ------------------------------------------------------------------------------------

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

// Let another run; comes back when this fiber is drawn again.
void leave() {
    Fiber& f = self();
    Fiber* next = draw();
    if (!next) {
        say_deadlock();
        leave_failed();
    }
    if (next == &f) return;
    current = next;
    emulation_switch(&f.stack_pointer, next->stack_pointer);
}

void start_thread() {
    s.entry->run(s.arguments);
    Fiber& f = self();
    Block& b = block_of(f);
    Warp& w = b.warps[f.warp];
    f.state = EXITED;
    s.idle_rounds = 0;
    w.exited |= 1u << f.lane;
    if (b.arrived || w.arrived) {
        say_thread(f);
        say(" returned while others of its %s wait:", b.arrived ? "block" : "warp");
        say_waits(b);
        leave_failed();
    }
    void* unused;
    if (--b.alive == 0) {
        s.ended_block = &b;
        emulation_switch(&unused, s.main_stack);
    }
    Fiber* next = draw();
    if (!next) {
        say_deadlock();
        leave_failed();
    }
    current = next;
    emulation_switch(&unused, next->stack_pointer);
    abort();  // nobody comes back to a thread that has returned
}

// --- blocks --------------------------------------------------------------------------------------

void start_block(Block& b, uint64_t number) {
    const uint64_t at = (s.first + number % s.total * s.stride) % s.total;
    b.index = {static_cast<unsigned>(at % s.grid.x),
               static_cast<unsigned>(at / s.grid.x % s.grid.y),
               static_cast<unsigned>(at / s.grid.x / s.grid.y)};
    b.alive = b.threads;
    b.arrived = 0;
    b.ready = b.shunned = 0;
    b.listed = b.frozen = false;
    memset(b.memory, UNTOUCHED, GUARD);
    memset(b.shared, POISON, s.shared);
    memset(b.shared + s.shared, UNTOUCHED, GUARD);
    for (unsigned i = 0; i < b.threads; ++i) {
        Fiber& f = *b.fibers[i];
        f.index = {i % s.block.x, i / s.block.x % s.block.y, i / s.block.x / s.block.y};
        f.state = READY;
        f.watched = nullptr;
        char* top = reinterpret_cast<char*>(&f);
        f.stack_pointer = fresh_stack(top - reinterpret_cast<uintptr_t>(top) % 16, start_thread);
    }
    for (unsigned w = 0; w * LANES < b.threads; ++w) {
        Warp& warp = b.warps[w];
        const unsigned lanes = b.threads - w * LANES;
        warp = {};
        warp.members = lanes >= LANES ? FULL : (1u << lanes) - 1;
        make_ready(b, w, warp.members);
    }
}

// The first byte that was written outside a block's shared memory, if any.
bool guards_hold(const Block& b) {
    auto touched = [](const char* guard) {
        for (unsigned i = 0; i < GUARD; ++i)
            if (static_cast<unsigned char>(guard[i]) != UNTOUCHED) return static_cast<int>(i);
        return -1;
    };
    const int before = touched(b.shared - GUARD), behind = touched(b.shared + s.shared);
    if (before < 0 && behind < 0) return true;
    say_block(b);
    say(" wrote outside its %u bytes of shared memory: at byte %d", s.shared,
        behind >= 0 ? static_cast<int>(s.shared) + behind : before - static_cast<int>(GUARD));
    return false;
}

bool prepare() {
    const unsigned most = s.cooperative ? Pool::MOST / s.threads : 1 + s.random.below(RESIDENT);
    if (s.cooperative && s.total > most) {
        say("%llu blocks of %u threads at once are more than the emulator has stacks for",
            static_cast<unsigned long long>(s.total), s.threads);
        return false;
    }
    s.slots = static_cast<unsigned>(s.total < most ? s.total : most);
    const size_t memory = (s.shared + 2 * GUARD + 31) / 32 * 32;
    s.blocks = static_cast<Block*>(calloc(s.slots, sizeof(Block)));
    s.runnable = static_cast<unsigned*>(calloc(s.slots, sizeof(unsigned)));
    s.spinning = static_cast<Fiber**>(calloc(s.slots * s.threads, sizeof(Fiber*)));
    s.fibers = static_cast<Fiber**>(calloc(s.slots * s.threads, sizeof(Fiber*)));
    s.memories = static_cast<char*>(malloc(s.slots * memory + 64));
    if (!s.blocks || !s.runnable || !s.spinning || !s.fibers || !s.memories) {
        say("out of memory");
        return false;
    }
    // A multiple of 16 and of nothing larger, which is all that CUDA promises.
    char* memories = s.memories + 48 - reinterpret_cast<uintptr_t>(s.memories + GUARD) % 32;
    for (unsigned i = 0; i < s.slots; ++i) {
        Block& b = s.blocks[i];
        b.block_dim = s.block;
        b.grid_dim = s.grid;
        b.threads = s.threads;
        b.fibers = s.fibers + i * s.threads;
        b.memory = memories + i * memory;
        b.shared = b.memory + GUARD;
        for (unsigned t = 0; t < s.threads; ++t) {
            char* top = pool->top(i * s.threads + t);
            if (!top) {
                say("no memory for the stacks of %u threads", s.slots * s.threads);
                return false;
            }
            Fiber* f = reinterpret_cast<Fiber*>(top - (sizeof(Fiber) + 63) / 64 * 64);
            f->block = &b;
            f->warp = static_cast<uint8_t>(t / LANES);
            f->lane = static_cast<uint8_t>(t % LANES);
            b.fibers[t] = f;
        }
    }
    return true;
}

uint64_t common_divisor(uint64_t x, uint64_t y) { return y ? common_divisor(y, x % y) : x; }

// Every block once, in an order that is far from their numbers'.
void shuffle_blocks() {
    s.first = s.random.bits() % s.total;
    do
        s.stride = 1 + s.random.bits() % s.total;
    while (common_divisor(s.stride, s.total) != 1);
}

void run() {
    shuffle_blocks();
    for (unsigned i = 0; i < s.slots; ++i) start_block(s.blocks[i], s.started++);
    current = s.blocks[0].fibers[0];
    change();
    until_yield = 1 + s.random.below(64);
    while (s.ended < s.total) {
        s.ended_block = nullptr;
        Fiber* next = draw();
        if (!next) {
            say_deadlock();
            s.failed = true;
            return;
        }
        current = next;
        emulation_switch(&s.main_stack, next->stack_pointer);
        if (s.failed) return;
        if (!guards_hold(*s.ended_block)) {
            s.failed = true;
            return;
        }
        ++s.ended;
        if (s.started < s.total) start_block(*s.ended_block, s.started++);
    }
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

// --- what kernels call ---------------------------------------------------------------------------

void wait_for_block(int line) {
    Fiber& f = self();
    Block& b = block_of(f);
    s.idle_rounds = 0;
    if (b.alive < b.threads || (b.arrived && b.line != line)) {
        say_thread(f);
        say(" is at __syncthreads in line %d, where the others do not come:", line);
        say_waits(b);
        leave_failed();
    }
    f.state = AT_BLOCK;
    b.line = line;
    if (++b.arrived == b.threads) {
        b.arrived = 0;
        for (unsigned w = 0; w * LANES < b.threads; ++w) {
            set_states(b, w, b.warps[w].members, READY);
            make_ready(b, w, b.warps[w].members);
        }
    }
    leave();
}

namespace {

bool come_to_warp(Collective what, int line) {
    Fiber& f = self();
    Block& b = block_of(f);
    Warp& w = b.warps[f.warp];
    s.idle_rounds = 0;
    if (w.exited || (w.arrived && (w.what != what || w.line != line)) ||
        (what != SYNCWARP && w.members != FULL)) {
        say_thread(f);
        say(" is at %s in line %d, where %s:", NAMES[what], line,
            w.members != FULL ? "its warp has less than 32 lanes"
                              : "other lanes of its warp do not come");
        say_waits(b);
        leave_failed();
    }
    f.state = AT_WARP;
    w.what = what;
    w.line = line;
    w.arrived |= 1u << f.lane;
    return w.arrived == w.members;
}

void release_warp() {
    Fiber& f = self();
    Block& b = block_of(f);
    Warp& w = b.warps[f.warp];
    w.arrived = 0;
    set_states(b, f.warp, w.members, READY);
    make_ready(b, f.warp, w.members);
}

}  // namespace

void wait_for_warp(Collective what, int line) {
    if (come_to_warp(what, line)) release_warp();
    leave();
}

int lane() { return self().lane; }

void shuffle(void* to, const void* from, unsigned size, int source, int line) {
    Fiber& f = self();
    f.to = to;
    f.from[0] = from;
    f.size = size;
    f.source = source;
    if (come_to_warp(SHUFFLE, line)) {
        Block& b = block_of(f);
        for (unsigned i = 0; i < LANES; ++i) {
            Fiber& lane = b.fiber(f.warp, i);
            memcpy(lane.to, b.fiber(f.warp, static_cast<unsigned>(lane.source)).from[0], lane.size);
        }
        release_warp();
    }
    leave();
}

void multiply(Collective what, float* c, const unsigned* a, const unsigned* b, int line) {
    Fiber& f = self();
    f.to = c;
    f.from[0] = a;
    f.from[1] = b;
    if (come_to_warp(what, line)) {
        Block& block = block_of(f);
        Fragments all;
        for (unsigned i = 0; i < LANES; ++i) {
            Fiber& lane = block.fiber(f.warp, i);
            all.c[i] = static_cast<float*>(lane.to);
            all.a[i] = static_cast<const unsigned*>(lane.from[0]);
            all.b[i] = static_cast<const unsigned*>(lane.from[1]);
        }
        if (what == MULTIPLY_TF32) {
            const int bad = unrounded_lane(all);
            if (bad >= 0) {
                say_thread(block.fiber(f.warp, static_cast<unsigned>(bad)));
                say(" gave multiply_tf32 in line %d an operand that round_tf32 has not made", line);
                leave_failed();
            }
            multiply_8(all);
        } else if (what == MULTIPLY_BFLOAT16) {
            multiply_16<float_of_bfloat16>(all);
        } else {
            multiply_16<float_of_float16>(all);
        }
        release_warp();
    }
    leave();
}

void yield() {
    until_yield = 1 + s.random.below(256);
    Fiber& f = self();
    make_ready(block_of(f), f.warp, 1u << f.lane);
    leave();
}

unsigned add(unsigned* p, unsigned value) {
    maybe_yield();
    s.idle_rounds = 0;
    const unsigned before = *p;
    *p = before + value;
    return before;
}

unsigned add_and_release(unsigned* p, unsigned value) { return add(p, value); }

unsigned read_and_acquire(const unsigned* p) {
    Fiber& f = self();
    const volatile unsigned* fresh = p;
    if (f.watched == p && f.seen == *fresh) {
        f.state = SPINNING;
        s.spinning[s.spinning_count++] = &f;
        leave();
    } else if (s.random.bits() >> 63) {
        yield();
    }
    f.watched = p;
    f.seen = *fresh;
    return f.seen;
}

void refuse(const char* what, int line) {
    say_thread(self());
    say(" asks in line %d for what the emulator has not: %s", line, what);
    leave_failed();
}

int launch(const Entry& entry, const unsigned* grid, const unsigned* block,
           unsigned long long shared, int cooperative, unsigned long long seed, void** arguments,
           char* message, unsigned long long message_size) {
    s = Launch{};
    s.entry = &entry;
    s.arguments = arguments;
    s.grid = dim3(grid[0], grid[1], grid[2]);
    s.block = dim3(block[0], block[1], block[2]);
    s.threads = block[0] * block[1] * block[2];
    s.total = static_cast<uint64_t>(grid[0]) * grid[1] * grid[2];
    s.shared = static_cast<unsigned>(shared);
    s.cooperative = cooperative != 0;
    s.random = Random(seed);
    s.message = message;
    s.message_size = message_size;
    message[0] = 0;
    if (s.threads == 0 || s.threads > LANES * WARPS || s.total == 0) {
        say("a grid of %llu blocks of %u threads", static_cast<unsigned long long>(s.total),
            s.threads);
        return 1;
    }
    if (s.threads > entry.most_threads) {
        say("%u threads in a block, and __launch_bounds__ allows %u", s.threads,
            entry.most_threads);
        return 1;
    }
    if (prepare()) {
        Faults faults(describe_fault);
        if (sigsetjmp(faults.back, 1) == 0)
            run();
        else
            s.failed = true;
    } else {
        s.failed = true;
    }
    current = nullptr;
    free(s.blocks);
    free(s.runnable);
    free(s.spinning);
    free(s.fibers);
    free(s.memories);
    return s.failed;
}

}  // namespace emulation

// One process has one pool of stacks, that of the library which it loaded first.
EMULATION_EXPORT void* emulation_pool() { return emulation::pool; }
EMULATION_EXPORT void emulation_use_pool(void* pool) {
    emulation::pool = static_cast<emulation::Pool*>(pool);
}
