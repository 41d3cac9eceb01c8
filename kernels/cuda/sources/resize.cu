// Resizing by nearest neighbour or linear interpolation, in one to three dimensions, and the transpose. Images of fewer
// dimensions have axes of one position before their own.
//
// Bytes: the smaller image's are read or written from memory once, the corners between which neighbouring positions lie
// come from the caches. A thread takes 16 bytes of neighbouring channels of one position of what is written, and what
// depends on the row only is found once a row (see image_rows.cuh). Where a position lies is found in whole numbers, so
// that resizing and its transpose agree on it in every type. The transpose looks from each input position for the
// output positions that read it, which are neighbours along each axis: nothing is added by two threads.
#include "image_rows.cuh"

struct Resize {
    int input[3], output[3];
    int axes;  // of the image, the last ones; along the others nothing is between two pixels
};

// The two pixels that an output pixel reads along an axis, and the share of each, both rounded once.
template <class T>
struct Between {
    int lower, upper;
    T of_lower, of_upper;
};

// Position (o + ½)·n/m − ½ of n pixels, held to 0 … n − 1.
template <class T>
__device__ __forceinline__ Between<T> between(int o, int n, int m) {
    int64 parts = 2 * int64(m), position = (2 * int64(o) + 1) * n - m;
    position = max(int64(0), min(position, (n - 1) * parts));
    int lower = int(position / parts);
    position -= lower * parts;
    return {lower, min(lower + 1, n - 1), T(parts - position) / T(parts), T(position) / T(parts)};
}

__device__ __forceinline__ int nearest(int o, int n, int m) {
    return int((2 * int64(o) + 1) * n / (2 * int64(m)));
}

template <class T, int N>
__global__ void resize_nearest(const T *x, T *y, Resize sizes, int64 rows, int64 packs) {
    auto *from = reinterpret_cast<const Pack<T, N> *>(x);
    auto *to = reinterpret_cast<Pack<T, N> *>(y);
    const int *in = sizes.input, *out = sizes.output;
    each_row(rows, out, [&](Row at) {
        int64 line = (at.n * in[0] + nearest(at.i0, in[0], out[0])) * in[1] + nearest(at.i1, in[1], out[1]);
        each_in_row(out[2], packs, [&](int o2, int64 channel) {
            to[(at.index * out[2] + o2) * packs + channel] =
                from[(line * in[2] + nearest(o2, in[2], out[2])) * packs + channel];
        });
    });
}

template <class T, int N>
__device__ __forceinline__ Pack<T, N> blend(Pack<T, N> lower, Pack<T, N> upper, const Between<T> &at) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
        T both = at.of_lower * lower.items[k] + at.of_upper * upper.items[k];
        lower.items[k] = at.of_upper == 0 ? lower.items[k] : both;  // a share of 0 is not read: 0 · ∞ is NaN
    }
    return lower;
}

template <class T, int N>
__global__ void resize_linear(const T *x, T *y, Resize sizes, int64 rows, int64 packs) {
    auto *from = reinterpret_cast<const Pack<T, N> *>(x);
    auto *to = reinterpret_cast<Pack<T, N> *>(y);
    const int *in = sizes.input, *out = sizes.output;
    each_row(rows, out, [&](Row at) {
        auto a = between<T>(at.i0, in[0], out[0]), b = between<T>(at.i1, in[1], out[1]);
        each_in_row(out[2], packs, [&](int o2, int64 channel) {
            auto c = between<T>(o2, in[2], out[2]);
            auto on_line = [&](int i0, int i1) {
                int64 line = ((at.n * in[0] + i0) * in[1] + i1) * in[2];
                return blend(from[(line + c.lower) * packs + channel], from[(line + c.upper) * packs + channel], c);
            };
            auto on_plane = [&](int i0) {
                auto lower = on_line(i0, b.lower);
                return sizes.axes > 1 ? blend(lower, on_line(i0, b.upper), b) : lower;
            };
            auto value = on_plane(a.lower);
            if (sizes.axes > 2) value = blend(value, on_plane(a.upper), a);
            to[(at.index * out[2] + o2) * packs + channel] = value;
        });
    });
}

// ---- the transpose --------------------------------------------------------------------------------------------------

