// Max and average pooling in one to three dimensions, channels last, with their gradients. Images of fewer dimensions
// have axes of one position before their own.
//
// Bytes: pooling reads the image once and writes the result and its choice, the gradients the other way round; windows
// that overlap, and the rows above and below each other, find each other's numbers in the caches. A thread takes 16
// bytes of neighbouring channels of one position of what is written (single channels if their number is no multiple),
// its neighbours the packs beside it in a row (see image_rows.cuh). Gradients look from each position of the image for
// the windows over it, in the order of the windows' taps: nothing is added by two threads.
//
// Averages over windows of many positions are sums of parts by whole blocks (`sum_part`), until one part is left.
#include "image_rows.cuh"

struct Windows {
    int input[3], output[3], size[3], stride[3], before[3], dilation[3];
};

// The taps of a window that lie in the image, along one axis: tap t, first ≤ t < end, at position start + t·dilation.
struct Taps {
    int start, first, end;
};

__device__ __forceinline__ Taps taps_of(const Windows &w, int axis, int o) {
    int d = w.dilation[axis], size = w.size[axis];
    Taps taps = {o * w.stride[axis] - w.before[axis], 0, size};
    int room = w.input[axis] - taps.start;  // from the first tap to the end of the image
    if (taps.start < 0) taps.first = min((d - 1 - taps.start) / d, size);
    if ((size - 1) * int64(d) >= room) taps.end = max((room + d - 1) / d, taps.first);
    return taps;
}

__device__ __forceinline__ int count_of(const Taps &taps) { return taps.end - taps.first; }

// The tap that lies so far behind a window's start, along one axis; −1 if none does.
__device__ __forceinline__ int tap_at(const Windows &w, int axis, int distance) {
    int d = w.dilation[axis], t = d == 1 ? distance : distance % d ? -1 : distance / d;
    return t < w.size[axis] ? t : -1;
}

// The windows over a position, along one axis: the last of them, and how far its first tap is before the position.
struct Over {
    int last, distance;
};

__device__ __forceinline__ Over windows_over(const Windows &w, int axis, int position) {
    int from_edge = position + w.before[axis], last = min(from_edge / w.stride[axis], w.output[axis] - 1);
    return {last, from_edge - last * w.stride[axis]};
}

// f(o, t) for the windows o, of which tap t lies at the position, by growing t.
template <class F>
__device__ __forceinline__ void each_window(const Windows &w, int axis, const Over &over, F f) {
    int d = w.dilation[axis], reach = (w.size[axis] - 1) * d;
    for (int o = over.last, distance = over.distance; o >= 0 && distance <= reach; --o, distance += w.stride[axis]) {
        if (d == 1) {
            f(o, distance);
        } else {
            int t = distance / d;
            if (t * d == distance) f(o, t);
        }
    }
}

__device__ __forceinline__ int64 place(int64 n, const int *size, int i0, int i1) {
    return ((n * size[0] + i0) * size[1] + i1) * size[2];
}

// Along each axis, how many windows there would be if they went on to the end of the image: each has its cell, the
// positions from its start up to the next one's.
struct Cells {
    int count[3];
};

// f(position, tap) for the positions of the image in cell (o0, o1, o2), in the order of memory; tap −1 where a window has
// none. The last cells may have no window.
template <class F>
__device__ __forceinline__ void each_in_cell(const Windows &w, const Row &at, int o2, F f) {
    int begin0 = at.i0 * w.stride[0] - w.before[0], begin1 = at.i1 * w.stride[1] - w.before[1];
    int begin2 = o2 * w.stride[2] - w.before[2];
    int end0 = min(begin0 + w.stride[0], w.input[0]), end1 = min(begin1 + w.stride[1], w.input[1]);
    int end2 = min(begin2 + w.stride[2], w.input[2]);
    for (int i0 = max(begin0, 0); i0 < end0; ++i0)
        for (int i1 = max(begin1, 0); i1 < end1; ++i1) {
            int t0 = tap_at(w, 0, i0 - begin0), t1 = tap_at(w, 1, i1 - begin1);
            int64 line = place(at.n, w.input, i0, i1);
            for (int i2 = max(begin2, 0); i2 < end2; ++i2) {
                int t2 = tap_at(w, 2, i2 - begin2);
                f(line + i2, t0 >= 0 && t1 >= 0 && t2 >= 0 ? (t0 * w.size[1] + t1) * w.size[2] + t2 : -1);
            }
        }
}

