// Recurrent cells over whole sequences, and their gradients: a block takes ROWS sequences through all steps.
//
// A step is gates · H² multiply-adds for a sequence; the weights, gates · H² numbers, come from the second-level cache
// in every step of every block. That is the bound: an SM reads 64 bytes of it in a cycle, and each number meets ROWS
// sequences. (With more rows to a block, fewer SMs would work at a batch of the usual size.) Steps depend on each other:
// within a block a barrier parts them, and blocks know nothing of each other.
//
// A thread has all gates of the units threadIdx.x, threadIdx.x + blockDim.x, … of the block's sequences, so that what
// it carries from step to step (the cell, the gradient in a state) is written and read by it alone. States and slopes,
// which all threads multiply by, go through shared memory in chunks of CHUNK numbers of each sequence.
#include "activations.cuh"

constexpr int ROWS = 4, CHUNK = 128;

// The activations of recurrent cells, numbered as kernels.RECURRENT_ACTIVATIONS has them.
enum { LINEAR, RELU, TANH, SIGMOID, HARD_SIGMOID };

template <class T>
__device__ __forceinline__ T activated(int name, T x) {
    switch (name) {
        case RELU: return maximum(x, T(0));
        case TANH: return tanh(x);
        case SIGMOID: return sigmoid(x);
        case HARD_SIGMOID: return clipped(x + 3, T(0), T(6)) / 6;
        default: return x;
    }
}

// The slope where the value is y.
template <class T>
__device__ __forceinline__ T slope(int name, T y) {
    switch (name) {
        case RELU: return y > 0 ? T(1) : T(0);
        case TANH: return 1 - y * y;
        case SIGMOID: return y * (1 - y);
        case HARD_SIGMOID: return y > 0 && y < 1 ? T(1) / 6 : T(0);
        default: return T(1);
    }
}

// sums[part][r] += Σ_k x[r · step + k] · weight[k · columns + part · units + unit], for `rows` rows of x. All threads of
// the block come here together; those whose unit does not exist help to fetch x. Whatever the block wrote before is seen.
template <class T, int PARTS>
__device__ __forceinline__ void add_products(T (&sums)[PARTS][ROWS], const T *x, int64 step, int rows, int64 depth,
                                             const T *weight, int64 columns, int64 unit, int64 units) {
    constexpr int WIDE = 16 / sizeof(T);
    T *fetched = shared_memory<T>();  // ROWS numbers side by side, for each k of a chunk
    for (int64 begin = 0; begin < depth; begin += CHUNK) {
        int count = int(min(int64(CHUNK), depth - begin));
        __syncthreads();  // the chunk before may still be read
        for (int i = threadIdx.x; i < ROWS * count; i += blockDim.x) {
            int r = i / count, k = i % count;
            fetched[k * ROWS + r] = r < rows ? x[r * step + begin + k] : T(0);
        }
        __syncthreads();
        if (unit >= units) continue;
        const T *column = weight + begin * columns + unit;
#pragma unroll 4
        for (int k = 0; k < count; ++k) {
            Pack<T, WIDE> of_rows[ROWS / WIDE];
#pragma unroll
            for (int j = 0; j < ROWS / WIDE; ++j)
                of_rows[j] = *reinterpret_cast<const Pack<T, WIDE> *>(fetched + k * ROWS + j * WIDE);
#pragma unroll
            for (int part = 0; part < PARTS; ++part) {
                T number = column[k * columns + part * units];
#pragma unroll
                for (int r = 0; r < ROWS; ++r) sums[part][r] += of_rows[r / WIDE].items[r % WIDE] * number;
            }
        }
    }
}

// What all cells are given. mask: null where no step is left out; h0: null for zeros.
struct Batch {
    int64 sequences, steps, units;
    const bool *mask;
    int f, g;  // the activations: of states, and the recurrent one

    __device__ __forceinline__ bool takes(int64 at) const { return !mask || mask[at]; }
};

// The sequences of a block.
struct Group {
    int64 first;
    int rows;

    __device__ __forceinline__ Group(const Batch &batch, int64 number) {
        first = number * ROWS;
        rows = int(min(int64(ROWS), batch.sequences - first));
    }
};

__device__ __forceinline__ int64 groups(const Batch &batch) { return (batch.sequences + ROWS - 1) / ROWS; }

// The state that step t of sequence n begins with, where `states` (N, T, H) are those after the steps.
template <class T>
__device__ __forceinline__ T before(const Batch &batch, const T *states, const T *start, int64 n, int64 t, int64 u) {
    if (t > 0) return states[(n * batch.steps + t - 1) * batch.units + u];
    return start ? start[n * batch.units + u] : T(0);
}

