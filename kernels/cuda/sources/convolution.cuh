// The geometry of a sliding-window sum, as every convolution kernel takes it (the launchers' side is correlation.py):
//
//     y[n, out(o), k] = Σ_t Σ_c  x[n, step·o + dilation·t − before, c] · w[tap(t), c, k]     for each group of channels
//
// with out(o) = first + apart·o and tap(t) = tap + tap_step·t in each of three dimensions; x is 0 outside. A
// convolution is one such sum with out(o) = o and tap(t) = t. A transposed one gathers: output positions that lie a
// multiple of the stride apart are reached by the same taps, so each phase of the output is such a sum, and no two
// write one place.
//
// Read as a product of matrices: a row for every pixel (n, o), a column for every output channel, and what is summed
// over is (t, c), c fastest. `Window` is where a row begins, `Depth` where in the sum one is.
//
// Whether a weight that is not finite meets the zeros outside x (0 · ∞ is NaN) differs from kernel to kernel.
#pragma once
#include "common.cuh"

constexpr int PHASES = 8;  // of one dimension, in one launch

// One phase of one dimension. In elements: from a tap's input to that of the next tap, the weight of the first tap, and
// from a tap's weight to the next one's.
struct Along {
    int inputs, outputs, taps;  // how many positions there are; inputs: of the whole of x
    int step, dilation, before, first, apart;
    int64 input_step, first_weight, weight_step;
};

// Strides are in elements: of (n, d, h, w) in x and y, whose channels lie one after another; of an input channel, an
// output channel and a group in w.
struct Correlation {
    int64 batch, x_strides[4], y_strides[4], w_strides[3];
    int c_in, c_out, groups;  // channels of one group
    int phases[3];
    Along along[3][PHASES];
};

// The three dimensions of one phase, by reference to a kernel's argument.
struct Phase {
    const Along &d, &h, &w;

    __device__ __forceinline__ int64 taps() const { return int64(d.taps) * h.taps * w.taps; }
    // Of an image.
    __device__ __forceinline__ int64 pixels() const { return int64(d.outputs) * h.outputs * w.outputs; }
    // Where they begin.
    __device__ __forceinline__ int64 weights() const { return d.first_weight + h.first_weight + w.first_weight; }
};

__device__ __forceinline__ Phase phase(const Correlation &c, int number) {
    int w = number % c.phases[2], rest = number / c.phases[2];
    return {c.along[0][rest / c.phases[1]], c.along[1][rest % c.phases[1]], c.along[2][w]};
}

__device__ __forceinline__ bool within(int position, int size) { return unsigned(position) < unsigned(size); }

// Output pixel (n, o) of a phase, n slowest.
struct Pixel {
    int n, d, h, w;

    __device__ __forceinline__ void decode(int64 number, const Phase &p) {
        w = number % p.w.outputs, number /= p.w.outputs;
        h = number % p.h.outputs, number /= p.h.outputs;
        d = number % p.d.outputs, n = number / p.d.outputs;
    }

    // The first of `size` pixels of a row, or of as many as are left of it: pack `number` of all packs, of which memory
    // does not hold more than 32 bits can count.
    __device__ __forceinline__ void decode_packs(unsigned number, int size, const Phase &p) {
        unsigned across = (p.w.outputs + size - 1) / size;
        w = number % across * size, number /= across;
        h = number % p.h.outputs, number /= p.h.outputs;
        d = number % p.d.outputs, n = number / p.d.outputs;
    }

    // The pixel `count` later: cheap where rows are long.
    __device__ __forceinline__ void advance(int count, const Phase &p) {
        for (w += count; w >= p.w.outputs; w -= p.w.outputs)
            if (++h == p.h.outputs) {
                h = 0;
                if (++d == p.d.outputs) d = 0, ++n;
            }
    }

    // Where the pixel lies in y.
    __device__ __forceinline__ int64 place(const Correlation &c, const Phase &p) const {
        return n * c.y_strides[0] + (p.d.first + int64(p.d.apart) * d) * c.y_strides[1] +
               (p.h.first + int64(p.h.apart) * h) * c.y_strides[2] +
               (p.w.first + int64(p.w.apart) * w) * c.y_strides[3];
    }
};

