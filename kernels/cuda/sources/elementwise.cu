// Functions of each number by itself: sums of two arrays, activations and their gradients.
//
// Bytes: what is read and written; the arithmetic hides behind it. So every thread moves 16 bytes at once, as long as
// all arrays begin at a multiple of 16 bytes (the launcher chooses N), and the items after the last whole pack are the
// first threads' to do.
#include "activations.cuh"
#include "each.cuh"

template <class T, int N>
__global__ void add(const T *a, const T *b, T *y, int64 count) {
    each<N>(count, y, [](auto p, auto q) { return p + q; }, a, b);
}

template <class T, int N, class Function>
__global__ void activation(const T *x, T *y, Real<T> parameter, int64 count) {
    each<N>(count, y, [=](Real<T> p) { return Function::value(p, parameter); }, x);
}

template <class T, int N, class Function>
__global__ void activation_gradient(const T *dy, const T *x, T *dx, Real<T> parameter, int64 count) {
    each<N>(count, dx, [=](Real<T> d, Real<T> p) { return d * Function::slope(p, parameter); }, dy, x);
}
