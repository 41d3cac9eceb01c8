// A block's tile of a matrix product, in plain arithmetic: ROWS × COLUMNS sums, of which each thread holds
// THREAD_ROWS × THREAD_COLUMNS in registers.
//
// Both factors come through shared memory in slices, DEPTH terms of every sum at a time, twice: while a slice is
// multiplied the next one is on its way, in registers. A slice is stored term by term, [DEPTH][ROWS + PAD], so that a
// thread reads its rows and its columns 16 bytes at once:
//
//          columns of thread x:  4x …, COLUMNS/2 + 4x …                  one term:
//        ┌───────┬───────┐                                               THREAD_ROWS + THREAD_COLUMNS numbers read,
//   rows │ ░   ░ │ ░   ░ │   thread (x, y) holds what lies at            THREAD_ROWS · THREAD_COLUMNS multiplied
//   of y ├───────┼───────┤   its rows and its columns: pieces of
//        │ ░   ░ │ ░   ░ │   four, spread over the tile
//        └───────┴───────┘
//
// Every sum is taken term after term: the same bits, whatever the tile.
#pragma once
#include "common.cuh"

// N numbers that lie side by side, aligned, into registers, and back.
template <int N, class T>
__device__ __forceinline__ void read(const T *from, T *to) {
    Pack<T, N> pack = *reinterpret_cast<const Pack<T, N> *>(from);
#pragma unroll
    for (int j = 0; j < N; ++j) to[j] = pack.items[j];
}

template <int N, class T>
__device__ __forceinline__ void write(const T *from, T *to) {
    Pack<T, N> pack;
#pragma unroll
    for (int j = 0; j < N; ++j) pack.items[j] = from[j];
    *reinterpret_cast<Pack<T, N> *>(to) = pack;
}

template <class T, int ROWS_, int COLUMNS_, int THREAD_ROWS_, int THREAD_COLUMNS_>
struct RegisterTile {
    using Number = T;
    static constexpr int ROWS = ROWS_, COLUMNS = COLUMNS_;
    static constexpr int THREAD_ROWS = THREAD_ROWS_, THREAD_COLUMNS = THREAD_COLUMNS_;
    static constexpr int DEPTH = 8;
    static constexpr int PACK = 16 / sizeof(T);  // numbers that are moved at once
    static constexpr int PAD = PACK;  // keeps the slices aligned, and transposing stores off each other's banks
    static constexpr int ROW_PIECE = THREAD_ROWS < 4 ? THREAD_ROWS : 4;
    static constexpr int COLUMN_PIECE = THREAD_COLUMNS < 4 ? THREAD_COLUMNS : 4;
    static constexpr int ACROSS = COLUMNS / THREAD_COLUMNS, DOWN = ROWS / THREAD_ROWS;  // threads
    static constexpr int THREADS = ACROSS * DOWN;
    // Blocks that one processor shall hold at least: leaves each thread 128 registers, or 80 if it has few sums.
    static constexpr int BLOCKS = (THREAD_ROWS * THREAD_COLUMNS > 16 || sizeof(T) > 4 ? 512 : 768) / THREADS;
    static constexpr int LEFT = DEPTH * (ROWS + PAD), RIGHT = DEPTH * (COLUMNS + PAD);  // numbers in a slice
    static constexpr int SHARED = 2 * (LEFT + RIGHT);

    T sums[THREAD_ROWS][THREAD_COLUMNS];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < THREAD_ROWS; ++i)
#pragma unroll
            for (int j = 0; j < THREAD_COLUMNS; ++j) sums[i][j] = 0;
    }

    // The place in the tile of this thread's row i, and of its column j.
    __device__ __forceinline__ static int row(int i) {
        return i / ROW_PIECE * (DOWN * ROW_PIECE) + threadIdx.x / ACROSS * ROW_PIECE + i % ROW_PIECE;
    }
    __device__ __forceinline__ static int column(int j) {
        return j / COLUMN_PIECE * (ACROSS * COLUMN_PIECE) + threadIdx.x % ACROSS * COLUMN_PIECE + j % COLUMN_PIECE;
    }

    // Add the products of a slice.
    __device__ __forceinline__ void multiply(const T *left, const T *right) {
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            T a[THREAD_ROWS], b[THREAD_COLUMNS];
            constexpr int A = ROW_PIECE < PACK ? ROW_PIECE : PACK, B = COLUMN_PIECE < PACK ? COLUMN_PIECE : PACK;
#pragma unroll
            for (int i = 0; i < THREAD_ROWS; i += A) read<A>(left + k * (ROWS + PAD) + row(i), a + i);
#pragma unroll
            for (int j = 0; j < THREAD_COLUMNS; j += B) read<B>(right + k * (COLUMNS + PAD) + column(j), b + j);
#pragma unroll
            for (int i = 0; i < THREAD_ROWS; ++i)
#pragma unroll
                for (int j = 0; j < THREAD_COLUMNS; ++j) sums[i][j] += a[i] * b[j];
        }
    }
};

// Whether a tile is only used where everything is read and written 16 bytes at once: the widest one has no registers
// left for another way.
template <class Tile>
constexpr bool PACKED = Tile::THREAD_ROWS * Tile::THREAD_COLUMNS >= 64;

// Take `slices` slices through shared memory: `fetch()` reads the next one into registers, `store(left, right)` writes
// it to shared memory. For all threads of a block, which have all read what they need when they leave.
template <class Tile, class T, class Fetch, class Store>
__device__ __forceinline__ void multiply_slices(Tile &tile, T *room, int slices, Fetch fetch, Store store) {
    T *left = room, *right = room + 2 * Tile::LEFT;
    if (slices > 0) {
        fetch();
        store(left, right);
    }
    __syncthreads();
    for (int slice = 0; slice < slices; ++slice) {
        int now = slice & 1, next = now ^ 1;
        if (slice + 1 < slices) fetch();
        tile.multiply(left + now * Tile::LEFT, right + now * Tile::RIGHT);
        if (slice + 1 < slices) store(left + next * Tile::LEFT, right + next * Tile::RIGHT);
        __syncthreads();
    }
}
