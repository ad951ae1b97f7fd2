// Large products: C = start + A B^T over all of time and batch at once.
//
//   M, N, K      rows of A, rows of B, and what is summed over
//   A (M, K)     A_ALONG_K: element (m, k) at a[m * a_step + k], else at a[k * a_step + m]
//   B (N, K)     likewise with n
//   C (M, N)     element (m, n) at c[m * c_step + n]
//   ROWS, COLUMNS, DEPTH   of a block's tile; 8 warps share it, WARP_ROWS of them one under another
//   STAGES       tiles of each operand that have room: one is multiplied, the others are on their way
//
// Operands come as elements of the format, their lines a whole number of 16 bytes long and apart: what
// lies otherwise, operands.cuh lays out first. Each element of C is summed in order of k. A sum too long
// for the few tiles of C is cut along k into gridDim.z slices, whose results, slice_step apart,
// `add_slices` sums in order: the same bits in every run.

// The lesser of a count and what fits a tile.
__device__ __forceinline__ int least(long long count, int most) {
    return count < most ? static_cast<int>(count) : most;
}

enum Start { ZERO = 0, ROW = 1, C_ITSELF = 2 };  // what a sum is added to: nothing, start[n], c[m, n]

// One operand's tiles of a block: where they lie, and the vectors of 16 bytes that this thread copies.
//
//   ALONG_K   a tile is [ROWS][DEPTH] as the operand is, else [DEPTH][ROWS]; see Lines
template <typename Format, int ROWS, int DEPTH, bool ALONG_K> struct Side {
    using Element = typename Format::Element;
    static constexpr int VECTOR = 16 / sizeof(Element);
    static constexpr int LINES = ALONG_K ? ROWS : DEPTH, LENGTH = ALONG_K ? DEPTH : ROWS;
    static constexpr Lines LIE = !ALONG_K ? TURNED : Format::TENSOR ? EXCHANGED : PADDED;
    static constexpr int STRIDE =
        LENGTH + (LIE == PADDED ? Format::PAD : LIE == TURNED ? Format::PAD_TURNED : 0);
    static constexpr int SIZE = LINES * STRIDE;
    static constexpr int ACROSS = LENGTH / VECTOR;   // vectors in a line
    static constexpr int APART = THREADS / ACROSS;   // lines from one vector of a thread to its next
    static constexpr int COUNT = LINES / APART;
    static_assert(LENGTH % VECTOR == 0 && THREADS % ACROSS == 0 && LINES % APART == 0,
                  "each thread has as many vectors");
    static_assert(LIE != EXCHANGED || (ACROSS == 4 && APART % 8 == 0), "vectors can be exchanged");

    const Element* from;  // this thread's first vector of the next tile
    long long step;       // from line to line
    int line, at, rows;   // its place in a tile; how many rows are inside

    __device__ __forceinline__ Side(const Element* operand, long long step, long long row0,
                                    long long k0, long long all_rows)
        : step(step) {
        line = threadIdx.x / ACROSS;
        at = threadIdx.x % ACROSS * VECTOR;
        rows = least(all_rows - row0, ROWS);
        from = operand + ((ALONG_K ? row0 : k0) + line) * step + (ALONG_K ? k0 : row0) + at;
    }

    // Have the next tile come there, of which so much of k is inside; what is outside counts as zero.
    __device__ __forceinline__ void fetch(Element* tile, int inside) {
        const int vector = at / VECTOR;
        Element* to = tile + line * STRIDE;
        to += (LIE == EXCHANGED ? exchanged(line, vector) : vector) * VECTOR;
        const int lines = (ALONG_K ? rows : inside) - line;
        const bool whole = at < (ALONG_K ? inside : rows);
        const Element* source = from;
#pragma unroll
        for (int n = 0; n < COUNT; ++n) {
            copy_later(to + n * APART * STRIDE, source, whole && n * APART < lines);
            source += APART * step;
        }
        from = ALONG_K ? from + DEPTH : source;  // DEPTH lines on
    }

    // Where in a tile a warp's rows begin.
    static __device__ __forceinline__ int place(int row) { return ALONG_K ? row * STRIDE : row; }
};