template <class T, int N>
__device__ __forceinline__ Pack<T, N> pack_at(const T *x, int64 pack) {
    return reinterpret_cast<const Pack<T, N> *>(x)[pack];
}

template <class T, int N>
__device__ __forceinline__ void put_pack(T *y, int64 pack, const Pack<T, N> &value) {
    reinterpret_cast<Pack<T, N> *>(y)[pack] = value;
}

// ---- the largest number of each window ------------------------------------------------------------------------------

template <class T, int N, class Choice>
__global__ void max_pool(const T *x, T *y, Choice *choice, Windows w, int64 rows, int64 packs) {
    int64 step = w.dilation[2] * packs;  // from tap to tap of a row
    each_row(rows, w.output, [&](Row at) {
        Taps a = taps_of(w, 0, at.i0), b = taps_of(w, 1, at.i1);
        each_in_row(w.output[2], packs, [&](int o2, int64 channel) {
            Taps c = taps_of(w, 2, o2);
            Pack<T, N> best;
            int chosen[N];
#pragma unroll
            for (int k = 0; k < N; ++k) {
                best.items[k] = T(-1) / T(0);
                chosen[k] = (a.first * w.size[1] + b.first) * w.size[2] + c.first;
            }
            for (int t0 = a.first; t0 < a.end; ++t0)
                for (int t1 = b.first; t1 < b.end; ++t1) {
                    int64 line = place(at.n, w.input, a.start + t0 * w.dilation[0], b.start + t1 * w.dilation[1]);
                    int64 from = (line + c.start + c.first * w.dilation[2]) * packs + channel;
                    int tap = (t0 * w.size[1] + t1) * w.size[2] + c.first;
#pragma unroll 2
                    for (int left = count_of(c); left > 0; --left, ++tap, from += step) {
                        auto here = pack_at<T, N>(x, from);
#pragma unroll
                        for (int k = 0; k < N; ++k) {
                            T p = here.items[k], q = best.items[k];
                            bool larger = !(p <= q) & (q == q);  // NaN is the largest, and the first one stays
                            best.items[k] = larger ? p : q;
                            chosen[k] = larger ? tap : chosen[k];
                        }
                    }
                }
            Pack<Choice, N> choices;
#pragma unroll
            for (int k = 0; k < N; ++k) choices.items[k] = Choice(chosen[k]);
            int64 to = (at.index * w.output[2] + o2) * packs + channel;
            put_pack(y, to, best);
            put_pack(choice, to, choices);
        });
    });
}

// A window has at most one tap at a position: what it gives is added where it chose that tap.
template <class T, int N, class Choice>
__global__ void max_pool_scatter(const T *dy, const Choice *choice, T *dx, Windows w, int64 rows, int64 packs) {
    each_row(rows, w.input, [&](Row at) {
        Over a = windows_over(w, 0, at.i0), b = windows_over(w, 1, at.i1);
        each_in_row(w.input[2], packs, [&](int i2, int64 channel) {
            Over c = windows_over(w, 2, i2);
            Sum<T, N> sum;
            each_window(w, 0, a, [&](int o0, int t0) {
                each_window(w, 1, b, [&](int o1, int t1) {
                    int64 line = place(at.n, w.output, o0, o1);
                    each_window(w, 2, c, [&](int o2, int t2) {
                        int64 from = (line + o2) * packs + channel;
                        auto slope = pack_at<T, N>(dy, from);
                        auto chosen = pack_at<Choice, N>(choice, from);
                        int tap = (t0 * w.size[1] + t1) * w.size[2] + t2;
                        sum.add([&](int k) { return chosen.items[k] == tap ? slope.items[k] : T(0); });
                    });
                });
            });
            Pack<T, N> result;
#pragma unroll
            for (int k = 0; k < N; ++k) result.items[k] = sum.value(k);
            put_pack(dx, (at.index * w.input[2] + i2) * packs + channel, result);
        });
    });
}

// The same for windows that lie apart, none over another's positions: a thread takes one window, and writes all
// positions from its start up to the next one's (`each_in_cell`), so that what a window gives is read once.
template <class T, int N, class Choice>
__global__ void max_pool_scatter_apart(const T *dy, const Choice *choice, T *dx, Windows w, Cells cells, int64 rows,
                                       int64 packs) {
    each_row(rows, cells.count, [&](Row at) {
        each_in_row(cells.count[2], packs, [&](int o2, int64 channel) {
            Pack<T, N> slope = {};
            Pack<Choice, N> chosen = {};
            if (at.i0 < w.output[0] && at.i1 < w.output[1] && o2 < w.output[2]) {
                int64 from = (place(at.n, w.output, at.i0, at.i1) + o2) * packs + channel;
                slope = pack_at<T, N>(dy, from);
                chosen = pack_at<Choice, N>(choice, from);
            }
            each_in_cell(w, at, o2, [&](int64 position, int tap) {
                Pack<T, N> result;
#pragma unroll
                for (int k = 0; k < N; ++k)
                    result.items[k] = tap >= 0 && chosen.items[k] == tap ? slope.items[k] : T(0);
                put_pack(dx, position * packs + channel, result);
            });
        });
    });
}