// sums += h_{t−1} · weight, of all sequences of the group.
template <class T, int PARTS>
__device__ __forceinline__ void add_states(T (&sums)[PARTS][ROWS], const Batch &batch, const Group &group, const T *h,
                                           const T *h0, int64 t, const T *weight, int64 columns, int64 unit) {
    int64 units = batch.units;
    if (t > 0) {
        const T *states = h + (group.first * batch.steps + t - 1) * units;
        add_products(sums, states, batch.steps * units, group.rows, units, weight, columns, unit, units);
    } else if (h0) {
        add_products(sums, h0 + group.first * units, units, group.rows, units, weight, columns, unit, units);
    }
}

// dh (N, H) += gradient[:, t, : depth] (of N, T, columns) · back (depth, H), but for steps left out.
template <class T>
__device__ __forceinline__ void add_back(const Batch &batch, const Group &group, int64 t, const T *gradient,
                                         int64 columns, int64 depth, const T *back, T *dh) {
    int64 units = batch.units, step = batch.steps * columns;
    for (int64 base = 0; base < units; base += blockDim.x) {
        int64 u = base + threadIdx.x;
        T sums[1][ROWS] = {};
        const T *slopes = gradient + group.first * step + t * columns;
        add_products(sums, slopes, step, group.rows, depth, back, units, u, units);
        if (u < units)
#pragma unroll
            for (int r = 0; r < ROWS; ++r)
                if (r < group.rows && batch.takes((group.first + r) * batch.steps + t))
                    dh[(group.first + r) * units + u] += sums[0][r];
    }
}

// Writes `value`, or zeros, for all (sequence, unit) of this thread.
template <class T>
__device__ __forceinline__ void start_with(const Batch &batch, const Group &group, const T *given, T *state) {
    for (int r = 0; r < group.rows; ++r)
        for (int64 u = threadIdx.x; u < batch.units; u += blockDim.x) {
            int64 own = (group.first + r) * batch.units + u;
            state[own] = given ? given[own] : T(0);
        }
}

// ---- the simple cell ------------------------------------------------------------------------------------------------

template <class T>
__global__ void simple_rnn(const T *z, const T *weight, const T *h0, T *h, Batch batch) {
    int64 units = batch.units;
    for (int64 number = blockIdx.x; number < groups(batch); number += gridDim.x) {
        Group group(batch, number);
        for (int64 t = 0; t < batch.steps; ++t)
            for (int64 base = 0; base < units; base += blockDim.x) {
                int64 u = base + threadIdx.x;
                T sums[1][ROWS] = {};
                add_states(sums, batch, group, h, h0, t, weight, units, u);
                if (u >= units) continue;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    if (r >= group.rows) continue;
                    int64 at = (group.first + r) * batch.steps + t;
                    h[at * units + u] = batch.takes(at) ? activated(batch.f, z[at * units + u] + sums[0][r])
                                                        : before(batch, h, h0, group.first + r, t, u);
                }
            }
    }
}

// back: the weights, transposed.
template <class T>
__global__ void simple_rnn_gradient(const T *dh, const T *h, const T *back, T *dz, T *dstate, Batch batch) {
    int64 units = batch.units;
    for (int64 number = blockIdx.x; number < groups(batch); number += gridDim.x) {
        Group group(batch, number);
        start_with<T>(batch, group, nullptr, dstate);
        for (int64 t = batch.steps - 1; t >= 0; --t) {
            for (int r = 0; r < group.rows; ++r)
                for (int64 u = threadIdx.x; u < units; u += blockDim.x) {
                    int64 at = (group.first + r) * batch.steps + t, own = (group.first + r) * units + u;
                    bool taken = batch.takes(at);
                    T total = dh[at * units + u] + dstate[own];
                    dz[at * units + u] = taken ? total * slope(batch.f, h[at * units + u]) : T(0);
                    dstate[own] = taken ? T(0) : total;
                }
            add_back(batch, group, t, dz, units, units, back, dstate);
        }
    }
}

// ---- LSTM -----------------------------------------------------------------------------------------------------------

template <class T>
__global__ void lstm(T *z, const T *weight, const T *h0, const T *c0, T *h, T *c, Batch batch) {
    int64 units = batch.units;
    for (int64 number = blockIdx.x; number < groups(batch); number += gridDim.x) {
        Group group(batch, number);
        for (int64 t = 0; t < batch.steps; ++t)
            for (int64 base = 0; base < units; base += blockDim.x) {
                int64 u = base + threadIdx.x;
                T sums[4][ROWS] = {};
                add_states(sums, batch, group, h, h0, t, weight, 4 * units, u);
                if (u >= units) continue;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    if (r >= group.rows) continue;
                    int64 n = group.first + r, at = n * batch.steps + t;
                    T *gates = z + at * 4 * units + u;
                    T i = activated(batch.g, gates[0] + sums[0][r]);
                    T forget = activated(batch.g, gates[units] + sums[1][r]);
                    T candidate = activated(batch.f, gates[2 * units] + sums[2][r]);
                    T o = activated(batch.g, gates[3 * units] + sums[3][r]);
                    gates[0] = i, gates[units] = forget, gates[2 * units] = candidate, gates[3 * units] = o;
                    T cell = before(batch, c, c0, n, t, u);
                    bool taken = batch.takes(at);
                    if (taken) cell = forget * cell + i * candidate;
                    c[at * units + u] = cell;
                    h[at * units + u] = taken ? o * activated(batch.f, cell) : before(batch, h, h0, n, t, u);
                }
            }
    }
}

