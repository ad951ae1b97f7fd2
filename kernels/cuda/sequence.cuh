// The sequence: a cell's steps through time, forward and back. It knows nothing of gates.
//
//   T, B, H      steps, sequences, hidden units          S    slots of the cell
//   z            (T, B, S, H)  fed by W x + b on entry; each slot's stored value after its step;
//                dL/dz of each slot after its backward step
//   weights      forward   U (FED_BY_H * H, H), row `slot * H + unit`
//                backward  its transpose (H, FED_BY_H * H)
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
// Two schedules, one code. *Whole*: one cooperative launch takes all steps, its blocks meeting at a
// barrier after each; with RESIDENT, a block's weights stay in shared memory throughout. *Steps*: a
// launch a step, for devices that cannot have all blocks at work at once.

// The steps of a launch, in the order in which they are taken: step n is at time n, or at T - 1 - n in
// reverse.
struct Steps {
    long long first, last;
    long long origin;  // the earliest time that z holds
    long long T, B, H;
    long long reverse;

    __device__ __forceinline__ long long time(long long n) const { return reverse ? T - 1 - n : n; }
    // Which entry of z is step n's.
    __device__ __forceinline__ long long row(long long n) const { return time(n) - origin; }
};

constexpr long long RING = -1;

// Where the states lie. base[s] is the earliest entry of T + 1 that the array holds, or RING for an
// array of two entries that take turns.
template <typename Cell> struct Arrays {
    using Real = typename Cell::Real;
    Real* state[Cell::STATES];
    long long base[Cell::STATES];

    __device__ __forceinline__ Real* before(int s, long long n, const Steps& steps) const {
        return entry(s, n, steps.reverse ? steps.T - n : n, steps);
    }
    __device__ __forceinline__ Real* after(int s, long long n, const Steps& steps) const {
        return entry(s, n + 1, steps.reverse ? steps.T - 1 - n : n + 1, steps);
    }

private:
    __device__ __forceinline__ Real* entry(int s, long long turn, long long place,
                                           const Steps& steps) const {
        return state[s] + (base[s] == RING ? turn % 2 : place - base[s]) * steps.B * steps.H;
    }
};

// visit(p, r, c, b, u) for each sequence b = b0 + r and unit u = unit0 + c of a block that is this
// thread's; p counts them.
template <int ROWS, int UNITS, typename Visit>
__device__ __forceinline__ void each_pair(long long b0, long long unit0, const Steps& steps,
                                          Visit visit) {
#pragma unroll
    for (int p = 0; p < (ROWS * UNITS + THREADS - 1) / THREADS; ++p) {
        const int i = p * THREADS + threadIdx.x;
        const long long b = b0 + i / UNITS, u = unit0 + i % UNITS;
        if (i < ROWS * UNITS && b < steps.B && u < steps.H) visit(p, i / UNITS, i % UNITS, b, u);
    }
}

// All blocks of a launch wait here for each other: of one block, or a cooperative launch of several,
// for which `arrived` counts from zero.
__device__ __forceinline__ void grid_barrier(unsigned* arrived, unsigned& round) {
    __syncthreads();
    const unsigned blocks = gridDim.x * gridDim.y;
    if (blocks == 1) return;
    round += blocks;
    if (threadIdx.x == 0) {
        add_release(arrived, 1);
        while (load_acquire(arrived) < round) {
        }
    }
    __syncthreads();
}

