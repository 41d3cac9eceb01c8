// One step of an optimizer for up to 64 parameters at once, in place; and the sum of the squares of many arrays, with
// the clipping to a norm that follows from it without a number's being read back.
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

// What the launches of a CUDA graph find in memory, as their arguments are the same each time: numbers in the place of
// the settings, and the loss, for which nothing is done if it is not finite. Null where a launch is made once.
struct Repeated {
    const double *numbers, *loss;
};

// Whether the step is to be made; `s`: its settings, all of type T.
template <class T, template <class> class Settings>
__device__ __forceinline__ bool is_due(Settings<T> &s, const Repeated &repeated) {
    if (repeated.numbers) {
        T *settings = reinterpret_cast<T *>(&s);
#pragma unroll
        for (int n = 0; n < int(sizeof(s) / sizeof(T)); ++n) settings[n] = T(repeated.numbers[n]);
    }
    return !repeated.loss || *repeated.loss - *repeated.loss == 0;
}

template <class T>
struct SGD {
    T rate, momentum, decay;
};

template <class T, bool MOVING, bool NESTEROV>
__global__ void sgd(Parameters all, int count, SGD<T> s, Repeated repeated) {
    if (!is_due(s, repeated)) return;
    if constexpr (MOVING) {
        update<T, 3>(all, count, {0, 1, 2}, [=](T (&of)[3]) {
            auto &[p, g, v] = of;
            p = p - s.decay * p;
            v = s.momentum * v - s.rate * g;
            p = p + (NESTEROV ? s.momentum * v - s.rate * g : v);
        });
    } else {
        update<T, 2>(all, count, {0, 1}, [=](T (&of)[2]) {
            auto &[p, g] = of;
            p = p - s.decay * p;
            p = p - s.rate * g;
        });
    }
}

// The mean of the gradient and of its square, moved towards those of a step.
template <class T>
__device__ __forceinline__ void move_moments(T g, T &m, T &v, T one_less_beta_1, T one_less_beta_2) {
    m = m + one_less_beta_1 * (g - m);
    v = v + one_less_beta_2 * (g * g - v);
}

template <class T>
struct Adam {
    T rate, one_less_beta_1, one_less_beta_2, epsilon, decay;
};

template <class T, bool AMSGRAD>
__global__ void adam(Parameters all, int count, Adam<T> s, Repeated repeated) {
    if (!is_due(s, repeated)) return;
    constexpr int ARRAYS = 4 + AMSGRAD;
    int kinds[ARRAYS] = {0, 1, 2, 3};
    if (AMSGRAD) kinds[ARRAYS - 1] = 4;
    update<T, ARRAYS>(all, count, kinds, [=](T (&of)[ARRAYS]) {
        of[0] = of[0] - s.decay * of[0];
        move_moments(of[1], of[2], of[3], s.one_less_beta_1, s.one_less_beta_2);
        T v = of[3];
        if (AMSGRAD) v = of[ARRAYS - 1] = maximum(of[ARRAYS - 1], v);
        of[0] = of[0] - s.rate * of[2] / (sqrt(v) + s.epsilon);
    });
}

template <class T>
struct Adamax {
    T rate, one_less_beta_1, beta_2, epsilon, decay;
};

template <class T>
__global__ void adamax(Parameters all, int count, Adamax<T> s, Repeated repeated) {
    if (!is_due(s, repeated)) return;
    update<T, 4>(all, count, {0, 1, 2, 3}, [=](T (&of)[4]) {
        auto &[p, g, m, u] = of;
        p = p - s.decay * p;
        m = m + s.one_less_beta_1 * (g - m);
        u = maximum(s.beta_2 * u, abs(g));
        p = p - s.rate * m / (u + s.epsilon);
    });
}

template <class T>
struct Nadam {
    T of_moment, of_gradient, one_less_beta_1, one_less_beta_2, correction, epsilon, decay;
};

template <class T>
__global__ void nadam(Parameters all, int count, Nadam<T> s, Repeated repeated) {
    if (!is_due(s, repeated)) return;
    update<T, 4>(all, count, {0, 1, 2, 3}, [=](T (&of)[4]) {
        auto &[p, g, m, v] = of;
        p = p - s.decay * p;
        move_moments(g, m, v, s.one_less_beta_1, s.one_less_beta_2);
        p = p - (s.of_moment * m + s.of_gradient * g) / (sqrt(v * s.correction) + s.epsilon);
    });
}

