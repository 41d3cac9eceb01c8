// Copies into shared memory that nobody waits for at once, and products of small matrices on the tensor cores: one
// function for each instruction of sm_80 and later. Their emulation is tests/emulation/tensor_cores.h.
//
// A product belongs to a warp: each lane holds some numbers of the matrices in registers. With g = lane / 4 and
// t = lane % 4, as the PTX ISA lays them out (16 × 8 products; a register of K = 16 holds two neighbours in k):
//
//   K = 8, TF32         a[0] (g, t)        a[1] (g + 8, t)       a[2] (g, t + 4)       a[3] (g + 8, t + 4)
//                       b[0] (t, g)        b[1] (t + 4, g)
//   K = 16, two a       a[0] (g, 2t…)      a[1] (g + 8, 2t…)     a[2] (g, 2t + 8…)     a[3] (g + 8, 2t + 8…)
//   register            b[0] (2t…, g)      b[1] (2t + 8…, g)
//   sums                c0 (g, 2t)         c1 (g, 2t + 1)        c2 (g + 8, 2t)        c3 (g + 8, 2t + 1)
//
// The order of k is free as long as a and b have the same.
#pragma once
#include "halves.cuh"

#ifndef TOMOGRAD_EMULATION
// Begin to copy BYTES (4, 8 or 16, at multiples of as many) from global to shared memory: the first `kept` of them,
// then zeros. With kept = 0 nothing is read. Only what a thread copied itself is there after its wait; the others see
// it after a barrier that follows.
template <int BYTES>
__device__ __forceinline__ void copy_async(void *to, const void *from, int kept) {
    unsigned place = unsigned(__cvta_generic_to_shared(to));
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(place), "l"(from), "r"(kept)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(place), "l"(from), "n"(BYTES), "r"(kept)
                     : "memory");
}

// The copies that this thread began since the last commit become a group.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Wait until all but the newest PENDING groups of this thread are there.
template <int PENDING>
__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// To 10 bits after the point, to nearest, ties away from zero.
__device__ __forceinline__ unsigned tf32(float x) {
    unsigned result;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(x));
    return result;
}

#define TOMOGRAD_MMA(NAME, SHAPE_AND_TYPES)                                                                        \
    __device__ __forceinline__ void NAME(float &c0, float &c1, float &c2, float &c3, const unsigned (&a)[4],        \
                                         const unsigned (&b)[2]) {                                                  \
        asm("mma.sync.aligned." SHAPE_AND_TYPES " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"   \
            : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)                                                                \
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                                    \
    }
// c += a · b
TOMOGRAD_MMA(mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
TOMOGRAD_MMA(mma_bfloat16, "m16n8k16.row.col.f32.bf16.bf16.f32")
TOMOGRAD_MMA(mma_half, "m16n8k16.row.col.f32.f16.f16.f32")
#undef TOMOGRAD_MMA
#endif

// c += a · b of numbers of 16 bits: `mma(BFloat16(), …)`.
template <class... Arguments>
__device__ __forceinline__ void mma(Half, Arguments &...arguments) {
    mma_half(arguments...);
}
template <class... Arguments>
__device__ __forceinline__ void mma(BFloat16, Arguments &...arguments) {
    mma_bfloat16(arguments...);
}
