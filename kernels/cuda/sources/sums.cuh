// Sums over the rows of a matrix, column by column, always in the same order: how partial sums become one.
#pragma once
#include "halves.cuh"

// Adds up the rows of a matrix in shared memory, neighbours in a tree, into its first row. For all threads of a block.
template <class T>
__device__ void add_rows_in_place(T *matrix, int rows, int columns) {
    while (rows > 1) {
        __syncthreads();
        int half = (rows + 1) / 2;
        for (int i = threadIdx.x; i < (rows - half) * columns; i += blockDim.x) matrix[i] += matrix[i + half * columns];
        rows = half;
    }
    __syncthreads();
}

// sums[i] = Σ_r matrix[r][i]. Each block takes up to 32 columns at a time, and as many rows together as it has threads
// for: every thread adds one in so many rows, then a tree adds the threads. `room`: a number for each thread.
template <class T, class Result>
__device__ void add_rows(const T *matrix, Result *sums, int64 columns, int64 rows, T *room) {
    int lanes = columns < WARP ? int(columns) : WARP, ways = blockDim.x / lanes;
    int lane = threadIdx.x % lanes, way = threadIdx.x / lanes;
    for (int64 first = int64(blockIdx.x) * lanes; first < columns; first += int64(gridDim.x) * lanes) {
        int64 column = first + lane;
        T sum = 0;
        if (column < columns) {
#pragma unroll 8
            for (int64 row = way; row < rows; row += ways) sum += matrix[row * columns + column];
        }
        __syncthreads();  // the room may still be read
        room[threadIdx.x] = sum;
        add_rows_in_place(room, ways, lanes);
        if (way == 0 && column < columns) sums[column] = stored(room[lane], Result());
    }
}
