// One step of an optimizer for up to 64 parameters at once, in place; and the sum of the squares of many arrays.
//
// Bytes: each array is read once and, but for the gradient, written once. A launch takes the addresses of all arrays as
// an argument: nothing is copied to the GPU, and a model's hundreds of small arrays take a few launches. The arrays are
// cut into pieces of CHUNK elements; a block takes a piece of one parameter, each thread 16 bytes of each of its arrays
// at a time, if all of them begin at a multiple of 16 bytes, else single numbers.
#include "common.cuh"

constexpr int MOST = 64;     // parameters of a launch: the arguments of a kernel have room for 4096 bytes
constexpr int KINDS = 5;     // arrays of a parameter: itself, its gradient, and what an optimizer keeps
constexpr int CHUNK = 4096;  // elements of a piece

struct Parameters {
    void *arrays[KINDS][MOST];  // null for what is not there
    int64 sizes[MOST];
    int64 chunks[MOST + 1];  // the number of the first piece of each, and of all
};

// The parameter that a piece is of: the last one whose first piece is not behind it.
__device__ __forceinline__ int parameter_of(const Parameters &all, int count, int64 chunk) {
    int low = 0, high = count;  // in low … high − 1
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (all.chunks[middle] <= chunk) low = middle;
        else high = middle;
    }
    return low;
}

// f(parameter, first, end) for the pieces that are this block's: elements first … end − 1 of a parameter.
template <class F>
__device__ __forceinline__ void each_chunk(const Parameters &all, int count, F f) {
    for (int64 chunk = blockIdx.x; chunk < all.chunks[count]; chunk += gridDim.x) {
        int parameter = parameter_of(all, count, chunk);
        int64 first = (chunk - all.chunks[parameter]) * CHUNK;
        f(chunk, parameter, first, min(first + CHUNK, all.sizes[parameter]));
    }
}

// The arrays of a parameter that a formula takes: all are changed but the second, the gradient.
template <class T, int ARRAYS, int N, class Formula>
__device__ __forceinline__ void update_pack(T *const (&arrays)[ARRAYS], int64 i, Formula formula) {
    Pack<T, N> packs[ARRAYS];
#pragma unroll
    for (int a = 0; a < ARRAYS; ++a) packs[a] = *reinterpret_cast<const Pack<T, N> *>(arrays[a] + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
        T numbers[ARRAYS];
#pragma unroll
        for (int a = 0; a < ARRAYS; ++a) numbers[a] = packs[a].items[k];
        formula(numbers);
#pragma unroll
        for (int a = 0; a < ARRAYS; ++a) packs[a].items[k] = numbers[a];
    }
#pragma unroll
    for (int a = 0; a < ARRAYS; ++a)
        if (a != 1) *reinterpret_cast<Pack<T, N> *>(arrays[a] + i) = packs[a];
}

// Apply formula(T (&numbers)[ARRAYS]) to each element of all parameters; `kinds`: which rows of the table it takes.
template <class T, int ARRAYS, class Formula>
__device__ __forceinline__ void update(const Parameters &all, int count, const int (&kinds)[ARRAYS], Formula formula) {
    constexpr int N = 16 / sizeof(T);
    each_chunk(all, count, [&](int64, int parameter, int64 first, int64 end) {
        T *arrays[ARRAYS];
        unsigned long long addresses = 0;
#pragma unroll
        for (int a = 0; a < ARRAYS; ++a) {
            arrays[a] = static_cast<T *>(all.arrays[kinds[a]][parameter]);
            addresses |= reinterpret_cast<unsigned long long>(arrays[a]);
        }
        int64 packed = addresses % 16 == 0 ? first + (end - first) / N * N : first;
        for (int64 i = first + threadIdx.x * N; i < packed; i += blockDim.x * N)
            update_pack<T, ARRAYS, N>(arrays, i, formula);
        for (int64 i = packed + threadIdx.x; i < end; i += blockDim.x) update_pack<T, ARRAYS, 1>(arrays, i, formula);
    });
}

// ---- the steps: p, g and what the optimizer keeps -------------------------------------------------------------------

template <class T>
struct SGD {
    T rate, momentum, decay;
};