// The output pixels that read an input pixel j along an axis, first ≤ o < end (none for a pixel that is skipped), and
// what their shares of it follow from: their distances, in parts of 1 / 2m of a pixel.
template <class T>
struct Readers {
    int first, end;
    int distance, step;  // of the first one; to the next one
    int least, most;     // that a distance is held to, as positions are to 0 … n − 1
    int parts;
    T part;
};

// The first output pixel that lies at `least` or behind it, in parts of 1 / 2m of a pixel: (2o + 1)·n − m ≥ least.
__device__ __forceinline__ int first_at(int64 least, int n, int m) {
    int64 room = least + m - n;
    return room <= 0 ? 0 : int(min(int64(m), (room + 2 * int64(n) - 1) / (2 * int64(n))));
}

// The first output pixel whose nearest pixel is j or one after it: that with (2o + 1)·n ≥ 2m·j.
__device__ __forceinline__ int first_nearest(int j, int n, int m) {
    int64 room = 2 * int64(m) * j - n;
    return room <= 0 ? 0 : int(min(int64(m), (room + 2 * int64(n) - 1) / (2 * int64(n))));
}

template <class T, bool LINEAR>
__device__ __forceinline__ Readers<T> readers_of(int j, int n, int m) {
    Readers<T> readers = {};
    if (!LINEAR) {
        readers.first = first_nearest(j, n, m), readers.end = first_nearest(j + 1, n, m);
        return readers;
    }
    // Those between the pixels j − 1 and j + 1; what lies on one of these has no share of j.
    readers.first = j == 0 ? 0 : first_at(2 * int64(m) * (j - 1) + 1, n, m);
    readers.end = j == n - 1 ? m : first_at(2 * int64(m) * (j + 1), n, m);
    readers.parts = 2 * m, readers.part = 1 / T(2 * m);
    readers.distance = int((2 * int64(readers.first) + 1) * n - m - j * int64(2 * m)), readers.step = 2 * n;
    readers.least = j == 0 ? 0 : -readers.parts, readers.most = j == n - 1 ? 0 : readers.parts;
    return readers;
}

// Input pixel j's share in output pixel o.
template <class T, bool LINEAR>
__device__ __forceinline__ T share_of(const Readers<T> &readers, int o) {
    if (!LINEAR) return 1;
    int distance = readers.distance + (o - readers.first) * readers.step;
    distance = max(readers.least, min(distance, readers.most));
    return distance == 0 ? T(1) : T(readers.parts - abs(distance)) * readers.part;
}

template <class T, int N, bool LINEAR>
__global__ void resize_gradient(const T *dy, T *dx, Resize sizes, int64 rows, int64 packs) {
    auto *from = reinterpret_cast<const Pack<T, N> *>(dy);
    auto *to = reinterpret_cast<Pack<T, N> *>(dx);
    const int *in = sizes.input, *out = sizes.output;
    each_row(rows, in, [&](Row at) {
        auto a = readers_of<T, LINEAR>(at.i0, in[0], out[0]);
        auto b = readers_of<T, LINEAR>(at.i1, in[1], out[1]);
        each_in_row(in[2], packs, [&](int i2, int64 channel) {
            auto c = readers_of<T, LINEAR>(i2, in[2], out[2]);
            Sum<T, N> sum;
            for (int o0 = a.first; o0 < a.end; ++o0) {
                T share0 = share_of<T, LINEAR>(a, o0);
                for (int o1 = b.first; o1 < b.end; ++o1) {
                    T share1 = share0 * share_of<T, LINEAR>(b, o1);
                    int64 place = (((at.n * out[0] + o0) * out[1] + o1) * out[2] + c.first) * packs + channel;
                    for (int o2 = c.first; o2 < c.end; ++o2, place += packs) {
                        T share = share1 * share_of<T, LINEAR>(c, o2);
                        auto slope = from[place];
                        sum.add([&](int k) { return share * slope.items[k]; });
                    }
                }
            }
            Pack<T, N> result;
#pragma unroll
            for (int k = 0; k < N; ++k) result.items[k] = sum.value(k);
            to[(at.index * in[2] + i2) * packs + channel] = result;
        });
    });
}
