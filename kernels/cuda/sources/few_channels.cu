// Convolutions from a few input channels or to a few output channels, the first and last layers of a network: as a
// product of matrices they would be mostly gathering, or mostly empty. In both a thread has PIXELS pixels of a row, and
// the weights of a block lie in shared memory.
//
// Few inputs. Bytes: y is written once and outweighs x, which the taps find in the caches. A thread computes N channels
// of its pixels: for every term it reads the pixels' numbers, which are shared by the ACROSS threads that have other
// channels, and N weights.
//
// Few outputs. Bytes: x is read once from memory, and outweighs y. Some neighbouring threads share the pixels, each of
// them takes 16 bytes of the input channels at a time, and has sums for all output channels; in the end these are added
// over the threads.
//
// Numbers of 16 bits are computed with as float, and their weights lie in shared memory as such.
#include "convolution.cuh"
#include "halves.cuh"

constexpr int PIXELS = 4, ACROSS = 4;

// Channels in a piece: 16 bytes of weights, or of sums.
template <class T> constexpr int IN_PIECE = 16 / sizeof(Real<T>);

// N channels of a thread in pieces, such that neighbouring threads have neighbouring pieces.
template <class T, int N>
struct Channels {
    static constexpr int PIECE = IN_PIECE<T>, COLUMNS = ACROSS * N;
    static_assert(N % PIECE == 0, "channels are whole pieces");

    __device__ __forceinline__ static int at(int j) {
        return j / PIECE * (ACROSS * PIECE) + threadIdx.x % ACROSS * PIECE + j % PIECE;
    }
};

// The weights of all terms of a phase for the channels from `column` on: weights[term][channel], 0 beyond the last.
template <int COLUMNS, class T>
__device__ __forceinline__ void stage_weights(
    Real<T> *weights, const T *w, int column, const Correlation &c, const Phase &p) {
    int count = p.taps() * c.c_in * COLUMNS;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        Depth k;
        k.decode(i / COLUMNS, c, p);
        int channel = column + i % COLUMNS;
        weights[i] = channel < c.c_out ? real(w[p.weights() + k.weight(c, p) + channel * c.w_strides[1]]) : Real<T>(0);
    }
}

// Add the terms of one row of the window: `x` at the first pixel's first tap, at `position` in its row, `weights` at
// the first tap's.
template <class T, int N>
__device__ __forceinline__ void add_row_of_taps(
    Real<T> (&sums)[PIXELS][N], const T *x, const Real<T> *weights, int position, const Correlation &c,
    const Along &along) {
    using Here = Channels<T, N>;
    int64 apart = along.step * c.x_strides[3];
#pragma unroll 1
    for (int tap = 0; tap < along.taps; ++tap) {
        for (int channel = 0; channel < c.c_in; ++channel, weights += Here::COLUMNS) {
            Real<T> numbers[PIXELS], factors[N];
#pragma unroll
            for (int i = 0; i < PIXELS; ++i)
                numbers[i] =
                    within(position + i * along.step, along.inputs) ? real(x[i * apart + channel]) : Real<T>(0);
#pragma unroll
            for (int j = 0; j < N; j += Here::PIECE) {
                auto pack = *reinterpret_cast<const Pack<Real<T>, Here::PIECE> *>(weights + Here::at(j));
#pragma unroll
                for (int q = 0; q < Here::PIECE; ++q) factors[j + q] = pack.items[q];
            }
#pragma unroll
            for (int i = 0; i < PIXELS; ++i)
#pragma unroll
                for (int j = 0; j < N; ++j) sums[i][j] += numbers[i] * factors[j];
        }
        position += along.dilation, x += along.input_step;
    }
}

// Write one pixel's sums (from the tile's first channel on), but at least `least`.
template <class T, int N>
__device__ __forceinline__ void write_pixel(const Real<T> (&sums)[N], T *y, int columns, bool pack, Real<T> least) {
    using Here = Channels<T, N>;
#pragma unroll
    for (int j = 0; j < N; j += Here::PIECE) {
        int channel = Here::at(j);
        Pack<T, Here::PIECE> result;
#pragma unroll
        for (int q = 0; q < Here::PIECE; ++q) result.items[q] = stored(maximum(sums[j + q], least), T());
        if (pack) {
            if (channel < columns) store_whole(y + channel, result);
        } else {
#pragma unroll
            for (int q = 0; q < Here::PIECE; ++q)
                if (channel + q < columns) y[channel + q] = result.items[q];
        }
    }
}

