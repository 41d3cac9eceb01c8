// Softmax, its logarithm, the logarithm of its denominator, and gradients, over rows.
//
// Bytes: each row is read once and written once. Exponentials come next: a number costs one, or two in a row of many
// columns, of the sixty or so instructions a number that hide behind the memory of an H100.
// How rows are shared out among threads: see rows.cuh. exp is only ever taken of numbers that are not positive.
#include "rows.cuh"

template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS) softmax(const T *x, T *y, int64 rows, int64 columns, int lanes) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto in = row.hold(x);
        T m = row.largest(in);
        auto e = row.keep([&](int k, int64 c) { return exp(in(k, c) - m); });
        T inverse = 1 / row.sum(e);
        row.put(y, [&](int k, int64 c) { return e(k, c) * inverse; });
    });
}

template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS)
    softmax_gradient(const T *dy, const T *y, T *dx, int64 rows, int64 columns, int lanes) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto slope = row.hold(dy), value = row.hold(y);
        T mean = row.sum([&](int k, int64 c) { return slope(k, c) * value(k, c); });
        row.put(dx, [&](int k, int64 c) { return value(k, c) * (slope(k, c) - mean); });
    });
}

template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS) log_softmax(const T *x, T *y, int64 rows, int64 columns, int lanes) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto in = row.hold(x);
        T m = row.largest(in);
        T log_total = log(row.sum([&](int k, int64 c) { return exp(in(k, c) - m); }));
        row.put(y, [&](int k, int64 c) { return (in(k, c) - m) - log_total; });
    });
}

template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS)
    log_softmax_gradient(const T *dy, const T *y, T *dx, int64 rows, int64 columns, int lanes) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto slope = row.hold(dy), value = row.hold(y);
        T total = row.sum(slope);
        row.put(dx, [&](int k, int64 c) { return slope(k, c) - exp(value(k, c)) * total; });
    });
}

// An infinite maximum is not subtracted: ∞ − ∞ is no number.
template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS) logsumexp(const T *x, T *y, int64 rows, int64 columns, int lanes) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto in = row.hold(x);
        T m = row.largest(in);
        if (isinf(m)) m = 0;
        T total = row.sum([&](int k, int64 c) { return exp(in(k, c) - m); });
        row.put_one(y, [&] { return m + log(total); });
    });
}
