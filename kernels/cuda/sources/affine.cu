// Images seen through an affine map, and the transpose. Where an output pixel looks is the sum of a term of its row and
// one of its column, both float64 and given: that sum, and so the choice of pixels, is the same in both kernels.
//
// Bytes: an output's four pixels come from the caches where the map does not shrink the image much. A thread takes 16
// bytes of neighbouring channels of one position of what is written (see image_rows.cuh).
//
// The transpose looks from each input pixel for the output pixels that read it; nothing is added by two threads. Beyond
// the edges an input pixel stands in many places (`each_copy`); the outputs that look within one pixel of a place lie
// in a parallelogram. Its rows follow from the inverse map, its part of a row from the slopes along the row, both with
// room for rounding; each output in it is then asked exactly.
#include "image_rows.cuh"

enum FillMode { CONSTANT, NEAREST, REFLECT, WRAP };

struct Affine {
    int output[3];      // 1, lines, positions
    int input[3];       // 1, height, width
    int mode;           // FillMode
};

// The first pixel along an axis that a place reads, and the share of the next one; to the nearest: the one, and 0.
struct Between {
    int64 lower;
    double upper_share;
};

template <bool LINEAR>
__device__ __forceinline__ Between between(double place) {
    double lower = floor(place), fraction = place - lower;
    if (LINEAR) return {int64(lower), fraction};
    int64 index = int64(lower);
    return {index + (fraction > 0.5 || (fraction == 0.5 && index % 2 != 0)), 0.0};
}

// The pixel of 0 … n − 1 that stands for one beyond the edges, or −1.
__device__ __forceinline__ int64 folded(int mode, int64 index, int n) {
    if (index >= 0 && index < n) return index;
    if (mode == CONSTANT) return -1;
    if (mode == NEAREST) return index < 0 ? 0 : n - 1;
    int64 period = mode == WRAP ? n : 2 * int64(n);
    index %= period;
    if (index < 0) index += period;
    return index < n ? index : 2 * int64(n) - 1 - index;
}

template <class T, int N, bool LINEAR>
__global__ void affine_transform(const T *x, const double *rows, const double *columns, T *y, Affine sizes, T fill,
                                 int64 lines, int64 packs) {
    auto *from = reinterpret_cast<const Pack<T, N> *>(x);
    auto *to = reinterpret_cast<Pack<T, N> *>(y);
    int positions = sizes.output[2], height = sizes.input[1], width = sizes.input[2];
    each_row(lines, sizes.output, [&](Row at) {
        each_in_row(positions, packs, [&](int j, int64 channel) {
            const double *column = columns + 2 * (at.n * positions + j);
            auto v = between<LINEAR>(rows[2 * at.index] + column[0]);
            auto h = between<LINEAR>(rows[2 * at.index + 1] + column[1]);
            Pack<T, N> result = {};
#pragma unroll
            for (int corner = 0; corner < 4; ++corner) {
                int down = corner / 2, right = corner % 2;
                double share = (down ? v.upper_share : 1 - v.upper_share) * (right ? h.upper_share : 1 - h.upper_share);
                if (share == 0) continue;
                int64 a = folded(sizes.mode, v.lower + down, height), b = folded(sizes.mode, h.lower + right, width);
                bool inside = a >= 0 && b >= 0;
                Pack<T, N> pixel = {};
                if (inside) pixel = from[((at.n * height + a) * width + b) * packs + channel];
#pragma unroll
                for (int k = 0; k < N; ++k) result.items[k] += T(share) * (inside ? pixel.items[k] : fill);
            }
            to[(at.index * positions + j) * packs + channel] = result;
        });
    });
}

// ---- the transpose --------------------------------------------------------------------------------------------------

// Pixels first … last along an axis, beyond the edges too, for which one pixel of the image stands.
struct Places {
    int64 first, last;

    // What an output at `place` reads of them.
    template <bool LINEAR>
    __device__ __forceinline__ double share(double place) const {
        auto [lower, upper_share] = between<LINEAR>(place);
        double share = lower >= first && lower <= last ? 1 - upper_share : 0;
        return lower + 1 >= first && lower + 1 <= last ? share + upper_share : share;
    }
};

// f(places) for all places from `least` to `most` for which pixel a of n stands.
template <class F>
__device__ __forceinline__ void each_copy(int mode, int a, int n, int64 least, int64 most, F f) {
    if (mode == CONSTANT || mode == NEAREST) {
        bool clips = mode == NEAREST;
        f(Places{clips && a == 0 ? min(least, int64(0)) : a, clips && a == n - 1 ? max(most, int64(n - 1)) : a});
        return;
    }
    int64 period = mode == WRAP ? n : 2 * int64(n);
    for (int side = 0; side <= (mode == REFLECT); ++side) {
        int64 place = side ? period - 1 - a : a, skipped = (place - least) / period;
        for (place -= skipped * period; place < least; place += period) {}
        for (; place <= most; place += period) f(Places{place, place});
    }
}

// Indices first … last of an axis of n.
struct Span {
    int first, last;

