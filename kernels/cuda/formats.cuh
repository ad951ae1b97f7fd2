// Formats: what the operands of a product are rounded to, and how a warp multiplies them.
//
//   Real     float or double: what arrays hold, and what is summed
//   Element  what an operand becomes before it is multiplied
//   k        the dimension that is summed over; contiguous in a tile unless something else is said
//
// A tile's lines in shared memory are a whole number of 16 bytes apart, so that what a warp reads at once
// does not meet itself in a bank:
//   PADDED     lines along k, PAD elements between them
//   EXCHANGED  lines along k of four vectors of 16 bytes, which change places from row to row
//   TURNED     lines along the rows, PAD_TURNED elements between them
enum Lines { PADDED, EXCHANGED, TURNED };

// Where in its line vector number `vector` of a row is, in a tile whose lines are EXCHANGED.
__device__ __forceinline__ int exchanged(int row, int vector) { return vector ^ (row / 2 % 4); }

constexpr int THREADS = 256;  // of every block

template <typename T, int N> struct alignas(sizeof(T) * N) Pack { T at[N]; };

// Operands as they are, on the ordinary multiply-add units.
template <typename T> struct Exact {
    using Real = T;
    using Element = T;
    static constexpr bool TENSOR = false;
    static constexpr int K_STEP = 16 / sizeof(T);  // elements of k in one vector of 16 bytes
    static constexpr int PAD = 16 / sizeof(T);
    static constexpr int PAD_TURNED = 0;
    // In packed weights neighbours along k have changed places, k and k ^ MATE. Vectors come to even
    // registers, of which there are two banks: so the two factors of a product are never in the same.
    static constexpr int MATE = sizeof(T) == 4 ? 1 : 0;
    static __device__ __forceinline__ Element round(Real value) { return value; }
};

struct Tf32 {
    using Real = float;
    using Element = unsigned;
    static constexpr bool TENSOR = true;
    static constexpr int K_STEP = 8;
    static constexpr int PAD = 4;
    static constexpr int PAD_TURNED = 8;
    static constexpr int MATE = 0;
    static __device__ __forceinline__ Element round(Real value) { return round_tf32(value); }
    static __device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4],
                                                    const unsigned (&b)[2]) {
        multiply_tf32(c, a, b);
    }
};

struct Bfloat16 {
    using Real = float;
    using Element = unsigned short;
    static constexpr bool TENSOR = true;
    static constexpr int K_STEP = 16;
    static constexpr int PAD = 8;
    static constexpr int PAD_TURNED = 8;
    static constexpr int MATE = 0;
    static __device__ __forceinline__ Element round(Real value) { return round_bfloat16(value); }
    static __device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4],
                                                    const unsigned (&b)[2]) {
        multiply_bfloat16(c, a, b);
    }
};

struct Float16 {
    using Real = float;
    using Element = unsigned short;
    static constexpr bool TENSOR = true;
    static constexpr int K_STEP = 16;
    static constexpr int PAD = 8;
    static constexpr int PAD_TURNED = 8;
    static constexpr int MATE = 0;
    static __device__ __forceinline__ Element round(Real value) { return round_float16(value); }
    static __device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4],
                                                    const unsigned (&b)[2]) {
        multiply_float16(c, a, b);
    }
};

// One warp's tile of C += A B^T, in registers. A has ROWS rows, B has COLUMNS rows, both in shared
// memory with k contiguous.
template <typename Format, int ROWS, int COLUMNS, bool TENSOR = Format::TENSOR> struct WarpTile;

// Without tensor cores: 8 by 4 lanes, each with every eighth row and every fourth column. Each
// element is one chain of fused multiply-adds in order of k. B is packed, see MATE.
template <typename Format, int ROWS, int COLUMNS> struct WarpTile<Format, ROWS, COLUMNS, false> {
    static_assert(ROWS % 8 == 0 && COLUMNS % 4 == 0, "a lane's share of the tile must be whole");
    using Real = typename Format::Real;
    static constexpr int M = ROWS / 8, N = COLUMNS / 4, RUN = 1, V = Format::K_STEP;
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
                        c[i][j] = fma(rows[i].at[v], column.at[v ^ Format::MATE], c[i][j]);
            }
        }
    }

    // visit(line(row), column, values) for each element that this lane holds.
    template <typename Line, typename Visit>
    __device__ __forceinline__ void each_run(int lane, Line line, Visit visit) const {
#pragma unroll
        for (int i = 0; i < M; ++i) {
            auto at = line(i * 8 + lane / 4);
#pragma unroll
            for (int j = 0; j < N; ++j) visit(at, j * 4 + lane % 4, Pack<Real, 1>{c[i][j]});
        }
    }
};

