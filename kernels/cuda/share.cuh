// A block's share of a step: its part of the product, and where it meets the others. See sequence.cuh.

// A block's share of the product of a step, and where it lies in shared memory.
//
//   COLUMNS   rows of the weights that the block owns      STAGES   places for pieces
//   K         what is summed over: warp w takes DEPTH of it at w * DEPTH, (w + WARPS) * DEPTH, …; each is
//             a piece: one is multiplied, as many as have places besides are on their way
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
