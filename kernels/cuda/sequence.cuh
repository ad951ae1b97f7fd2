// The sequence: a cell's steps through time, forward and back. It knows nothing of gates.
//
//   T, B, H      steps, sequences, hidden units          S    slots of the cell
//   z            (T, B, S, H)  fed by W x + b on entry; each slot's stored value after its step;
//                dL/dz of each slot after its backward step
//   weights      forward   U (FED_BY_H * H, H), row `slot * H + unit`
//                backward  its transpose (H, FED_BY_H * H)
//   handed       (2, B, …) between blocks, see below: forward (…, H), backward (…, FED_BY_H * H)
//   states       entries (B, H): the state before the first step, then the one after each, or the
//                other way round in reverse; see `Arrays`
//   lengths      (B) or null: a step at or past it changes no state and gives zeros
//
// Slots fed by x alone lie first in a row of z and those fed by h alone last, so what x feeds is the
// first part of a row and what h feeds is the last.
//
// A block owns UNITS units, and with them their slots' rows of the weights; it takes ROWS sequences
// at a time. The product with h is cut along k among its warps, whose sums meet in shared memory,
// where one thread for each sequence and unit adds them in order and runs the cell's equations.
//
// What a step's product reads, h or, backward, dL/dz, was written by many blocks. They hand it over in
// `handed`, as the format has it and in rows of whole vectors, so that it is copied to shared memory as
// it is (share.cuh): two entries, which take turns, since a block may be a step ahead of another.
//
// Two schedules, one code. *Whole*: one cooperative launch takes all steps, the blocks that have the
// same sequences meeting at a barrier after each; with RESIDENT, a block's weights stay in shared
// memory throughout. *Steps*: a launch a step, for devices that cannot have all blocks at work at once.
// Of a step's results only what is handed over is written before the barrier; the rest is written while
// the others are waited for.

// The steps of a launch, in the order in which they are taken: step n is at time n, or at T - 1 - n in
// reverse.
//
// All of a step's numbers can be counted in an int, all of a sequence's cannot: what is reckoned for every
// number is reckoned in ints, from where the step begins.
struct Steps {
    int first, last;
    int origin;  // the earliest time that z holds
    int T, B, H;
    bool reverse;

    __device__ __forceinline__ int time(int n) const { return reverse ? T - 1 - n : n; }
    // Where step n's part of z begins, of which a sequence has `row` numbers.
    __device__ __forceinline__ long long part(int n, int row) const {
        return static_cast<long long>(time(n) - origin) * (B * row);
    }
    // Likewise of an array (T, B, H).
    __device__ __forceinline__ long long whole(int n) const {
        return static_cast<long long>(time(n)) * (B * H);
    }
};

constexpr long long RING = -1;

// Where the states lie. base[s] is the earliest entry of T + 1 that the array holds, or RING for an
// array of two entries that take turns.
template <typename Cell> struct Arrays {
    using Real = typename Cell::Real;
    Real* state[Cell::STATES];
    long long base[Cell::STATES];

    __device__ __forceinline__ Real* before(int s, int n, const Steps& steps) const {
        return entry(s, n, steps.reverse ? steps.T - n : n, steps);
    }
    __device__ __forceinline__ Real* after(int s, int n, const Steps& steps) const {
        return entry(s, n + 1, steps.reverse ? steps.T - 1 - n : n + 1, steps);
    }

private:
    __device__ __forceinline__ Real* entry(int s, int turn, int place, const Steps& steps) const {
        const long long at = base[s] == RING ? turn % 2 : place - base[s];
        return state[s] + at * (steps.B * steps.H);
    }
};

// visit(p, r, c) for each sequence r past b0 and unit c past unit0 that is this thread's, of those
// that are there; p counts them.
template <int ROWS, int UNITS, typename Visit>
__device__ __forceinline__ void each_pair(int b0, int unit0, const Steps& steps, Visit visit) {
#pragma unroll
    for (int p = 0; p < (ROWS * UNITS + THREADS - 1) / THREADS; ++p) {
        const int i = p * THREADS + threadIdx.x, r = i / UNITS, c = i % UNITS;
        if (i < ROWS * UNITS && b0 + r < steps.B && unit0 + c < steps.H) visit(p, r, c);
    }
}