// A warp's tile of exact operands: 4 by 8 lanes, each with M by N elements of C. A vector of 16 bytes
// in shared memory is V elements of k, or V neighbours at one k; either way a lane reads M + N vectors
// for V of k. Each element is one chain of fused multiply-adds in order of k.
template <typename Format, int ROWS, int COLUMNS, bool A_ALONG_K, bool B_ALONG_K> struct LaneTile {
    using Real = typename Format::Real;
    static constexpr int DOWN = 4, ACROSS = 8;
    static constexpr int M = ROWS / DOWN, N = COLUMNS / ACROSS, V = Format::K_STEP;
    static constexpr int RUN = B_ALONG_K ? 1 : V;  // neighbours in a row of C
    static_assert(M % V == 0 && N % V == 0, "a lane's share is whole vectors");
    using Vector = Pack<Real, V>;
    Real c[M][N];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < M; ++i)
#pragma unroll
            for (int j = 0; j < N; ++j) c[i][j] = 0;
    }

    template <int DEPTH, int A_STRIDE, int B_STRIDE>
    __device__ __forceinline__ void multiply(const Real* a, const Real* b, int lane) {
        a += row<DOWN, A_ALONG_K>(0, down(lane)) * (A_ALONG_K ? A_STRIDE : 1);
        b += row<ACROSS, B_ALONG_K>(0, across(lane)) * (B_ALONG_K ? B_STRIDE : 1);
        // Where a step holds the most numbers at once, a second would not fit into the registers.
        constexpr int TURNS = (A_ALONG_K || B_ALONG_K) && sizeof(c) >= 256 ? 1 : DEPTH / V;
#pragma unroll TURNS
        for (int k = 0; k < DEPTH; k += V) {
            Real left[V][M], right[V][N];
            load<M, DOWN, A_ALONG_K, A_STRIDE>(left, a, k);
            load<N, ACROSS, B_ALONG_K, B_STRIDE>(right, b, k);
#pragma unroll
            for (int v = 0; v < V; ++v)
#pragma unroll
                for (int i = 0; i < M; ++i)
#pragma unroll
                    for (int j = 0; j < N; ++j) c[i][j] = fma(left[v][i], right[v][j], c[i][j]);
        }
    }

    // Add value(column) to what this lane holds of each column.
    template <typename Value> __device__ __forceinline__ void add_to_columns(int lane, Value value) {
#pragma unroll
        for (int j = 0; j < N; ++j) {
            const Real added = value(row<ACROSS, B_ALONG_K>(j, across(lane)));
#pragma unroll
            for (int i = 0; i < M; ++i) c[i][j] += added;
        }
    }

    // visit(line(row), column, values) for every RUN neighbours that this lane holds, unless the line is
    // null.
    template <typename Line, typename Visit>
    __device__ __forceinline__ void each_run(int lane, Line line, Visit visit) const {
#pragma unroll
        for (int i = 0; i < M; ++i) {
            auto at = line(row<DOWN, A_ALONG_K>(i, down(lane)));
            if (!at) continue;
#pragma unroll
            for (int j = 0; j < N; j += RUN) {
                Pack<Real, RUN> values;
#pragma unroll
                for (int e = 0; e < RUN; ++e) values.at[e] = c[i][j + e];
                visit(at, row<ACROSS, B_ALONG_K>(j, across(lane)), values);
            }
        }
    }

private:
    // Two lanes that differ in bit 0 read the same of one operand, in bit 1 to 3 of the other: the halves
    // of a warp, which a wide read takes one after the other, ask for as little as can be.
    static __device__ __forceinline__ int down(int lane) { return lane % 2 + lane / 16 * 2; }
    static __device__ __forceinline__ int across(int lane) { return lane / 2 % 8; }

    // Which row of its operand is a lane's number i, where LANES take turns with single rows or vectors.
    template <int LANES, bool ALONG_K> static __device__ __forceinline__ int row(int i, int mine) {
        return ALONG_K ? i * LANES + mine : (i / V * LANES + mine) * V + i % V;
    }

    // A lane's numbers at k and the V - 1 after it, from where its first row is.
    template <int COUNT, int LANES, bool ALONG_K, int STRIDE>
    static __device__ __forceinline__ void load(Real (&to)[V][COUNT], const Real* first, int k) {
        const Real* from = first + (ALONG_K ? k : k * STRIDE);
#pragma unroll
        for (int n = 0; n < COUNT; ++n) {
            // Vector n is of row n, or number n / V of those at k + n % V.
            const int at = ALONG_K ? n * LANES * STRIDE : n / V * LANES * V + n % V * STRIDE;
            const Vector vector = *reinterpret_cast<const Vector*>(from + at);
#pragma unroll
            for (int e = 0; e < V; ++e)
                to[ALONG_K ? e : n % V][ALONG_K ? n : n / V * V + e] = vector.at[e];
        }
    }
};

