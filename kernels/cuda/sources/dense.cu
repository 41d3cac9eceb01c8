// The matrix product of the dense layers: c (m, n) = f(a (m, k) · b (k, n) + bias), or a batch of them.
//
// Operations, where m, n and k are some hundreds; bytes of the operands where one of them is small. A block computes a
// tile of c (see matrix_tiles.cuh). Where there are too few tiles for a GPU, k is split as well: each block writes its
// sums, and `add_splits` adds them; so it is with very many terms, whose rounding errors would pile up. How k is split
// follows from the sizes alone: the same bits on every GPU.
#include "matrix_tiles.cuh"

struct Product {
    int64 m, n, k, a_stride, b_stride, a_batch, b_batch;  // strides in numbers: from row to row, from matrix to matrix
    int64 splits, depth;                                  // of k, and the length of each: a multiple of a step's
    int64 aligned, relu;                                  // whether all units of a and b begin at 16 bytes
};

// Blocks take the tiles in groups of a few rows of tiles, column by column: neighbours share what they read.
template <class Block>
__device__ __forceinline__ void place_of_tile(int64 tile, const Product &p, int64 &m, int64 &n) {
    constexpr int64 GROUP = 8;
    int64 tiles_m = (p.m + Block::M - 1) / Block::M, tiles_n = (p.n + Block::N - 1) / Block::N;
    int64 first = tile / (GROUP * tiles_n) * GROUP, height = min(GROUP, tiles_m - first);
    int64 within = tile - first * tiles_n;
    m = (first + within % height) * Block::M;
    n = within / height * Block::N;
}

// With one split, c is finished here; else `sums` has room for c once for each split of each matrix.
template <class Arithmetic, int N, bool A_K_LAST, bool B_K_LAST>
__global__ void __launch_bounds__(TILE_THREADS, sizeof(typename Arithmetic::Sum) == 8 ? 2 : Tile<128, N>::BLOCKS)
    matmul(const typename Arithmetic::Stored *a, const typename Arithmetic::Stored *b,
           const typename Arithmetic::Stored *bias, typename Arithmetic::Stored *c, typename Arithmetic::Sum *sums,
           Product p) {
    using T = typename Arithmetic::Stored;
    using Sum = typename Arithmetic::Sum;
    using Block = Tile<128, N>;
    int64 tiles = (p.m + Block::M - 1) / Block::M * ((p.n + Block::N - 1) / Block::N), part = blockIdx.x / tiles;
    int64 matrix = part / p.splits, begin = part % p.splits * p.depth, m, n;
    place_of_tile<Block>(blockIdx.x % tiles, p, m, n);
    MatrixOperand<T, A_K_LAST, Block::M> left(a + matrix * p.a_batch, p.a_stride, m, p.m, begin, p.aligned);
    MatrixOperand<T, B_K_LAST, Block::N> right(b + matrix * p.b_batch, p.b_stride, n, p.n, begin, p.aligned);
    Sum tile[8][Block::COLUMNS] = {};
    unsigned char *room = shared_memory<unsigned char>();
    accumulate<Arithmetic, Block, A_K_LAST, B_K_LAST>(room, left, right, min(p.k - begin, p.depth), tile);
    auto row = [&](int i) { return m + i < p.m ? (part * p.m + m + i) * p.n : -1; };
    if (p.splits > 1)
        write_tile<Sum, Block>(tile, nullptr, sums, n, p.n, p.n % AT_ONCE<Sum> == 0, false, row);
    else
        write_tile<T, Block>(tile, bias, c, n, p.n, p.n % AT_ONCE<T> == 0, p.relu, row);
}

// c = f(Σ sums + bias): the sums of each split, added eight by eight. `all`: numbers of a matrix of c.
template <class T, class Sum>
__global__ void add_splits(const Sum *sums, const T *bias, T *c, int64 all, int64 n, int64 splits, int64 count,
                           bool relu) {
    for (int64 i = first_item(); i < count; i += all_threads()) {
        const Sum *mine = sums + i / all * splits * all + i % all;
        Sum total = 0;
        for (int64 split = 0; split < splits; split += 8) {
            Sum eight = 0;
            for (int64 each = split; each < min(splits, split + 8); ++each) eight += mine[each * all];
            total += eight;
        }
        if (bias) total += real(bias[i % n]);
        c[i] = stored(relu ? maximum(total, Sum(0)) : total, T());
    }
}