// A block's share of the product of a step, and where it lies in shared memory.
//
//   COLUMNS   rows of the weights that the block owns      K    what is summed over
template <typename Format, int ROWS, int COLUMNS, int DEPTH, bool RESIDENT> struct Share {
    using Real = typename Format::Real;
    using Element = typename Format::Element;
    static constexpr int WARPS = THREADS / WARP;
    static constexpr int STRIDE = DEPTH + Format::PAD;
    static constexpr int SPAN = WARPS * DEPTH;  // k of all warps together

    Element* resident;  // [COLUMNS][resident_stride], if RESIDENT
    Element* rows;      // [ROWS][STRIDE] of this warp
    Element* columns;   // [COLUMNS][STRIDE] of this warp, unless RESIDENT
    Real* sums;         // [WARPS][ROWS][COLUMNS]
    long long K;
    int resident_stride, lane, warp;

    __device__ __forceinline__ explicit Share(long long depth) {
        K = depth;
        lane = threadIdx.x % WARP;
        warp = threadIdx.x / WARP;
        sums = reinterpret_cast<Real*>(shared_memory());
        Element* next = reinterpret_cast<Element*>(sums + WARPS * ROWS * COLUMNS);
        rows = next + warp * ROWS * STRIDE;
        next += WARPS * ROWS * STRIDE;
        columns = next + warp * COLUMNS * STRIDE;
        resident = next;
        resident_stride = static_cast<int>((K + SPAN - 1) / SPAN * SPAN) + Format::PAD;
    }

    // Bring the block's weights into shared memory to stay; row(c) is where row c of them begins.
    template <typename Row> __device__ __forceinline__ void settle(Row row) {
        if (!RESIDENT) return;
        const int depth = resident_stride - Format::PAD;
        for (int c = warp; c < COLUMNS; c += WARPS) {
            const typename Format::Stored* from = row(c);
            for (int k = lane; k < depth; k += WARP)
                resident[c * resident_stride + k] =
                    operand<Format>(from && k < K ? from[k] : typename Format::Stored(0));
        }
        __syncthreads();
    }

    // sums[warp] = this warp's part of A times the weights; line(r) is where row r of A begins, or
    // null for one outside the batch.
    template <typename Line, typename Row>
    __device__ __forceinline__ void multiply(Line line, bool aligned, Row row, bool row_aligned) {
        WarpTile<Format, ROWS, COLUMNS> tile;
        tile.clear();
        for (long long k0 = warp * DEPTH; k0 < K; k0 += SPAN) {
            const int inside = least(K - k0, DEPTH);
            bring<ROWS, true, Real>(rows, aligned, inside, [&](int r) -> const Real* {
                const Real* from = line(r);
                return from ? from + k0 : nullptr;
            });
            if (!RESIDENT) {
                using Stored = typename Format::Stored;
                bring<COLUMNS, false, Stored>(columns, row_aligned, inside,
                                              [&](int c) -> const Stored* {
                                                  const Stored* from = row(c);
                                                  return from ? from + k0 : nullptr;
                                              });
            }
            __syncwarp();
            tile.template multiply<DEPTH>(rows, STRIDE, RESIDENT ? resident + k0 : columns,
                                          RESIDENT ? resident_stride : STRIDE, lane);
            __syncwarp();
        }
        Real* mine = sums + warp * ROWS * COLUMNS;
        tile.each(lane, [&](int r, int c, Real sum) { mine[r * COLUMNS + c] = sum; });
        __syncthreads();
    }

    // The whole sum for a place, its parts added in order of the warps.
    __device__ __forceinline__ Real sum(int r, int c) const {
        Real total = sums[r * COLUMNS + c];
#pragma unroll
        for (int w = 1; w < WARPS; ++w) total += sums[(w * ROWS + r) * COLUMNS + c];
        return total;
    }

private:
    // Some rows at a time, as many as have their numbers in registers together.
    template <int COUNT, bool FRESH, typename Source, typename Line>
    __device__ __forceinline__ void bring(Element* tile, bool aligned, int inside, Line line) {
        constexpr int MOST = 32 * WARP / DEPTH;  // 32 numbers a lane
        constexpr int AT_ONCE = COUNT % 16 == 0 && MOST >= 16 ? 16 : COUNT % 8 == 0 ? 8 : 4;
        static_assert(COUNT % AT_ONCE == 0, "rows come in whole portions");
#pragma unroll 1
        for (int r0 = 0; r0 < COUNT; r0 += AT_ONCE) {
            Stage<Format, AT_ONCE, DEPTH, WARP, true, FRESH, Source> stage;
            stage.fetch(lane, aligned, inside, [&](int r) { return line(r0 + r); });
            stage.put(lane, tile + r0 * STRIDE, STRIDE);
        }
    }
};