    // No others than those between two bounds, which need not be finite, and one beyond each of them.
    __device__ __forceinline__ void narrow(double one, double other) {
        double low = floor(one < other ? one : other) - 1, high = ceil(one < other ? other : one) + 1;
        if (low > first) first = low > last ? last + 1 : int(low);
        if (high < last) last = high < first ? first - 1 : int(high);
    }
};

constexpr double ROOM = 1.01;  // pixels around a place within which outputs may read it: one, and more than rounding

// Where the outputs of an image look: origin + i · down + j · right, (vertical, horizontal), up to rounding.
struct Map {
    double origin[2], down[2], right[2];

    __device__ __forceinline__ Map(const double *rows, const double *columns, int lines, int positions) {
#pragma unroll
        for (int axis = 0; axis < 2; ++axis) {
            origin[axis] = rows[axis] + columns[axis];
            down[axis] = lines > 1 ? (rows[2 * (lines - 1) + axis] - rows[axis]) / (lines - 1) : 0;
            right[axis] = positions > 1 ? (columns[2 * (positions - 1) + axis] - columns[axis]) / (positions - 1) : 0;
        }
    }

    // The least and the largest place along an axis, rounded down.
    __device__ __forceinline__ Places reached(int axis, int lines, int positions) const {
        double i = (lines - 1) * down[axis], j = (positions - 1) * right[axis];
        double low = origin[axis] + (i < 0 ? i : 0) + (j < 0 ? j : 0);
        double high = origin[axis] + (i > 0 ? i : 0) + (j > 0 ? j : 0);
        return {int64(floor(low)) - 1, int64(floor(high)) + 2};
    }

    // The rows of outputs that may look at these places: i = (right₁·(v − origin₀) − right₀·(h − origin₁))/det.
    __device__ __forceinline__ Span rows_at(Places a, Places b, int lines) const {
        Span span = {0, lines - 1};
        double det = down[0] * right[1] - down[1] * right[0];
        if (det == 0) return span;
        double v = 0.5 * (double(a.first) + double(a.last)) - origin[0], reach_v = 0.5 * double(a.last - a.first) + ROOM;
        double h = 0.5 * (double(b.first) + double(b.last)) - origin[1], reach_h = 0.5 * double(b.last - b.first) + ROOM;
        double middle = (right[1] * v - right[0] * h) / det;
        double reach = (fabs(right[1]) * reach_v + fabs(right[0]) * reach_h) / fabs(det);
        span.narrow(middle - reach, middle + reach);
        return span;
    }

    // Leaves of the outputs of a row, whose first one looks at `start` along an axis, those that may look at places.
    __device__ __forceinline__ void narrow(Span &span, int axis, double start, Places places) const {
        double low = double(places.first) - ROOM - start, high = double(places.last) + ROOM - start;
        if (right[axis] != 0) span.narrow(low / right[axis], high / right[axis]);
        else if (low > 0 || high < 0) span.last = span.first - 1;
    }
};

template <class T, int N, bool LINEAR>
__global__ void affine_transform_gradient(const T *dy, const double *rows, const double *columns, T *dx, Affine sizes,
                                          int64 lines, int64 packs) {
    auto *from = reinterpret_cast<const Pack<T, N> *>(dy);
    auto *to = reinterpret_cast<Pack<T, N> *>(dx);
    int height = sizes.input[1], width = sizes.input[2], I = sizes.output[1], J = sizes.output[2];
    each_row(lines, sizes.input, [&](Row at) {
        const double *own_rows = rows + 2 * at.n * I, *own_columns = columns + 2 * at.n * J;
        Map map(own_rows, own_columns, I, J);
        auto all_v = map.reached(0, I, J), all_h = map.reached(1, I, J);
        each_in_row(width, packs, [&](int b, int64 channel) {
            Sum<T, N> sum;
            auto gather = [&](Places v, Places h) {
                Span span = map.rows_at(v, h, I);
                for (int i = span.first; i <= span.last; ++i) {
                    Span part = {0, J - 1};
                    map.narrow(part, 0, own_rows[2 * i] + own_columns[0], v);
                    map.narrow(part, 1, own_rows[2 * i + 1] + own_columns[1], h);
                    for (int j = part.first; j <= part.last; ++j) {
                        double share = v.template share<LINEAR>(own_rows[2 * i] + own_columns[2 * j]) *
                                       h.template share<LINEAR>(own_rows[2 * i + 1] + own_columns[2 * j + 1]);
                        if (share == 0) continue;
                        auto slope = from[((at.n * I + i) * J + j) * packs + channel];
                        sum.add([&](int k) { return T(share) * slope.items[k]; });
                    }
                }
            };
            each_copy(sizes.mode, at.i1, height, all_v.first, all_v.last, [&](Places v) {
                each_copy(sizes.mode, b, width, all_h.first, all_h.last, [&](Places h) { gather(v, h); });
            });
            Pack<T, N> result;
#pragma unroll
            for (int k = 0; k < N; ++k) result.items[k] = sum.value(k);
            to[(at.index * width + b) * packs + channel] = result;
        });
    });
}
