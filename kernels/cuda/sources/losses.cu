// Losses of each number by itself, and their gradients.
//
// Bytes: two arrays are read and one is written, three in a gradient, unless its `dloss` is one number for all (that of
// a mean is): then it is read once. 16 bytes at once where alignment allows, as in elementwise.cu.
#include "activations.cuh"
#include "each.cuh"

// f(dloss, a, b) of each number, with one dloss for all if it is `repeated`.
template <int N, class T, class Function>
__device__ __forceinline__ void each_slope(
    int64 count, T *y, Function f, const T *dloss, bool repeated, const T *a, const T *b) {
    if (repeated) {
        T slope = *dloss;
        each<N>(count, y, [=](T p, T q) { return f(slope, p, q); }, a, b);
    } else {
        each<N>(count, y, f, dloss, a, b);
    }
}

template <class T, int N>
__global__ void squared_error(const T *prediction, const T *target, T *loss, int64 count) {
    each<N>(count, loss, [](T p, T t) { return (p - t) * (p - t); }, prediction, target);
}

template <class T, int N>
__global__ void squared_error_gradient(
    const T *dloss, bool repeated, const T *prediction, const T *target, T *dprediction, int64 count) {
    auto slope = [](T d, T p, T t) { return 2 * d * (p - t); };
    each_slope<N>(count, dprediction, slope, dloss, repeated, prediction, target);
}

// max(z, 0) − z·t is rounded once: for a large z and a t close to 1 little is left of it.
template <class T, int N>
__global__ void binary_cross_entropy(const T *logits, const T *targets, T *loss, int64 count) {
    auto value = [](T z, T t) { return fma(-z, t, maximum(z, T(0))) + log1p(exp(-abs(z))); };
    each<N>(count, loss, value, logits, targets);
}

template <class T, int N>
__global__ void binary_cross_entropy_gradient(
    const T *dloss, bool repeated, const T *logits, const T *targets, T *dlogits, int64 count) {
    auto slope = [](T d, T z, T t) { return d * (sigmoid(z) - t); };
    each_slope<N>(count, dlogits, slope, dloss, repeated, logits, targets);
}

template <class T, int N>
__global__ void binary_cross_entropy_from_probabilities(
    const T *p, const T *targets, T *loss, T low, T high, int64 count) {
    auto value = [=](T p, T t) {
        T q = clipped(p, low, high);
        return -t * log(q) - (1 - t) * log1p(-q);
    };
    each<N>(count, loss, value, p, targets);
}

// (1 − t)/(1 − q) − t/q = (q − t)/(q·(1 − q)), where nothing cancels.
template <class T, int N>
__global__ void binary_cross_entropy_from_probabilities_gradient(
    const T *dloss, bool repeated, const T *p, const T *targets, T *dp, T low, T high, int64 count) {
    auto slope = [=](T d, T p, T t) {
        return p >= low && p <= high ? d * ((p - t) / (p * (1 - p))) : T(0);
    };
    each_slope<N>(count, dp, slope, dloss, repeated, p, targets);
}