template <typename Format, typename Cell, int ROWS, int UNITS, int DEPTH, bool RESIDENT>
__device__ __forceinline__ void forward_steps(
    typename Cell::Real* z, const typename Format::Stored* weights, const typename Cell::Real* bias,
    const long long* lengths, typename Cell::Real* output, Arrays<Cell> arrays, Steps steps,
    unsigned* arrived) {
    using Real = typename Cell::Real;
    constexpr int S = Cell::SLOTS, STATES = Cell::STATES, ONLY_X = S - Cell::FED_BY_H;
    constexpr int PAIRS = (ROWS * UNITS + THREADS - 1) / THREADS;
    const long long H = steps.H, B = steps.B;
    const long long unit0 = static_cast<long long>(blockIdx.x) * UNITS;

    // Column `slot * UNITS + u` of the product is unit u of a slot fed by h.
    auto row = [&](int c) -> const typename Format::Stored* {
        const long long unit = unit0 + c % UNITS;
        return unit < H ? weights + (c / UNITS * H + unit) * H : nullptr;
    };
    const bool row_aligned = whole_vectors(weights, H);
    Share<Format, ROWS, Cell::FED_BY_H * UNITS, DEPTH, RESIDENT> share(H);
    share.settle(row);

    unsigned round = 0;
    for (long long n = steps.first; n < steps.last; ++n) {
        const long long t = steps.time(n);
        for (long long b0 = blockIdx.y * ROWS; b0 < B; b0 += gridDim.y * ROWS) {
            // What does not depend on the product is asked for before it.
            Real given[PAIRS][S], last[PAIRS][STATES];
            each_pair<ROWS, UNITS>(b0, unit0, steps, [&](int p, int, int, long long b, long long u) {
                const Real* at = z + ((steps.row(n) * B + b) * S) * H + u;
#pragma unroll
                for (int s = 0; s < Cell::FED_BY_X; ++s) given[p][s] = at[s * H];
#pragma unroll
                for (int s = Cell::FED_BY_X; s < S; ++s)
                    given[p][s] = bias ? bias[s * H + u] : Real(0);
#pragma unroll
                for (int s = 0; s < STATES; ++s)
                    last[p][s] = arrays.before(s, n, steps)[b * H + u];
            });
            const Real* from = arrays.before(0, n, steps);
            share.multiply(
                [&](int r) -> const Real* { return b0 + r < B ? from + (b0 + r) * H : nullptr; },
                whole_vectors(from, H), row, row_aligned);
            each_pair<ROWS, UNITS>(b0, unit0, steps, [&](int p, int r, int c, long long b,
                                                         long long u) {
                Real* at = z + ((steps.row(n) * B + b) * S) * H + u;
                Real gate[S], state[STATES];
#pragma unroll
                for (int s = ONLY_X; s < S; ++s)
                    given[p][s] += share.sum(r, (s - ONLY_X) * UNITS + c);
                Cell::forward(given[p], last[p], gate, state);
                const bool on = !lengths || t < lengths[b];
#pragma unroll
                for (int s = 0; s < S; ++s) at[s * H] = on ? gate[s] : Real(0);
#pragma unroll
                for (int s = 0; s < STATES; ++s)
                    arrays.after(s, n, steps)[b * H + u] = on ? state[s] : last[p][s];
                if (output) output[(t * B + b) * H + u] = on ? state[0] : Real(0);
            });
            __syncthreads();  // the sums have been read
        }
        if (n + 1 < steps.last) grid_barrier(arrived, round);
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
    long long finish, started;
};

template <typename Format, typename Cell, int ROWS, int UNITS, int DEPTH, bool RESIDENT>
__device__ __forceinline__ void backward_steps(
    const typename Cell::Real* z, typename Cell::Real* dz, const typename Format::Stored* weights,
    const long long* lengths, Arrays<Cell> arrays, Gradients<Cell> gradients, Steps steps,
    unsigned* arrived) {
    using Real = typename Cell::Real;
    constexpr int S = Cell::SLOTS, STATES = Cell::STATES, ONLY_X = S - Cell::FED_BY_H;
    constexpr int PAIRS = (ROWS * UNITS + THREADS - 1) / THREADS;
    const long long H = steps.H, B = steps.B;
    const long long unit0 = static_cast<long long>(blockIdx.x) * UNITS;

    auto row = [&](int c) -> const typename Format::Stored* {
        const long long unit = unit0 + c;
        return unit < H ? weights + unit * Cell::FED_BY_H * H : nullptr;
    };
    const bool row_aligned = whole_vectors(weights, Cell::FED_BY_H * H);
    Share<Format, ROWS, UNITS, DEPTH, RESIDENT> share(Cell::FED_BY_H * H);
    share.settle(row);

    unsigned round = 0;
    // One turn more than there are steps: the last brings dL/dh past the first step, if wanted.
    const long long end = steps.first - (gradients.finish ? 1 : 0);
    for (long long n = steps.last - 1; n >= end; --n) {
        const bool is_step = n >= steps.first, has_later = n < gradients.started;
        const long long t = steps.time(n);
        for (long long b0 = blockIdx.y * ROWS; b0 < B; b0 += gridDim.y * ROWS) {
            // What does not depend on the product is asked for before it.
            Real gate[PAIRS][S], state[PAIRS][STATES], last[PAIRS][STATES], grad[PAIRS][STATES];
            Real outside[PAIRS];
            each_pair<ROWS, UNITS>(b0, unit0, steps, [&](int p, int, int, long long b,
                                                         long long u) {
#pragma unroll
                for (int s = 0; s < STATES; ++s) grad[p][s] = gradients.carry[s][b * H + u];
                if (!is_step) return;
                const Real* at = z + ((steps.row(n) * B + b) * S) * H + u;
#pragma unroll
                for (int s = 0; s < S; ++s) gate[p][s] = at[s * H];
#pragma unroll
                for (int s = 0; s < STATES; ++s) {
                    state[p][s] = arrays.after(s, n, steps)[b * H + u];
                    last[p][s] = arrays.before(s, n, steps)[b * H + u];
                }
                outside[p] =
                    gradients.output ? gradients.output[(t * B + b) * H + u] : Real(0);
            });
            if (has_later) {
                const Real* from = dz + (steps.row(n + 1) * B * S + ONLY_X) * H;
                share.multiply(
                    [&](int r) -> const Real* {
                        return b0 + r < B ? from + (b0 + r) * S * H : nullptr;
                    },
                    whole_vectors(from, S * H), row, row_aligned);
            }
            each_pair<ROWS, UNITS>(b0, unit0, steps, [&](int p, int r, int c, long long b,
                                                         long long u) {
                if (has_later) grad[p][0] += share.sum(r, c);
                // A step past a sequence's end takes no gradient and passes all of it on.
                const bool on = is_step && (!lengths || t < lengths[b]);
                Real total[STATES], dslot[S], dlast[STATES];
                if (on) {
                    grad[p][0] += outside[p];
                    Cell::backward(gate[p], state[p], last[p], grad[p], total, dslot, dlast);
                }
#pragma unroll
                for (int s = 0; s < STATES; ++s) {
                    gradients.carry[s][b * H + u] = on ? dlast[s] : grad[p][s];
                    if (is_step && gradients.total[s])
                        gradients.total[s][(t * B + b) * H + u] = on ? total[s] : Real(0);
                }
                if (!is_step) return;
                Real* at = dz + ((steps.row(n) * B + b) * S) * H + u;
#pragma unroll
                for (int s = 0; s < S; ++s) at[s * H] = on ? dslot[s] : Real(0);
            });
            __syncthreads();  // the sums have been read
        }
        if (n > end) grid_barrier(arrived, round);
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
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= steps.B * steps.H) return;
    const long long b = i / steps.H, u = i % steps.H;
    for (long long n = steps.first; n < steps.last; ++n) {
        Real* at = z + (steps.row(n) * steps.B + b) * S * steps.H + u;
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
