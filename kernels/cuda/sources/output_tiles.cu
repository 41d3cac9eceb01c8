// Convolution and transposed convolution as products of matrices that are never laid out: one row for every output
// pixel, one column for every output channel, and terms (tap, input channel).
//
// Operations: 2 · pixels · c_out · taps · c_in, where c_out and c_in are wide; bytes (x and y once, as long as the taps
// find x in the caches) where they are narrow. A block computes ROWS pixels × COLUMNS channels of one group and one
// phase. A slice of x is gathered by the loaders: a thread has a few pixels' windows in registers and walks through
// (tap, channel), 16 bytes at once where channels allow, else number by number; what lies outside is 0. The terms run
// on through the taps, so that three input channels waste nothing. Blocks that have the same pixels are neighbours:
// they meet in the second-level cache. Where tiles are too few to fill a GPU the terms are cut in parts (how many
// depends on the shape alone), and a second kernel adds the parts.
#include "convolution.cuh"
#include "register_tiles.cuh"

// What may be done 16 bytes at once.
struct Options {
    bool pack_x, pack_w, pack_y;
};

// Which tile a block computes, over which part of the terms: tiles of columns fastest, then of rows, groups, phases,
// parts.
struct Place {
    int64 row;
    int column, group, phase, part;

    __device__ __forceinline__ Place(
        unsigned tile, unsigned tiles_down, unsigned tiles_across, int groups, int phases, int rows, int columns) {
        column = tile % tiles_across * columns, tile /= tiles_across;
        row = int64(tile % tiles_down) * rows, tile /= tiles_down;
        group = tile % groups, tile /= groups;
        phase = tile % phases, part = tile / phases;
    }
};

// Where each row of the tile begins in x and lies in y (−1: nowhere), in shared memory.
struct Row {
    Window window;
    int64 place;
};

// Reads slices of x: PACK terms of one row in each of CHUNKS turns.
template <class Tile>
struct InputLoader {
    using T = typename Tile::Number;
    static constexpr int PACK = Tile::PACK, PARTS = Tile::DEPTH / PACK;  // of a row's slice, one for each thread
    static constexpr int CHUNKS = Tile::ROWS * PARTS / Tile::THREADS;
    static_assert(CHUNKS * Tile::THREADS == Tile::ROWS * PARTS, "all threads read the same number of chunks");
    Window windows[CHUNKS];
    T numbers[CHUNKS][PACK];

    __device__ __forceinline__ static int row(int chunk) { return (threadIdx.x + chunk * Tile::THREADS) / PARTS; }
    __device__ __forceinline__ static int term() { return threadIdx.x % PARTS * PACK; }

    __device__ __forceinline__ void begin(const Row *rows) {
#pragma unroll
        for (int i = 0; i < CHUNKS; ++i) windows[i] = rows[row(i)].window;
    }

    // Read this thread's chunks of a slice; `depth` is that of the first of its terms.
    __device__ __forceinline__ void fetch(
        const T *x, const Depth &depth, bool pack, const Correlation &c, const Phase &p) {
        if (PACKED<Tile> || pack) {
#pragma unroll
            for (int i = 0; i < CHUNKS; ++i) {
#pragma unroll
                for (int j = 0; j < PACK; ++j) numbers[i][j] = 0;
                if (windows[i].holds(depth, p)) read<PACK>(x + windows[i].at(depth, p), numbers[i]);
            }
        } else {
            Depth each = depth;
#pragma unroll
            for (int j = 0; j < PACK; ++j) {
#pragma unroll
                for (int i = 0; i < CHUNKS; ++i)
                    numbers[i][j] = windows[i].holds(each, p) ? x[windows[i].at(each, p)] : T(0);
                each.advance(1, c, p);
            }
        }
    }

    __device__ __forceinline__ void store(T *left) const {
#pragma unroll
        for (int i = 0; i < CHUNKS; ++i)
#pragma unroll
            for (int j = 0; j < PACK; ++j) left[(term() + j) * (Tile::ROWS + Tile::PAD) + row(i)] = numbers[i][j];
    }
};

