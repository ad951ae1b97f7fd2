// Large products: C = start + A B^T over all of time and batch at once.
//
//   M, N, K      rows of A, rows of B, and what is summed over
//   A (M, K)     A_ALONG_K: element (m, k) at a[m * a_step + k], else at a[k * a_step + m]
//   B (N, K)     likewise with n
//   C (M, N)     element (m, n) at c[m * c_step + n]
//   ROWS, COLUMNS, DEPTH   of a block's tile; 8 warps share it, WARP_ROWS of them one under another
//
// Two tiles of each operand take turns: while one is multiplied, the next is on its way. Each element
// is summed in order of k. A sum too long for the few tiles of C is cut along k into gridDim.z slices,
// whose results, slice_step apart, `add_slices` sums in order: the same bits in every run.

// The lesser of a count and what fits a tile.
__device__ __forceinline__ int least(long long count, int most) {
    return count < most ? static_cast<int>(count) : most;
}

enum Start { ZERO = 0, ROW = 1, C_ITSELF = 2 };  // what a sum begins with: nothing, start[n], c[m, n]

template <typename Format, int ROWS, int COLUMNS, int DEPTH, int WARP_ROWS, bool A_ALONG_K,
          bool B_ALONG_K>
__device__ __forceinline__ void product(typename Format::Real* c, long long c_step,
                                        long long slice_step, const typename Format::Real* a,
                                        long long a_step, const typename Format::Real* b,
                                        long long b_step, const typename Format::Real* start,
                                        long long begin, long long M, long long N, long long K) {
    using Real = typename Format::Real;
    using Element = typename Format::Element;
    constexpr int WARP_COLUMNS = THREADS / WARP / WARP_ROWS;
    constexpr int TILE_ROWS = ROWS / WARP_ROWS, TILE_COLUMNS = COLUMNS / WARP_COLUMNS;
    constexpr int STRIDE = DEPTH + Format::PAD;
    Element* left = reinterpret_cast<Element*>(shared_memory());  // [2][ROWS][STRIDE]
    Element* right = left + 2 * ROWS * STRIDE;                    // [2][COLUMNS][STRIDE]

    const int thread = threadIdx.x, lane = thread % WARP, warp = thread / WARP;
    const long long m0 = static_cast<long long>(blockIdx.x) * ROWS;
    const long long n0 = static_cast<long long>(blockIdx.y) * COLUMNS;
    const long long depths = (K + DEPTH - 1) / DEPTH;
    const long long first = depths * blockIdx.z / gridDim.z;
    const long long last = depths * (blockIdx.z + 1) / gridDim.z;

    // Where this block's lines begin, and how many rows of each operand are inside.
    a += A_ALONG_K ? m0 * a_step : m0;
    b += B_ALONG_K ? n0 * b_step : n0;
    const bool a_aligned = whole_vectors(a, a_step), b_aligned = whole_vectors(b, b_step);
    const int a_rows = least(M - m0, ROWS), b_rows = least(N - n0, COLUMNS);
    Stage<Format, ROWS, DEPTH, THREADS, A_ALONG_K, false, Real> a_stage;
    Stage<Format, COLUMNS, DEPTH, THREADS, B_ALONG_K, false, Real> b_stage;
    auto fetch = [&](long long depth) {
        const long long k0 = depth * DEPTH;
        const int ks = least(K - k0, DEPTH);
        const Real* a_from = a + (A_ALONG_K ? k0 : k0 * a_step);
        const Real* b_from = b + (B_ALONG_K ? k0 : k0 * b_step);
        a_stage.fetch(thread, a_aligned, A_ALONG_K ? ks : a_rows, [&](int l) -> const Real* {
            return l < (A_ALONG_K ? a_rows : ks) ? a_from + l * a_step : nullptr;
        });
        b_stage.fetch(thread, b_aligned, B_ALONG_K ? ks : b_rows, [&](int l) -> const Real* {
            return l < (B_ALONG_K ? b_rows : ks) ? b_from + l * b_step : nullptr;
        });
    };
    auto put = [&](int turn) {
        a_stage.put(thread, left + turn * ROWS * STRIDE, STRIDE);
        b_stage.put(thread, right + turn * COLUMNS * STRIDE, STRIDE);
    };

    const int row0 = warp / WARP_COLUMNS * TILE_ROWS, column0 = warp % WARP_COLUMNS * TILE_COLUMNS;
    WarpTile<Format, TILE_ROWS, TILE_COLUMNS> tile;
    tile.clear();
    if (first < last) {
        fetch(first);
        put(0);
    }
    __syncthreads();
    for (long long depth = first; depth < last; ++depth) {
        const int turn = (depth - first) % 2;
        if (depth + 1 < last) fetch(depth + 1);
        tile.template multiply<DEPTH>(left + (turn * ROWS + row0) * STRIDE, STRIDE,
                                      right + (turn * COLUMNS + column0) * STRIDE, STRIDE, lane);
        if (depth + 1 < last) put(1 - turn);
        __syncthreads();
    }

    c += blockIdx.z * slice_step;
    tile.each(lane, [&](int r, int j, Real value) {
        const long long m = m0 + row0 + r, n = n0 + column0 + j;
        if (m >= M || n >= N) return;
        if (begin == ROW) value += start[n];
        if (begin == C_ITSELF) value += c[m * c_step + n];
        c[m * c_step + n] = value;
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
