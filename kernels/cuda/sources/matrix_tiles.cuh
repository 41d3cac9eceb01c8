// A block's tile of a product of matrices, c (M, N) += a (M, k) · b (k, N), with k in steps of 128 bytes.
//
// Each of four warps has 64 × 32 numbers of c, every thread 8 × 8 of them: M × N = 128 × 64 or 256 × 32. In a tile of
// 128 × 128, for the tensor cores alone, it is twice as many columns: half as much is read for each product. Steps come
// into shared memory by asynchronous copies, STAGES − 1 of them ahead. What is done with a step is a template argument:
//
//   Exact<float>, Exact<double>   fused multiply-adds of the type
//   TF32, BF16                    float, rounded on the way to the tensor cores
//   Halves, BFloats               numbers of 16 bits as they are stored, float sums
//
// Operations, of the tensor cores or the FMA units: a number of a that is read from memory is used for N, one of b for
// M products. All reads of shared memory are packs of four numbers, or 16 bytes, without bank conflicts, but for rows of
// 64 bytes (32 columns of 16 bits with k first), which have two-way ones:
//
//   - an operand lies as its matrix does, k last (rows of 128 bytes) or k first, in units of 16 bytes whose places in a
//     row are permuted (`place`);
//   - the order of k is free in a sum, so a lane of a warp takes four neighbours in k where the PTX ISA's fragments
//     have them apart; and the rows and columns of c are free too: lane (g, t) = (lane / 4, lane % 4) has the rows
//     4g … 4g + 3 and 32 + 4g … 32 + 4g + 3 of its warp's part of c, and the columns 8t … 8t + 7.
#pragma once
#include "tensor_cores.cuh"

constexpr int TILE_THREADS = 128, STAGES = 3;
constexpr int ROW = 128, UNIT = 16;  // bytes: of k in a step, and of one copy

template <int M_, int N_>
struct Tile {
    static constexpr int M = M_, N = N_, A_BYTES = M * ROW, STAGE_BYTES = (M + N) * ROW;
    static constexpr int WARP_N = N == 128 ? 64 : 32, WARPS_N = N / WARP_N;
    static constexpr int COLUMNS = WARP_N / 4;                        // of a thread
    static constexpr int BLOCKS = N == 64 ? 3 : 2;  // that a processor holds, by shared memory
    static_assert(M / 64 * WARPS_N * WARP == TILE_THREADS);
};

// How a convolution's products are cut in blocks.
struct Tiling {
    int64 down, across;         // tiles of one group, of the largest phase
    int64 splits, depth;        // of k, and the length of each: a multiple of a step's
    bool a_aligned, b_aligned;  // whether units begin at multiples of 16 bytes, and lie in one tap
    bool relu;
};

template <class T> constexpr int TILE_K = ROW / int(sizeof(T));
template <class T> constexpr int AT_ONCE = UNIT / int(sizeof(T));  // numbers of a unit

// Where in an operand of X rows (or columns, of b) the number (x, k) of the step lies, in bytes.
template <class T, bool K_LAST, int X>
__device__ __forceinline__ unsigned place(unsigned x, unsigned k) {
    unsigned offset = (K_LAST ? k : x) * unsigned(sizeof(T)), unit = offset / UNIT;
    if constexpr (K_LAST) unit ^= (x >> 2 & 1) << 2 | (x >> 3 & 1) << 1 | (x >> 4 & 1);
    else unit ^= (k >> 2 & (X * sizeof(T) >= ROW ? 3 : 1)) << 1;  // rows of 64 bytes: two places
    return (K_LAST ? x * ROW : k * X * unsigned(sizeof(T))) + unit * UNIT + offset % UNIT;
}

// ---- from global to shared memory ----------------------------------------------------------------------------------

// How many numbers of a unit there are, if `left` are left in its line.
template <class T>
__device__ __forceinline__ int in_unit(int left) {
    return left <= 0 ? 0 : left >= AT_ONCE<T> ? AT_ONCE<T> : left;
}

// One number of a unit that does not begin at a multiple of 16 bytes; 0 if `from` is null. `some`: any address.
template <class T>
__device__ __forceinline__ void copy_number(unsigned char *to, const T *from, const T *some) {
    if constexpr (sizeof(T) >= 4)
        copy_async<sizeof(T)>(to, from ? from : some, from ? int(sizeof(T)) : 0);
    else
        *reinterpret_cast<T *>(to) = from ? *from : T();
}