template <typename Format, typename Cell, int ROWS, int UNITS, int DEPTH, int STAGES, bool RESIDENT>
__device__ __forceinline__ void forward_steps(
    typename Cell::Real* z, const typename Format::Element* weights,
    typename Format::Element* handed, const typename Cell::Real* bias, const long long* lengths,
    typename Cell::Real* output, Arrays<Cell> arrays, Steps steps, unsigned* counters) {
    using Real = typename Cell::Real;
    constexpr int S = Cell::SLOTS, STATES = Cell::STATES, FED = Cell::FED_BY_H, ONLY_X = S - FED;
    constexpr int PAIRS = (ROWS * UNITS + THREADS - 1) / THREADS;
    const int H = steps.H, B = steps.B, row = S * H;
    const int unit0 = blockIdx.x * UNITS, begin = blockIdx.y * ROWS, stride = gridDim.y * ROWS;

    // Column `u * FED + slot` of the product is unit u of a slot fed by h.
    auto weight = [&](int c) {
        const int unit = unit0 + c / FED;
        return unit < H ? c % FED * H + unit : -1;
    };
    Share<Format, ROWS, FED * UNITS, DEPTH, STAGES, RESIDENT> share(weights, H);
    share.settle(weight);

    Meeting meeting(counters);
    for (int n = steps.first; n < steps.last; ++n) {
        const int t = steps.time(n);
        Real* gates = z + steps.part(n, row) + unit0;
        const typename Format::Element* from = handed + n % 2 * (B * share.step);
        typename Format::Element* to = handed + (n + 1) % 2 * (B * share.step) + unit0;
        for (int b0 = begin; b0 < B; b0 += stride) {
            // What does not depend on the product is asked for before it.
            Real gate[PAIRS][S], last[PAIRS][STATES], state[PAIRS][STATES];
            each_pair<ROWS, UNITS>(b0, unit0, steps, [&](int p, int r, int c) {
                const Real* at = gates + (b0 + r) * row + c;
#pragma unroll
                for (int s = 0; s < Cell::FED_BY_X; ++s) gate[p][s] = at[s * H];
#pragma unroll
                for (int s = Cell::FED_BY_X; s < S; ++s)
                    gate[p][s] = bias ? bias[s * H + unit0 + c] : Real(0);
#pragma unroll
                for (int s = 0; s < STATES; ++s)
                    last[p][s] = arrays.before(s, n, steps)[(b0 + r) * H + unit0 + c];
            });
            share.multiply(from + b0 * share.step, B - b0, weight);
            each_pair<ROWS, UNITS>(b0, unit0, steps, [&](int p, int r, int c) {
                Real given[S], from_h[FED];
                share.sum(r, c * FED, from_h);
#pragma unroll
                for (int s = 0; s < S; ++s)
                    given[s] = s < ONLY_X ? gate[p][s] : gate[p][s] + from_h[s < ONLY_X ? 0 : s - ONLY_X];
                Cell::forward(given, last[p], gate[p], state[p]);
                if (lengths && t >= lengths[b0 + r]) {  // past a sequence's end
#pragma unroll
                    for (int s = 0; s < STATES; ++s) state[p][s] = last[p][s];
                }
                to[(b0 + r) * share.step + c] = Format::round(state[p][0]);
            });
            if (b0 + stride >= B && n + 1 < steps.last)
                meeting.arrive();
            else
                __syncthreads();  // the sums have been read
            each_pair<ROWS, UNITS>(b0, unit0, steps, [&](int p, int r, int c) {
                const bool on = !lengths || t < lengths[b0 + r];
                Real* at = gates + (b0 + r) * row + c;
#pragma unroll
                for (int s = 0; s < S; ++s) at[s * H] = on ? gate[p][s] : Real(0);
                const int i = (b0 + r) * H + unit0 + c;
#pragma unroll
                for (int s = 0; s < STATES; ++s) arrays.after(s, n, steps)[i] = state[p][s];
                if (output) output[steps.whole(n) + i] = on ? state[p][0] : Real(0);
            });
        }
        if (n + 1 == steps.last) break;
        each_pair<ROWS, UNITS>(begin, unit0, steps, [&](int, int r, int c) {
            const Real* at = z + steps.part(n + 1, row) + unit0 + (begin + r) * row + c;
#pragma unroll
            for (int s = 0; s < Cell::FED_BY_X; ++s) expect(at + s * H);
        });
        meeting.wait();
    }
}

