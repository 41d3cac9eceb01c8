// Activation functions and their derivatives, as kernels/reference/activations.py tables them. exp is only ever taken of
// numbers that are not positive. `a` is the parameter of those that have one.
#pragma once
#include "common.cuh"

template <class T>
__device__ __forceinline__ T sigmoid(T x) {
    T e = exp(-abs(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);  // NaN goes the second way, and stays NaN
}

// x held to −200 … 200: beyond, σ, Φ and tanh are 0 or 1 to their last digits, and their derivatives 0; NaN stays.
template <class T>
__device__ __forceinline__ T bounded(T x) {
    return x > 200 ? T(200) : x < -200 ? T(-200) : x;
}

// x, but 0 for −∞: the factor of something that is 0 there.
template <class T>
__device__ __forceinline__ T finite_on_the_left(T x) {
    return isinf(x) && x < 0 ? T(0) : x;
}

template <class T>
__device__ __forceinline__ T normal_cdf(T x) {
    return erfc(x * T(-0.70710678118654752440)) / 2;
}

template <class T>
__device__ __forceinline__ T gelu_tanh_inner(T x) {
    x = bounded(x);
    return tanh(T(0.79788456080286535588) * (x + T(0.044715) * x * x * x));
}

struct ReLU {
    template <class T> __device__ static T value(T x, T a) { return maximum(x, T(0)); }
    template <class T> __device__ static T slope(T x, T a) { return x > 0 ? T(1) : T(0); }
};

struct LeakyReLU {
    template <class T> __device__ static T value(T x, T a) { return x > 0 ? x : a * x; }
    template <class T> __device__ static T slope(T x, T a) { return x > 0 ? T(1) : a; }
};

struct ELU {
    template <class T> __device__ static T value(T x, T a) { return x > 0 ? x : a * expm1(x); }
    template <class T> __device__ static T slope(T x, T a) { return x > 0 ? T(1) : a * exp(x); }
};

struct SELU {
    template <class T> __device__ static T value(T x, T a) { return T(SCALE) * ELU::value(x, T(ALPHA)); }
    template <class T> __device__ static T slope(T x, T a) { return T(SCALE) * ELU::slope(x, T(ALPHA)); }
    static constexpr double SCALE = 1.0507009873554804934193349852946, ALPHA = 1.6732632423543772848170429916717;
};

struct GELU {
    template <class T> __device__ static T value(T x, T a) { return finite_on_the_left(x) * normal_cdf(x); }
    template <class T> __device__ static T slope(T x, T a) {
        T b = bounded(x);
        return normal_cdf(x) + b * (exp(-b * b / 2) * T(0.39894228040143267794));
    }
};

struct GELUTanh {
    template <class T> __device__ static T value(T x, T a) {
        return finite_on_the_left(x) * ((1 + gelu_tanh_inner(x)) / 2);
    }
    template <class T> __device__ static T slope(T x, T a) {
        T b = bounded(x), t = gelu_tanh_inner(x);
        T inner = T(0.79788456080286535588) * (1 + T(3 * 0.044715) * b * b);
        return (1 + t + b * (1 - t * t) * inner) / 2;
    }
};

struct SiLU {
    template <class T> __device__ static T value(T x, T a) { return finite_on_the_left(x) * sigmoid(x); }
    template <class T> __device__ static T slope(T x, T a) { return sigmoid(x) * (1 + bounded(x) * sigmoid(-x)); }
};

struct Sigmoid {
    template <class T> __device__ static T value(T x, T a) { return sigmoid(x); }
    template <class T> __device__ static T slope(T x, T a) { return sigmoid(x) * sigmoid(-x); }
};

struct Tanh {
    template <class T> __device__ static T value(T x, T a) { return tanh(x); }
    template <class T> __device__ static T slope(T x, T a) {
        T t = tanh(x);
        return 1 - t * t;
    }
};

struct Softplus {
    template <class T> __device__ static T value(T x, T a) { return maximum(x, T(0)) + log1p(exp(-abs(x))); }
    template <class T> __device__ static T slope(T x, T a) { return sigmoid(x); }
};
