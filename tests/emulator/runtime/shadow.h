// Who touched which bytes last, for libraries that are compiled to be checked; checks.h asks.
// Neighbours are told apart if they lie in different pairs of bytes.

#pragma once

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

namespace emulation {

constexpr unsigned LANES = 32;
constexpr uint16_t LANES_OF_WARP = 0x8000, WARPS_OF_BLOCK = 0xffff;

// Who touched some bytes, and when, on the clocks of its block and warp.
struct Access {
    uint32_t block;  // its number + 1; 0 for nobody
    uint32_t phase, warp_phase;
    uint32_t code;    // where in the library
    uint16_t thread;  // or of several: LANES_OF_WARP + warp, or WARPS_OF_BLOCK

    unsigned warp() const { return (thread & ~LANES_OF_WARP) / (thread & LANES_OF_WARP ? 1 : LANES); }
};

// The last write to two bytes, and the reads since.
struct Cell {
    Access write, read;
    uint32_t more;  // reads by other blocks: an index into the nodes
};

// What a fiber knows of the accesses of others: those of block b before its phase known[b].
struct Observer {
    Access self;
    const uint32_t* known;     // of its block; null if blocks are not ordered
    const uint32_t* acquired;  // its own; may be null

    bool comes_after(const Access& a) const {
        if (a.block != self.block) {
            return known && (known[a.block - 1] > a.phase ||
                             (acquired && acquired[a.block - 1] > a.phase));
        }
        if (a.phase != self.phase || a.thread == self.thread) return true;
        if (a.thread == WARPS_OF_BLOCK) return false;
        return a.warp() == self.warp() && a.warp_phase < self.warp_phase;
    }
};

// Memory that is mapped once and used again from launch to launch.
template <typename T> class Arena {
public:
    T* at(size_t index) { return items + index; }
    // The first of `count` more, zero; null if there is no more.
    T* take(size_t count) {
        if (!items) {
            void* mapped = mmap(nullptr, MOST, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | NORESERVE, -1, 0);
            if (mapped == MAP_FAILED) return nullptr;
            items = static_cast<T*>(mapped);
        }
        if ((used + count) * sizeof(T) > MOST) return nullptr;
        T* first = items + used;
        used += count;
        memset(static_cast<void*>(first), 0, count * sizeof(T));
        return first;
    }
    size_t count() const { return used; }
    void clear() {
        // A large launch's memory goes back to the system.
        if (used * sizeof(T) > KEPT) madvise(items, used * sizeof(T), MADV_DONTNEED);
        used = 0;
    }

private:
    static constexpr size_t MOST = size_t(8) << 30, KEPT = size_t(1) << 20;
#ifdef MAP_NORESERVE
    static constexpr int NORESERVE = MAP_NORESERVE;
#else
    static constexpr int NORESERVE = 0;
#endif
    T* items = nullptr;
    size_t used = 0;
};

// Reads by blocks beyond the first.
struct Node {
    Access read;
    uint32_t next;
};

// The cells of global memory, page by page.
class Shadow {
public:
    static constexpr size_t PAGE = 4096, CELL = 2;

    // The cell of an address; null if there is no more memory for cells.
    Cell* cell(uintptr_t address) {
        const uintptr_t number = address / PAGE;
        if (number != last_number) {
            size_t i = number * 0x9e3779b97f4a7c15u >> (64 - BITS);
            while (table[i].cells && table[i].number != number) i = (i + 1) & (SLOTS - 1);
            if (!table[i].cells) {
                if (used == SLOTS / 2) return nullptr;
                Cell* fresh = cells.take(PAGE / CELL);
                if (!fresh) return nullptr;
                table[i] = {number, fresh};
                ++used;
            }
            last_number = number;
            last_cells = table[i].cells;
        }
        return last_cells + address % PAGE / CELL;
    }

    // Note a read that has been found to be in order.
    void note_read(Cell& cell, const Observer& o) {
        if (merged(cell.read, o.self)) return;
        uint32_t* link = &cell.more;
        for (; *link; link = &nodes.at(*link)->next)
            if (merged(nodes.at(*link)->read, o.self)) return;
        // Where blocks are not ordered, two of them conflict with every writer.
        if (!o.known && cell.more) return;
        if (nodes.count() == 0) nodes.take(1);  // index 0 is none
        Node* node = nodes.take(1);
        if (!node) return;
        node->read = o.self;
        *link = static_cast<uint32_t>(nodes.count() - 1);
    }

    // The read that a write does not come after, if any.
    const Access* unordered_read(const Cell& cell, const Observer& o) {
        if (cell.read.block && !o.comes_after(cell.read)) return &cell.read;
        for (uint32_t i = cell.more; i; i = nodes.at(i)->next)
            if (!o.comes_after(nodes.at(i)->read)) return &nodes.at(i)->read;
        return nullptr;
    }

    void clear() {
        if (used) memset(table, 0, sizeof table);
        used = 0;
        last_number = ~uintptr_t(0);
        cells.clear();
        nodes.clear();
    }

private:
    static constexpr size_t BITS = 16, SLOTS = size_t(1) << BITS;
    struct Entry {
        uintptr_t number;
        Cell* cells;
    };
    Entry table[SLOTS];
    size_t used = 0;
    uintptr_t last_number = ~uintptr_t(0);
    Cell* last_cells = nullptr;
    Arena<Cell> cells;
    Arena<Node> nodes;

    // One block's reads in one phase are told by the latest, and by whether there are others.
    static bool merged(Access& a, const Access& now) {
        if (a.block && a.block != now.block) return false;
        if (!a.block || a.phase != now.phase) {
            a = now;
        } else if (a.thread == now.thread) {
            a.warp_phase = now.warp_phase;
        } else if (a.thread != WARPS_OF_BLOCK) {
            if (a.warp() != now.warp())
                a.thread = WARPS_OF_BLOCK;
            else if (a.warp_phase < now.warp_phase)
                a = now;
            else
                a.thread = static_cast<uint16_t>(LANES_OF_WARP + a.warp());
        }
        return true;
    }
};

}  // namespace emulation
