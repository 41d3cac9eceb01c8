// Normalisation of rows, each by itself: layer normalisation, and group normalisation of examples of one position.
//
// Bytes: a row is read once and written once where it is held in registers, else again from a cache (rows.cuh). A
// gradient reads dy and x once for dx, and once more for the sums over rows, dgamma and dbeta (lines.cuh).
// The numbers of a row are taken relative to its first, then relative to their mean: no sum cancels.
#include "lines.cuh"
#include "rows.cuh"

constexpr int ROWS_AT_ONCE = 2;  // lines that are read at once

template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS) normalize_rows(
    const T *x, T *y, const T *gamma, const T *beta, T *mean, T *variance, T epsilon, int64 groups, int64 rows,
    int64 columns, int lanes) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto in = row.hold(x);
        T first = row.exists && columns ? x[row.at] : T(0), center = isfinite(first) ? first : T(0);
        T m = row.sum([&](int k, int64 c) { return in(k, c) - center; }) / columns;
        T v = row.sum([&](int k, int64 c) {
            T distance = (in(k, c) - center) - m;
            return distance * distance;
        }) / columns;
        T inverse = 1 / sqrt(v + epsilon);
        const T *of_gamma = gamma + row.row % groups * columns, *of_beta = beta + row.row % groups * columns;
        row.put(y, [&](int k, int64 c) { return ((in(k, c) - center) - m) * inverse * of_gamma[c] + of_beta[c]; });
        row.put_one(mean, [&] { return center + m; });
        row.put_one(variance, [&] { return v; });
    });
}

template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS) rows_gradient(
    const T *dy, const T *x, const T *gamma, const T *mean, const T *variance, T epsilon, T *dx, int64 groups,
    int64 rows, int64 columns, int lanes) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto slope = row.hold(dy), in = row.hold(x), weight = row.hold_from(gamma + row.row % groups * columns);
        T m = row.exists ? mean[row.row] : T(0);
        T inverse = 1 / sqrt((row.exists ? variance[row.row] : T(0)) + epsilon);
        auto h = [&](int k, int64 c) { return slope(k, c) * weight(k, c); };
        auto normalized = [&](int k, int64 c) { return (in(k, c) - m) * inverse; };
        T mean_h = row.sum(h) / columns;
        T mean_product = row.sum([&](int k, int64 c) { return h(k, c) * normalized(k, c); }) / columns;
        row.put(dx, [&](int k, int64 c) { return (h(k, c) - mean_h - normalized(k, c) * mean_product) * inverse; });
    });
}

// partials[0][chunk]: Σ dy and Σ dy·x̂ of each channel over rows; mean and variance (rows, groups).
template <class T, int N>
__global__ void __launch_bounds__(LINE_THREADS) rows_gradient_sums(
    const T *dy, const T *x, const T *mean, const T *variance, T epsilon, int64 groups, double *partials,
    Lines lines) {
    int64 statistics_of_line = lines.positions_of_line() * groups;
    unsigned width = unsigned(lines.channels / groups);
    each_part<N>(lines, [&](const Part &part) {
        T sums[2][N] = {};
        int64 first = part.chunk * lines.depth * statistics_of_line;
        int statistic[N];  // of a number's row and group, in a line
#pragma unroll
        for (int k = 0; k < N; ++k) {
            unsigned row = unsigned(part.offset + k) / unsigned(lines.channels);
            statistic[k] = int(row * groups + unsigned(channel_of(part, lines, k)) / width);
        }
        auto add = [&](T g, T number, int k, int line) {
            int64 place = first + line * statistics_of_line + statistic[k];
            sums[0][k] += g;
            sums[1][k] += g * ((number - mean[place]) * rsqrt(variance[place] + epsilon));
        };
        auto whole = [&](int64 at, int line) {
            Pack<T, N> slopes[ROWS_AT_ONCE], numbers[ROWS_AT_ONCE];
            load_lines(slopes, dy, at, lines);
            load_lines(numbers, x, at, lines);
#pragma unroll
            for (int r = 0; r < ROWS_AT_ONCE; ++r)
#pragma unroll
                for (int k = 0; k < N; ++k) add(slopes[r].items[k], numbers[r].items[k], k, line + r);
        };
        walk<N, ROWS_AT_ONCE>(
            part, lines, whole, [&](int64 at, int k, int line) { add(dy[at], x[at], k, line); });
        add_up<N>(part, lines, sums, partials);
    });
}
