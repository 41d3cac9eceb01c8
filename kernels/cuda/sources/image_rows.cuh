// Rows of an image: its last axis with the channels. The positions of an array (N, s0, s1, s2, C) are shared out over
// threads by rows, so that what depends on n, i0 and i1 is found once a row and not once a number: a division takes as
// long as reading the number.
//
// A block of (across, down) threads takes `down` rows at a time, at most 32 threads a row; blockIdx.y is the part of
// the row. The launcher (launching.launch_rows) sees to it that few threads of a row have nothing to do.
#pragma once
#include "common.cuh"

// Row (n, i0, i1) of an array, `index` of all.
struct Row {
    int64 index, n;
    int i0, i1;
};

__device__ __forceinline__ Row row_of(int64 index, const int *size) {
    int64 plane = index / size[1], n = plane / size[0];
    return {index, n, int(plane - n * size[0]), int(index - plane * size[1])};
}

// f(row) for the rows that are this thread's.
template <class F>
__device__ __forceinline__ void each_row(int64 rows, const int *size, F f) {
    int64 step = int64(gridDim.x) * blockDim.y;
    for (int64 i = int64(blockIdx.x) * blockDim.y + threadIdx.y; i < rows; i += step) f(row_of(i, size));
}

// f(i2, channel) for the packs of channels in a row of `size` positions that are this thread's. From one to the next it
// takes no division.
template <class F>
__device__ __forceinline__ void each_in_row(int size, int64 packs, F f) {
    int64 first = int64(blockIdx.y) * blockDim.x + threadIdx.x, step = int64(gridDim.y) * blockDim.x;
    int64 i2 = first / packs, channel = first - i2 * packs;
    int64 positions = step / packs, channels = step - positions * packs;
    while (i2 < size) {
        f(int(i2), channel);
        i2 += positions, channel += channels;
        if (channel >= packs) channel -= packs, ++i2;
    }
}

// A sum of packs whose error grows slowly: runs of 32 terms, each added up by itself, then the runs.
template <class T, int N>
struct Sum {
    T run[N], total[N];
    int terms = 0;

    __device__ __forceinline__ Sum() {
#pragma unroll
        for (int k = 0; k < N; ++k) run[k] = total[k] = 0;
    }

    // The sum becomes larger by term(k), k = 0 … N − 1.
    template <class Term>
    __device__ __forceinline__ void add(Term term) {
#pragma unroll
        for (int k = 0; k < N; ++k) run[k] += term(k);
        if (++terms == 32) end_run();
    }

    __device__ __forceinline__ void end_run() {
#pragma unroll
        for (int k = 0; k < N; ++k) total[k] += run[k], run[k] = 0;
        terms = 0;
    }

    __device__ __forceinline__ T value(int k) const { return total[k] + run[k]; }
};
