// The gradient of a convolution's weights as a product of matrices: one row for every (tap, input channel), one column
// for every output channel, and pixels as terms.
//
// Operations: 2 · pixels · c_out · taps · c_in, where channels are many; bytes (x and dy once) where they are few. The
// sums are few and long, so the pixels are cut in parts (how many depends on the shape alone), each block sums one tile
// over one part, and a second kernel adds the parts in their order. No sum runs over more than RUN pixels without a
// stop: after them it is added to what the block has written before.
#include "convolution.cuh"
#include "register_tiles.cuh"
#include "sums.cuh"

constexpr int RUN = 2048;  // a multiple of a slice

// Reads slices of x and dy: PACK rows or columns of one pixel.
template <class Tile>
struct PixelLoader {
    using T = typename Tile::Number;
    static constexpr int PACK = Tile::PACK, PARTS = Tile::ROWS / PACK;
    static_assert(Tile::ROWS == Tile::COLUMNS, "both slices are read alike");
    static_assert(PARTS * Tile::DEPTH == Tile::THREADS, "a thread reads one chunk of each");
    Pixel pixel;
    int64 number, end;  // of the pixel at hand, and behind the last
    T inputs[PACK], outputs[PACK];

    __device__ __forceinline__ static int term() { return threadIdx.x / PARTS; }
    __device__ __forceinline__ static int place() { return threadIdx.x % PARTS * PACK; }

    __device__ __forceinline__ void begin(int64 first, int64 last, const Phase &p) {
        number = first + term(), end = last;
        pixel.decode(number, p);
    }

    __device__ __forceinline__ void fetch(const T *x, const T *dy, int columns, const Term *terms, bool pack_x,
                                          bool pack_y, const Correlation &c, const Phase &p) {
#pragma unroll
        for (int j = 0; j < PACK; ++j) inputs[j] = outputs[j] = 0;
        if (number < end) {
            Window window;
            window.begin(pixel, c, p);
            fetch_inputs(x, window, terms + place(), pack_x, p);
            const T *from = dy + number * c.y_strides[3] + place();
            if (pack_y && place() < columns) read<PACK>(from, outputs);
            if (!pack_y) {
#pragma unroll
                for (int j = 0; j < PACK; ++j)
                    if (place() + j < columns) outputs[j] = from[j];
            }
        }
        number += Tile::DEPTH;
        pixel.advance(Tile::DEPTH, p);
    }

    __device__ __forceinline__ void fetch_inputs(
        const T *x, const Window &window, const Term *terms, bool pack, const Phase &p) {
        if (pack) {
            if (window.holds(terms[0], p)) read<PACK>(x + window.at(terms[0]), inputs);
        } else {
#pragma unroll
            for (int j = 0; j < PACK; ++j)
                if (window.holds(terms[j], p)) inputs[j] = x[window.at(terms[j])];
        }
    }

    __device__ __forceinline__ void store(T *left, T *right) const {
        write<PACK>(inputs, left + term() * (Tile::ROWS + Tile::PAD) + place());
        write<PACK>(outputs, right + term() * (Tile::COLUMNS + Tile::PAD) + place());
    }
};

// Where each row of the tile lies in a window, in shared memory.
template <class Tile>
__device__ __forceinline__ void begin_terms(
    Term *terms, int64 first, int64 count, const Correlation &c, const Phase &p) {
    for (int row = threadIdx.x; row < Tile::ROWS; row += Tile::THREADS) {
        if (first + row < count)
            terms[row].begin(first + row, c, p);
        else
            terms[row].nowhere();
    }
}

// Write the tile's sums to a part of the result, or add them to what is there.
template <class Tile, class T>
__device__ __forceinline__ void put_tile(const Tile &tile, T *to, int64 rows, int columns, int64 stride, bool add) {
#pragma unroll
    for (int i = 0; i < Tile::THREAD_ROWS; ++i)
#pragma unroll
        for (int j = 0; j < Tile::THREAD_COLUMNS; ++j) {
            int row = Tile::row(i), column = Tile::column(j);
            if (row >= rows || column >= columns) continue;
            T *place = to + row * stride + column;
            *place = add ? *place + tile.sums[i][j] : tile.sums[i][j];
        }
}

// results[part] = the gradient from `pixels_of_part` pixels, for `parts` parts.
template <class Tile, class T = typename Tile::Number>
__global__ void __launch_bounds__(Tile::THREADS, 512 / Tile::THREADS)
    correlate_weights(const T *x, const T *dy, T *results, const __grid_constant__ Correlation c, bool pack_x,
                      bool pack_y, int64 tiles_down, int64 tiles_across, int64 parts, int64 pixels_of_part) {
    constexpr int SIDE = Tile::ROWS;
    Term *terms = shared_memory<Term>();
    T *room = shared_memory<T>(SIDE * sizeof(Term));
    Phase p = phase(c, 0);
    int64 rows = p.taps() * c.c_in, pixels = c.batch * p.pixels(), stride = c.w_strides[0];
    for (unsigned item = blockIdx.x; item < unsigned(tiles_down * tiles_across * c.groups * parts); item += gridDim.x) {
        unsigned column = item % unsigned(tiles_across) * SIDE, rest = item / unsigned(tiles_across);
        int64 row = int64(rest % unsigned(tiles_down)) * SIDE;
        rest /= unsigned(tiles_down);
        int64 group = rest % c.groups, part = rest / c.groups;
        int64 first = part * pixels_of_part, end = min(first + pixels_of_part, pixels);
        int columns = c.c_out - column;
        __syncthreads();  // the terms of the tile before are still being read
        begin_terms<Tile>(terms, row, rows, c, p);
        __syncthreads();
        const T *x_of_group = x + group * c.c_in, *dy_of_group = dy + group * c.c_out + column;
        T *to = results + (part * rows + row) * stride + group * c.c_out + column;
        PixelLoader<Tile> loader;
        if (first < end) loader.begin(first, end, p);
        bool add = false;
        do {
            int64 slices = (min(int64(RUN), end - first) + Tile::DEPTH - 1) / Tile::DEPTH;
            Tile tile;
            tile.clear();
            auto fetch = [&] { loader.fetch(x_of_group, dy_of_group, columns, terms, pack_x, pack_y, c, p); };
            auto store = [&](T *left, T *right) { loader.store(left, right); };
            multiply_slices(tile, room, slices, fetch, store);
            put_tile(tile, to, rows - row, columns, stride, add);
            add = true;
            first += RUN;
        } while (first < end);
    }
}

// sum[i] = Σ parts[part][i], for `count` numbers.
template <class T>
__global__ void add_parts(const T *parts, T *sum, int64 count, int64 number) {
    add_rows<T>(parts, sum, count, number, shared_memory<T>());
}
