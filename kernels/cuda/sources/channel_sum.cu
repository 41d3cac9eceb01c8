// Sums over all positions, channel by channel, in double precision.
//
// Bytes: each number is read once, 16 bytes at a time. Where channels are few, several positions are taken as one row,
// so that a warp always reads side by side. The rows are cut in parts (how many depends on the shape alone); a block
// adds one part's columns, a few rows at a time, folds positions of one channel together and leaves a row of partial
// sums; a second kernel adds those.
#include "sums.cuh"

// partial[part][channel], for `parts` parts of `rows_of_part` rows. A row is `together` positions, and no wider than
// what a warp reads (WARP · N), or one position and any number of these. `count`: numbers in x.
template <class T, int N>
__global__ void add_positions(const T *x, double *partial, int64 channels, int64 count, int64 together, int64 parts,
                              int64 rows_of_part) {
    int lane = threadIdx.x % WARP, way = threadIdx.x / WARP, ways = blockDim.x / WARP;
    int64 width = channels * together, across = (width + WARP * N - 1) / (WARP * N);
    double *room = shared_memory<double>();
    for (int64 item = blockIdx.x; item < across * parts; item += gridDim.x) {
        int64 begin = item % across * (WARP * N), part = item / across;
        int columns = min(int64(WARP * N), width - begin);
        double sums[N] = {};
        if (lane * N < columns) {
            int64 end = min((part + 1) * rows_of_part * width, count);
#pragma unroll 4
            for (int64 row = part * rows_of_part + way; row * width + begin + lane * N < end; row += ways) {
                int64 at = row * width + begin + lane * N;
                if (at + N <= end) {
                    Pack<T, N> pack = *reinterpret_cast<const Pack<T, N> *>(x + at);
#pragma unroll
                    for (int j = 0; j < N; ++j) sums[j] += real(pack.items[j]);
                } else {
#pragma unroll
                    for (int j = 0; j < N; ++j)
                        if (at + j < end) sums[j] += real(x[at + j]);
                }
            }
        }
        __syncthreads();  // the room may still be read
        if (lane * N < columns)
#pragma unroll
            for (int j = 0; j < N; ++j) room[way * columns + lane * N + j] = sums[j];
        int of_channels = together > 1 ? int(channels) : columns;
        add_rows_in_place(room, ways * columns / of_channels, of_channels);
        for (int i = threadIdx.x; i < of_channels; i += blockDim.x) partial[part * channels + begin + i] = room[i];
    }
}

template <class T>
__global__ void add_partial_sums(const double *partial, T *sum, int64 channels, int64 parts) {
    add_rows(partial, sum, channels, parts, shared_memory<double>());
}