template <class T>
__global__ void sgd_plain(Parameters all, int count, SGD<T> s) {
    update<T, 2>(all, count, {0, 1}, [=](T (&of)[2]) {
        auto &[p, g] = of;
        p = p - s.decay * p;
        p = p - s.rate * g;
    });
}

template <class T, bool NESTEROV>
__global__ void sgd_momentum(Parameters all, int count, SGD<T> s) {
    update<T, 3>(all, count, {0, 1, 2}, [=](T (&of)[3]) {
        auto &[p, g, v] = of;
        p = p - s.decay * p;
        v = s.momentum * v - s.rate * g;
        p = p + (NESTEROV ? s.momentum * v - s.rate * g : v);
    });
}

template <class T>
struct Adam {
    T rate, one_less_beta_1, one_less_beta_2, epsilon, decay;
};

template <class T>
__global__ void adam(Parameters all, int count, Adam<T> s) {
    update<T, 4>(all, count, {0, 1, 2, 3}, [=](T (&of)[4]) {
        auto &[p, g, m, v] = of;
        p = p - s.decay * p;
        m = m + s.one_less_beta_1 * (g - m);
        v = v + s.one_less_beta_2 * (g * g - v);
        p = p - s.rate * m / (sqrt(v) + s.epsilon);
    });
}

template <class T>
struct RMSprop {
    T rate, rho, one_less_rho, momentum, epsilon, decay;
};

// `average`: of the gradient, for the centered form; else what stands in its place is not used.
template <class T>
__device__ __forceinline__ T rmsprop_update(T g, T &v, T *average, const RMSprop<T> &s) {
    v = s.rho * v + s.one_less_rho * (g * g);
    T variance = v;
    if (average) {
        *average = s.rho * *average + s.one_less_rho * g;
        variance = v - *average * *average;
    }
    return s.rate * g / sqrt(variance + s.epsilon);
}

template <class T, bool MOMENTUM, bool CENTERED>
__global__ void rmsprop(Parameters all, int count, RMSprop<T> s) {
    constexpr int ARRAYS = 3 + MOMENTUM + CENTERED;
    int kinds[ARRAYS] = {0, 1, 2};
    if (MOMENTUM) kinds[3] = 3;
    if (CENTERED) kinds[ARRAYS - 1] = 4;
    update<T, ARRAYS>(all, count, kinds, [=](T (&of)[ARRAYS]) {
        T step = rmsprop_update<T>(of[1], of[2], CENTERED ? &of[ARRAYS - 1] : nullptr, s);
        if (MOMENTUM) step = of[3] = s.momentum * of[3] + step;
        of[0] = of[0] - s.decay * of[0];
        of[0] = of[0] - step;
    });
}

// ---- the sum of squares ---------------------------------------------------------------------------------------------

// sums[piece] = Σ x² over each piece, in double precision, always in the same order.
template <class T>
__global__ void squares(Parameters all, int count, double *sums) {
    constexpr int N = 16 / sizeof(T);
    double *room = shared_memory<double>();
    each_chunk(all, count, [&](int64 chunk, int parameter, int64 first, int64 end) {
        auto *x = static_cast<const T *>(all.arrays[0][parameter]);
        bool aligned = reinterpret_cast<unsigned long long>(x) % 16 == 0;
        double sum = 0;
        for (int64 i = first + threadIdx.x * N; i < end; i += blockDim.x * N) {
            Pack<T, N> pack = {};
            if (aligned && i + N <= end) {
                pack = *reinterpret_cast<const Pack<T, N> *>(x + i);
            } else {
#pragma unroll
                for (int k = 0; k < N; ++k)
                    if (i + k < end) pack.items[k] = x[i + k];
            }
#pragma unroll
            for (int k = 0; k < N; ++k) sum += double(pack.items[k]) * double(pack.items[k]);
        }
        sum = block_sum(sum, room);
        if (threadIdx.x == 0) sums[chunk] = sum;
    });
}

// The sum of `count` numbers by one block: result[0].
template <class T>
__global__ void sum_of_sums(const T *sums, T *result, int64 count) {
    T sum = 0;
    for (int64 i = threadIdx.x; i < count; i += blockDim.x) sum += sums[i];
    sum = block_sum(sum, shared_memory<T>());
    if (threadIdx.x == 0) result[0] = sum;
}