template <class T>
struct ScheduleFree {
    T rate, beta_1, one_less_beta_1, one_less_beta_2, correction, fresh, old, epsilon, decay;
};

template <class T>
__global__ void schedule_free(Parameters all, int count, ScheduleFree<T> s, Repeated repeated) {
    if (!is_due(s, repeated)) return;
    update<T, 4>(all, count, {0, 1, 2, 3}, [=](T (&of)[4]) {
        auto &[p, g, z, v] = of;
        p = p - s.decay * p;
        v = v + s.one_less_beta_2 * (g * g - v);
        T average = (p - s.one_less_beta_1 * z) / s.beta_1;
        z = z - s.rate * g / (sqrt(v * s.correction) + s.epsilon);
        p = s.one_less_beta_1 * z + s.beta_1 * (s.old * average + s.fresh * z);
    });
}

template <class T>
struct Adagrad {
    T rate, epsilon, decay;
};

template <class T>
__global__ void adagrad(Parameters all, int count, Adagrad<T> s, Repeated repeated) {
    if (!is_due(s, repeated)) return;
    update<T, 3>(all, count, {0, 1, 2}, [=](T (&of)[3]) {
        auto &[p, g, a] = of;
        p = p - s.decay * p;
        a = a + g * g;
        p = p - s.rate * g / sqrt(a + s.epsilon);
    });
}

template <class T>
struct Adadelta {
    T rate, rho, one_less_rho, epsilon, decay;
};