// Backward through the steps last - 1 … first.
//
//   dz        where dL/dz goes; z itself, or apart from it when the gates are to be kept
//   doutput   (T, B, H) or null
//   carry     each (B, H): on entry dL/d state after step last - 1 by way of what comes later; on
//             exit dL/d state before step `first`
//   total     each (T, B, H) or null: dL/d state_t in all
//   finish    whether dL/dh before `first` is wanted, which takes one product more
//   started   the first step of this pass, the latest: the carry holds all that reaches it
template <typename Cell> struct Gradients {
    using Real = typename Cell::Real;
    const Real* output;
    Real* carry[Cell::STATES];
    Real* total[Cell::STATES];
    long long finish;
    int started;
};

template <typename Format, typename Cell, int ROWS, int UNITS, int DEPTH, int STAGES, bool RESIDENT>
__device__ __forceinline__ void backward_steps(
    const typename Cell::Real* z, typename Cell::Real* dz, const typename Format::Element* weights,
    typename Format::Element* handed, const long long* lengths, Arrays<Cell> arrays,
    Gradients<Cell> gradients, Steps steps, unsigned* counters) {
    using Real = typename Cell::Real;
    constexpr int S = Cell::SLOTS, STATES = Cell::STATES, FED = Cell::FED_BY_H, ONLY_X = S - FED;
    constexpr int PAIRS = (ROWS * UNITS + THREADS - 1) / THREADS;
    const int H = steps.H, B = steps.B, row = S * H;
    const int unit0 = blockIdx.x * UNITS, begin = blockIdx.y * ROWS, stride = gridDim.y * ROWS;

    auto weight = [&](int c) { return unit0 + c < H ? unit0 + c : -1; };
    Share<Format, ROWS, UNITS, DEPTH, STAGES, RESIDENT> share(weights, FED * H);
    share.settle(weight);

    Meeting meeting(counters);
    // One turn more than there are steps: the last brings dL/dh past the first step, if wanted.
    const int end = steps.first - (gradients.finish ? 1 : 0);
    for (int n = steps.last - 1; n >= end; --n) {
        const bool is_step = n >= steps.first, has_later = n < gradients.started;
        const int t = steps.time(n);
        const long long now = steps.part(n, row) + unit0;
        const typename Format::Element* from = handed + (n + 1) % 2 * (B * share.step);
        typename Format::Element* to = handed + (n + 2) % 2 * (B * share.step) + unit0;
        for (int b0 = begin; b0 < B; b0 += stride) {
            // What does not depend on the product is asked for before it. In the end gate, state and
            // grad hold dL/dz, the states' gradients in all, and what goes to the step before.
            Real gate[PAIRS][S], state[PAIRS][STATES], last[PAIRS][STATES], grad[PAIRS][STATES];
            Real outside[PAIRS];
            each_pair<ROWS, UNITS>(b0, unit0, steps, [&](int p, int r, int c) {
                const int i = (b0 + r) * H + unit0 + c;
#pragma unroll
                for (int s = 0; s < STATES; ++s) grad[p][s] = gradients.carry[s][i];
                if (!is_step) return;
                const Real* at = z + now + (b0 + r) * row + c;
#pragma unroll
                for (int s = 0; s < S; ++s) gate[p][s] = at[s * H];
#pragma unroll
                for (int s = 0; s < STATES; ++s) {
                    state[p][s] = arrays.after(s, n, steps)[i];
                    last[p][s] = arrays.before(s, n, steps)[i];
                }
                outside[p] = gradients.output ? gradients.output[steps.whole(n) + i] : Real(0);
            });
            if (has_later) share.multiply(from + b0 * share.step, B - b0, weight);
            each_pair<ROWS, UNITS>(b0, unit0, steps, [&](int p, int r, int c) {
                if (has_later) {
                    Real later[1];
                    share.sum(r, c, later);
                    grad[p][0] += later[0];
                }
                if (!is_step) return;
                // A step past a sequence's end takes no gradient and passes all of it on.
                const bool on = !lengths || t < lengths[b0 + r];
                Real total[STATES] = {}, dslot[S] = {}, dlast[STATES];
                if (on) {
                    grad[p][0] += outside[p];
                    Cell::backward(gate[p], state[p], last[p], grad[p], total, dslot, dlast);
                }
#pragma unroll
                for (int s = 0; s < STATES; ++s) {
                    state[p][s] = total[s];
                    if (on) grad[p][s] = dlast[s];
                }
                typename Format::Element* at = to + (b0 + r) * share.step + c;
#pragma unroll
                for (int s = 0; s < S; ++s) {
                    gate[p][s] = dslot[s];
                    if (s >= ONLY_X) at[(s - ONLY_X) * H] = Format::round(dslot[s]);
                }
            });
            if (b0 + stride >= B && n > end)
                meeting.arrive();
            else
                __syncthreads();  // the sums have been read
            each_pair<ROWS, UNITS>(b0, unit0, steps, [&](int p, int r, int c) {
                const int i = (b0 + r) * H + unit0 + c;
#pragma unroll
                for (int s = 0; s < STATES; ++s) {
                    gradients.carry[s][i] = grad[p][s];
                    if (is_step && gradients.total[s])
                        gradients.total[s][steps.whole(n) + i] = state[p][s];
                }
                if (!is_step) return;
                Real* at = dz + now + (b0 + r) * row + c;
#pragma unroll
                for (int s = 0; s < S; ++s) at[s * H] = gate[p][s];
            });
        }
        if (n == end) break;
        if (n > steps.first)
            each_pair<ROWS, UNITS>(begin, unit0, steps, [&](int, int r, int c) {
                const Real* at = z + steps.part(n - 1, row) + unit0 + (begin + r) * row + c;
                const int i = (begin + r) * H + unit0 + c;
#pragma unroll
                for (int s = 0; s < S; ++s) expect(at + s * H);
#pragma unroll
                for (int s = 0; s < STATES; ++s) expect(arrays.before(s, n - 1, steps) + i);
                if (gradients.output) expect(gradients.output + steps.whole(n - 1) + i);
            });
        meeting.wait();
    }
}

