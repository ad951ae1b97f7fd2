// How a kernel is called from outside: its parameters, and its arguments as untyped memory.

#pragma once

#include "shim.h"

namespace emulation {

struct Parameter {
    unsigned size;
    unsigned is_pointer;
};

// A kernel as the runtime calls it, once in each thread.
struct Entry {
    const char* name;
    const char* parameter_names;  // with a comma between
    const Parameter* parameters;
    unsigned parameter_count;
    unsigned most_threads;  // of a block, by __launch_bounds__
    void (*run)(void** arguments);
};

template <typename T> struct IsPointer { static constexpr bool value = false; };
template <typename T> struct IsPointer<T*> { static constexpr bool value = true; };

template <unsigned... I> struct Indices {};
template <unsigned N, unsigned... I> struct MakeIndices : MakeIndices<N - 1, N - 1, I...> {};
template <unsigned... I> struct MakeIndices<0, I...> { using type = Indices<I...>; };

template <typename F, F* KERNEL> struct Caller;
template <typename... A, void (*KERNEL)(A...)> struct Caller<void(A...), KERNEL> {
    static constexpr unsigned COUNT = sizeof...(A);
    static constexpr Parameter PARAMETERS[COUNT + 1] = {{sizeof(A), IsPointer<A>::value}..., {}};

    // Arguments are no memory of the kernel's, so reading them is not checked.
    template <unsigned... I>
    __attribute__((no_sanitize("thread"))) static void unpack(void** arguments, Indices<I...>) {
        (void)arguments;
        KERNEL(*static_cast<A*>(arguments[I])...);
    }
    static void run(void** arguments) { unpack(arguments, typename MakeIndices<COUNT>::type()); }
};

// __launch_bounds__(threads, ...)
constexpr unsigned bound() { return 1024; }
template <typename... More> constexpr unsigned bound(unsigned threads, More...) { return threads; }

struct Region {
    unsigned long long address, size;
};

// What a launch is asked for with; launch.py has the same.
struct Request {
    unsigned grid[3], block[3];
    unsigned long long shared;  // bytes
    unsigned long long cooperative;
    unsigned long long seed;
    void** arguments;       // where each lies
    const Region* regions;  // the memory that the kernel may touch
    long long region_count;  // negative if that is not known
    char* message;
    unsigned long long message_size;
};

// Returns 0, or 1 with words in the message.
int launch(const Entry& entry, const Request& request);

}  // namespace emulation

#define EMULATION_EXPORT extern "C" __attribute__((visibility("default")))

// The launcher emulated_NAME, and emulated_NAME_entry, which describes it.
#define EMULATION_ENTRY(NAME, PARAMETER_NAMES, BOUNDS)                                             \
    EMULATION_EXPORT const emulation::Entry emulated_##NAME##_entry = {                            \
        #NAME, PARAMETER_NAMES, emulation::Caller<decltype(NAME), NAME>::PARAMETERS,               \
        emulation::Caller<decltype(NAME), NAME>::COUNT, emulation::bound BOUNDS,                   \
        emulation::Caller<decltype(NAME), NAME>::run};                                             \
    EMULATION_EXPORT int emulated_##NAME(const emulation::Request* request) {                      \
        return emulation::launch(emulated_##NAME##_entry, *request);                               \
    }