// An item of a block: PIXELS pixels for each ACROSS threads, one tile of channels, one phase; pixels go fastest.
// `tiles_down`: such items in the largest phase.
template <class T, int N>
__global__ void __launch_bounds__(256, 2)
    correlate_few_inputs(const T *x, const T *w, const T *bias, T *y, const __grid_constant__ Correlation c,
                         bool pack_y, Real<T> least, int64 tiles_down, int64 tiles_across) {
    constexpr int COLUMNS = Channels<T, N>::COLUMNS;
    auto *weights = shared_memory<Real<T>>();
    unsigned staged = 0xffffffffu, items = tiles_down * tiles_across * c.phases[0] * c.phases[1] * c.phases[2];
    for (unsigned item = blockIdx.x; item < items; item += gridDim.x) {
        unsigned tile = item / unsigned(tiles_down);
        int column = tile % unsigned(tiles_across) * COLUMNS, columns = c.c_out - column;
        Phase p = phase(c, tile / unsigned(tiles_across));
        if (tile != staged) {
            __syncthreads();
            stage_weights<COLUMNS, T>(weights, w, column, c, p);
            __syncthreads();
            staged = tile;
        }
        Pixel pixel;
        pixel.decode_packs(item % unsigned(tiles_down) * (blockDim.x / ACROSS) + threadIdx.x / ACROSS, PIXELS, p);
        if (pixel.n >= c.batch) continue;
        Real<T> sums[PIXELS][N];
#pragma unroll
        for (int j = 0; j < N; ++j) {
            int channel = column + Channels<T, N>::at(j);
            Real<T> offset = bias && channel < c.c_out ? real(bias[channel]) : Real<T>(0);
#pragma unroll
            for (int i = 0; i < PIXELS; ++i) sums[i][j] = offset;
        }
        each_row_of_taps(pixel, c, p, [&](int64 origin, int d, int h, int position) {
            int term = (d * p.h.taps + h) * p.w.taps * c.c_in;
            add_row_of_taps<T, N>(sums, x + origin, weights + term * COLUMNS, position, c, p.w);
        });
        T *to = y + pixel.place(c, p) + column;
#pragma unroll
        for (int i = 0; i < PIXELS; ++i)
            if (pixel.w + i < p.w.outputs)
                write_pixel<T, N>(sums[i], to + i * int64(p.w.apart) * c.y_strides[3], columns, pack_y, least);
    }
}

// The weights of all terms of a phase: weights[channel][term], 0 beyond the last channel.
template <int K, class T>
__device__ __forceinline__ void stage_channels(
    Real<T> *weights, const T *w, int terms, const Correlation &c, const Phase &p) {
    for (int i = threadIdx.x; i < K * terms; i += blockDim.x) {
        Depth k;
        k.decode(i % terms, c, p);
        int channel = i / terms;
        weights[i] = channel < c.c_out ? real(w[p.weights() + k.weight(c, p) + channel * c.w_strides[1]]) : Real<T>(0);
    }
}

// Add the terms of one row of the window, as `add_row_of_taps`, of this thread's input channels: packs lane,
// lane + lanes, … `weights`: of channel 0 at the row's first tap; the next channel's are `terms` later.
template <class T, int K>
__device__ __forceinline__ void add_channels(Real<T> (&sums)[PIXELS][K], const T *x, const Real<T> *weights,
                                             int terms, int position, int lane, int lanes, const Correlation &c,
                                             const Along &along) {
    constexpr int N = IN_PIECE<T>;
    int64 apart = along.step * c.x_strides[3];
#pragma unroll 1
    for (int tap = 0; tap < along.taps; ++tap) {
#pragma unroll 1
        for (int channel = lane * N; channel < c.c_in; channel += lanes * N) {
            Pack<T, N> numbers[PIXELS] = {};
#pragma unroll
            for (int i = 0; i < PIXELS; ++i)
                if (within(position + i * along.step, along.inputs))
                    numbers[i] = *reinterpret_cast<const Pack<T, N> *>(x + i * apart + channel);
#pragma unroll
            for (int k = 0; k < K; ++k) {
                auto factors = *reinterpret_cast<const Pack<Real<T>, N> *>(weights + k * terms + channel);
#pragma unroll
                for (int i = 0; i < PIXELS; ++i)
#pragma unroll
                    for (int j = 0; j < N; ++j) sums[i][k] += real(numbers[i].items[j]) * factors.items[j];
            }
        }
        position += along.dilation, x += along.input_step, weights += c.c_in;
    }
}

// An item of a block: PIXELS pixels for each `lanes` threads (a power of two), of one phase; pixels go fastest.
// `tiles_down`: such items in the largest phase.
template <class T, int K>
__global__ void __launch_bounds__(256, 2)
    correlate_few_outputs(const T *x, const T *w, const T *bias, T *y, const __grid_constant__ Correlation c,
                          Real<T> least, int64 tiles_down, int lanes) {
    auto *weights = shared_memory<Real<T>>();
    unsigned staged = 0xffffffffu, items = tiles_down * c.phases[0] * c.phases[1] * c.phases[2];
    for (unsigned item = blockIdx.x; item < items; item += gridDim.x) {
        unsigned number = item / unsigned(tiles_down);
        Phase p = phase(c, number);
        int terms = p.taps() * c.c_in, lane = threadIdx.x % lanes;
        if (number != staged) {
            __syncthreads();
            stage_channels<K, T>(weights, w, terms, c, p);
            __syncthreads();
            staged = number;
        }
        Pixel pixel;
        pixel.decode_packs(item % unsigned(tiles_down) * (blockDim.x / lanes) + threadIdx.x / lanes, PIXELS, p);
        bool exists = pixel.n < c.batch;
        Real<T> sums[PIXELS][K] = {};
        if (exists)
            each_row_of_taps(pixel, c, p, [&](int64 origin, int d, int h, int position) {
                int term = (d * p.h.taps + h) * p.w.taps * c.c_in;
                add_channels<T, K>(sums, x + origin, weights + term, terms, position, lane, lanes, c, p.w);
            });
        T *to = y + (exists ? pixel.place(c, p) : 0);
#pragma unroll
        for (int i = 0; i < PIXELS; ++i) {
#pragma unroll
            for (int k = 0; k < K; ++k) {
                Real<T> sum = sums[i][k];
                for (int distance = lanes / 2; distance > 0; distance /= 2)
                    sum += __shfl_xor_sync(0xffffffffu, sum, distance);
                if (!exists || pixel.w + i >= p.w.outputs || k >= c.c_out || i % lanes != lane) continue;
                if (bias) sum += real(bias[k]);
                to[i * int64(p.w.apart) * c.y_strides[3] + k] = stored(maximum(sum, least), T());
            }
        }
    }
}