template <class T, int N, class Choice>
__global__ void max_pool_gather(const T *x, const Choice *choice, T *y, Windows w, int64 rows, int64 packs) {
    int taps = w.size[0] * w.size[1] * w.size[2];
    each_row(rows, w.output, [&](Row at) {
        each_in_row(w.output[2], packs, [&](int o2, int64 channel) {
            int64 to = (at.index * w.output[2] + o2) * packs + channel;
            auto chosen = pack_at<Choice, N>(choice, to);
            Pack<T, N> result;
#pragma unroll
            for (int k = 0; k < N; ++k) {
                int tap = chosen.items[k], line = tap / w.size[2];
                int i0 = at.i0 * w.stride[0] - w.before[0] + line / w.size[1] * w.dilation[0];
                int i1 = at.i1 * w.stride[1] - w.before[1] + line % w.size[1] * w.dilation[1];
                int i2 = o2 * w.stride[2] - w.before[2] + tap % w.size[2] * w.dilation[2];
                bool inside = 0 <= tap && tap < taps && 0 <= i0 && i0 < w.input[0] && 0 <= i1 && i1 < w.input[1] &&
                              0 <= i2 && i2 < w.input[2];
                result.items[k] = inside ? x[((place(at.n, w.input, i0, i1) + i2) * packs + channel) * N + k] : T(0);
            }
            put_pack(y, to, result);
        });
    });
}

// ---- means ----------------------------------------------------------------------------------------------------------

template <class T, int N>
__global__ void average_pool(const T *x, T *y, Windows w, bool count_include_pad, int64 rows, int64 packs) {
    T whole = T(w.size[0]) * T(w.size[1]) * T(w.size[2]);
    each_row(rows, w.output, [&](Row at) {
        Taps a = taps_of(w, 0, at.i0), b = taps_of(w, 1, at.i1);
        each_in_row(w.output[2], packs, [&](int o2, int64 channel) {
            Taps c = taps_of(w, 2, o2);
            Sum<T, N> sum;
            for (int i0 = a.start + a.first; i0 < a.start + a.end; ++i0)
                for (int i1 = b.start + b.first; i1 < b.start + b.end; ++i1) {
                    int64 line = place(at.n, w.input, i0, i1);
                    int64 from = (line + c.start + c.first) * packs + channel;
#pragma unroll 2
                    for (int left = count_of(c); left > 0; --left, from += packs) {
                        auto here = pack_at<T, N>(x, from);
                        sum.add([&](int k) { return here.items[k]; });
                    }
                }
            T count = count_include_pad ? whole : T(count_of(a)) * T(count_of(b)) * T(count_of(c));
            Pack<T, N> result;
#pragma unroll
            for (int k = 0; k < N; ++k) result.items[k] = sum.value(k) / count;
            put_pack(y, (at.index * w.output[2] + o2) * packs + channel, result);
        });
    });
}

template <class T, int N>
__global__ void average_pool_gradient(const T *dy, T *dx, Windows w, bool count_include_pad, int64 rows, int64 packs) {
    T whole = T(w.size[0]) * T(w.size[1]) * T(w.size[2]);
    each_row(rows, w.input, [&](Row at) {
        Over a = windows_over(w, 0, at.i0), b = windows_over(w, 1, at.i1);
        each_in_row(w.input[2], packs, [&](int i2, int64 channel) {
            Over c = windows_over(w, 2, i2);
            Sum<T, N> sum;
            each_window(w, 0, a, [&](int o0, int) {
                T count0 = T(count_of(taps_of(w, 0, o0)));
                each_window(w, 1, b, [&](int o1, int) {
                    T count1 = count0 * T(count_of(taps_of(w, 1, o1)));
                    int64 line = place(at.n, w.output, o0, o1);
                    each_window(w, 2, c, [&](int o2, int) {
                        auto slope = pack_at<T, N>(dy, (line + o2) * packs + channel);
                        T count = count_include_pad ? whole : count1 * T(count_of(taps_of(w, 2, o2)));
                        sum.add([&](int k) { return slope.items[k] / count; });
                    });
                });
            });
            Pack<T, N> result;
#pragma unroll
            for (int k = 0; k < N; ++k) result.items[k] = sum.value(k);
            put_pack(dx, (at.index * w.input[2] + i2) * packs + channel, result);
        });
    });
}

