// Packing: weights, biases and states as the steps read them, see sequence.cuh.
//
// Rows of Elements, `step` apart, a whole number of 16 bytes; what lies between two rows is zero. In a
// row of weights neighbours may have changed places, see `Format::MATE`.

// The row blocks of H rows that `from` has come in the order that `place` gives; `transposed` gives the
// transpose of that.
//
//   from (blocks * H, width)      to (blocks * H, step) or (width, step)
template <typename Format>
__device__ __forceinline__ void pack(typename Format::Element* to, const typename Format::Real* from,
                                     const long long* place, long long blocks, long long H,
                                     long long width, long long step, long long transposed) {
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    const long long rows = blocks * H;
    if (i >= (transposed ? width : rows) * step) return;
    const long long line = i / step, k = i % step ^ Format::MATE;
    const long long row = transposed ? k : line, column = transposed ? line : k;
    const bool inside = row < rows && column < width;
    to[i] = Format::round(inside ? from[(place[row / H] * H + row % H) * width + column]
                                 : typename Format::Real(0));
}

// What is handed over before the first step: to (rows, step) = from (rows, width).
template <typename Format>
__device__ __forceinline__ void hand_over(typename Format::Element* to,
                                          const typename Format::Real* from, long long rows,
                                          long long width, long long step) {
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= rows * step) return;
    const long long row = i / step, column = i % step;
    to[i] = Format::round(column < width ? from[row * width + column] : typename Format::Real(0));
}

// What enters each slot beside the products: to[s, u] = the biases of slot s, where it has any. A
// slot's block of a bias is at x_place[s], h_place[s]; -1 where that product does not feed it.
template <typename Real>
__device__ __forceinline__ void pack_bias(Real* to, const Real* bias_ih, const Real* bias_hh,
                                          const long long* x_place, const long long* h_place,
                                          long long slots, long long H) {
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= slots * H) return;
    const long long s = i / H, u = i % H;
    Real sum = 0;
    if (bias_ih && x_place[s] >= 0) sum += bias_ih[x_place[s] * H + u];
    if (bias_hh && h_place[s] >= 0) sum += bias_hh[h_place[s] * H + u];
    to[i] = sum;
}
