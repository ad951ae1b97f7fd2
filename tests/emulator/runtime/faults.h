// Faults of a kernel (a pointer to nowhere, an overflowing stack, a division of integers by zero) and
// a launch that takes too long end the launch with words, not the process.

#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

namespace emulation {

// SIGURG comes from outside, when time is up: nobody else minds it.
constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGURG};
constexpr int SIGNAL_COUNT = sizeof SIGNALS / sizeof *SIGNALS;

// Takes the signals while it is there. Its owner comes back out of sigsetjmp(back, 1) after one.
class Faults {
public:
    sigjmp_buf back;

    // describe(signal, address) is called on a stack of its own.
    explicit Faults(void (*describe)(int, const void*)) : describe(describe), thread(pthread_self()) {
        stack_t own = {};
        own.ss_sp = stack;
        own.ss_size = sizeof stack;
        sigaltstack(&own, &old_stack);
        active = this;
        struct sigaction action = {};
        action.sa_sigaction = handle;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        for (int i = 0; i < SIGNAL_COUNT; ++i) sigaction(SIGNALS[i], &action, &old[i]);
    }
    ~Faults() {
        for (int i = 0; i < SIGNAL_COUNT; ++i) sigaction(SIGNALS[i], &old[i], nullptr);
        active = nullptr;
        if (old_stack.ss_flags & SS_DISABLE) old_stack.ss_size = sizeof stack;  // macOS looks at it
        sigaltstack(&old_stack, nullptr);
    }
    Faults(const Faults&) = delete;

private:
    void (*describe)(int, const void*);
    pthread_t thread;
    stack_t old_stack;
    struct sigaction old[SIGNAL_COUNT];

    static inline Faults* volatile active;
    alignas(16) static inline char stack[64 << 10];

    static void handle(int signal, siginfo_t* information, void*) {
        Faults* self = active;
        if (self && pthread_equal(self->thread, pthread_self())) {
            self->describe(signal, information->si_addr);
            siglongjmp(self->back, 1);
        }
        // Another thread's: it happens again, to whom it happened before. SIGURG may get lost.
        for (int i = 0; self && i < SIGNAL_COUNT; ++i)
            if (SIGNALS[i] == signal && signal != SIGURG) sigaction(signal, &self->old[i], nullptr);
    }
};

}  // namespace emulation
