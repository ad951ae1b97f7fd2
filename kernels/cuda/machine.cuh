// What only the machine can do: shared memory, memory that other blocks write, tensor cores.
//
// Everything else in this folder is plain C++ over threadIdx, blockIdx, __syncthreads, __syncwarp
// and the functions below. tests/emulator/ has a second file of this name that models them on a
// processor, so all the rest runs, and is tested, without a GPU.

constexpr int WARP = 32;

// This block's dynamic shared memory, aligned to 16 bytes.
__device__ __forceinline__ char* shared_memory() {
    extern __shared__ __align__(16) char memory[];
    return memory;
}

// --- memory that other blocks write during this launch -------------------------------------------

// Read 16 bytes, from an address that is a multiple of 16, past the first-level cache, which is not kept
// coherent between multiprocessors.
__device__ __forceinline__ uint4 load_fresh_vector(const void* p) {
    return __ldcg(static_cast<const uint4*>(p));
}

// Add to a counter; all that this thread has written is visible to whoever acquires the new value.
__device__ __forceinline__ unsigned add_release(unsigned* p, unsigned value) {
    unsigned before;
    asm volatile("atom.add.release.gpu.global.u32 %0, [%1], %2;"
                 : "=r"(before) : "l"(p), "r"(value) : "memory");
    return before;
}

__device__ __forceinline__ unsigned load_acquire(const unsigned* p) {
    unsigned value;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
    return value;
}

// Have what lies there come to the second-level cache: it is read soon.
__device__ __forceinline__ void expect(const void* p) {
    asm volatile("prefetch.global.L2 [%0];" : : "l"(p));
}

// --- copies to shared memory that go on by themselves --------------------------------------------
//
// Past the first-level cache, so that what other blocks wrote is seen. A thread's copies are in groups;
// whose group it has waited for have come, for itself: others see them after a barrier.

// 16 bytes between addresses that are multiples of 16; zeros unless `inside`: then
// nothing is read, wherever `from` points.
__device__ __forceinline__ void copy_later(void* to, const void* from, bool inside) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 : : "r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "l"(from),
                 "r"(inside ? 16 : 0) : "memory");
#else  // an older one copies at once
    *static_cast<uint4*>(to) = inside ? load_fresh_vector(from) : make_uint4(0, 0, 0, 0);
#endif
}

// The copies since the last end of a group are one.
__device__ __forceinline__ void end_group() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" : : : "memory");
#endif
}

// Wait for all groups that have ended but the last LATER.
template <int LATER> __device__ __forceinline__ void wait_for_groups() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" : : "n"(LATER) : "memory");
#endif
}

// --- narrow formats: what the tensor cores multiply ----------------------------------------------

// To the nearest number with tf32's 10 bits of mantissa, as the bits of a float.
__device__ __forceinline__ unsigned round_tf32(float value) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
}

// To the nearest bfloat16 or float16, ties to even; NaN stays NaN.
__device__ __forceinline__ unsigned short round_bfloat16(float value) {
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

__device__ __forceinline__ unsigned short round_float16(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

// --- parts of matrices -----------------------------------------------------------------------------
//
// Four matrices of 8 rows of 16 bytes from shared memory: lane i names row i % 8 of matrix i / 8. Each
// lane gets a word of each: with g = lane / 4 and q = lane % 4, word q of row g; or turned, for elements
// of 16 bits, elements g of the rows 2q and 2q + 1.

__device__ __forceinline__ void load_parts(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row))) : "memory");
}

__device__ __forceinline__ void load_parts_turned(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row))) : "memory");
}

// --- tensor cores --------------------------------------------------------------------------------
//
// c += a b for one warp: a is 16 rows by K, b is K by 8 columns, c is 16 by 8 in float32. Each lane
// holds a part, as "Matrix Fragments for mma.m16n8k8" and "… m16n8k16" of the PTX manual lay out;
// with g = lane / 4 and q = lane % 4,
//   c[0], c[1]  row g,      columns 2q, 2q + 1        c[2], c[3]  row g + 8, the same columns
//   tf32, K = 8:    a[0] (g, q)  a[1] (g + 8, q)  a[2] (g, q + 4)  a[3] (g + 8, q + 4)
//                   b[0] (q, g)  b[1] (q + 4, g)
//   16 bits, K = 16, two elements a register, the lower k in the lower half:
//                   a[0] (g, 2q)  a[1] (g + 8, 2q)  a[2] (g, 2q + 8)  a[3] (g + 8, 2q + 8)
//                   b[0] (2q, g)  b[1] (2q + 8, g)

__device__ __forceinline__ void multiply_tf32(float (&c)[4], const unsigned (&a)[4],
                                              const unsigned (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void multiply_bfloat16(float (&c)[4], const unsigned (&a)[4],
                                                  const unsigned (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void multiply_float16(float (&c)[4], const unsigned (&a)[4],
                                                 const unsigned (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