template <class T>
__global__ void adadelta(Parameters all, int count, Adadelta<T> s, Repeated repeated) {
    if (!is_due(s, repeated)) return;
    update<T, 4>(all, count, {0, 1, 2, 3}, [=](T (&of)[4]) {
        auto &[p, g, squares, updates] = of;
        p = p - s.decay * p;
        squares = s.rho * squares + s.one_less_rho * (g * g);
        T d = sqrt(updates + s.epsilon) * g / sqrt(squares + s.epsilon);
        updates = s.rho * updates + s.one_less_rho * (d * d);
        p = p - s.rate * d;
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
__global__ void rmsprop(Parameters all, int count, RMSprop<T> s, Repeated repeated) {
    if (!is_due(s, repeated)) return;
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

template <class T>
struct Lion {
    T rate, beta_1, one_less_beta_1, beta_2, one_less_beta_2, decay;
};

template <class T>
__global__ void lion(Parameters all, int count, Lion<T> s, Repeated repeated) {
    if (!is_due(s, repeated)) return;
    update<T, 3>(all, count, {0, 1, 2}, [=](T (&of)[3]) {
        auto &[p, g, m] = of;
        p = p - s.decay * p;
        T direction = s.beta_1 * m + s.one_less_beta_1 * g;
        T sign = direction > 0 ? T(1) : direction < 0 ? T(-1) : direction;  // 0 for 0, NaN for NaN
        p = p - s.rate * sign;
        m = s.beta_2 * m + s.one_less_beta_2 * g;
    });
}

template <class T>
struct FTRL {
    T rate, power, l1, l2, shrinkage, decay;
};

template <class T, bool ROOT>
__global__ void ftrl(Parameters all, int count, FTRL<T> s, Repeated repeated) {
    if (!is_due(s, repeated)) return;
    update<T, 4>(all, count, {0, 1, 2, 3}, [=](T (&of)[4]) {
        auto &[p, g, a, z] = of;
        p = p - s.decay * p;
        T n = a + g * g;
        T before = ROOT ? sqrt(a) : pow(a, s.power), after = ROOT ? sqrt(n) : pow(n, s.power);
        z = z + (g + s.shrinkage * p - (after - before) / s.rate * p);
        a = n;
        p = (clipped(z, -s.l1, s.l1) - z) / (after / s.rate + s.l2);
    });
}

template <class T>
struct Blend {
    T keep, take;
};

// The "parameter" is changed towards the "gradient".
template <class T>
__global__ void blend(Parameters all, int count, Blend<T> s, Repeated repeated) {
    if (!is_due(s, repeated)) return;
    update<T, 2>(all, count, {0, 1}, [=](T (&of)[2]) {
        of[0] = s.keep == 0 ? s.take * of[1] : s.keep * of[0] + s.take * of[1];
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

// Arrays of kind 1 become those of kind 0 times min(1, largest / norm); NaN for a norm that is not finite.
template <class T>
__global__ void limit_norm(Parameters all, int count, const double *squared_norm, double largest) {
    double norm = sqrt(*squared_norm);
    double quotient = norm <= largest ? 1.0 : norm - norm == 0 ? largest / norm : norm - norm;
    bool small = quotient < (sizeof(T) == 4 ? 0x1p-126 : 0x1p-1022);  // T would lose digits: two factors, as the reference
    T factor = T(small ? quotient * 0x1p100 : quotient), last = T(small ? 0x1p-100 : 1.0);
    constexpr int N = 16 / sizeof(T);
    each_chunk(all, count, [&](int64, int parameter, int64 first, int64 end) {
        auto *x = static_cast<const T *>(all.arrays[0][parameter]);
        auto *y = static_cast<T *>(all.arrays[1][parameter]);
        bool aligned = (reinterpret_cast<unsigned long long>(x) | reinterpret_cast<unsigned long long>(y)) % 16 == 0;
        int64 packed = aligned ? first + (end - first) / N * N : first;
        for (int64 i = first + threadIdx.x * N; i < packed; i += blockDim.x * N) {
            auto pack = *reinterpret_cast<const Pack<T, N> *>(x + i);
#pragma unroll
            for (int k = 0; k < N; ++k) pack.items[k] = factor * pack.items[k] * last;
            *reinterpret_cast<Pack<T, N> *>(y + i) = pack;
        }
        for (int64 i = packed + threadIdx.x; i < end; i += blockDim.x) y[i] = factor * x[i] * last;
    });
}

// ---- LAMB: the second kernel needs the lengths that the first adds up ------------------------------------------------

template <class T>
struct Lamb {
    T rate, one_less_beta_1, one_less_beta_2, correction_1, correction_2, epsilon, decay;

    __device__ __forceinline__ T update(T m, T v) const {
        return correction_1 * m / (sqrt(correction_2 * v) + epsilon);
    }
};

// Shrinks the parameters and moves their moments; the sums of the squares of each piece of a parameter, and of the
// updates, in double precision: sums[2·piece] and sums[2·piece + 1].
template <class T>
__global__ void lamb_moments(Parameters all, int count, Lamb<T> s, Repeated repeated, double *sums) {
    if (!is_due(s, repeated)) return;
    double *room = shared_memory<double>();
    each_chunk(all, count, [&](int64 chunk, int parameter, int64 first, int64 end) {
        auto *p = static_cast<T *>(all.arrays[0][parameter]), *m = static_cast<T *>(all.arrays[2][parameter]);
        auto *g = static_cast<const T *>(all.arrays[1][parameter]);
        auto *v = static_cast<T *>(all.arrays[3][parameter]);
        double of_parameter = 0, of_update = 0;
        for (int64 i = first + threadIdx.x; i < end; i += blockDim.x) {
            T weight = p[i] - s.decay * p[i], mean = m[i], square = v[i];
            move_moments(g[i], mean, square, s.one_less_beta_1, s.one_less_beta_2);
            p[i] = weight, m[i] = mean, v[i] = square;
            double update = s.update(mean, square);
            of_parameter += double(weight) * double(weight);
            of_update += update * update;
        }
        of_parameter = block_sum(of_parameter, room);
        of_update = block_sum(of_update, room);
        if (threadIdx.x == 0) sums[2 * chunk] = of_parameter, sums[2 * chunk + 1] = of_update;
    });
}

// Goes along the updates. Each block adds up the pieces of its parameter anew, in the same order.
template <class T>
__global__ void lamb_update(Parameters all, int count, Lamb<T> s, Repeated repeated, const double *sums) {
    if (!is_due(s, repeated)) return;
    double *room = shared_memory<double>();
    each_chunk(all, count, [&](int64, int parameter, int64 first, int64 end) {
        double of_parameter = 0, of_update = 0;
        for (int64 i = all.chunks[parameter] + threadIdx.x; i < all.chunks[parameter + 1]; i += blockDim.x)
            of_parameter += sums[2 * i], of_update += sums[2 * i + 1];
        of_parameter = sqrt(block_sum(of_parameter, room));
        of_update = sqrt(block_sum(of_update, room));
        double ratio = of_parameter > 0 && of_update > 0 ? of_parameter / of_update : 1;
        T rate = T(double(s.rate) * ratio);
        auto *p = static_cast<T *>(all.arrays[0][parameter]);
        auto *m = static_cast<const T *>(all.arrays[2][parameter]);
        auto *v = static_cast<const T *>(all.arrays[3][parameter]);
        for (int64 i = first + threadIdx.x; i < end; i += blockDim.x) p[i] = p[i] - rate * s.update(m[i], v[i]);
    });
}
