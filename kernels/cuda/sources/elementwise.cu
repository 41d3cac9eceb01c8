// Functions of each number by itself: sums of two arrays, activations and their gradients.
//
// Bytes: what is read and written; the arithmetic hides behind it. So every thread moves 16 bytes at once, as long as
// all arrays begin at a multiple of 16 bytes (the launcher chooses N), and the items after the last whole pack are the
// first threads' to do.
#include "activations.cuh"

// y[i] = f(inputs[i]…) for `count` items, N at a time.
template <int N, class T, class Function, class... Inputs>
__device__ __forceinline__ void each(int64 count, T *y, Function f, const Inputs *...inputs) {
    int64 packs = count / N;
    for (int64 i = first_item(); i < packs; i += all_threads()) {
        Pack<T, N> result;
        auto apply = [&](auto... packs_of) {
#pragma unroll
            for (int k = 0; k < N; ++k) result.items[k] = f(packs_of.items[k]...);
        };
        apply(reinterpret_cast<const Pack<Inputs, N> *>(inputs)[i]...);
        reinterpret_cast<Pack<T, N> *>(y)[i] = result;
    }
    for (int64 i = packs * N + first_item(); i < count; i += all_threads()) y[i] = f(inputs[i]...);
}

template <class T, int N>
__global__ void add(const T *a, const T *b, T *y, int64 count) {
    each<N>(count, y, [](T p, T q) { return p + q; }, a, b);
}

template <class T, int N, class Function>
__global__ void activation(const T *x, T *y, T parameter, int64 count) {
    each<N>(count, y, [=](T p) { return Function::value(p, parameter); }, x);
}

template <class T, int N, class Function>
__global__ void activation_gradient(const T *dy, const T *x, T *dx, T parameter, int64 count) {
    each<N>(count, dx, [=](T d, T p) { return d * Function::slope(p, parameter); }, dy, x);
}
