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
// it is: two entries, which take turns, since a block may be a step ahead of another.
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

// Where the blocks that have the same sequences wait for each other, those of one blockIdx.y: all at
// work at once, in a cooperative launch, or one alone. Counters from zero, a line of the cache apart.
struct Meeting {
    unsigned* arrived;
    unsigned round;

    __device__ __forceinline__ explicit Meeting(unsigned* counters)
        : arrived(counters + blockIdx.y * 32), round(0) {}

    // This block has written all that the others wait for.
    __device__ __forceinline__ void arrive() {
        __syncthreads();
        if (gridDim.x == 1) return;
        round += gridDim.x;
        if (threadIdx.x == 0) add_release(arrived, 1);
    }

    // All of them have.
    __device__ __forceinline__ void wait() {
        if (gridDim.x > 1 && threadIdx.x == 0)
            while (load_acquire(arrived) < round) {
            }
        __syncthreads();
    }
};

// A block's share of the product of a step, and where it lies in shared memory.
//
//   COLUMNS   rows of the weights that the block owns      STAGES   pieces on their way at once
//   K         what is summed over: warp w takes DEPTH of it at w * DEPTH, (w + WARPS) * DEPTH, …
template <typename Format, int ROWS, int COLUMNS, int DEPTH, int STAGES, bool RESIDENT>
struct Share {
    using Real = typename Format::Real;
    using Element = typename Format::Element;
    static constexpr int WARPS = THREADS / WARP, VECTOR = 16 / sizeof(Element);
    static constexpr int STRIDE = DEPTH + Format::PAD, SPAN = WARPS * DEPTH;
    static constexpr int LINES = RESIDENT ? ROWS : ROWS + COLUMNS;  // of a piece
    static constexpr int PIECE = LINES * STRIDE;                    // elements
    // From one row of sums to the next: so that those that lanes write together meet no bank twice.
    static constexpr int SPREAD = Format::TENSOR ? 8 : 4;
    static constexpr int SUM_STRIDE = COLUMNS + (COLUMNS % (2 * SPREAD) ? 0 : SPREAD);
    // A warp's own memory: first the pieces, then its sums in their place.
    static constexpr int OWN_PIECES = STAGES * PIECE * sizeof(Element);
    static constexpr int OWN_SUMS = ROWS * SUM_STRIDE * sizeof(Real);
    static constexpr int OWN = OWN_PIECES > OWN_SUMS ? OWN_PIECES : OWN_SUMS;

    const Element* weights;  // rows of `step` elements
    Element* resident;       // [COLUMNS][resident_stride], if RESIDENT
    Element* pieces;         // [STAGES][LINES][STRIDE] of this warp
    int K, step, resident_stride, lane, warp;

    __device__ __forceinline__ Share(const Element* weights, int depth) : weights(weights), K(depth) {
        step = (K + VECTOR - 1) / VECTOR * VECTOR;
        lane = threadIdx.x % WARP;
        warp = threadIdx.x / WARP;
        pieces = reinterpret_cast<Element*>(shared_memory() + warp * OWN);
        resident = reinterpret_cast<Element*>(shared_memory() + WARPS * OWN);
        resident_stride = (K + DEPTH - 1) / DEPTH * DEPTH + Format::PAD;
    }

    // Bring the block's weights into shared memory to stay; row(c) is the number of its row c, or
    // negative for one that is not there.
    template <typename Row> __device__ __forceinline__ void settle(Row row) {
        if (!RESIDENT) return;
        const int depth = resident_stride - Format::PAD;
#pragma unroll 1
        for (int c = warp; c < COLUMNS; c += WARPS) {
            const int at = row(c);
            const Element* from = weights + static_cast<long long>(at) * step;
            for (int k = lane * VECTOR; k < depth; k += WARP * VECTOR)
                copy_later(resident + c * resident_stride + k, from + k, at >= 0 && k < K);
        }
        end_group();
        wait_for_groups<0>();
        __syncthreads();
    }

