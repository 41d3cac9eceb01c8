// The soft Dice coefficient of each example and class, and its gradient.
//
// Bytes: the sums read probabilities and targets once; the gradient reads them once for the sums, then the targets
// again, and writes once. How positions are shared out among threads: see lines.cuh; the coefficients are few.
#include "lines.cuh"

constexpr int ROWS = 4;  // lines whose numbers are read at once

// partials[example][chunk]: Σ p·t, Σ p, Σ t of each class
template <class T, int N>
__global__ void __launch_bounds__(LINE_THREADS) dice_sums(const T *p, const T *t, double *partials, Lines lines) {
    each_part<N>(lines, [&](const Part &part) {
        T sums[3][N] = {};
        auto whole = [&](int64 at, int line) {
            Pack<T, N> of_p[ROWS], of_t[ROWS];
            load_lines(of_p, p, at, lines);
            load_lines(of_t, t, at, lines);
#pragma unroll
            for (int k = 0; k < N; ++k) {
                T both[ROWS], ps[ROWS], ts[ROWS];
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    ps[r] = of_p[r].items[k];
                    ts[r] = of_t[r].items[k];
                    both[r] = ps[r] * ts[r];
                }
                sums[0][k] += tree_sum(both);
                sums[1][k] += tree_sum(ps);
                sums[2][k] += tree_sum(ts);
            }
        };
        walk<N, ROWS>(part, lines, whole, [&](int64 at, int k, int line) {
            sums[0][k] += p[at] * t[at];
            sums[1][k] += p[at];
            sums[2][k] += t[at];
        });
        add_up<N>(part, lines, sums, partials);
    });
}

// (2·Σ p·t + smooth) / (Σ p + Σ t + smooth), or 1; and dcoefficient over the same, or 0. A share too large for its type
// is the largest number, instead of ∞, which 2·t − dice = 0 would make NaN.
template <class T>
__global__ void __launch_bounds__(LINE_THREADS) dice_totals(
    const double *partials, T smooth, const T *dcoefficient, T *coefficient, T *share, T largest, int64 samples,
    int64 chunks, int64 channels, int lanes) {
    Columns::each(samples, channels, lanes, [=](const Columns &column) {
        const double *of_sample = partials + column.table * chunks * 3 * channels + column.column;
        T sums[3];
#pragma unroll
        for (int q = 0; q < 3; ++q)
            sums[q] = T(column.sum(chunks, [&](int64 chunk) { return of_sample[(chunk * 3 + q) * channels]; }));
        if (!column.writes()) return;
        T denominator = sums[1] + sums[2] + smooth;
        int64 place = column.table * channels + column.column;
        if (share)
            share[place] = denominator != 0 ? clipped(dcoefficient[place] / denominator, -largest, largest) : T(0);
        coefficient[place] = denominator != 0 ? (2 * sums[0] + smooth) / denominator : T(1);
    });
}

template <class T, int N>
__global__ void __launch_bounds__(LINE_THREADS)
    dice_gradient(const T *t, const T *coefficient, const T *share, T *dp, Lines lines) {
    each_part<N>(lines, [&](const Part &part) {
        T dice[N], of[N];
#pragma unroll
        for (int k = 0; k < N; ++k) {
            int64 place = part.sample * lines.channels + channel_of(part, lines, k);
            dice[k] = coefficient[place], of[k] = share[place];
        }
        auto whole = [&](int64 at, int line) {
            Pack<T, N> rows[ROWS];
            load_lines(rows, t, at, lines);
#pragma unroll
            for (int r = 0; r < ROWS; ++r)
#pragma unroll
                for (int k = 0; k < N; ++k) rows[r].items[k] = of[k] * (2 * rows[r].items[k] - dice[k]);
            store_lines(dp, at, lines, rows);
        };
        walk<N, ROWS>(part, lines, whole, [&](int64 at, int k, int line) { dp[at] = of[k] * (2 * t[at] - dice[k]); });
    });
}
