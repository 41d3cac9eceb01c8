// The gradient of a convolution's weights on the tensor cores, as a product of matrices that are never laid out:
//
//     a row of a: (tap, input channel), channels fastest; k: an output pixel; a column of b: an output channel,
//
// in the tiles of matrix_tiles.cuh. b is dy as it lies. A unit of a is some channels of the input pixel that a tap sees
// from an output pixel. A thread copies units of one tap; where the windows of a step's pixels begin, one thread finds
// out for each pixel, a step ahead, and leaves it in shared memory.
//
// Operations, 2 · pixels · c_out · taps · c_in, where channels are many; bytes (x and dy once) where they are few. The
// sums are few and long, so k is split (how, follows from the sizes alone), and the parts are added in a fixed order.
#include "convolution.cuh"
#include "matrix_tiles.cuh"

template <class T, class Tile>
struct WindowOperand {
    static constexpr int UNITS = Tile::M * int(sizeof(T)) / UNIT, AT_A_TIME = TILE_THREADS / UNITS;
    static constexpr int PIXELS = TILE_K<T>;  // of a step
    static_assert(PIXELS <= TILE_THREADS);

    const T *x;
    Window *windows;  // of this step's pixels, and of the next one's: in turns
    const Correlation &s;
    Phase p;
    int64 row, rows;     // the tile's first (tap, channel), and how many there are
    int64 number, end;   // of the pixel whose window this thread finds out
    Pixel pixel;
    Term term;
    int turn = 0;
    bool aligned;

    // All threads must pass a barrier before the first copy.
    __device__ __forceinline__ WindowOperand(const T *x, Window *windows, const Correlation &s, const Phase &p,
                                             int64 row, int64 begin, int64 end, bool aligned)
        : x(x), windows(windows), s(s), p(p), row(row), rows(p.taps() * s.c_in), number(begin + threadIdx.x), end(end),
          aligned(aligned) {
        begin_term(term, column());
        pixel.decode(number, p);
        find_windows(windows);
    }

    __device__ __forceinline__ static int line() { return threadIdx.x / UNITS; }
    __device__ __forceinline__ static int column() { return threadIdx.x % UNITS * AT_ONCE<T>; }

    __device__ __forceinline__ void begin_term(Term &term, int column) const {
        if (row + column < rows) term.begin(row + column, s, p);
        else term.nowhere();
    }

    __device__ __forceinline__ void find_windows(Window *to) {
        if (threadIdx.x >= PIXELS) return;
        if (number < end) to[threadIdx.x].begin(pixel, s, p);
        else to[threadIdx.x].nowhere();
        number += PIXELS;
        pixel.advance(PIXELS, p);
    }

    __device__ __forceinline__ void copy(unsigned char *to, int64) {
        const Window *now = windows + turn * PIXELS + line();
        if (aligned) {
#pragma unroll
            for (int i = 0; i < PIXELS; i += AT_A_TIME) {
                bool inside = now[i].holds(term, p);
                copy_async<UNIT>(to + place<T, false, Tile::M>(column(), line() + i),
                                 x + now[i].at(term), inside ? UNIT : 0);
            }
        } else {
#pragma unroll 1
            for (int j = 0; j < AT_ONCE<T>; ++j) {
                Term each;
                begin_term(each, column() + j);
#pragma unroll 1
                for (int i = 0; i < PIXELS; i += AT_A_TIME)
                    copy_number(to + place<T, false, Tile::M>(column() + j, line() + i),
                                now[i].holds(each, p) ? x + now[i].at(each) : nullptr, x);
            }
        }
        turn ^= 1;
        find_windows(windows + turn * PIXELS);
    }
};

// With one split, dw is finished here; else `sums` has room for dw (of `size` numbers) once for each split.
template <class Arithmetic, int M, int N>
__global__ void __launch_bounds__(TILE_THREADS, Tile<M, N>::BLOCKS)
    correlate_weights(const typename Arithmetic::Stored *x, const typename Arithmetic::Stored *dy,
                      typename Arithmetic::Stored *dw, float *sums, int64 size, const __grid_constant__ Correlation s,
                      Tiling tiling) {
    using T = typename Arithmetic::Stored;
    using A = WindowOperand<T, Tile<M, N>>;
    int64 number = blockIdx.x, column = number % tiling.across * N;
    int64 first = (number /= tiling.across) % tiling.down * M;
    int64 split = (number /= tiling.down) % tiling.splits, group = number / tiling.splits;
    Phase p = phase(s, 0);
    int64 begin = split * tiling.depth, end = min(s.batch * p.pixels(), begin + tiling.depth);
    float c[8][Tile<M, N>::COLUMNS] = {};
    if (begin < end) {
        A a(x + group * s.c_in, shared_memory<Window>(), s, p, first, begin, end, tiling.a_aligned);
        MatrixOperand<T, false, N> b(dy + group * s.c_out + column, s.y_strides[3], 0, s.c_out - column, begin,
                                     tiling.b_aligned);
        __syncthreads();
        unsigned char *room = shared_memory<unsigned char>(2 * A::PIXELS * sizeof(Window));
        accumulate<Arithmetic, Tile<M, N>, false, false>(room, a, b, end - begin, c);
    }
    int64 rows = p.taps() * s.c_in;
    auto row = [&](int i) { return first + i < rows ? (first + i) * s.w_strides[0] + group * s.w_strides[2] : -1; };
    if (tiling.splits > 1)
        write_tile<float, Tile<M, N>>(c, nullptr, sums + split * size, column, s.c_out, s.c_out % 4 == 0, false, row);
    else
        write_tile<T, Tile<M, N>>(c, nullptr, dw, column, s.c_out, s.c_out % AT_ONCE<T> == 0, false, row);
}