// Reads slices of the weights: PACK output channels of one term, which of a convolution lie in the terms' order; or,
// where input channels lie side by side (TRANSPOSED), PACK terms of one output channel.
template <class Tile, bool TRANSPOSED>
struct WeightLoader {
    using T = typename Tile::Number;
    static constexpr int PACK = Tile::PACK, PARTS = TRANSPOSED ? Tile::DEPTH / PACK : Tile::COLUMNS / PACK;
    static constexpr int USED = Tile::COLUMNS * Tile::DEPTH / PACK;  // threads that read
    static_assert(USED <= Tile::THREADS, "a thread reads one chunk");
    T numbers[PACK];

    __device__ __forceinline__ static int term() {
        return TRANSPOSED ? threadIdx.x % PARTS * PACK : threadIdx.x / PARTS;
    }
    __device__ __forceinline__ static int column() {
        return TRANSPOSED ? threadIdx.x / PARTS : threadIdx.x % PARTS * PACK;
    }

    // Read this thread's chunk of the slice that begins at term `first`, of `terms`. `w`: at the tile's first column,
    // of `columns` that there are.
    __device__ __forceinline__ void fetch(
        const T *w, int first, int terms, int columns, bool pack, const Correlation &c) {
#pragma unroll
        for (int j = 0; j < PACK; ++j) numbers[j] = 0;
        if (threadIdx.x >= USED || first + term() >= terms) return;
        const T *from = w + int64(first + term()) * c.w_strides[0] + column();
        if (PACKED<Tile> || pack) {
            if (column() < columns) read<PACK>(from, numbers);
        } else {
#pragma unroll
            for (int j = 0; j < PACK; ++j)
                if (column() + j < columns) numbers[j] = from[j];
        }
    }