// The same for windows that lie apart (see max_pool_scatter_apart).
template <class T, int N>
__global__ void average_pool_gradient_apart(const T *dy, T *dx, Windows w, Cells cells, bool count_include_pad,
                                            int64 rows, int64 packs) {
    T whole = T(w.size[0]) * T(w.size[1]) * T(w.size[2]);
    each_row(rows, cells.count, [&](Row at) {
        T counts = T(count_of(taps_of(w, 0, at.i0))) * T(count_of(taps_of(w, 1, at.i1)));
        each_in_row(cells.count[2], packs, [&](int o2, int64 channel) {
            Pack<T, N> share = {};
            if (at.i0 < w.output[0] && at.i1 < w.output[1] && o2 < w.output[2]) {
                share = pack_at<T, N>(dy, (place(at.n, w.output, at.i0, at.i1) + o2) * packs + channel);
                T count = count_include_pad ? whole : counts * T(count_of(taps_of(w, 2, o2)));
#pragma unroll
                for (int k = 0; k < N; ++k) share.items[k] /= count;
            }
            each_in_cell(w, at, o2, [&](int64 position, int tap) {
                put_pack(dx, position * packs + channel, tap < 0 ? Pack<T, N>{} : share);
            });
        });
    });
}

// Windows of many positions. A block of (lanes, 256 / lanes) threads takes `lanes` packs of channels of one part of one
// window: each thread adds up every blockDim.y-th position, at most RUN of them, then the block adds these sums in a
// tree. sums (windows, parts, C); `divided`: the sums become shares of the mean.
constexpr int RUN = 32;

template <class T, int N>
__global__ void sum_part(const T *x, T *sums, Windows w, bool divided, bool count_include_pad, int64 windows,
                         int parts, int64 packs) {
    auto *room = shared_memory<Pack<T, N>>();  // one of each thread
    int lanes = blockDim.x, lines = blockDim.y, thread = threadIdx.y * lanes + threadIdx.x;
    int64 groups = (packs + lanes - 1) / lanes, tasks = windows * parts * groups;
    for (int64 task = blockIdx.x; task < tasks; task += gridDim.x) {
        int64 group = task % groups, window = task / groups / parts;
        int part = int(task / groups % parts);
        int64 row = window / w.output[2], channel = group * lanes + threadIdx.x;
        Row at = row_of(row, w.output);
        Taps a = taps_of(w, 0, at.i0), b = taps_of(w, 1, at.i1), c = taps_of(w, 2, int(window - row * w.output[2]));
        int64 count = int64(count_of(a)) * count_of(b) * count_of(c);
        int64 first = int64(part) * lines * RUN + threadIdx.y, end = min(count, int64(part + 1) * lines * RUN);
        Pack<T, N> sum = {};
        if (channel < packs)
            for (int64 j = first; j < end; j += lines) {
                int64 line = j / count_of(c);
                int i2 = c.start + c.first + int(j - line * count_of(c)), of_a = int(line / count_of(b));
                int i0 = a.start + a.first + of_a, i1 = b.start + b.first + int(line) - of_a * count_of(b);
                auto here = pack_at<T, N>(x, (place(at.n, w.input, i0, i1) + i2) * packs + channel);
#pragma unroll
                for (int k = 0; k < N; ++k) sum.items[k] += here.items[k];
            }
        room[thread] = sum;  // which nobody else has read since the last barrier of the task before
        __syncthreads();
        for (int half = lines / 2; half > 0; half /= 2) {
            if (threadIdx.y < half) {
#pragma unroll
                for (int k = 0; k < N; ++k) room[thread].items[k] += room[thread + half * lanes].items[k];
            }
            __syncthreads();
        }
        T share = !divided ? T(1) : count_include_pad ? T(w.size[0]) * T(w.size[1]) * T(w.size[2]) : T(count);
        if (threadIdx.y == 0 && channel < packs) {
#pragma unroll
            for (int k = 0; k < N; ++k) sum.items[k] = room[thread].items[k] / share;
            put_pack(sums, (window * parts + part) * packs + channel, sum);
        }
    }
}
