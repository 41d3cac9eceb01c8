// Convolutions of many narrow groups, depthwise ones above all: a product of matrices would be mostly empty.
//
// Bytes: x and y once; the taps find x in the caches, as neighbouring threads have neighbouring channels, then
// neighbouring pixels. Forward (and transposed, phase by phase) a thread computes N channels of PIXELS pixels of a row,
// with each weight in a register while it meets them all. The gradient of the weights sums over pixels: cut in
// as many parts as the shape asks for; a thread has TERMS weights of its channels in registers, the warps of a block
// share a part's pixels and are added in the end, and the parts by another kernel.
#include "convolution.cuh"
#include "sums.cuh"

constexpr int PIXELS = 4;
constexpr int TERMS = 9;

// N channels that are N groups, or one channel; numbers of 16 bits as float.
template <class T, int N>
__device__ __forceinline__ Pack<Real<T>, N> load(const T *from) {
    auto pack = *reinterpret_cast<const Pack<T, N> *>(from);
    Pack<Real<T>, N> result;
#pragma unroll
    for (int j = 0; j < N; ++j) result.items[j] = real(pack.items[j]);
    return result;
}

// Add the taps of one row of the window, to some pixels of a row: `x` at the first pixel's first tap, at `position` in
// its row, `w` at the first tap's weight.
template <class T, int N>
__device__ __forceinline__ void add_row_of_taps(
    Real<T> (&sums)[PIXELS][N], const T *x, const T *w, int position, const Correlation &c, const Along &along) {
    int channels = N > 1 ? 1 : c.c_in;
    int64 apart = along.step * c.x_strides[3];
#pragma unroll 1  // more would not fit in registers
    for (int tap = 0; tap < along.taps; ++tap) {
#pragma unroll 1
        for (int channel = 0; channel < channels; ++channel) {
            auto weight = load<T, N>(w + channel * c.w_strides[0]);
#pragma unroll
            for (int i = 0; i < PIXELS; ++i) {
                if (within(position + i * along.step, along.inputs)) {
                    auto pack = load<T, N>(x + i * apart + channel);
#pragma unroll
                    for (int j = 0; j < N; ++j) sums[i][j] += pack.items[j] * weight.items[j];
                }
            }
        }
        position += along.dilation, x += along.input_step, w += along.weight_step;
    }
}

// sums[t] += x at term t · dy, over the pixels first, first + apart, … before the end.
template <class T, int N>
__device__ __forceinline__ void add_pixels(Real<T> (&sums)[TERMS][N], const T *x, const T *dy, const Term *terms,
                                           int64 first, int64 end, int apart, const Correlation &c, const Phase &p) {
    if (first >= end) return;
    Pixel pixel;
    pixel.decode(first, p);
    for (int64 number = first; number < end; number += apart, pixel.advance(apart, p)) {
        Window window;
        window.begin(pixel, c, p);
        auto b = load<T, N>(dy + number * c.y_strides[3]);
#pragma unroll
        for (int t = 0; t < TERMS; ++t) {
            if (!window.holds(terms[t], p)) continue;
            auto a = load<T, N>(x + window.at(terms[t]));
#pragma unroll
            for (int j = 0; j < N; ++j) sums[t][j] += a.items[j] * b.items[j];
        }
    }
}

// `items`: packs of N channels × packs of PIXELS pixels of a row, for all rows of all phases. N > 1 takes groups of one
// channel in and one out.
template <class T, int N>
__global__ void __launch_bounds__(128, 5) correlate_channels(
    const T *x, const T *w, const T *bias, T *y, const __grid_constant__ Correlation c, Real<T> least,
    int64 items) {
    unsigned packs = c.groups * c.c_out / N, phases = c.phases[0] * c.phases[1] * c.phases[2];
    for (int64 item = first_item(); item < items; item += all_threads()) {
        unsigned rest = item;  // no GPU's memory holds 2³² items' results
        int channel = rest % packs * N;
        rest /= packs;
        Phase p = phase(c, rest % phases);
        rest /= phases;
        Pixel pixel;
        pixel.decode_packs(rest, PIXELS, p);
        if (pixel.n >= c.batch) continue;
        int group = channel / c.c_out;
        const T *x_of_group = x + group * c.c_in;
        const T *w_of_channel = w + p.weights() + group * c.w_strides[2] + channel % c.c_out * c.w_strides[1];
        Real<T> sums[PIXELS][N] = {};
        each_row_of_taps(pixel, c, p, [&](int64 origin, int d, int h, int position) {
            const T *weight = w_of_channel + d * p.d.weight_step + h * p.h.weight_step;
            add_row_of_taps<T, N>(sums, x_of_group + origin, weight, position, c, p.w);
        });
        Pack<Real<T>, N> offset = {};
        if (bias) offset = load<T, N>(bias + channel);
        int64 place = pixel.place(c, p) + channel;
#pragma unroll
        for (int i = 0; i < PIXELS; ++i) {
            if (pixel.w + i >= p.w.outputs) break;
            Pack<T, N> result;
#pragma unroll
            for (int j = 0; j < N; ++j) result.items[j] = stored(maximum(sums[i][j] + offset.items[j], least), T());
            *reinterpret_cast<Pack<T, N> *>(y + place + int64(i) * p.w.apart * c.y_strides[3]) = result;
        }
    }
}

// results[part][tap, c, k] = the gradient from the pixels of a part. An item of a block is a part, TERMS pairs (tap, c)
// and WARP · N channels; its warps share the pixels.
template <class T, int N>
__global__ void correlate_channel_weights(const T *x, const T *dy, Real<T> *results,
                                          const __grid_constant__ Correlation c, int64 parts, int64 pixels_of_part) {
    constexpr int WIDTH = WARP * N;
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    Phase p = phase(c, 0);
    int64 channels = int64(c.groups) * c.c_out, across = (channels + WIDTH - 1) / WIDTH;
    int64 count = p.taps() * c.c_in, runs = (count + TERMS - 1) / TERMS, pixels = c.batch * p.pixels();
    Term *terms = shared_memory<Term>();
    auto *room = shared_memory<Real<T>>(16 * sizeof(Term));
    for (int64 item = blockIdx.x; item < runs * across * parts; item += gridDim.x) {
        int64 run = item % runs, first_channel = item / runs % across * WIDTH, part = item / runs / across;
        int64 channel = first_channel + lane * N, first = part * pixels_of_part;
        __syncthreads();  // terms and room may still be read
        if (threadIdx.x < TERMS) {
            if (run * TERMS + threadIdx.x < count)
                terms[threadIdx.x].begin(run * TERMS + threadIdx.x, c, p);
            else
                terms[threadIdx.x].nowhere();
        }
        __syncthreads();
        Real<T> sums[TERMS][N] = {};
        if (channel < channels)
            add_pixels<T, N>(sums, x + channel / c.c_out * c.c_in, dy + channel, terms, first + warp,
                       min(first + pixels_of_part, pixels), warps, c, p);
#pragma unroll
        for (int t = 0; t < TERMS; ++t)
#pragma unroll
            for (int j = 0; j < N; ++j) room[(warp * TERMS + t) * WIDTH + lane * N + j] = sums[t][j];
        add_rows_in_place(room, warps, TERMS * WIDTH);
        for (int i = threadIdx.x; i < TERMS * WIDTH; i += blockDim.x) {
            int64 term = run * TERMS + i / WIDTH, to = first_channel + i % WIDTH;
            if (term < count && to < channels) results[(part * count + term) * channels + to] = room[i];
        }
    }
}