    // The same, TRANSPOSED; `depth` is that of the first of this thread's terms.
    __device__ __forceinline__ void fetch_transposed(
        const T *w, Depth depth, int columns, bool pack, const Correlation &c, const Phase &p) {
#pragma unroll
        for (int j = 0; j < PACK; ++j) numbers[j] = 0;
        if (threadIdx.x >= USED || column() >= columns) return;
        w += column() * c.w_strides[1];
        if (PACKED<Tile> || pack) {
            if (depth.d < p.d.taps) read<PACK>(w + depth.weight(c, p), numbers);
        } else {
#pragma unroll
            for (int j = 0; j < PACK; ++j) {
                if (depth.d < p.d.taps) numbers[j] = w[depth.weight(c, p)];
                depth.advance(1, c, p);
            }
        }
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

// Write the tile: its sums with the bias (of the tile's first column on), but at least `least`.
template <class Tile, class T>
__device__ __forceinline__ void write_tile(const Tile &tile, const Row *rows, const T *bias, T *y, int columns,
                                           T least, bool pack) {
    constexpr int N = Tile::COLUMN_PIECE < Tile::PACK ? Tile::COLUMN_PIECE : Tile::PACK;
#pragma unroll
    for (int j = 0; j < Tile::THREAD_COLUMNS; j += N) {
        int column = Tile::column(j);
        T offsets[N];
#pragma unroll
        for (int q = 0; q < N; ++q) offsets[q] = bias && column + q < columns ? bias[column + q] : T(0);
#pragma unroll
        for (int i = 0; i < Tile::THREAD_ROWS; ++i) {
            int64 place = rows[Tile::row(i)].place;
            Pack<T, N> results;
#pragma unroll
            for (int q = 0; q < N; ++q) results.items[q] = maximum(tile.sums[i][j + q] + offsets[q], least);
            if (place < 0 || column >= columns) continue;
            if (PACKED<Tile> || pack) {
                store_whole(y + place + column, results);
            } else {
#pragma unroll
                for (int q = 0; q < N; ++q)
                    if (column + q < columns) y[place + column + q] = results.items[q];
            }
        }
    }
}

template <class Tile, bool TRANSPOSED, class T>
__device__ __forceinline__ void one_tile(const T *x, const T *w, const T *bias, T *y, const Correlation &c,
                                         T least, const Options &options, const Place &place, int parts,
                                         Row *rows, T *room) {
    Phase p = phase(c, TRANSPOSED ? place.phase : 0);
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
    x += place.group * c.c_in, w += p.weights() + place.group * c.w_strides[2] + place.column * c.w_strides[1];
    Tile tile;
    tile.clear();
    InputLoader<Tile> inputs;
    WeightLoader<Tile, TRANSPOSED> weights;
    inputs.begin(rows);
    int terms = p.taps() * c.c_in, slices = (terms + Tile::DEPTH - 1) / Tile::DEPTH, first_slice = 0;
    if (!PACKED<Tile>) {
        int each = (slices + parts - 1) / parts;
        first_slice = min(each * place.part, slices);
        slices = min(each, slices - first_slice);
    }
    int first_term = first_slice * Tile::DEPTH;
    Depth depth;  // of this thread's first term in a slice of x, and TRANSPOSED of the weights
    if (terms > 0) depth.decode(first_term + inputs.term(), c, p);  // else no tap reaches this phase: the bias alone
    auto fetch = [&] {
        inputs.fetch(x, depth, options.pack_x, c, p);
        if (TRANSPOSED)
            weights.fetch_transposed(w, depth, columns, options.pack_w, c, p);
        else
            weights.fetch(w, first_term, terms, columns, options.pack_w, c);
        depth.advance(Tile::DEPTH, c, p), first_term += Tile::DEPTH;
    };
    auto store = [&](T *left, T *right) { inputs.store(left), weights.store(right); };
    multiply_slices(tile, room, slices, fetch, store);
    int64 first = int64(place.group) * c.c_out + place.column;
    write_tile(tile, rows, bias ? bias + first : bias, y + first, columns, least, options.pack_y);
}

// `tiles_down` × `tiles_across` tiles for each group, each phase and each part of the terms, which has a y of its own,
// `y_size` numbers after the one before.
template <class Tile, bool TRANSPOSED, class T = typename Tile::Number>
__global__ void __launch_bounds__(Tile::THREADS, Tile::BLOCKS)
    correlate(const T *x, const T *w, const T *bias, T *y, const __grid_constant__ Correlation c, T least,
              Options options, int64 tiles_down, int64 tiles_across, int64 parts, int64 y_size) {
    Row *rows = shared_memory<Row>();
    T *room = shared_memory<T>(Tile::ROWS * sizeof(Row));
    int phases = c.phases[0] * c.phases[1] * c.phases[2];
    unsigned tiles = tiles_down * tiles_across * c.groups * phases * parts;
    for (unsigned tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        __syncthreads();  // the rows of the tile before are still being read
        Place place(tile, tiles_down, tiles_across, c.groups, phases, Tile::ROWS, Tile::COLUMNS);
        T *to = PACKED<Tile> ? y : y + place.part * y_size;
        one_tile<Tile, TRANSPOSED>(x, w, bias, to, c, least, options, place, parts, rows, room);
    }
}

// y = the sum of the parts, always added in the same order, with the bias, but at least `least`; `count` numbers, N at
// a time.
template <class T, int N>
__global__ void add_parts_of_terms(const T *parts, const T *bias, T *y, int64 count, int64 channels, int64 number,
                                   T least) {
    for (int64 i = first_item() * N; i < count; i += all_threads() * N) {
        T sums[N];
        read<N>(parts + i, sums);
        for (int64 part = 1; part < number; ++part) {
            T more[N];
            read<N>(parts + part * count + i, more);
#pragma unroll
            for (int j = 0; j < N; ++j) sums[j] += more[j];
        }
#pragma unroll
        for (int j = 0; j < N; ++j) {
            if (bias) sums[j] += bias[(i + j) % channels];
            sums[j] = maximum(sums[j], least);
        }
        write<N>(sums, y + i);
    }
}
