// Fibers: stacks that are mapped once for a process, and the switch from one to another.
//
// The switch is by hand because swapcontext asks the kernel about signals each time, and _longjmp is
// checked by some C libraries against just this use.

#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

namespace emulation {

#define EMULATION_STRING(x) EMULATION_STRING_OF(x)
#define EMULATION_STRING_OF(x) #x
#define EMULATION_SWITCH EMULATION_STRING(__USER_LABEL_PREFIX__) "emulation_switch"

// Save what a called function has to keep, and the stack pointer in *from; go on from `to`.
extern "C" __attribute__((visibility("hidden"))) void emulation_switch(void** from, void* to);

#if defined(__x86_64__)
__asm__(
    ".text\n"
    ".globl " EMULATION_SWITCH "\n" EMULATION_SWITCH ":\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n");

// A stack from which emulation_switch goes to `start`, as if it had been called.
inline void* fresh_stack(char* top, void (*start)()) {
    void** at = reinterpret_cast<void**>(top);  // aligned to 16
    *--at = nullptr;                            // where `start` would return to
    *--at = reinterpret_cast<void*>(start);
    for (int i = 0; i < 6; ++i) *--at = nullptr;
    return at;
}
#elif defined(__aarch64__)
__asm__(
    ".text\n"
    ".globl " EMULATION_SWITCH "\n"
    ".p2align 2\n" EMULATION_SWITCH ":\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp, #0]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n"
    "  stp x25, x26, [sp, #48]\n  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n"
    "  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
    "  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
    "  ldp x19, x20, [sp, #0]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n"
    "  ldp x25, x26, [sp, #48]\n  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n"
    "  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
    "  add sp, sp, #160\n"
    "  ret\n");

inline void* fresh_stack(char* top, void (*start)()) {
    void** at = reinterpret_cast<void**>(top) - 20;
    for (int i = 0; i < 20; ++i) at[i] = nullptr;
    at[11] = reinterpret_cast<void*>(start);  // x30, where `ret` goes
    return at;
}
#else
#error "The emulator switches stacks on x86-64 and arm64 only."
#endif

// Stacks, in chunks that are never given back. Above each stack lies the record of its fiber; below
// it a page that cannot be touched, so an overflow is a fault and not another fiber's memory.
class Pool {
public:
    static constexpr size_t STACK = 128 << 10, IN_CHUNK = 512, CHUNKS = 128;
    static constexpr size_t MOST = IN_CHUNK * CHUNKS;

    // The end of the memory of stack `index`; null if the system has no more.
    char* top(size_t index) {
        char*& chunk = chunks[index / IN_CHUNK];
        if (!chunk && !map(chunk)) return nullptr;
        // Equal places of all stacks would lie in the same set of a cache: move each by some lines.
        return chunk + (index % IN_CHUNK + 1) * STACK - index % 61 * 64;
    }
    // Whether an address belongs to the stacks.
    bool has(const void* address) const {
        for (const char* chunk : chunks) {
            if (!chunk) return false;
            if (static_cast<size_t>(static_cast<const char*>(address) - chunk) < IN_CHUNK * STACK)
                return true;
        }
        return false;
    }
    // Whether it is in a page below a stack.
    bool is_guard(const void* address) const {
        for (const char* chunk : chunks) {
            const size_t offset = static_cast<const char*>(address) - chunk;
            if (chunk && offset < IN_CHUNK * STACK) return offset % STACK < page();
        }
        return false;
    }

private:
    char* chunks[CHUNKS] = {};

    static size_t page() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }
    static bool map(char*& chunk) {
#ifdef MAP_NORESERVE
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#else
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#endif
        void* at = mmap(nullptr, IN_CHUNK * STACK, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (at == MAP_FAILED) return false;
        chunk = static_cast<char*>(at);
        for (size_t i = 0; i < IN_CHUNK; ++i) mprotect(chunk + i * STACK, page(), PROT_NONE);
        return true;
    }
};

}  // namespace emulation