// An operand that is a matrix in memory: X of its rows from `x` on (of `all`), from k = `begin` on.
template <class T, bool K_LAST, int X>
struct MatrixOperand {
    static constexpr int UNITS = (K_LAST ? ROW : X * int(sizeof(T))) / UNIT, LINES = K_LAST ? X : TILE_K<T>;
    static constexpr int AT_A_TIME = TILE_THREADS / UNITS;
    static_assert(TILE_THREADS % UNITS == 0 && LINES % AT_A_TIME == 0);

    const T *mine;  // this thread's first unit of the next step
    int64 stride;
    int line, column, rows;  // where that lies in the step; the rows that there are
    bool aligned;

    __device__ __forceinline__ MatrixOperand(const T *matrix, int64 stride, int64 x, int64 all, int64 begin,
                                             bool aligned)
        : stride(stride), line(threadIdx.x / UNITS), column(threadIdx.x % UNITS * AT_ONCE<T>),
          rows(int(min(all - x, int64(X)))), aligned(aligned) {
        mine = matrix + (K_LAST ? (x + line) * stride + begin + column : (begin + line) * stride + x + column);
    }

    // The next step, of which `left` terms are left. Neighbouring threads copy neighbouring units.
    __device__ __forceinline__ void copy(unsigned char *to, int64 left) {
        int steps = int(min(left, int64(TILE_K<T>)));
        int lines = (K_LAST ? rows : steps) - line, kept = in_unit<T>((K_LAST ? steps : rows) - column);
        if (aligned)
#pragma unroll
            for (int i = 0; i < LINES; i += AT_A_TIME)
                copy_async<UNIT>(to + where(i), mine + i * stride, i < lines ? kept * int(sizeof(T)) : 0);
        else
#pragma unroll 1
            for (int i = 0; i < LINES; i += AT_A_TIME)
#pragma unroll 1
                for (int j = 0; j < AT_ONCE<T>; ++j)
                    copy_number(to + where(i) + j * sizeof(T), i < lines && j < kept ? mine + i * stride + j : nullptr,
                                mine);
        mine += K_LAST ? TILE_K<T> : TILE_K<T> * stride;
    }

    __device__ __forceinline__ unsigned where(int i) const {
        return K_LAST ? place<T, K_LAST, X>(line + i, column) : place<T, K_LAST, X>(column, line + i);
    }
};

// ---- from shared memory to registers -------------------------------------------------------------------------------

// Numbers of 16 bits come as whole registers: two neighbours become the pair that they are in memory at no cost.
template <class T, int N>
__device__ __forceinline__ Pack<T, N> read_pack(const unsigned char *from) {
    if constexpr (sizeof(T) == 2) {
        auto words = *reinterpret_cast<const Pack<unsigned, N / 2> *>(from);
        Pack<T, N> result;
#pragma unroll
        for (int i = 0; i < N; ++i) result.items[i].bits = (unsigned short)(words.items[i / 2] >> (i % 2 * 16));
        return result;
    } else {
        return *reinterpret_cast<const Pack<T, N> *>(from);
    }
}

// numbers[i][j] = (x + i, k + j) for i < 4, then (x + apart + i − 4, k + j).
template <class T, bool K_LAST, int X, int ROWS, int N>
__device__ __forceinline__ void gather(T (&numbers)[ROWS][N], const unsigned char *from, int x, int k, int apart = 0) {
    if constexpr (K_LAST) {
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            auto pack = read_pack<T, N>(from + place<T, K_LAST, X>(x + i / 4 * apart + i % 4, k));
#pragma unroll
            for (int j = 0; j < N; ++j) numbers[i][j] = pack.items[j];
        }
    } else {
        constexpr int WIDTH = AT_ONCE<T> < 4 ? AT_ONCE<T> : 4;
#pragma unroll
        for (int j = 0; j < N; ++j)
#pragma unroll
            for (int i = 0; i < ROWS; i += WIDTH) {
                auto pack = read_pack<T, WIDTH>(from + place<T, K_LAST, X>(x + i / 4 * apart + i % 4, k + j));
#pragma unroll
                for (int m = 0; m < WIDTH; ++m) numbers[i + m][j] = pack.items[m];
            }
    }
}

// ---- the arithmetic ------------------------------------------------------------------------------------------------

