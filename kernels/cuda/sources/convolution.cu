// Convolution and transposed convolution as products of matrices that are never laid out: one row for every output
// pixel, one column for every output channel, and terms (tap, input channel).
//
// Operations: 2 · pixels · c_out · taps · c_in, where c_out and c_in are wide; bytes (x and y once, as long as the taps
// find x in the caches) where they are narrow. A block computes ROWS pixels × COLUMNS channels of one group and one
// phase. A slice of x is gathered by the loaders: a thread has a few pixels' windows in registers and walks through
// (tap, channel), 16 bytes at once where channels allow, else number by number; what lies outside is 0. The terms run
// on through the taps, so that three input channels waste nothing. Blocks that have the same pixels are neighbours:
// they meet in the second-level cache.
#include "convolution.cuh"
#include "register_tiles.cuh"

// What may be done 16 bytes at once, and what becomes of the sums.
struct Options {
    bool pack_x, pack_w, pack_y, relu;
};

// Which tile a block computes: tiles of columns fastest, then of rows, groups, phases.
struct Place {
    int64 row;
    int column, group, phase;

    __device__ __forceinline__ Place(int64 tile, int64 tiles_down, int tiles_across, int groups, int rows, int columns) {
        column = tile % tiles_across * columns, tile /= tiles_across;
        row = tile % tiles_down * rows, tile /= tiles_down;
        group = tile % groups, phase = tile / groups;
    }
};

// Where each row of the tile begins in x and lies in y (−1: nowhere), in shared memory.
struct Row {
    Window window;
    int64 place;
};

// Reads slices of x: PACK terms of one row in each of CHUNKS turns.
template <class T, class Tile>
struct InputLoader {
    static constexpr int PACK = Tile::PACK, PARTS = Tile::DEPTH / PACK;  // of a row's slice, one for each thread
    static constexpr int CHUNKS = Tile::ROWS * PARTS / Tile::THREADS;
    static_assert(CHUNKS * Tile::THREADS == Tile::ROWS * PARTS, "all threads read the same number of chunks");
    Window windows[CHUNKS];
    Depth depth;
    T numbers[CHUNKS][PACK];

    __device__ __forceinline__ static int row(int chunk) { return (threadIdx.x + chunk * Tile::THREADS) / PARTS; }
    __device__ __forceinline__ static int term() { return threadIdx.x % PARTS * PACK; }

    __device__ __forceinline__ void begin(const Row *rows, const Correlation &c, const Phase &p) {
#pragma unroll
        for (int i = 0; i < CHUNKS; ++i) windows[i] = rows[row(i)].window;
        depth.decode(term(), c, p);
    }

    // Read the chunks at hand and go on to the next slice.
    __device__ __forceinline__ void fetch(const T *x, bool pack, const Correlation &c, const Phase &p) {
        if (pack) {
#pragma unroll
            for (int i = 0; i < CHUNKS; ++i) {
#pragma unroll
                for (int j = 0; j < PACK; ++j) numbers[i][j] = 0;
                if (windows[i].holds(depth, p)) read<PACK>(x + windows[i].at(depth, c, p), numbers[i]);
            }
        } else {
            Depth each = depth;
#pragma unroll
            for (int j = 0; j < PACK; ++j) {
#pragma unroll
                for (int i = 0; i < CHUNKS; ++i)
                    numbers[i][j] = windows[i].holds(each, p) ? x[windows[i].at(each, c, p)] : T(0);
                each.advance(1, c, p);
            }
        }
        depth.advance(Tile::DEPTH, c, p);
    }

    __device__ __forceinline__ void store(T *left) const {
#pragma unroll
        for (int i = 0; i < CHUNKS; ++i)
#pragma unroll
            for (int j = 0; j < PACK; ++j) left[(term() + j) * (Tile::ROWS + Tile::PAD) + row(i)] = numbers[i][j];
    }
};

// Reads slices of the weights: PACK output channels of one term, or, where input channels lie side by side
// (TRANSPOSED), PACK terms of one output channel.
template <class T, class Tile, bool TRANSPOSED>
struct WeightLoader {
    static constexpr int PACK = Tile::PACK, PARTS = TRANSPOSED ? Tile::DEPTH / PACK : Tile::COLUMNS / PACK;
    static constexpr int USED = Tile::COLUMNS * Tile::DEPTH / PACK;  // threads that read
    static_assert(USED <= Tile::THREADS, "a thread reads one chunk");
    Depth depth;
    T numbers[PACK];

    __device__ __forceinline__ static int term() {
        return TRANSPOSED ? threadIdx.x % PARTS * PACK : threadIdx.x / PARTS;
    }
    __device__ __forceinline__ static int column() {
        return TRANSPOSED ? threadIdx.x / PARTS : threadIdx.x % PARTS * PACK;
    }

    __device__ __forceinline__ void begin(const Correlation &c, const Phase &p) { depth.decode(term(), c, p); }

