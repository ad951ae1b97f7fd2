// The scheduler: runs the threads of a launch as fibers. A fiber runs until it waits: for its block,
// its warp, or a value in memory. Then another that is ready is drawn; see order.h.

#include "faults.h"
#include "checks.h"
#include "order.h"
#include "sanitizers.h"

namespace emulation {

namespace {

constexpr unsigned GUARD = 256;            // bytes before and behind shared memory
constexpr unsigned char UNTOUCHED = 0xa5;  // what they hold
constexpr unsigned char POISON = 0xff;     // shared memory at first: NaN in every format
constexpr unsigned RESIDENT = 4;           // blocks of a plain launch that run at once, at most

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
    s.entry->run(s.request->arguments);
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
    b.number = static_cast<unsigned>(number);
    b.index = index_of_block(number);
    b.alive = b.threads;
    b.arrived = 0;
    b.ready = b.shunned = 0;
    b.listed = b.frozen = false;
    memset(b.shared - GUARD, UNTOUCHED, GUARD);
    memset(b.shared, POISON, s.shared);
    memset(b.shared + s.shared, UNTOUCHED, GUARD);
    for (unsigned i = 0; i < b.threads; ++i) {
        Fiber& f = *b.fibers[i];
        f.index = place_in(s.block, i);
        f.state = READY;
        f.watched = nullptr;
        f.copies.begun = f.copies.done = f.copies.group = 0;
        char* top = reinterpret_cast<char*>(&f);
        f.stack_pointer = fresh_stack(top - reinterpret_cast<uintptr_t>(top) % 16, start_thread);
    }
    check::block_starts(b);
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
    const unsigned most = s.request->cooperative ? Pool::MOST / s.threads : 1 + s.random.below(RESIDENT);
    if (s.request->cooperative && s.total > most) {
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
    s.memories_size = s.slots * memory + 64;
    s.memories = static_cast<char*>(malloc(s.memories_size));
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
        b.shared = memories + i * memory + GUARD;
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
    if (!check::prepare()) {
        say("no memory to check that of the launch");
        return false;
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
    check::comes_to_block(f, b);
    if (++b.arrived == b.threads) {
        b.arrived = 0;
        check::block_meets(b);
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
    if (come_to_warp(what, line)) {
        Fiber& f = self();
        check::warp_meets(block_of(f), f.warp);  // a shuffle or a product orders no memory
        release_warp();
    }
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

unsigned add_and_release(unsigned* p, unsigned value) {
    check::releases(self(), p);
    return add(p, value);
}

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
    check::acquires(f, p);
    return f.seen;
}

void refuse(const char* what, int line) {
    say_thread(self());
    say(" asks in line %d for what the emulator has not: %s", line, what);
    leave_failed();
}

int launch(const Entry& entry, const Request& request) {
    s = Launch{};
    s.entry = &entry;
    s.request = &request;
    s.grid = dim3(request.grid[0], request.grid[1], request.grid[2]);
    s.block = dim3(request.block[0], request.block[1], request.block[2]);
    s.threads = s.block.x * s.block.y * s.block.z;
    s.total = static_cast<uint64_t>(s.grid.x) * s.grid.y * s.grid.z;
    s.shared = static_cast<unsigned>(request.shared);
    s.random = Random(request.seed);
    request.message[0] = 0;
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
    check::end();
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
EMULATION_EXPORT int emulation_checks() { return emulation::check::ON; }
EMULATION_EXPORT void emulation_use_pool(void* pool) {
    emulation::pool = static_cast<emulation::Pool*>(pool);
}
