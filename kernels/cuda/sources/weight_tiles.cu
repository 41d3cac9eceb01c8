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
    const T *from;  // in dy, of the pixel at hand
    int left;       // pixels, with that one; none if not positive
    T inputs[PACK], outputs[PACK];

    __device__ __forceinline__ static int term() { return threadIdx.x / PARTS; }
    __device__ __forceinline__ static int place() { return threadIdx.x % PARTS * PACK; }

    // `dy`: at the tile's first column.
    __device__ __forceinline__ void begin(const T *dy, int64 first, int64 end, const Correlation &c, const Phase &p) {
        from = dy + (first + term()) * c.y_strides[3] + place();
        left = end - first - term();
        if (left > 0) pixel.decode(first + term(), p);
    }

    // Read this thread's chunks of a slice and go on to the next. Of the tile's columns there are `columns`.
    __device__ __forceinline__ void fetch(const T *x, int columns, const Term *terms, bool pack_x, bool pack_y,
                                          const Correlation &c, const Phase &p) {
#pragma unroll
        for (int j = 0; j < PACK; ++j) inputs[j] = outputs[j] = 0;
        if (left <= 0) return;
        Window window;
        window.begin(pixel, c, p);
        fetch_inputs(x, window, terms + place(), pack_x, p);
        if (PACKED<Tile> || pack_y) {
            if (place() < columns) read<PACK>(from, outputs);
        } else {
#pragma unroll
            for (int j = 0; j < PACK; ++j)
                if (place() + j < columns) outputs[j] = from[j];
        }
        left -= Tile::DEPTH, from += Tile::DEPTH * c.y_strides[3];
        pixel.advance(Tile::DEPTH, p);
    }

    __device__ __forceinline__ void fetch_inputs(
        const T *x, const Window &window, const Term *terms, bool pack, const Phase &p) {
        if (PACKED<Tile> || pack) {
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
    Term *terms, int first, int count, const Correlation &c, const Phase &p) {
    for (int row = threadIdx.x; row < Tile::ROWS; row += Tile::THREADS) {
        if (first + row < count)
            terms[row].begin(first + row, c, p);
        else
            terms[row].nowhere();
    }
}

// Write the tile's sums to a part of the result, or add them to what is there.
template <class Tile, class T>
__device__ __forceinline__ void put_tile(
    const Tile &tile, T *to, int rows, int columns, int64 stride, bool add, bool pack) {
    constexpr int N = Tile::COLUMN_PIECE < Tile::PACK ? Tile::COLUMN_PIECE : Tile::PACK;
#pragma unroll
    for (int i = 0; i < Tile::THREAD_ROWS; ++i)
#pragma unroll
        for (int j = 0; j < Tile::THREAD_COLUMNS; j += N) {
            int row = Tile::row(i), column = Tile::column(j);
            if (row >= rows || column >= columns) continue;
            T *place = to + row * stride + column;
            if (PACKED<Tile> || pack) {
                Pack<T, N> sums = {};
                if (add) sums = *reinterpret_cast<const Pack<T, N> *>(place);
#pragma unroll
                for (int q = 0; q < N; ++q) sums.items[q] += tile.sums[i][j + q];
                store_whole(place, sums);
            } else {
#pragma unroll
                for (int q = 0; q < N; ++q)
                    if (column + q < columns) place[q] = add ? place[q] + tile.sums[i][j + q] : tile.sums[i][j + q];
            }
        }
}

// Which tile of which part a block sums over which of the part's runs.
struct Share {
    int column, row, group, part;
    int64 first, end;  // pixels
    bool last;         // run of the part

    __device__ __forceinline__ Share(unsigned item, int run, int side, unsigned tiles_down, unsigned tiles_across,
                                     int groups, int64 pixels_of_part, int64 pixels) {
        column = item % tiles_across * side, item /= tiles_across;
        row = item % tiles_down * side, item /= tiles_down;
        group = item % groups, part = item / groups;
        first = part * pixels_of_part + int64(run) * RUN;
        int64 end_of_part = min((part + 1) * pixels_of_part, pixels);
        end = min(first + RUN, end_of_part), last = end == end_of_part;
    }
};

// results[part] = the gradient from `pixels_of_part` pixels, for `parts` parts.
template <class Tile, class T = typename Tile::Number>
__global__ void __launch_bounds__(Tile::THREADS, 512 / Tile::THREADS)
    correlate_weights(const T *x, const T *dy, T *results, const __grid_constant__ Correlation c, bool pack_x,
                      bool pack_y, bool pack_result, int64 tiles_down, int64 tiles_across, int64 parts,
                      int64 pixels_of_part) {
    Term *terms = shared_memory<Term>();
    T *room = shared_memory<T>(Tile::ROWS * sizeof(Term));
    Phase p = phase(c, 0);
    int rows = p.taps() * c.c_in, run = 0;
    unsigned items = tiles_down * tiles_across * c.groups * parts;
    auto share = [&](unsigned item) {
        return Share(item, run, Tile::ROWS, tiles_down, tiles_across, c.groups, pixels_of_part, c.batch * p.pixels());
    };
    for (unsigned item = blockIdx.x; item < items;) {
        Tile tile;
        tile.clear();
        {
            Share s = share(item);
            __syncthreads();  // the terms of the tile before are still being read
            begin_terms<Tile>(terms, s.row, rows, c, p);
            __syncthreads();
            PixelLoader<Tile> loader;
            loader.begin(dy + s.group * c.c_out + s.column, s.first, s.end, c, p);
            const T *x_of_group = x + s.group * c.c_in;
            int columns = c.c_out - s.column;
            auto fetch = [&] { loader.fetch(x_of_group, columns, terms, pack_x, pack_y, c, p); };
            auto store = [&](T *left, T *right) { loader.store(left, right); };
            multiply_slices(tile, room, (s.end - s.first + Tile::DEPTH - 1) / Tile::DEPTH, fetch, store);
        }
        forget(item), forget(run);  // no registers for the share while products are summed
        Share s = share(item);
        int64 stride = c.w_strides[0];
        T *to = results + (int64(s.part) * rows + s.row) * stride + s.group * c.c_out + s.column;
        put_tile(tile, to, rows - s.row, c.c_out - s.column, stride, run > 0, pack_result);
        run = s.last ? 0 : run + 1;
        if (s.last) item += gridDim.x;
    }
}

// sum[i] = Σ parts[part][i], for `count` numbers.
template <class T>
__global__ void add_parts(const Real<T> *parts, T *sum, int64 count, int64 number) {
    add_rows(parts, sum, count, number, shared_memory<Real<T>>());
}
