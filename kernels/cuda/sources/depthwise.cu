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

// N channels that are N groups, or one channel.
template <class T, int N>
__device__ __forceinline__ Pack<T, N> load(const T *from) {
    return *reinterpret_cast<const Pack<T, N> *>(from);
}

// Add one tap of some pixels of a row, whose windows begin at `window` and `apart` positions after one another.
template <class T, int N>
__device__ __forceinline__ void add_tap(T (&sums)[PIXELS][N], const T *x, const Pack<T, N> &weight,
                                        const Window &window, const Depth &k, const Correlation &c, const Phase &p) {
    const T *from = x + window.at(k, p);
    int position = window.w + k.w * p.w.dilation;
#pragma unroll
    for (int i = 0; i < PIXELS; ++i) {
        if (within(position + i * p.w.step, p.w.inputs)) {
            Pack<T, N> pack = load<T, N>(from + i * p.w.step * c.x_strides[3]);
#pragma unroll
            for (int j = 0; j < N; ++j) sums[i][j] += pack.items[j] * weight.items[j];
        }
    }
}

// sums[t] += x at term t · dy, over the pixels first, first + apart, … before the end.
template <class T, int N>
__device__ __forceinline__ void add_pixels(T (&sums)[TERMS][N], const T *x, const T *dy, const Term *terms, int64 first,
                                           int64 end, int apart, const Correlation &c, const Phase &p) {
    if (first >= end) return;
    Pixel pixel;
    pixel.decode(first, p);
    for (int64 number = first; number < end; number += apart, pixel.advance(apart, p)) {
        Window window;
        window.begin(pixel, c, p);
        Pack<T, N> b = load<T, N>(dy + number * c.y_strides[3]);
#pragma unroll
        for (int t = 0; t < TERMS; ++t) {
            if (!window.holds(terms[t], p)) continue;
            Pack<T, N> a = load<T, N>(x + window.at(terms[t]));
#pragma unroll
            for (int j = 0; j < N; ++j) sums[t][j] += a.items[j] * b.items[j];
        }
    }
}

// `items`: packs of N channels × packs of PIXELS pixels of a row, for all rows of all phases. N > 1 takes groups of one
// channel in and one out.
template <class T, int N>
__global__ void correlate_channels(const T *x, const T *w, const T *bias, T *y, const __grid_constant__ Correlation c,
                                   bool relu, int64 items) {
    int64 packs = int64(c.groups) * c.c_out / N;
    for (int64 item = first_item(); item < items; item += all_threads()) {
        int64 channel = item % packs * N, rest = item / packs;
        int phases = c.phases[0] * c.phases[1] * c.phases[2];
        Phase p = phase(c, rest % phases);
        rest /= phases;
        int across = (c.along[2][0].outputs + PIXELS - 1) / PIXELS;
        Pixel pixel;
        pixel.w = rest % across * PIXELS, rest /= across;
        pixel.h = rest % c.along[1][0].outputs, rest /= c.along[1][0].outputs;
        pixel.d = rest % c.along[0][0].outputs, pixel.n = rest / c.along[0][0].outputs;
        if (pixel.d >= p.d.outputs || pixel.h >= p.h.outputs || pixel.w >= p.w.outputs) continue;
        int64 group = channel / c.c_out;
        const T *x_of_group = x + group * c.c_in;
        const T *w_of_channel = w + p.weights() + group * c.w_strides[2] + channel % c.c_out * c.w_strides[1];
        Window window;
        window.begin(pixel, c, p);
        T sums[PIXELS][N] = {};
        Depth k;
        for (k.d = 0; k.d < p.d.taps; ++k.d) {
            if (!within(window.d + k.d * p.d.dilation, p.d.inputs)) continue;
            for (k.h = 0; k.h < p.h.taps; ++k.h) {
                if (!within(window.h + k.h * p.h.dilation, p.h.inputs)) continue;
                for (k.w = 0; k.w < p.w.taps; ++k.w)
                    for (k.c = 0; k.c < c.c_in; ++k.c)
                        add_tap(sums, x_of_group, load<T, N>(w_of_channel + k.weight(c, p)), window, k, c, p);
            }
        }
        Pack<T, N> offset = {};
        if (bias) offset = load<T, N>(bias + channel);
        int64 place = pixel.place(c, p) + channel;
#pragma unroll
        for (int i = 0; i < PIXELS; ++i) {
            if (pixel.w + i >= p.w.outputs) break;
            Pack<T, N> result;
#pragma unroll
            for (int j = 0; j < N; ++j) {
                T sum = sums[i][j] + offset.items[j];
                result.items[j] = relu ? maximum(sum, T(0)) : sum;
            }
            *reinterpret_cast<Pack<T, N> *>(y + place + int64(i) * p.w.apart * c.y_strides[3]) = result;
        }
    }
}

// results[part][tap, c, k] = the gradient from the pixels of a part. An item of a block is a part, TERMS pairs (tap, c)
// and WARP · N channels; its warps share the pixels.
template <class T, int N>
__global__ void correlate_channel_weights(const T *x, const T *dy, T *results, const __grid_constant__ Correlation c,
                                          int64 parts, int64 pixels_of_part) {
    constexpr int WIDTH = WARP * N;
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    Phase p = phase(c, 0);
    int64 channels = int64(c.groups) * c.c_out, across = (channels + WIDTH - 1) / WIDTH;
    int64 count = p.taps() * c.c_in, runs = (count + TERMS - 1) / TERMS, pixels = c.batch * p.pixels();
    Term *terms = shared_memory<Term>();
    T *room = shared_memory<T>(16 * sizeof(Term));
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
        T sums[TERMS][N] = {};
        if (channel < channels)
            add_pixels(sums, x + channel / c.c_out * c.c_in, dy + channel, terms, first + warp,
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