// Which tile of C a block has. Tiles that are at work together form a band of a few rows, so that what
// they read of both operands is little, and stays in the second-level cache.
struct Place {
    int row, column;

    __device__ __forceinline__ Place(int block, int rows, int columns) {
        constexpr int BAND = 8;
        const int first = block / (BAND * columns) * BAND, inside = block - first * columns;
        const int high = rows - first < BAND ? rows - first : BAND;
        row = first + inside % high;
        column = inside / high;
    }
};

template <typename Format, int ROWS, int COLUMNS, int DEPTH, int WARP_ROWS, int STAGES,
          bool A_ALONG_K, bool B_ALONG_K>
__device__ __forceinline__ void product(typename Format::Real* c, long long c_step,
                                        long long slice_step, const typename Format::Element* a,
                                        long long a_step, const typename Format::Element* b,
                                        long long b_step, const typename Format::Real* start,
                                        long long begin, long long M, long long N, long long K) {
    using Real = typename Format::Real;
    using Element = typename Format::Element;
    using Left = Side<Format, ROWS, DEPTH, A_ALONG_K>;
    using Right = Side<Format, COLUMNS, DEPTH, B_ALONG_K>;
    constexpr int WARP_COLUMNS = THREADS / WARP / WARP_ROWS;
    constexpr int TILE_ROWS = ROWS / WARP_ROWS, TILE_COLUMNS = COLUMNS / WARP_COLUMNS;
    Element* left = reinterpret_cast<Element*>(shared_memory());  // [STAGES][Left::SIZE]
    Element* right = left + STAGES * Left::SIZE;                  // [STAGES][Right::SIZE]

    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const Place place(blockIdx.x, static_cast<int>((M + ROWS - 1) / ROWS),
                      static_cast<int>((N + COLUMNS - 1) / COLUMNS));
    const long long m0 = static_cast<long long>(place.row) * ROWS;
    const long long n0 = static_cast<long long>(place.column) * COLUMNS;
    // This slice's share of K: `count` depths from k0 on. The first slices have one more than others.
    const int slice = blockIdx.z, slices = gridDim.z;
    const int depths = static_cast<int>((K + DEPTH - 1) / DEPTH), more = depths % slices;
    const int count = depths / slices + (slice < more ? 1 : 0);
    const int first = depths / slices * slice + (slice < more ? slice : more);
    const long long k0 = static_cast<long long>(first) * DEPTH;
    const int last_inside = least(K - k0 - static_cast<long long>(count - 1) * DEPTH, DEPTH);

    Left a_side(a, a_step, m0, k0, M);
    Right b_side(b, b_step, n0, k0, N);
    auto fetch = [&](int stage, int depth) {
        if (depth < count) {
            const int inside = depth + 1 < count ? DEPTH : last_inside;
            a_side.fetch(left + stage * Left::SIZE, inside);
            b_side.fetch(right + stage * Right::SIZE, inside);
        }
        end_group();
    };
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; ++stage) fetch(stage, stage);

    const int row0 = warp / WARP_COLUMNS * TILE_ROWS, column0 = warp % WARP_COLUMNS * TILE_COLUMNS;
    const Element* rows = left + Left::place(row0);
    const Element* columns = right + Right::place(column0);
    auto tile = [] {
        if constexpr (Format::TENSOR)
            return WarpTile<Format, TILE_ROWS, TILE_COLUMNS>();
        else
            return LaneTile<Format, TILE_ROWS, TILE_COLUMNS, A_ALONG_K, B_ALONG_K>();
    }();
    tile.clear();
    int stage = 0, spare = STAGES - 1;  // the one that is multiplied, and the one before it
    auto turn = [&] {
        spare = stage;
        stage = stage + 1 < STAGES ? stage + 1 : 0;
    };
    // The stage has come for all threads, and the one before it has been read by all.
    auto meet = [] {
        wait_for_groups<STAGES - 2>();
        __syncthreads();
    };
    if constexpr (Format::TENSOR) {
        // While a step of k is multiplied, the parts of the next come, from the next stage if need be.
        constexpr int STEPS = DEPTH / Format::K_STEP;
        static_assert(STEPS % 2 == 0, "a stage begins with parts[0]");
        typename decltype(tile)::Parts parts[2];
        auto load = [&](int turn, int k) {
            tile.template load<Left::LIE, Right::LIE>(
                parts[turn], rows + stage * Left::SIZE, Left::STRIDE,
                columns + stage * Right::SIZE, Right::STRIDE, k, lane);
        };
        if (count > 0) {
            meet();
            load(0, 0);
        }
        for (int depth = 0; depth < count; ++depth) {
#pragma unroll
            for (int step = 0; step < STEPS; ++step) {
                if (step + 1 < STEPS) {
                    load((step + 1) % 2, (step + 1) * Format::K_STEP);
                } else if (depth + 1 < count) {
                    turn();
                    meet();
                    load(0, 0);
                }
                if (step == 0) fetch(spare, depth + STAGES - 1);
                tile.multiply(parts[step % 2]);
            }
        }
    } else {
        for (int depth = 0; depth < count; ++depth) {
            meet();
            fetch(spare, depth + STAGES - 1);
            tile.template multiply<DEPTH, Left::STRIDE, Right::STRIDE>(
                rows + stage * Left::SIZE, columns + stage * Right::SIZE, lane);
            turn();
        }
    }

    // From here on, c is this warp's tile, of which so much is inside C.
    c += slice * slice_step + (m0 + row0) * c_step + n0 + column0;
    const int high = least(M - m0, ROWS) - row0, wide = least(N - n0, COLUMNS) - column0;
    constexpr int RUN = decltype(tile)::RUN;
    using Run = Pack<Real, RUN>;
    const bool whole =
        RUN == 1 || (reinterpret_cast<unsigned long long>(c) % sizeof(Run) == 0 && c_step % RUN == 0);
    if (begin == ROW)
        tile.add_to_columns(lane, [&](int j) {
            return j < wide ? start[n0 + column0 + j] : Real(0);
        });
    auto line = [&](int r) -> Real* { return r < high ? c + r * c_step : nullptr; };
    tile.each_run(lane, line, [&](Real* to, int j, Run sums) {
        if (j >= wide) return;
        to += j;
        if (whole && j + RUN <= wide) {
            if (begin == C_ITSELF) {
                const Run before = *reinterpret_cast<const Run*>(to);
#pragma unroll
                for (int e = 0; e < RUN; ++e) sums.at[e] += before.at[e];
            }
            *reinterpret_cast<Run*>(to) = sums;
        } else {
#pragma unroll
            for (int e = 0; e < RUN; ++e)
                if (j + e < wide) to[e] = begin == C_ITSELF ? to[e] + sums.at[e] : sums.at[e];
        }
    });
}

