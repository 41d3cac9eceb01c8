// Rows added into rows that may be named several times: y[rows[i]] += x[i], for all i in order.
//
// A block owns a tile of rows of y and goes through all n indices for those that fall into it, 256 at a time; each of
// its threads owns some of the tile's elements, which it alone writes: no atomics, and every sum in the order of i.
// Bytes: x and y once. Besides, every tile reads all indices (from the caches, 8 bytes for 256 threads' worth of work),
// but for chunks of them whose least and largest row lie outside of it: where indices come in some order, most do.
#include "common.cuh"

constexpr int CHUNK = 256;  // indices that a block looks at at once: one each thread
constexpr int WARPS = CHUNK / WARP;

// The least and the largest row of each chunk: ranges[2·chunk], ranges[2·chunk + 1].
template <class I>
__global__ void row_ranges(const I *rows, int64 n, I *ranges) {
    I *room = shared_memory<I>();
    for (int64 chunk = blockIdx.x; chunk * CHUNK < n; chunk += gridDim.x) {
        int64 i = min(chunk * CHUNK + threadIdx.x, n - 1);
        I least = -block_maximum(-rows[i], room), largest = block_maximum(rows[i], room);
        if (threadIdx.x == 0) ranges[2 * chunk] = least, ranges[2 * chunk + 1] = largest;
    }
}

struct RowSums {
    int64 n, count, columns;  // rows of x, of y, and numbers in each
    int64 tile;               // rows of y of a tile
    int across;               // threads along a row, a power of 2; the others take further rows
};

// What a thread owns of a tile, and the adding.
template <class T>
struct Owner {
    T *y;
    int64 first, columns, column, step;  // of the tile; in a row; its own first column, and how far to its next
    int group, groups;                   // it owns the rows that are `group` modulo `groups`

    __device__ __forceinline__ void clear(int64 rows) const {
        for (int64 row = group; row < rows; row += groups)
            for (int64 c = column; c < columns; c += step) y[(first + row) * columns + c] = 0;
    }

    __device__ __forceinline__ void add(int row, const T *x) const {
        if (row % groups != group) return;
        for (int64 c = column; c < columns; c += step) y[(first + row) * columns + c] += x[c];
    }
};

template <class T>
__global__ void add_rows(const T *x, const int64 *rows, const int64 *ranges, T *y, RowSums s) {
    int *places = shared_memory<int>();                                      // each index's row in the tile
    unsigned *hits = shared_memory<unsigned>(int64(CHUNK) * sizeof(int));    // which of a warp's indices fall into it
    for (int64 tile = blockIdx.x; tile * s.tile < s.count; tile += gridDim.x) {
        int64 first = tile * s.tile, last = min(first + s.tile, s.count);
        Owner<T> own = {y, first, s.columns, int64(blockIdx.y) * s.across + threadIdx.x % s.across,
                        int64(gridDim.y) * s.across, int(threadIdx.x) / s.across, CHUNK / s.across};
        own.clear(last - first);
        for (int64 chunk = 0; chunk * CHUNK < s.n; ++chunk) {
            if (ranges[2 * chunk] >= last || ranges[2 * chunk + 1] < first) continue;  // all threads of the block
            int64 i = chunk * CHUNK + threadIdx.x, row = i < s.n ? rows[i] : -1;
            bool falls = row >= first && row < last;
            __syncthreads();  // the chunk before may still be read
            places[threadIdx.x] = int(row - first);
            unsigned mine = __ballot_sync(0xffffffffu, falls);
            if (threadIdx.x % WARP == 0) hits[threadIdx.x / WARP] = mine;
            __syncthreads();
            for (int warp = 0; warp < WARPS; ++warp)
                for (unsigned left = hits[warp]; left; left &= left - 1) {
                    int place = warp * WARP + __ffs(int(left)) - 1;
                    own.add(places[place], x + (chunk * CHUNK + place) * s.columns);
                }
        }
        __syncthreads();
    }
}
