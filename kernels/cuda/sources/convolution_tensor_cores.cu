// Convolution and transposed convolution on the tensor cores: the sum of convolution.cuh as a product of matrices,
//
//     a row of a: an output pixel; k: (tap, input channel), channels fastest; a column of b: an output channel,
//
// in the tiles of matrix_tiles.cuh. Nothing is laid out in memory: the copies into shared memory find each unit of 16
// bytes, some channels of one input pixel, where it lies, and put zeros where the window leaves the image.
//
//        x (n, d, h, w, c)                          a step: 128 bytes of k, some channels of one or a few taps
//      ┌───────────────┐                            ┌────────────┐
//      │   ┌─┬─┬─┐     │   for each of M pixels,    │ pixel 0    │      weights
//      │   ├─┼─┼─┤     │   the input pixel that     │ pixel 1    │  ×  ┌─────────┐  =  M × N numbers of y,
//      │   └─┴─┴─┘     │   the tap at hand sees     │ …          │     │ k × N   │     8 × 8 for a thread
//      └───────────────┘                            │ pixel M−1  │     └─────────┘
//                                                   └────────────┘
//
// Operations, 2 · pixels · c_out · taps · c_in, where channels are many; bytes, x and y once, where they are few: then x
// is found in the caches by all taps but the first. Where there are too few tiles for a GPU, k is split, and
// `add_splits` of dense.cu adds the parts in a fixed order.
#include "convolution.cuh"
#include "matrix_tiles.cuh"

// What a block knows of its pixels: image, and where the window begins; later where they lie in y.
struct Corner {
    int n, d, h, w;
};

// Which unit of a step a thread copies, of each row: the same of x and of the weights, if k is last in both.
template <class T>
struct UnitOfRow {
    static constexpr int UNITS = ROW / UNIT, AT_A_TIME = TILE_THREADS / UNITS;

    __device__ __forceinline__ static int line() { return threadIdx.x / UNITS; }
    __device__ __forceinline__ static int column() { return threadIdx.x % UNITS * AT_ONCE<T>; }
};

// a: units of x. ADVANCES: whether the depth goes on after each step, or leaves that to the operand that is copied next.
template <class T, class Tile, bool ADVANCES>
struct InputOperand : UnitOfRow<T> {
    using UnitOfRow<T>::AT_A_TIME, UnitOfRow<T>::line, UnitOfRow<T>::column;

    const T *x;
    const Corner *corners;
    const Correlation &s;
    Phase p;
    Depth &depth;
    bool aligned;

    __device__ __forceinline__ InputOperand(const T *x, const Corner *corners, const Correlation &s, const Phase &p,
                                            Depth &depth, bool aligned)
        : x(x), corners(corners), s(s), p(p), depth(depth), aligned(aligned) {}

    __device__ __forceinline__ void copy(unsigned char *to, int64) {
        if (aligned)
#pragma unroll
            for (int i = 0; i < Tile::M; i += AT_A_TIME) {
                const T *from;
                bool inside = find(from, corners[line() + i], depth);
                copy_async<UNIT>(to + place<T, true, Tile::M>(line() + i, column()), from, inside ? UNIT : 0);
            }
        else
#pragma unroll 1
            for (int i = 0; i < Tile::M; i += AT_A_TIME) {
                Depth each = depth;
                unsigned char *unit = to + place<T, true, Tile::M>(line() + i, column());
#pragma unroll 1
                for (int j = 0; j < AT_ONCE<T>; ++j, each.advance(1, s, p)) {
                    const T *from;
                    bool inside = find(from, corners[line() + i], each);
                    copy_number(unit + j * sizeof(T), inside ? from : nullptr, x);
                }
            }
        if (ADVANCES) depth.advance(TILE_K<T>, s, p);
    }

    // Where a window has what is at a depth. Returns whether that lies in x.
    __device__ __forceinline__ bool find(const T *&from, const Corner &corner, const Depth &k) const {
        int d = corner.d + k.d * p.d.dilation, h = corner.h + k.h * p.h.dilation, w = corner.w + k.w * p.w.dilation;
        from = x + (corner.n * s.x_strides[0] + d * s.x_strides[1] + h * s.x_strides[2] + w * s.x_strides[3] + k.c);
        return k.d < p.d.taps && within(d, p.d.inputs) && within(h, p.h.inputs) && within(w, p.w.inputs);
    }
};

// b where input channels lie side by side: units of w.
template <class T, class Tile>
struct WeightOperand : UnitOfRow<T> {
    using UnitOfRow<T>::AT_A_TIME, UnitOfRow<T>::line, UnitOfRow<T>::column;

    const T *w;  // at the tile's first column
    const Correlation &s;
    Phase p;
    Depth &depth;
    int columns;
    bool aligned;

    __device__ __forceinline__ WeightOperand(const T *w, const Correlation &s, const Phase &p, Depth &depth,
                                             int columns, bool aligned)
        : w(w), s(s), p(p), depth(depth), columns(columns), aligned(aligned) {}