// Where in the sum over (t, c) one is.
struct Depth {
    int c, w, h, d;  // a channel of the group, the tap

    __device__ __forceinline__ void decode(int number, const Correlation &s, const Phase &p) {
        c = number % s.c_in, number /= s.c_in;
        w = number % p.w.taps, number /= p.w.taps;
        h = number % p.h.taps, d = number / p.h.taps;
    }

    // `count` further: cheap where there are at least as many channels.
    __device__ __forceinline__ void advance(int count, const Correlation &s, const Phase &p) {
        for (c += count; c >= s.c_in; c -= s.c_in)
            if (++w == p.w.taps) {
                w = 0;
                if (++h == p.h.taps) h = 0, ++d;
            }
    }

    // Where its weight lies, for output channel 0 of group 0, counted from `Phase::weights`.
    __device__ __forceinline__ int64 weight(const Correlation &s, const Phase &p) const {
        return d * p.d.weight_step + h * p.h.weight_step + w * p.w.weight_step + c * s.w_strides[0];
    }
};

// How the element at a depth lies to its window: what a thread keeps of a depth that it meets in many windows.
struct Term {
    int64 offset;
    int d, h, w;

    __device__ __forceinline__ void begin(int number, const Correlation &s, const Phase &p) {
        Depth k;
        k.decode(number, s, p);
        d = k.d * p.d.dilation, h = k.h * p.h.dilation, w = k.w * p.w.dilation;
        offset = k.d * p.d.input_step + k.h * p.h.input_step + k.w * p.w.input_step + k.c;
    }

    // No term: in no window does it lie in x.
    __device__ __forceinline__ void nowhere() { offset = 0, d = h = w = -(1 << 30); }
};

// Where a pixel's window begins, perhaps outside x.
struct Window {
    int64 origin;  // in x, of channel 0 of group 0
    int d, h, w;

    __device__ __forceinline__ void begin(const Pixel &o, const Correlation &s, const Phase &p) {
        d = o.d * p.d.step - p.d.before, h = o.h * p.h.step - p.h.before, w = o.w * p.w.step - p.w.before;
        origin = o.n * s.x_strides[0] + d * s.x_strides[1] + h * s.x_strides[2] + w * s.x_strides[3];
    }

    // The window of no pixel: nothing of it lies in x.
    __device__ __forceinline__ void nowhere() { origin = 0, d = h = w = -(1 << 30); }

    __device__ __forceinline__ bool holds(const Term &k, const Phase &p) const {
        return within(d + k.d, p.d.inputs) && within(h + k.h, p.h.inputs) && within(w + k.w, p.w.inputs);
    }
    __device__ __forceinline__ int64 at(const Term &k) const { return origin + k.offset; }

    // Whether the element at a depth lies in x, and where.
    __device__ __forceinline__ bool holds(const Depth &k, const Phase &p) const {
        return k.d < p.d.taps && within(d + k.d * p.d.dilation, p.d.inputs) &&
               within(h + k.h * p.h.dilation, p.h.inputs) && within(w + k.w * p.w.dilation, p.w.inputs);
    }
    __device__ __forceinline__ int64 at(const Depth &k, const Phase &p) const {
        return origin + k.d * p.d.input_step + k.h * p.h.input_step + k.w * p.w.input_step + k.c;
    }
};

// For each row of a pixel's window that lies in x, as far as its depth and height say: `use(origin, d, h, position)`
// with the place in x of the row's first tap, the row's place in the window, and the tap's position in its row of x.
template <class Use>
__device__ __forceinline__ void each_row_of_taps(const Pixel &pixel, const Correlation &c, const Phase &p, Use use) {
    Window window;
    window.begin(pixel, c, p);
    for (int d = 0; d < p.d.taps; ++d) {
        if (!within(window.d + d * p.d.dilation, p.d.inputs)) continue;
        for (int h = 0; h < p.h.taps; ++h)
            if (within(window.h + h * p.h.dilation, p.h.inputs))
                use(window.origin + d * p.d.input_step + h * p.h.input_step, d, h, window.w);
    }
}