// c[i] = the sum over slices s of parts[s * count + i], in order; added to c[i] if `accumulate`.
template <typename Real>
__device__ __forceinline__ void add_slices(Real* c, const Real* parts, long long count,
                                           long long slices, long long accumulate) {
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= count) return;
    Real sum = accumulate ? c[i] : Real(0);
    for (long long s = 0; s < slices; ++s) sum += parts[s * count + i];
    c[i] = sum;
}

// parts[slice, n] = the sum of a[k, n] over the rows k of a slice of K, which gridDim.y cuts.
// A block has 32 columns; its 8 warps take turns with the rows, and their sums are added in order.
template <typename Real>
__device__ __forceinline__ void sum_rows(Real* parts, const Real* a, long long a_step, long long N,
                                         long long K) {
    constexpr int WARPS = THREADS / WARP;
    Real* sums = reinterpret_cast<Real*>(shared_memory());  // [WARPS][WARP]
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const long long n = static_cast<long long>(blockIdx.x) * WARP + lane;
    const long long first = K * blockIdx.y / gridDim.y, last = K * (blockIdx.y + 1) / gridDim.y;
    Real sum = 0;
    if (n < N)
        for (long long k = first + warp; k < last; k += WARPS) sum += a[k * a_step + n];
    sums[warp * WARP + lane] = sum;
    __syncthreads();
    if (warp > 0 || n >= N) return;
    for (int w = 1; w < WARPS; ++w) sum += sums[w * WARP + lane];
    parts[blockIdx.y * N + n] = sum;
}
