// Operands of large products as product.cuh copies them: elements of the format, in lines that are a
// whole number of 16 bytes long and apart. What lies past the end of a line is zero.
//
//   from (lines, width), lines from_step apart      to (lines, to_step)
//   shift    2^shift threads take vectors side by side, the others lines below
//
// Each thread makes one vector of 16 bytes in each of four lines, all of which it reads first.
template <typename Format>
__device__ __forceinline__ void lay_out(typename Format::Element* to, long long to_step,
                                        const typename Format::Real* from, long long from_step,
                                        long long lines, long long width, int shift, int block) {
    using Real = typename Format::Real;
    using Element = typename Format::Element;
    constexpr int VECTOR = 16 / sizeof(Element), PART = 16 / sizeof(Real), EACH = 4;
    const int across = 1 << shift, down = THREADS >> shift, thread = threadIdx.x;
    const int blocks_across = static_cast<int>((to_step / VECTOR + across - 1) >> shift);
    const long long at =
        static_cast<long long>(block % blocks_across * across + thread % across) * VECTOR;
    const long long line0 =
        static_cast<long long>(block / blocks_across) * down * EACH + thread / across;
    if (at >= to_step) return;
    const bool aligned = reinterpret_cast<unsigned long long>(from) % 16 == 0 &&
                         from_step % PART == 0 && at + VECTOR <= width;
    Pack<Real, PART> held[EACH][VECTOR / PART];
#pragma unroll
    for (int n = 0; n < EACH; ++n) {
        const long long line = line0 + n * down;
        if (line >= lines) break;
        const Real* source = from + line * from_step + at;
#pragma unroll
        for (int p = 0; p < VECTOR; p += PART) {
            if (aligned) {
                held[n][p / PART] = *reinterpret_cast<const Pack<Real, PART>*>(source + p);
            } else {
#pragma unroll
                for (int e = 0; e < PART; ++e)
                    held[n][p / PART].at[e] = at + p + e < width ? source[p + e] : Real(0);
            }
        }
    }
#pragma unroll
    for (int n = 0; n < EACH; ++n) {
        const long long line = line0 + n * down;
        if (line >= lines) break;
        Pack<Element, VECTOR> rounded;
#pragma unroll
        for (int e = 0; e < VECTOR; ++e) rounded.at[e] = Format::round(held[n][e / PART].at[e % PART]);
        *reinterpret_cast<Pack<Element, VECTOR>*>(to + line * to_step + at) = rounded;
    }
}

// The transpose: to (width, to_step) = from (lines, width), lines from_step apart. A block has 32 lines
// and 32 numbers of each.
template <typename Real>
__device__ __forceinline__ void turn(Real* to, long long to_step, const Real* from,
                                     long long from_step, long long lines, long long width) {
    constexpr int SIDE = 32, DOWN = THREADS / SIDE;
    Real* tile = reinterpret_cast<Real*>(shared_memory());  // [SIDE][SIDE + 1]
    const int across = threadIdx.x % SIDE, down = threadIdx.x / SIDE;
    const long long line0 = static_cast<long long>(blockIdx.x) * SIDE;
    const long long number0 = static_cast<long long>(blockIdx.y) * SIDE;
#pragma unroll
    for (int r = down; r < SIDE; r += DOWN)
        if (line0 + r < lines && number0 + across < width)
            tile[r * (SIDE + 1) + across] = from[(line0 + r) * from_step + number0 + across];
    __syncthreads();
#pragma unroll
    for (int r = down; r < SIDE; r += DOWN)
        if (line0 + across < lines && number0 + r < width)
            to[(number0 + r) * to_step + line0 + across] = tile[across * (SIDE + 1) + r];
}