// Where a thread is: in its warp, and its warp's part in the tile.
template <class Tile>
struct Lane {
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    int m = threadIdx.x / WARP / Tile::WARPS_N * 64, n = threadIdx.x / WARP % Tile::WARPS_N * Tile::WARP_N;

    // The thread's i-th row of the tile, and the first of its columns: eight, and as many 32 further on.
    __device__ __forceinline__ int row(int i) const { return m + i / 4 * 32 + 4 * g + i % 4; }
    __device__ __forceinline__ int column() const { return n + 8 * t; }
};

template <class T>
struct Exact {
    using Stored = T;
    using Sum = T;

    template <class Tile, bool A_K_LAST, bool B_K_LAST>
    __device__ static __forceinline__ void step(const unsigned char *a, const unsigned char *b,
                                                T (&c)[8][Tile::COLUMNS]) {
        static_assert(Tile::COLUMNS == 8);
        Lane<Tile> lane;
#pragma unroll 1
        for (int k = 0; k < TILE_K<T>; k += AT_ONCE<T>) {
            T left[8][AT_ONCE<T>], right[8][AT_ONCE<T>];
            gather<T, A_K_LAST, Tile::M>(left, a, lane.row(0), k, 32);
            gather<T, B_K_LAST, Tile::N>(right, b, lane.column(), k, 4);
#pragma unroll
            for (int i = 0; i < AT_ONCE<T>; ++i)
#pragma unroll
                for (int m = 0; m < 8; ++m)
#pragma unroll
                    for (int n = 0; n < 8; ++n) c[m][n] = fma(left[m][i], right[n][i], c[m][n]);
        }
    }
};

// The tensor cores, 16 of k at a time. `Rounding` makes registers of four neighbours in k, and multiplies them.
template <class Rounding>
struct OnTensorCores {
    using Stored = typename Rounding::Stored;
    using Sum = float;

    template <class Tile, bool A_K_LAST, bool B_K_LAST>
    __device__ static __forceinline__ void step(const unsigned char *a, const unsigned char *b,
                                                float (&c)[8][Tile::COLUMNS]) {
        constexpr int SLOTS = Tile::COLUMNS / 2;
        Lane<Tile> lane;
#pragma unroll 1
        for (int k = 0; k < TILE_K<Stored>; k += 16) {
            Stored left[8][4], right[SLOTS][4];
            gather<Stored, A_K_LAST, Tile::M>(left, a, lane.row(0), k + 4 * lane.t, 32);
            gather<Stored, B_K_LAST, Tile::N>(right, b, lane.n + 4 * lane.g, k + 4 * lane.t, 32);
            unsigned rows[8][Rounding::REGISTERS], columns[SLOTS][Rounding::REGISTERS];
#pragma unroll
            for (int i = 0; i < 8; ++i) Rounding::round(left[i], rows[i]);
#pragma unroll
            for (int i = 0; i < SLOTS; ++i) Rounding::round(right[i], columns[i]);
#pragma unroll
            for (int i = 0; i < Rounding::REGISTERS; i += 2)
#pragma unroll
                for (int m = 0; m < 8; m += 2)
#pragma unroll
                    for (int n = 0; n < SLOTS; ++n) {
                        int one = n / 4 * 8 + n % 4, other = one + 4;  // of the thread's columns
                        unsigned p[4] = {rows[m][i], rows[m + 1][i], rows[m][i + 1], rows[m + 1][i + 1]};
                        unsigned q[2] = {columns[n][i], columns[n][i + 1]};
                        Rounding::multiply(c[m][one], c[m][other], c[m + 1][one], c[m + 1][other], p, q);
                    }
        }
    }
};

struct RoundToTF32 {
    using Stored = float;
    static constexpr int REGISTERS = 4;
    __device__ static __forceinline__ void round(const float (&x)[4], unsigned (&registers)[4]) {
#pragma unroll
        for (int i = 0; i < 4; ++i) registers[i] = tf32(x[i]);
    }
    template <class... Arguments>
    __device__ static __forceinline__ void multiply(Arguments &...arguments) {
        mma_tf32(arguments...);
    }
};

struct RoundToBFloat16 {
    using Stored = float;
    static constexpr int REGISTERS = 2;
    __device__ static __forceinline__ void round(const float (&x)[4], unsigned (&registers)[2]) {
#pragma unroll
        for (int i = 0; i < 2; ++i) registers[i] = bfloat16_pair(x[2 * i], x[2 * i + 1]);
    }
    template <class... Arguments>
    __device__ static __forceinline__ void multiply(Arguments &...arguments) {
        mma_bfloat16(arguments...);
    }
};