    __device__ __forceinline__ void copy(unsigned char *to, int64) {
        if (aligned) {
            const T *from = w + depth.weight(s, p) + line() * s.w_strides[1];
            int lines = depth.d < p.d.taps ? columns - line() : 0;
#pragma unroll
            for (int i = 0; i < Tile::N; i += AT_A_TIME)
                copy_async<UNIT>(to + place<T, true, Tile::N>(line() + i, column()),
                                 from + i * s.w_strides[1], i < lines ? UNIT : 0);
        } else {
            Depth each = depth;
#pragma unroll 1
            for (int j = 0; j < AT_ONCE<T>; ++j, each.advance(1, s, p)) {
                const T *from = w + each.weight(s, p);
#pragma unroll 1
                for (int i = line(); i < Tile::N; i += AT_A_TIME)
                    copy_number(to + place<T, true, Tile::N>(i, column() + j),
                                each.d < p.d.taps && i < columns ? from + i * s.w_strides[1] : nullptr, w);
            }
        }
        depth.advance(TILE_K<T>, s, p);
    }
};

// c = the tile's sums, of so many terms from k = `begin` on.
template <class Arithmetic, class Tile, bool TRANSPOSED>
__device__ __forceinline__ void sum_terms(typename Arithmetic::Sum (&c)[8][Tile::COLUMNS],
                                          const typename Arithmetic::Stored *x,
                                          const typename Arithmetic::Stored *w, const Correlation &s, const Phase &p,
                                          const Corner *corners, int64 begin, int64 terms, int columns,
                                          const Tiling &tiling) {
    using T = typename Arithmetic::Stored;
    if (terms <= 0) return;
    unsigned char *room = shared_memory<unsigned char>(Tile::M * sizeof(Corner));
    Depth depth;
    depth.decode(begin + UnitOfRow<T>::column(), s, p);
    InputOperand<T, Tile, !TRANSPOSED> a(x, corners, s, p, depth, tiling.a_aligned);
    if constexpr (TRANSPOSED) {
        WeightOperand<T, Tile> b(w, s, p, depth, columns, tiling.b_aligned);
        accumulate<Arithmetic, Tile, true, true>(room, a, b, terms, c);
    } else {
        MatrixOperand<T, false, Tile::N> b(w, s.w_strides[0], 0, columns, begin, tiling.b_aligned);
        accumulate<Arithmetic, Tile, true, false>(room, a, b, terms, c);
    }
}

// Blocks that have the same pixels are neighbours. With one split, y is finished here; else `sums` has room for y once
// for each split. TRANSPOSED: the weights' input channels lie side by side, not their output channels.
template <class Arithmetic, int M, int N, bool TRANSPOSED>
__global__ void __launch_bounds__(TILE_THREADS, Tile<M, N>::BLOCKS)
    correlate(const typename Arithmetic::Stored *x, const typename Arithmetic::Stored *w,
              const typename Arithmetic::Stored *bias, typename Arithmetic::Stored *y, float *sums, int64 size,
              const __grid_constant__ Correlation s, Tiling tiling) {
    using T = typename Arithmetic::Stored;
    int64 number = blockIdx.x, column = number % tiling.across * N;
    int64 first = (number /= tiling.across) % tiling.down * M;
    int64 split = (number /= tiling.down) % tiling.splits, group = (number /= tiling.splits) % s.groups;
    Phase p = phase(s, int(number / s.groups));
    int64 pixels = s.batch * p.pixels(), terms = p.taps() * s.c_in, begin = split * tiling.depth;
    if (first >= pixels) return;  // a phase with fewer pixels than the first
    Corner *corners = shared_memory<Corner>();
    for (int i = threadIdx.x; i < M; i += TILE_THREADS) {
        Pixel o;
        o.decode(first + i, p);
        corners[i] = {int(o.n), o.d * p.d.step - p.d.before, o.h * p.h.step - p.h.before, o.w * p.w.step - p.w.before};
        if (first + i >= pixels) corners[i] = {0, 0, 0, -(1 << 30)};
    }
    __syncthreads();
    float c[8][Tile<M, N>::COLUMNS] = {};
    sum_terms<Arithmetic, Tile<M, N>, TRANSPOSED>(
        c, x + group * s.c_in, w + p.weights() + group * s.w_strides[2] + column * s.w_strides[1], s, p, corners, begin,
        min(terms - begin, tiling.depth), int(s.c_out - column), tiling);
    __syncthreads();  // nobody reads the corners any more
    int64 *places = shared_memory<int64>();
    for (int i = threadIdx.x; i < M; i += TILE_THREADS) {
        Pixel o;
        o.decode(first + i, p);
        places[i] = first + i < pixels ? o.place(s, p) + group * s.c_out : -1;
    }
    __syncthreads();
    auto row = [&](int i) { return places[i]; };
    if (tiling.splits > 1)
        write_tile<float, Tile<M, N>>(c, nullptr, sums + split * size, column, s.c_out, s.c_out % 4 == 0, false, row);
    else
        write_tile<T, Tile<M, N>>(c, bias ? bias + group * s.c_out : bias, y, column, s.c_out,
                                  s.c_out % AT_ONCE<T> == 0, tiling.relu, row);
}
