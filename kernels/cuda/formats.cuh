// Formats: what the operands of a product are rounded to, and how a warp multiplies them.
//
//   Real     float or double: what arrays hold, and what is summed
//   Element  what an operand becomes in shared memory
//   Stored   how weights that are packed ahead lie in global memory
//   k        the dimension that is summed over; it is contiguous in every tile
//
// A tile's rows are STRIDE elements apart, a whole number of 16 bytes that is 16 bytes past a
// multiple of what 8 rows span, so that neither of the two ways of reading meets itself in a bank.

constexpr int THREADS = 256;  // of every block

template <typename T, int N> struct alignas(sizeof(T) * N) Pack { T at[N]; };

// Operands as they are, on the ordinary multiply-add units.
template <typename T> struct Exact {
    using Real = T;
    using Element = T;
    using Stored = T;
    static constexpr bool TENSOR = false;
    static constexpr int K_STEP = 16 / sizeof(T);  // elements of k in one vector of 16 bytes
    static constexpr int PAD = 16 / sizeof(T);
    static __device__ __forceinline__ Element round(Real value) { return value; }
};

struct Tf32 {
    using Real = float;
    using Element = unsigned;
    using Stored = float;
    static constexpr bool TENSOR = true;
    static constexpr int K_STEP = 8;
    static constexpr int PAD = 4;
    static __device__ __forceinline__ Element round(Real value) { return round_tf32(value); }
    static __device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4],
                                                    const unsigned (&b)[2]) {
        multiply_tf32(c, a, b);
    }
};

struct Bfloat16 {
    using Real = float;
    using Element = unsigned short;
    using Stored = unsigned short;
    static constexpr bool TENSOR = true;
    static constexpr int K_STEP = 16;
    static constexpr int PAD = 8;
    static __device__ __forceinline__ Element round(Real value) { return round_bfloat16(value); }
    static __device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4],
                                                    const unsigned (&b)[2]) {
        multiply_bfloat16(c, a, b);
    }
};

struct Float16 {
    using Real = float;
    using Element = unsigned short;
    using Stored = unsigned short;
    static constexpr bool TENSOR = true;
    static constexpr int K_STEP = 16;
    static constexpr int PAD = 8;
    static __device__ __forceinline__ Element round(Real value) { return round_float16(value); }
    static __device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4],
                                                    const unsigned (&b)[2]) {
        multiply_float16(c, a, b);
    }
};

// An operand from global memory as an element of a tile; the second is rounded already.
template <typename Format>
__device__ __forceinline__ typename Format::Element operand(typename Format::Real value) {
    return Format::round(value);
}
template <typename Format>
__device__ __forceinline__ typename Format::Element operand(unsigned short value) {
    return value;
}

// One warp's tile of C += A B^T, in registers. A has ROWS rows, B has COLUMNS rows, both in shared
// memory with k contiguous.
template <typename Format, int ROWS, int COLUMNS, bool TENSOR = Format::TENSOR> struct WarpTile;

// Without tensor cores: 8 by 4 lanes, each with every eighth row and every fourth column. Each
// element is one chain of fused multiply-adds in order of k.
template <typename Format, int ROWS, int COLUMNS> struct WarpTile<Format, ROWS, COLUMNS, false> {
    static_assert(ROWS % 8 == 0 && COLUMNS % 4 == 0, "a lane's share of the tile must be whole");
    using Real = typename Format::Real;
    static constexpr int M = ROWS / 8, N = COLUMNS / 4, V = Format::K_STEP;
    using Vector = Pack<Real, V>;
    Real c[M][N];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < M; ++i)
#pragma unroll
            for (int j = 0; j < N; ++j) c[i][j] = 0;
    }

    // DEPTH of k; row r of A begins at a + r * a_stride, of B at b + r * b_stride.
    template <int DEPTH>
    __device__ __forceinline__ void multiply(const Real* a, int a_stride, const Real* b,
                                             int b_stride, int lane) {
        a += (lane / 4) * a_stride;
        b += (lane % 4) * b_stride;
#pragma unroll 4
        for (int k = 0; k < DEPTH; k += V) {
            Vector rows[M];
#pragma unroll
            for (int i = 0; i < M; ++i)
                rows[i] = *reinterpret_cast<const Vector*>(a + i * 8 * a_stride + k);
#pragma unroll
            for (int j = 0; j < N; ++j) {
                const Vector column = *reinterpret_cast<const Vector*>(b + j * 4 * b_stride + k);
#pragma unroll
                for (int i = 0; i < M; ++i)
#pragma unroll
                    for (int v = 0; v < V; ++v)
                        c[i][j] = fma(rows[i].at[v], column.at[v], c[i][j]);
            }
        }
    }

    // visit(row, column, value) for each element that this lane holds.
    template <typename Visit> __device__ __forceinline__ void each(int lane, Visit visit) const {
#pragma unroll
        for (int i = 0; i < M; ++i)
#pragma unroll
            for (int j = 0; j < N; ++j) visit(i * 8 + lane / 4, j * 4 + lane % 4, c[i][j]);
    }
};

// On the tensor cores: pieces of 16 rows by 8 columns, see machine.cuh. An element of 32 bits is one
// word and two of 16 bits are one, so both kinds of format have 8 words a step, laid out alike.
template <typename Format, int ROWS, int COLUMNS> struct WarpTile<Format, ROWS, COLUMNS, true> {
    static_assert(ROWS % 16 == 0 && COLUMNS % 8 == 0, "the tensor cores' pieces are 16 by 8");
    using Element = typename Format::Element;
    static constexpr int M = ROWS / 16, N = COLUMNS / 8, PER_WORD = 4 / sizeof(Element);
    float c[M][N][4];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < M; ++i)