// Half or BFloat16.
template <class T>
struct AsTheyAre {
    using Stored = T;
    static constexpr int REGISTERS = 2;
    __device__ static __forceinline__ void round(const T (&x)[4], unsigned (&registers)[2]) {
#pragma unroll
        for (int i = 0; i < 2; ++i) registers[i] = x[2 * i].bits | unsigned(x[2 * i + 1].bits) << 16;
    }
    template <class... Arguments>
    __device__ static __forceinline__ void multiply(Arguments &...arguments) {
        mma(T(), arguments...);
    }
};

using TF32 = OnTensorCores<RoundToTF32>;
using BF16 = OnTensorCores<RoundToBFloat16>;
using Halves = OnTensorCores<AsTheyAre<Half>>;
using BFloats = OnTensorCores<AsTheyAre<BFloat16>>;

// c += a · b over the next `terms` of k. `a` and `b` copy one step after another: `copy(to, terms left)`. `room`:
// STAGES · Tile::STAGE_BYTES of shared memory.
template <class Arithmetic, class Tile, bool A_K_LAST, bool B_K_LAST, class A, class B>
__device__ __forceinline__ void accumulate(unsigned char *room, A &a, B &b, int64 terms,
                                           typename Arithmetic::Sum (&c)[8][Tile::COLUMNS]) {
    constexpr int LENGTH = TILE_K<typename Arithmetic::Stored>;
    auto copy = [&](int stage, int64 left) {
        if (left > 0) {
            a.copy(room + stage * Tile::STAGE_BYTES, left);
            b.copy(room + stage * Tile::STAGE_BYTES + Tile::A_BYTES, left);
        }
        commit_copies();
    };
#pragma unroll 1
    for (int stage = 0; stage < STAGES - 1; ++stage) {
        copy(stage, terms - stage * LENGTH);
        __syncthreads();  // an operand may have left something for its next copy
    }
    int stage = 0, ahead = STAGES - 1;
#pragma unroll 1
    for (; terms > 0; terms -= LENGTH) {
        wait_for_copies<STAGES - 2>();
        __syncthreads();  // now all have their part of this step, and none still reads the one before
        copy(ahead, terms - (STAGES - 1) * LENGTH);
        const unsigned char *step = room + stage * Tile::STAGE_BYTES;
        Arithmetic::template step<Tile, A_K_LAST, B_K_LAST>(step, step + Tile::A_BYTES, c);
        ahead = stage;
        stage = stage == STAGES - 1 ? 0 : stage + 1;
    }
    wait_for_copies<0>();
}

// ---- from registers to global memory -------------------------------------------------------------------------------

// f(x[i] + bias[i]) for i < left to y, as packs where they fit.
template <int N, class Sum, class T>
__device__ __forceinline__ void finish(const Sum *x, const T *bias, T *y, int left, bool relu, bool packed) {
    Pack<T, N> pack;
#pragma unroll
    for (int i = 0; i < N; ++i) {
        Sum value = x[i];
        if (bias && i < left) value += real(bias[i]);
        pack.items[i] = stored(relu ? maximum(value, Sum(0)) : value, T());
    }
    if (packed && left >= N) {
        *reinterpret_cast<Pack<T, N> *>(y) = pack;
    } else {
#pragma unroll
        for (int i = 0; i < N; ++i)
            if (i < left) y[i] = pack.items[i];
    }
}

// The tile's columns from n on of f(c + bias) to y: row i of the tile at place(i), nowhere if that is negative. Lanes
// that have one row write neighbouring columns.
template <class T, class Tile, class Sum, class Place>
__device__ __forceinline__ void write_tile(const Sum (&c)[8][Tile::COLUMNS], const T *bias, T *y, int64 n,
                                           int64 columns, bool packed, bool relu, Place place) {
    Lane<Tile> lane;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        int64 row = place(lane.row(i));
        if (row < 0) continue;
#pragma unroll
        for (int j = 0; j < Tile::COLUMNS; j += AT_ONCE<T>) {
            int64 column = n + lane.column() + j / 8 * 32 + j % 8;
            int left = int(min(columns - column, int64(AT_ONCE<T>)));  // may be negative
            finish<AT_ONCE<T>>(c[i] + j, bias ? bias + column : nullptr, y + row + column, left, relu, packed);
        }
    }
}