// On the tensor cores: pieces of 16 rows by 8 columns, see machine.cuh. An element of 32 bits is one
// word and two of 16 bits are one, so both kinds of format have 8 words a step, laid out alike.
template <typename Format, int ROWS, int COLUMNS> struct WarpTile<Format, ROWS, COLUMNS, true> {
    static_assert(ROWS % 16 == 0 && COLUMNS % 8 == 0, "the tensor cores' pieces are 16 by 8");
    using Element = typename Format::Element;
    static constexpr int M = ROWS / 16, N = COLUMNS / 8, RUN = 2, K_STEP = Format::K_STEP;
    static constexpr int HALF = K_STEP / 2;  // elements in 16 bytes
    static constexpr bool WORDS = sizeof(Element) == 4;
    float c[M][N][4];

    // What a step of k takes of both operands.
    struct Parts { unsigned left[M][4], right[N][2]; };

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
#pragma unroll
        for (int k = 0; k < DEPTH; k += K_STEP) {
            Parts parts;
            load<PADDED, PADDED>(parts, a, a_stride, b, b_stride, k, lane);
            multiply(parts);
        }
    }

    // The parts at k. Row r of A begins at a + r * a_stride, or its column k at a + k * a_stride where
    // lines are TURNED; likewise B.
    template <Lines A_LINES, Lines B_LINES>
    __device__ __forceinline__ static void load(Parts& parts, const Element* a, int a_stride,
                                                const Element* b, int b_stride, int k, int lane) {
#pragma unroll
        for (int i = 0; i < M; ++i) load_left<A_LINES>(parts.left[i], a, a_stride, i * 16, k, lane);
#pragma unroll
        for (int j = 0; j + 1 < N; j += 2) {
            unsigned two[4];
            load_right<B_LINES>(two, b, b_stride, j * 8, k, lane);
            parts.right[j][0] = two[0];
            parts.right[j][1] = two[1];
            parts.right[j + 1][0] = two[2];
            parts.right[j + 1][1] = two[3];
        }
        if constexpr (N % 2) load_last<B_LINES>(parts.right[N - 1], b, b_stride, k, lane);
    }

    __device__ __forceinline__ void multiply(const Parts& parts) {
#pragma unroll
        for (int i = 0; i < M; ++i)
#pragma unroll
            for (int j = 0; j < N; ++j) Format::multiply(c[i][j], parts.left[i], parts.right[j]);
    }

    // Add value(column) to what this lane holds of each column.
    template <typename Value> __device__ __forceinline__ void add_to_columns(int lane, Value value) {
#pragma unroll
        for (int j = 0; j < N; ++j)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                const float added = value(j * 8 + 2 * (lane % 4) + e);
#pragma unroll
                for (int i = 0; i < M; ++i) {
                    c[i][j][e] += added;
                    c[i][j][e + 2] += added;
                }
            }
    }

    // visit(line(row), column, values) for every two neighbours that this lane holds, unless the line is
    // null.
    template <typename Line, typename Visit>
    __device__ __forceinline__ void each_run(int lane, Line line, Visit visit) const {
#pragma unroll
        for (int i = 0; i < M; ++i)
#pragma unroll
            for (int e = 0; e < 4; e += 2) {
                auto at = line(i * 16 + lane / 4 + e * 4);
                if (!at) continue;
#pragma unroll
                for (int j = 0; j < N; ++j)
                    visit(at, j * 8 + 2 * (lane % 4), Pack<float, 2>{c[i][j][e], c[i][j][e + 1]});
            }
    }

private:
    // A's piece of 16 rows at `row`: words 0 to 3 of rows 0 to 7 and 8 to 15, then words 4 to 7.
    template <Lines LINES>
    __device__ __forceinline__ static void load_left(unsigned (&to)[4], const Element* a, int stride,
                                                     int row, int k, int lane) {
        if constexpr (LINES == PADDED) {
            const Element* from = a + lane % 16 * stride + lane / 16 * HALF;
            load_parts(to, from + (row * stride + k));
        } else if constexpr (LINES == EXCHANGED) {
            const int vector = exchanged(lane % 16, k / HALF + lane / 16);
            load_parts(to, a + lane % 16 * stride + vector * HALF + row * stride);
        } else if constexpr (WORDS) {
            const unsigned* word = a + lane % 4 * stride + lane / 4 + (k * stride + row);
            to[0] = word[0];
            to[1] = word[8];
            to[2] = word[4 * stride];
            to[3] = word[4 * stride + 8];
        } else {
            const Element* from = a + (lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * 8;
            load_parts_turned(to, from + (k * stride + row));
        }
    }

    // Two of B's pieces of 8 columns, from `column` on: words 0 to 3 and 4 to 7 of one, then the other.
    template <Lines LINES>
    __device__ __forceinline__ static void load_right(unsigned (&to)[4], const Element* b, int stride,
                                                      int column, int k, int lane) {
        const int below = lane % 8 + lane / 16 * 8;
        if constexpr (LINES == PADDED) {
            const Element* from = b + below * stride + lane / 8 % 2 * HALF;
            load_parts(to, from + (column * stride + k));
        } else if constexpr (LINES == EXCHANGED) {
            const int vector = exchanged(below, k / HALF + lane / 8 % 2);
            load_parts(to, b + below * stride + vector * HALF + column * stride);
        } else if constexpr (WORDS) {
            const unsigned* word = b + lane % 4 * stride + lane / 4 + (k * stride + column);
            to[0] = word[0];
            to[1] = word[4 * stride];
            to[2] = word[8];
            to[3] = word[4 * stride + 8];
        } else {
            const Element* from = b + lane % 16 * stride + lane / 16 * 8;
            load_parts_turned(to, from + (k * stride + column));
        }
    }

    // The last piece of B where their number is odd, word by word.
    template <Lines LINES>
    __device__ __forceinline__ static void load_last(unsigned (&to)[2], const Element* b, int stride,
                                                     int k, int lane) {
        static_assert(LINES == PADDED, "large tiles have an even number of pieces");
        const Element* row = b + ((N - 1) * 8 + lane / 4) * stride + k + lane % 4 * (HALF / 4);
        to[0] = *reinterpret_cast<const unsigned*>(row);
        to[1] = *reinterpret_cast<const unsigned*>(row + HALF);
    }
};