// The gates of some steps again, from their pre-activations in z and the states before them: each
// thread takes one unit of one sequence through time. h is there for every step; other states are
// there before the first, and are written as they come.
template <typename Cell>
__device__ __forceinline__ void rebuild_steps(typename Cell::Real* z, const long long* lengths,
                                              Arrays<Cell> arrays, Steps steps) {
    using Real = typename Cell::Real;
    constexpr int S = Cell::SLOTS, STATES = Cell::STATES;
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= steps.B * steps.H) return;
    const int b = i / steps.H, u = i % steps.H, row = S * steps.H;
    for (int n = steps.first; n < steps.last; ++n) {
        Real* at = z + steps.part(n, row) + b * row + u;
        Real given[S], last[STATES], gate[S], state[STATES];
#pragma unroll
        for (int s = 0; s < S; ++s) given[s] = at[s * steps.H];
#pragma unroll
        for (int s = 0; s < STATES; ++s) last[s] = arrays.before(s, n, steps)[i];
        Cell::forward(given, last, gate, state);
        const bool on = !lengths || steps.time(n) < lengths[b];
#pragma unroll
        for (int s = 0; s < S; ++s) at[s * steps.H] = on ? gate[s] : Real(0);
#pragma unroll
        for (int s = 1; s < STATES; ++s) arrays.after(s, n, steps)[i] = on ? state[s] : last[s];
    }
}
