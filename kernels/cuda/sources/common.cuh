// What all kernels share: names of types, the memory that a block shares, items and threads, sums over a warp and a
// block.
//
// A kernel's memory is linear and its offsets are 64 bits wide. Every kernel runs over its items in a loop with the
// stride of the whole grid, so that any number of blocks is right, and that number is the one that the GPU can hold.
// Shared memory is always dynamic: the launcher says how much, and the emulation puts it where every access beyond its
// end is seen.
#pragma once

#ifdef TOMOGRAD_EMULATION
#include "emulation.h"
#else
extern __shared__ __align__(16) unsigned char shared_bytes[];
#endif

using int64 = long long;

constexpr int WARP = 32;

// N items that are read and written at once; 16 bytes are the most that one instruction moves.
template <class T, int N>
struct __align__(sizeof(T) * N) Pack {
    T items[N];
};

// Stores a pack in global memory by one instruction, for certain: where another branch stores the items one by one the
// compiler may take a pack apart.
template <class T, int N>
__device__ __forceinline__ void store_whole(T *to, const Pack<T, N> &pack) {
    *reinterpret_cast<Pack<T, N> *>(to) = pack;
}
#ifndef TOMOGRAD_EMULATION
__device__ __forceinline__ void store_whole(float *to, const Pack<float, 4> &pack) {
    const float *p = pack.items;
    asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};"
                 :
                 : "l"(__cvta_generic_to_global(to)), "f"(p[0]), "f"(p[1]), "f"(p[2]), "f"(p[3])
                 : "memory");
}
__device__ __forceinline__ void store_whole(double *to, const Pack<double, 2> &pack) {
    asm volatile("st.global.v2.f64 [%0], {%1, %2};"
                 :
                 : "l"(__cvta_generic_to_global(to)), "d"(pack.items[0]), "d"(pack.items[1])
                 : "memory");
}
#endif

// Makes the compiler forget what it knows of a number, so that what is computed of it before and after is computed
// twice, and not kept in registers in between.
template <class T>
__device__ __forceinline__ void forget(T &number) {
    asm volatile("" : "+r"(number));
}

template <class T>
__device__ __forceinline__ T *shared_memory(int64 offset = 0) {
    return reinterpret_cast<T *>(shared_bytes + offset);
}

// The first item of a thread, and the stride to its next one.
__device__ __forceinline__ int64 first_item() { return int64(blockIdx.x) * blockDim.x + threadIdx.x; }

__device__ __forceinline__ int64 all_threads() { return int64(gridDim.x) * blockDim.x; }

// The larger of two, or NaN where one of them is NaN, as NumPy's maximum has it.
template <class T>
__device__ __forceinline__ T maximum(T a, T b) {
    return a > b || a != a ? a : b;
}

// The sum over a warp, in every lane, always added in the same order.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
}

// The largest of a warp, or NaN where one is NaN, in every lane.
template <class T>
__device__ __forceinline__ T warp_maximum(T value) {
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value = maximum(value, __shfl_xor_sync(0xffffffffu, value, distance));
    return value;
}

// The sum over a block, in every thread, always added in the same order. `room` is shared memory for a number of each
// warp; the block's size is a multiple of a warp's.
template <class T>
__device__ T block_sum(T value, T *room) {
    value = warp_sum(value);
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    __syncthreads();  // the room may still be read, by threads that are in an earlier sum
    if (lane == 0) room[warp] = value;
    __syncthreads();
    T sum = room[0];
    for (int other = 1; other < warps; ++other) sum += room[other];
    return sum;
}

template <class T>
__device__ T block_maximum(T value, T *room) {
    value = warp_maximum(value);
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    __syncthreads();
    if (lane == 0) room[warp] = value;
    __syncthreads();
    T largest = room[0];
    for (int other = 1; other < warps; ++other) largest = maximum(largest, room[other]);
    return largest;
}

template <class T>
__device__ __forceinline__ T infinity() {
    return T(1) / T(0);
}

// A sum whose error does not grow with the number of terms: what each addition rounds away is added up beside it
// (Knuth's exact sum of two).
template <class T>
struct Compensated {
    T total = 0, rest = 0;

    __device__ __forceinline__ void add(T term) {
        T after = total + term, of_term = after - total;
        rest += (total - (after - of_term)) + (term - of_term);
        total = after;
    }

    // Where the total is infinite, nothing is known of the rest.
    __device__ __forceinline__ T value() const { return rest == rest ? total + rest : total; }
};

// x held between two numbers; NaN stays.
template <class T>
__device__ __forceinline__ T clipped(T x, T low, T high) {
    return x < low ? low : x > high ? high : x;
}
