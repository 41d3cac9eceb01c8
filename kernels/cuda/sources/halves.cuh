// Floating numbers of 16 bits: how they are stored, and how kernels that compute in float read and write them.
#pragma once
#include "common.cuh"

struct Half {
    unsigned short bits;
};
struct BFloat16 {
    unsigned short bits;
};

#ifndef TOMOGRAD_EMULATION
// Two numbers rounded to bfloat16 in one register, the first in its lower half.
__device__ __forceinline__ unsigned bfloat16_pair(float first, float second) {
    unsigned result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(second), "f"(first));
    return result;
}

__device__ __forceinline__ unsigned half_pair(float first, float second) {
    unsigned result;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(second), "f"(first));
    return result;
}

__device__ __forceinline__ float real(Half x) {
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(x.bits));
    return result;
}

__device__ __forceinline__ float real(BFloat16 x) { return __uint_as_float(unsigned(x.bits) << 16); }
#else
__device__ inline float real(Half x) { return emulation::half(x.bits); }
__device__ inline float real(BFloat16 x) { return emulation::bfloat16(x.bits); }
#endif

// A number as it is computed with: `real(x)`. Those that are not of 16 bits are what they are.
template <class T>
__device__ __forceinline__ T real(T x) {
    return x;
}

// A number as it is stored, rounded to nearest, ties to even: `stored(x, T())`.
template <class Number, class T>
__device__ __forceinline__ T stored(Number x, T) {
    return T(x);
}
template <class Number>
__device__ __forceinline__ Half stored(Number x, Half) {
    return {(unsigned short)half_pair(x, 0)};
}
template <class Number>
__device__ __forceinline__ BFloat16 stored(Number x, BFloat16) {
    return {(unsigned short)bfloat16_pair(x, 0)};
}

// The type that numbers of a type are computed with.
template <class T>
struct RealOf {
    using type = T;
};
template <>
struct RealOf<Half> {
    using type = float;
};
template <>
struct RealOf<BFloat16> {
    using type = float;
};
template <class T>
using Real = typename RealOf<T>::type;
