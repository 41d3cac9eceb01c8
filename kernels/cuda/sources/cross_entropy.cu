// Cross-entropies of rows, each with its softmax or its clipping, and their gradients.
//
// Bytes: each row of scores, and of target probabilities, is read once, and each gradient written once; a loss from
// probabilities and a class index reads one number of a row. How rows are shared out among threads: see rows.cuh.
//
// Arrays of one number a row have a stride of their own: `dloss` is often one number that is repeated. A class index
// that names no column gives NaN as a loss, and a gradient as if no column were right; nothing is read there.
#include "rows.cuh"

template <class T>
struct OfRows {
    const T *numbers;
    int64 stride;
    __device__ __forceinline__ T operator[](int64 row) const { return numbers[row * stride]; }
};

// −log softmax(z)[label] = log Σ exp(z − m) − (z[label] − m)
template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS) sparse_cross_entropy(
    const T *logits, OfRows<int64> labels, T *loss, int64 rows, int64 columns, int lanes) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto z = row.hold(logits);
        T m = row.largest(z);
        T total = row.sum([&](int k, int64 c) { return exp(z(k, c) - m); });
        row.put_one(loss, [&] {
            int64 label = labels[row.row];
            T chosen = label >= 0 && label < columns ? logits[row.at + label] : infinity<T>() * 0;
            return log(total) - (chosen - m);
        });
    });
}

// e − Σe at the label becomes softmax − 1.
template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS) sparse_cross_entropy_gradient(
    OfRows<T> dloss, const T *logits, OfRows<int64> labels, T *dlogits, int64 rows, int64 columns, int lanes) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto z = row.hold(logits);
        T m = row.largest(z);
        auto e = row.keep([&](int k, int64 c) { return exp(z(k, c) - m); });
        T total = row.sum(e);
        int64 label = row.exists ? labels[row.row] : 0;
        T slope = row.exists ? dloss[row.row] : T(0), inverse = 1 / total;
        row.put(dlogits, [&](int k, int64 c) { return slope * ((c == label ? e(k, c) - total : e(k, c)) * inverse); });
    });
}

// −Σ t·log softmax(z), where a target of 0 counts nothing, whatever the logit
template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS)
    cross_entropy(const T *logits, const T *targets, T *loss, int64 rows, int64 columns, int lanes) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto z = row.hold(logits), t = row.hold(targets);
        T m = row.largest(z);
        T log_total = log(row.sum([&](int k, int64 c) { return exp(z(k, c) - m); }));
        T sum = row.sum([&](int k, int64 c) {
            return t(k, c) == 0 ? T(0) : t(k, c) * ((z(k, c) - m) - log_total);
        });
        row.put_one(loss, [&] { return -sum; });
    });
}

template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS) cross_entropy_gradient(
    OfRows<T> dloss, const T *logits, const T *targets, T *dlogits, int64 rows, int64 columns, int lanes) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto z = row.hold(logits);
        T m = row.largest(z);
        auto e = row.keep([&](int k, int64 c) { return exp(z(k, c) - m); });
        T inverse = 1 / row.sum(e);
        auto t = row.hold(targets);
        T share = row.sum(t) * inverse, slope = row.exists ? dloss[row.row] : T(0);
        row.put(dlogits, [&](int k, int64 c) { return slope * (e(k, c) * share - t(k, c)); });
    });
}

// ---- from probabilities ----------------------------------------------------------------------------------------------

template <class T>
__global__ void sparse_cross_entropy_from_probabilities(
    const T *p, OfRows<int64> labels, T *loss, T low, T high, int64 rows, int64 columns) {
    for (int64 row = first_item(); row < rows; row += all_threads()) {
        int64 label = labels[row];
        T chosen = label >= 0 && label < columns ? p[row * columns + label] : infinity<T>() * 0;
        loss[row] = -log(clipped(chosen, low, high));
    }
}

template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS) sparse_cross_entropy_from_probabilities_gradient(
    OfRows<T> dloss, const T *p, OfRows<int64> labels, T *dp, int64 rows, int64 columns, int lanes, T low, T high) {
    Row::each(rows, columns, lanes, [=](auto row) {
        int64 label = row.exists ? labels[row.row] : 0;
        row.put(dp, [&](int k, int64 c) {
            if (c != label) return T(0);
            T chosen = p[row.at + c];
            return chosen >= low && chosen <= high ? -dloss[row.row] / chosen : T(0);
        });
    });
}

template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS) cross_entropy_from_probabilities(
    const T *probabilities, const T *targets, T *loss, int64 rows, int64 columns, int lanes, T low, T high) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto p = row.hold(probabilities), t = row.hold(targets);
        T sum = row.sum([&](int k, int64 c) { return t(k, c) * log(clipped(p(k, c), low, high)); });
        row.put_one(loss, [&] { return -sum; });
    });
}

template <class T, class Row>
__global__ void __launch_bounds__(Row::THREADS) cross_entropy_from_probabilities_gradient(
    OfRows<T> dloss, const T *probabilities, const T *targets, T *dp, int64 rows, int64 columns, int lanes, T low,
    T high) {
    Row::each(rows, columns, lanes, [=](auto row) {
        auto p = row.hold(probabilities), t = row.hold(targets);
        T slope = row.exists ? dloss[row.row] : T(0);
        row.put(dp, [&](int k, int64 c) {
            T q = p(k, c);
            return q >= low && q <= high ? -slope * t(k, c) / q : T(0);
        });
    });
}