template <class T>
__global__ void lstm_gradient(const T *dh, const T *dc, const T *gates, const T *c, const T *c0, const T *back, T *dz,
                              T *dstate, T *dcell, Batch batch) {
    int64 units = batch.units;
    for (int64 number = blockIdx.x; number < groups(batch); number += gridDim.x) {
        Group group(batch, number);
        start_with<T>(batch, group, nullptr, dstate);
        start_with(batch, group, dc, dcell);
        for (int64 t = batch.steps - 1; t >= 0; --t) {
            for (int r = 0; r < group.rows; ++r)
                for (int64 u = threadIdx.x; u < units; u += blockDim.x) {
                    int64 n = group.first + r, at = n * batch.steps + t, own = n * units + u;
                    const T *gate = gates + at * 4 * units + u;
                    T *ds = dz + at * 4 * units + u;
                    T total = dh[at * units + u] + dstate[own];
                    if (!batch.takes(at)) {
                        ds[0] = ds[units] = ds[2 * units] = ds[3 * units] = 0;
                        dstate[own] = total;
                        continue;
                    }
                    T i = gate[0], forget = gate[units], candidate = gate[2 * units], o = gate[3 * units];
                    T value = activated(batch.f, c[at * units + u]);
                    T of_cell = dcell[own] + total * o * slope(batch.f, value);
                    ds[0] = of_cell * candidate * slope(batch.g, i);
                    ds[units] = of_cell * before(batch, c, c0, n, t, u) * slope(batch.g, forget);
                    ds[2 * units] = of_cell * i * slope(batch.f, candidate);
                    ds[3 * units] = total * value * slope(batch.g, o);
                    dcell[own] = of_cell * forget;
                    dstate[own] = 0;
                }
            add_back(batch, group, t, dz, 4 * units, 4 * units, back, dstate);
        }
    }
}

// ---- GRU ------------------------------------------------------------------------------------------------------------

// The state is reset after the product: bias is null, or of all three gates; inner: m_h.
template <class T>
__global__ void gru(T *z, const T *weight, const T *bias, const T *h0, T *h, T *inner, Batch batch) {
    int64 units = batch.units;
    for (int64 number = blockIdx.x; number < groups(batch); number += gridDim.x) {
        Group group(batch, number);
        for (int64 t = 0; t < batch.steps; ++t)
            for (int64 base = 0; base < units; base += blockDim.x) {
                int64 u = base + threadIdx.x;
                T sums[3][ROWS] = {};
                add_states(sums, batch, group, h, h0, t, weight, 3 * units, u);
                if (u >= units) continue;
                T of_update = bias ? bias[u] : T(0), of_reset = bias ? bias[units + u] : T(0);
                T of_candidate = bias ? bias[2 * units + u] : T(0);
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    if (r >= group.rows) continue;
                    int64 n = group.first + r, at = n * batch.steps + t;
                    T *gates = z + at * 3 * units + u;
                    T m = sums[2][r] + of_candidate;
                    T update = activated(batch.g, gates[0] + (sums[0][r] + of_update));
                    T reset = activated(batch.g, gates[units] + (sums[1][r] + of_reset));
                    T candidate = activated(batch.f, gates[2 * units] + reset * m);
                    gates[0] = update, gates[units] = reset, gates[2 * units] = candidate;
                    inner[at * units + u] = m;
                    T state = before(batch, h, h0, n, t, u);
                    h[at * units + u] = batch.takes(at) ? update * state + (1 - update) * candidate : state;
                }
            }
    }
}

// The slopes that do not go through the reset, of all of the group at step t; dstate: what goes back past the product.
template <class T>
__device__ __forceinline__ void gru_slopes(const Batch &batch, const Group &group, int64 t, const T *dh, const T *h,
                                           const T *h0, const T *gates, const T *inner, T *dz, T *dm, T *dstate) {
    int64 units = batch.units;
    for (int r = 0; r < group.rows; ++r)
        for (int64 u = threadIdx.x; u < units; u += blockDim.x) {
            int64 n = group.first + r, at = n * batch.steps + t, own = n * units + u, place = at * 3 * units + u;
            T update = gates[place], reset = gates[place + units], candidate = gates[place + 2 * units];
            T total = dh[at * units + u] + dstate[own], state = before(batch, h, h0, n, t, u);
            bool taken = batch.takes(at);
            T dcandidate = taken ? total * (1 - update) * slope(batch.f, candidate) : T(0);
            T dupdate = taken ? total * (state - candidate) * slope(batch.g, update) : T(0);
            dz[place] = dupdate, dz[place + 2 * units] = dcandidate;
            if (dm) {
                T dreset = taken ? dcandidate * inner[at * units + u] * slope(batch.g, reset) : T(0);
                dz[place + units] = dm[place + units] = dreset;
                dm[place] = dupdate, dm[place + 2 * units] = taken ? dcandidate * reset : T(0);
            }
            dstate[own] = taken ? total * update : total;
        }
}