    // This warp's part of A times the weights, for `sum`. A has `rows` rows of `step` elements.
    template <typename Row>
    __device__ __forceinline__ void multiply(const Element* a, int rows, Row row) {
        WarpTile<Format, ROWS, COLUMNS> tile;
        tile.clear();
        int arriving = 0, at = 0;  // pieces take turns with their places
        int asked = warp * DEPTH;
        auto ask = [&] {
            if (asked < K) {
                Element* piece = pieces + arriving * PIECE;
                bring<ROWS>(piece, a, asked, [&](int r) { return r < rows ? r : -1; });
                if (!RESIDENT) bring<COLUMNS>(piece + ROWS * STRIDE, weights, asked, row);
            }
            end_group();
            asked += SPAN;
            arriving = arriving + 1 == STAGES ? 0 : arriving + 1;
        };
#pragma unroll
        for (int n = 0; n < STAGES - 1; ++n) ask();
        for (int k0 = warp * DEPTH; k0 < K; k0 += SPAN) {
            wait_for_groups<STAGES - 2>();
            __syncwarp();  // the piece has come for all lanes, and all are done with the one before
            ask();
            const Element* piece = pieces + at * PIECE;
            tile.template multiply<DEPTH>(piece, STRIDE,
                                          RESIDENT ? resident + k0 : piece + ROWS * STRIDE,
                                          RESIDENT ? resident_stride : STRIDE, lane);
            at = at + 1 == STAGES ? 0 : at + 1;
        }
        __syncwarp();
        Real* mine = sums(warp);
        using Run = Pack<Real, decltype(tile)::RUN>;
        tile.each_run(
            lane, [&](int r) { return mine + r * SUM_STRIDE; },
            [&](Real* at, int c, Run run) { *reinterpret_cast<Run*>(at + c) = run; });
        __syncthreads();
    }

    // The whole sums for some neighbours, from column c on, their parts added in order of the warps.
    template <int COUNT> __device__ __forceinline__ void sum(int r, int c, Real (&total)[COUNT]) const {
        constexpr int MOST = 16 / sizeof(Real);
        constexpr int WIDTH = COUNT % MOST == 0 ? MOST : COUNT % 2 == 0 ? 2 : 1;
        using Vector = Pack<Real, WIDTH>;
#pragma unroll
        for (int w = 0; w < WARPS; ++w) {
            const Vector* part = reinterpret_cast<const Vector*>(sums(w) + r * SUM_STRIDE + c);
#pragma unroll
            for (int i = 0; i < COUNT; ++i) {
                const Real value = part[i / WIDTH].at[i % WIDTH];
                total[i] = w ? total[i] + value : value;
            }
        }
    }

private:
    static __device__ __forceinline__ Real* sums(int warp) {
        return reinterpret_cast<Real*>(shared_memory() + warp * OWN);
    }

    // Ask for DEPTH elements from k0 on of some rows; row(r) is the number of row r, or negative.
    template <int COUNT, typename Row>
    __device__ __forceinline__ void bring(Element* piece, const Element* from, int k0, Row row) {
        constexpr int ACROSS = DEPTH / VECTOR, ROWS_AT_ONCE = WARP / ACROSS;
        const int r0 = lane / ACROSS, k = lane % ACROSS * VECTOR;
        const bool within = k0 + k < K;
        from += k0 + k;
        piece += r0 * STRIDE + k;
#pragma unroll 4  // more at once, and all their addresses would be kept in registers
        for (int r = 0; r < COUNT; r += ROWS_AT_ONCE) {
            if (COUNT % ROWS_AT_ONCE && r0 + r >= COUNT) break;
            const int at = row(r0 + r);
            copy_later(piece + r * STRIDE, from + static_cast<long long>(at) * step, at >= 0 && within);
        }
    }
};

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
