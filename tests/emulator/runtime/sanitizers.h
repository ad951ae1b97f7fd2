// The functions that a compiler calls for ThreadSanitizer, at every access to memory, and for
// UndefinedBehaviorSanitizer, where an index, a shift or an alignment is wrong.
//
// The sanitizers' own runtime is not linked: it knows nothing of CUDA's blocks, warps and barriers.

#pragma once

#ifdef EMULATION_CHECK

#include "checks.h"

#define EMULATION_HOOK extern "C" __attribute__((visibility("hidden")))
#define EMULATION_TOUCH(SIZE)                                                          \
    EMULATION_HOOK void __tsan_read##SIZE(void* p) {                                   \
        emulation::check::touch(p, SIZE, false, __builtin_return_address(0));          \
    }                                                                                  \
    EMULATION_HOOK void __tsan_write##SIZE(void* p) {                                  \
        emulation::check::touch(p, SIZE, true, __builtin_return_address(0));           \
    }                                                                                  \
    EMULATION_HOOK void __tsan_unaligned_read##SIZE(void* p) {                         \
        emulation::check::touch(p, SIZE, false, __builtin_return_address(0));          \
    }                                                                                  \
    EMULATION_HOOK void __tsan_unaligned_write##SIZE(void* p) {                        \
        emulation::check::touch(p, SIZE, true, __builtin_return_address(0));           \
    }                                                                                  \
    EMULATION_HOOK void __tsan_volatile_read##SIZE(void* p) { __tsan_read##SIZE(p); }  \
    EMULATION_HOOK void __tsan_volatile_write##SIZE(void* p) { __tsan_write##SIZE(p); }
EMULATION_TOUCH(1)
EMULATION_TOUCH(2)
EMULATION_TOUCH(4)
EMULATION_TOUCH(8)
EMULATION_TOUCH(16)
EMULATION_HOOK void __tsan_read_range(void* p, size_t size) {
    emulation::check::touch(p, size, false, __builtin_return_address(0));
}
EMULATION_HOOK void __tsan_write_range(void* p, size_t size) {
    emulation::check::touch(p, size, true, __builtin_return_address(0));
}
EMULATION_HOOK void* __tsan_memcpy(void* to, const void* from, size_t size) {
    emulation::check::touch(from, size, false, __builtin_return_address(0));
    emulation::check::touch(to, size, true, __builtin_return_address(0));
    return memcpy(to, from, size);
}
EMULATION_HOOK void* __tsan_memset(void* to, int value, size_t size) {
    emulation::check::touch(to, size, true, __builtin_return_address(0));
    return memset(to, value, size);
}
EMULATION_HOOK void __tsan_init() {}
EMULATION_HOOK void __tsan_func_entry(void*) {}
EMULATION_HOOK void __tsan_func_exit() {}

EMULATION_HOOK void __ubsan_handle_type_mismatch_v1_abort(void* data, void* p) {
    emulation::check::wrong_address(static_cast<emulation::check::Mismatch*>(data),
                                    reinterpret_cast<uintptr_t>(p));
}
#define EMULATION_UNDEFINED(NAME, WORDS) \
    EMULATION_HOOK void __ubsan_handle_##NAME##_abort(void* data) {   \
        emulation::check::undefined(data, WORDS);                     \
    }
EMULATION_UNDEFINED(out_of_bounds, "an index is outside of its array")
EMULATION_UNDEFINED(shift_out_of_bounds, "a shift by more than there are bits")
EMULATION_UNDEFINED(add_overflow, "a sum of signed integers overflows")
EMULATION_UNDEFINED(sub_overflow, "a difference of signed integers overflows")
EMULATION_UNDEFINED(mul_overflow, "a product of signed integers overflows")
EMULATION_UNDEFINED(negate_overflow, "a negated integer overflows")
EMULATION_UNDEFINED(divrem_overflow, "an integer is divided by zero")

#endif  // EMULATION_CHECK