template <class T>
__global__ void gru_gradient(const T *dh, const T *h, const T *gates, const T *inner, const T *h0, const T *back, T *dz,
                             T *dm, T *dstate, Batch batch) {
    for (int64 number = blockIdx.x; number < groups(batch); number += gridDim.x) {
        Group group(batch, number);
        start_with<T>(batch, group, nullptr, dstate);
        for (int64 t = batch.steps - 1; t >= 0; --t) {
            gru_slopes(batch, group, t, dh, h, h0, gates, inner, dz, dm, dstate);
            add_back(batch, group, t, dm, 3 * batch.units, 3 * batch.units, back, dstate);
        }
    }
}

// The state is reset before the product; kept (N, H): r · h_{t−1} of a step.
template <class T>
__global__ void gru_reset_before(T *z, const T *weight, const T *h0, T *h, T *kept, Batch batch) {
    int64 units = batch.units;
    for (int64 number = blockIdx.x; number < groups(batch); number += gridDim.x) {
        Group group(batch, number);
        for (int64 t = 0; t < batch.steps; ++t) {
            for (int64 base = 0; base < units; base += blockDim.x) {
                int64 u = base + threadIdx.x;
                T sums[2][ROWS] = {};
                add_states(sums, batch, group, h, h0, t, weight, 3 * units, u);
                if (u >= units) continue;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    if (r >= group.rows) continue;
                    int64 n = group.first + r;
                    T *gates = z + (n * batch.steps + t) * 3 * units + u;
                    T reset = activated(batch.g, gates[units] + sums[1][r]);
                    gates[0] = activated(batch.g, gates[0] + sums[0][r]), gates[units] = reset;
                    kept[n * units + u] = reset * before(batch, h, h0, n, t, u);
                }
            }
            for (int64 base = 0; base < units; base += blockDim.x) {
                int64 u = base + threadIdx.x;
                T sums[1][ROWS] = {};
                add_products(sums, static_cast<const T *>(kept) + group.first * units, units, group.rows, units,
                             weight + 2 * units, 3 * units, u, units);
                if (u >= units) continue;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    if (r >= group.rows) continue;
                    int64 n = group.first + r, at = n * batch.steps + t;
                    T *gates = z + at * 3 * units + u;
                    T update = gates[0], candidate = activated(batch.f, gates[2 * units] + sums[0][r]);
                    gates[2 * units] = candidate;
                    T state = before(batch, h, h0, n, t, u);
                    h[at * units + u] = batch.takes(at) ? update * state + (1 - update) * candidate : state;
                }
            }
        }
    }
}

template <class T>
__global__ void gru_reset_before_gradient(const T *dh, const T *h, const T *gates, const T *h0, const T *back, T *dz,
                                          T *dstate, Batch batch) {
    int64 units = batch.units, step = batch.steps * 3 * units;
    for (int64 number = blockIdx.x; number < groups(batch); number += gridDim.x) {
        Group group(batch, number);
        start_with<T>(batch, group, nullptr, dstate);
        for (int64 t = batch.steps - 1; t >= 0; --t) {
            gru_slopes<T>(batch, group, t, dh, h, h0, gates, nullptr, dz, nullptr, dstate);
            for (int64 base = 0; base < units; base += blockDim.x) {
                int64 u = base + threadIdx.x;
                T sums[1][ROWS] = {};
                const T *of_candidate = dz + group.first * step + t * 3 * units + 2 * units;
                add_products(sums, of_candidate, step, group.rows, units, back + 2 * units * units, units, u, units);
                if (u >= units) continue;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    if (r >= group.rows) continue;
                    int64 n = group.first + r, at = n * batch.steps + t, place = (at * 3 + 1) * units + u;
                    bool taken = batch.takes(at);
                    T reset = gates[place], state = before(batch, h, h0, n, t, u);
                    dz[place] = taken ? sums[0][r] * state * slope(batch.g, reset) : T(0);
                    if (taken) dstate[n * units + u] += sums[0][r] * reset;
                }
            }
            add_back(batch, group, t, dz, 3 * units, 2 * units, back, dstate);
        }
    }
}