    // `w`: at the tile's first column, of `columns` that there are. Read the chunk at hand and go on to the next slice.
    __device__ __forceinline__ void fetch(const T *w, int columns, bool pack, const Correlation &c, const Phase &p) {
#pragma unroll
        for (int j = 0; j < PACK; ++j) numbers[j] = 0;
        if (threadIdx.x < USED && column() < columns) {
            Depth each = depth;
            if (pack) {
                if (each.d < p.d.taps) read<PACK>(w + each.weight(c, p) + column() * c.w_strides[4], numbers);
            } else {
#pragma unroll
                for (int j = 0; j < PACK; ++j) {
                    int here = TRANSPOSED ? column() : column() + j;
                    if (each.d < p.d.taps && here < columns) numbers[j] = w[each.weight(c, p) + here * c.w_strides[4]];
                    if (TRANSPOSED) each.advance(1, c, p);
                }
            }
        }
        depth.advance(Tile::DEPTH, c, p);
    }

    __device__ __forceinline__ void store(T *right) const {
        if (threadIdx.x >= USED) return;
        constexpr int NEXT = Tile::COLUMNS + Tile::PAD;
        if (TRANSPOSED) {
#pragma unroll
            for (int j = 0; j < PACK; ++j) right[(term() + j) * NEXT + column()] = numbers[j];
        } else {
            write<PACK>(numbers, right + term() * NEXT + column());
        }
    }
};

// Write the tile: its sums with the bias (of the tile's first column on), through the activation.
template <class T, class Tile>
__device__ __forceinline__ void write_tile(
    Tile &tile, const Row *rows, const T *bias, T *y, int columns, const Options &options) {
    constexpr int N = Tile::COLUMN_PIECE < Tile::PACK ? Tile::COLUMN_PIECE : Tile::PACK;
#pragma unroll
    for (int j = 0; j < int(sizeof(tile.sums[0]) / sizeof(T)); j += N) {
        int column = Tile::column(j);
        T offsets[N];
#pragma unroll
        for (int q = 0; q < N; ++q) offsets[q] = bias && column + q < columns ? bias[column + q] : T(0);
#pragma unroll
        for (int i = 0; i < int(sizeof(tile.sums) / sizeof(tile.sums[0])); ++i) {
            int64 place = rows[Tile::row(i)].place;
            T results[N];
#pragma unroll
            for (int q = 0; q < N; ++q) {
                results[q] = tile.sums[i][j + q] + offsets[q];
                if (options.relu) results[q] = maximum(results[q], T(0));
            }
            if (place < 0 || column >= columns) continue;
            if (options.pack_y) {
                write<N>(results, y + place + column);
            } else {
#pragma unroll
                for (int q = 0; q < N; ++q)
                    if (column + q < columns) y[place + column + q] = results[q];
            }
        }
    }
}

template <class T, class Tile, bool TRANSPOSED>
__device__ __forceinline__ void one_tile(const T *x, const T *w, const T *bias, T *y, const Correlation &c,
                                         const Options &options, const Place &place, Row *rows, T *room) {
    Phase p = phase(c, place.phase);
    int64 pixels = c.batch * p.pixels();
    if (place.row >= pixels) return;  // a phase with fewer pixels than the first
    for (int row = threadIdx.x; row < Tile::ROWS; row += Tile::THREADS) {
        Row &here = rows[row];
        if (place.row + row < pixels) {
            Pixel pixel;
            pixel.decode(place.row + row, p);
            here.window.begin(pixel, c, p);
            here.place = pixel.place(c, p);
        } else {
            here.window.nowhere();
            here.place = -1;
        }
    }
    __syncthreads();
    int columns = c.c_out - place.column;
    x += place.group * c.c_in, w += place.group * c.w_strides[5] + place.column * c.w_strides[4];
    Tile tile;
    tile.clear();
    InputLoader<T, Tile> inputs;
    WeightLoader<T, Tile, TRANSPOSED> weights;
    int64 slices = (p.taps() * c.c_in + Tile::DEPTH - 1) / Tile::DEPTH;
    if (slices > 0) inputs.begin(rows, c, p), weights.begin(c, p);  // else no tap reaches this phase: the bias alone
    auto fetch = [&](int64) {
        inputs.fetch(x, options.pack_x, c, p);
        weights.fetch(w, columns, options.pack_w, c, p);
    };
    auto store = [&](T *left, T *right) { inputs.store(left), weights.store(right); };
    multiply_slices<T>(tile, room, slices, fetch, store);
    int64 first = int64(place.group) * c.c_out + place.column;
    write_tile<T>(tile, rows, bias ? bias + first : bias, y + first, columns, options);
}

// `tiles_down` × `tiles_across` tiles for each group and each phase.
template <class T, int ROWS, int COLUMNS, int THREAD_ROWS, int THREAD_COLUMNS, bool TRANSPOSED>
__global__ void __launch_bounds__(ROWS / THREAD_ROWS * (COLUMNS / THREAD_COLUMNS))
    correlate(const T *x, const T *w, const T *bias, T *y, const __grid_constant__ Correlation c, Options options,
              int64 tiles_down, int64 tiles_across) {
    using Tile = RegisterTile<T, ROWS, COLUMNS, THREAD_ROWS, THREAD_COLUMNS>;
    Row *rows = shared_memory<Row>();
    T *room = shared_memory<T>(ROWS * sizeof(Row));
    int64 tiles = tiles_down * tiles_across * c.groups * (c.phases[0] * c.phases[1] * c.phases[2]);
    for (int64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        __syncthreads();  // the rows of the tile before are still being read
        Place place(tile, tiles_down, tiles_across, c.groups, ROWS, COLUMNS);
        one_tile<T, Tile, TRANSPOSED>(x, w, bias, y, c, options, place, rows, room);
    }
}