#pragma unroll
            for (int j = 0; j < N; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e) c[i][j][e] = 0;
    }

    template <int DEPTH>
    __device__ __forceinline__ void multiply(const Element* a, int a_stride, const Element* b,
                                             int b_stride, int lane) {
        const int g = lane / 4, q = lane % 4;
        const int a_words = a_stride / PER_WORD, b_words = b_stride / PER_WORD;
        const unsigned* rows = reinterpret_cast<const unsigned*>(a) + g * a_words + q;
        const unsigned* columns = reinterpret_cast<const unsigned*>(b) + g * b_words + q;
#pragma unroll
        for (int k = 0; k < DEPTH / PER_WORD; k += 8) {
            unsigned left[M][4], right[N][2];
#pragma unroll
            for (int i = 0; i < M; ++i) {
                const unsigned* row = rows + i * 16 * a_words + k;
                left[i][0] = row[0];
                left[i][1] = row[8 * a_words];
                left[i][2] = row[4];
                left[i][3] = row[8 * a_words + 4];
            }
#pragma unroll
            for (int j = 0; j < N; ++j) {
                const unsigned* column = columns + j * 8 * b_words + k;
                right[j][0] = column[0];
                right[j][1] = column[4];
            }
#pragma unroll
            for (int i = 0; i < M; ++i)
#pragma unroll
                for (int j = 0; j < N; ++j) Format::multiply(c[i][j], left[i], right[j]);
        }
    }

    template <typename Visit> __device__ __forceinline__ void each(int lane, Visit visit) const {
        const int g = lane / 4, q = lane % 4;
#pragma unroll
        for (int i = 0; i < M; ++i)
#pragma unroll
            for (int j = 0; j < N; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    visit(i * 16 + g + (e / 2) * 8, j * 8 + 2 * q + e % 2, c[i][j][e]);
    }
};

// What some threads bring from global memory into a tile of shared memory: fetched into registers
// first, so that all of it is on its way at once, then rounded and put in its place.
//
//   ROWS, DEPTH   of the tile; THREADS take part, the caller is number `thread`
//   ALONG_K       a line of global memory runs along k, else along the rows
//   FRESH         whether other blocks write there during this launch
//
// A thread brings vectors of 16 bytes. Where lines run along the rows, it brings as many lines as a
// vector has numbers, and turns that square in its registers.
template <typename Format, int ROWS, int DEPTH, int THREADS, bool ALONG_K, bool FRESH,
          typename Source>
struct Stage {
    using Element = typename Format::Element;
    static constexpr int VECTOR = 16 / sizeof(Source);
    static constexpr int LINES = ALONG_K ? 1 : VECTOR;  // that a piece spans
    static constexpr int ACROSS = DEPTH / VECTOR, PIECES = ROWS * ACROSS / LINES;
    static constexpr int COUNT = (PIECES + THREADS - 1) / THREADS;
    static_assert(DEPTH % VECTOR == 0 && ROWS % LINES == 0, "pieces are whole");
    using Vector = Pack<Source, VECTOR>;
    Vector held[COUNT][LINES];

    // line(l) is where line l of the tile begins, or null for one outside the array; `extent` of its
    // numbers are inside. `aligned`: lines begin at whole vectors. What is outside counts as zero.
    template <typename Line>
    __device__ __forceinline__ void fetch(int thread, bool aligned, int extent, Line line) {
#pragma unroll
        for (int n = 0; n < COUNT; ++n) {
            const int piece = n * THREADS + thread;
            if (PIECES % THREADS && piece >= PIECES) break;
            const int first = ALONG_K ? row(piece) : depth(piece);
            const int at = ALONG_K ? depth(piece) : row(piece);
#pragma unroll
            for (int l = 0; l < LINES; ++l) held[n][l] = brought(line(first + l), at, aligned, extent);
        }
    }

    __device__ __forceinline__ void put(int thread, Element* tile, int stride) const {
#pragma unroll
        for (int n = 0; n < COUNT; ++n) {
            const int piece = n * THREADS + thread;
            if (PIECES % THREADS && piece >= PIECES) break;
#pragma unroll
            for (int r = 0; r < LINES; ++r) {
                Pack<Element, VECTOR> rounded;
#pragma unroll
                for (int k = 0; k < VECTOR; ++k)
                    rounded.at[k] = operand<Format>(held[n][ALONG_K ? 0 : k].at[ALONG_K ? k : r]);
                Element* to = tile + (row(piece) + r) * stride + depth(piece);
                *reinterpret_cast<Pack<Element, VECTOR>*>(to) = rounded;
            }
        }
    }

private:
    static __device__ __forceinline__ int row(int piece) { return piece / ACROSS * LINES; }
    static __device__ __forceinline__ int depth(int piece) { return piece % ACROSS * VECTOR; }

    static __device__ __forceinline__ Vector brought(const Source* from, int at, bool aligned,
                                                     int extent) {
        Vector vector;
        if (from && aligned && at + VECTOR <= extent) {
            if constexpr (FRESH)
                vector = __builtin_bit_cast(Vector, load_fresh_vector(from + at));
            else
                vector = *reinterpret_cast<const Vector*>(from + at);
        } else {
#pragma unroll
            for (int v = 0; v < VECTOR; ++v) {
                vector.at[v] = 0;
                if (from && at + v < extent) {
                    if constexpr (FRESH)
                        vector.at[v] = load_fresh(from + at + v);
                    else
                        vector.at[v] = from[at + v];
                }
            }
        }
        return vector;
    }
};

// Whether lines so far apart, from there on, begin at whole vectors of 16 bytes.
template <typename Source>
__device__ __forceinline__ bool whole_vectors(const Source* from, long long step) {
    return reinterpret_cast<unsigned long long>(from) % 16 == 0 && step * sizeof(Source) % 16 == 0;
}
