// Batch and group normalisation and their gradients, over samples of many positions (lines.cuh). Batch normalisation is
// that of one sample that has all positions, with a group for each channel.
//
// Bytes: statistics read x once, the normalisation reads it again and writes y; a gradient's sums read dy and x, and so
// does dx, which is written. ReLU is applied on the way, and in the gradient found again from x.
//
// No sum of squares cancels: numbers are taken relative to the chunk's first of their channel; of ROWS at a time mean
// and squared distances from it are found in registers; these are combined by the formula of Chan, Golub and LeVeque
// (1983), "Algorithms for computing the sample variance", in a thread, then in double precision over a block, and over
// all chunks.
#include "lines.cuh"

constexpr int ROWS = 8;           // lines read at once for statistics
constexpr int ROWS_OF_TWO = 4;  // where two arrays are read

// ---- statistics ------------------------------------------------------------------------------------------------------

// Mean, and Σ of squared distances from it, of numbers that come in parts.
template <class T>
struct Moments {
    T mean = 0, squares = 0;

    // After `before` numbers, `count` more. An infinite mean stays infinite, as it would in a plain sum.
    __device__ __forceinline__ void merge(T before, T count, T its_mean, T its_squares) {
        if (before == 0) {
            mean = its_mean, squares = its_squares;
        } else {
            T share = count / (before + count), distance = its_mean - mean;
            squares += its_squares + distance * distance * (before * share);
            mean = mean * (1 - share) + its_mean * share;
        }
    }
};

// partials[sample][chunk]: the mean of each channel, and the squared distances from it
template <class T, int N>
__global__ void __launch_bounds__(LINE_THREADS) statistics(const T *x, double *partials, Lines lines) {
    constexpr int SLOTS = LINE_THREADS * N;
    T *means = shared_memory<T>(), *squares = means + SLOTS;
    each_part<N>(lines, [&](const Part &part) {
        Moments<T> moments[N];
        T center[N];
#pragma unroll
        for (int k = 0; k < N; ++k) {
            T first = x[part.begin + channel_of(part, lines, k)];
            center[k] = isfinite(first) ? first : T(0);
        }
        auto whole = [&](int64 at, int line) {
            Pack<T, N> rows[ROWS];
            load_lines(rows, x, at, lines);
#pragma unroll
            for (int k = 0; k < N; ++k) {
                T terms[ROWS];
#pragma unroll
                for (int r = 0; r < ROWS; ++r) terms[r] = rows[r].items[k] -= center[k];
                T mean = tree_sum(terms) / ROWS;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    T distance = rows[r].items[k] - mean;
                    terms[r] = distance * distance;
                }
                moments[k].merge(line, ROWS, mean, tree_sum(terms));
            }
        };
        walk<N, ROWS>(part, lines, whole, [&](int64 at, int k, int line) {
            moments[k].merge(line, 1, x[at] - center[k], 0);
        });
        __syncthreads();  // the room may still be read, for the part before
#pragma unroll
        for (int k = 0; k < N; ++k) {
            means[threadIdx.x * N + k] = moments[k].mean;
            squares[threadIdx.x * N + k] = moments[k].squares;
        }
        __syncthreads();
        int64 count = part.end - part.begin, first = part.strip * SLOTS;
        int64 full = count / lines.pitch, rest = count % lines.pitch - first;
        double *to = partials + (part.sample * lines.chunks + part.chunk) * 2 * lines.channels;
        each_channel<N>(part, lines, [&](const Channel &channel) {
            auto numbers = [&](int slot) { return double(full + (slot < rest)); };  // in this slot
            double positions = double(count / lines.channels);
            double mean = channel.sum([&](int slot) { return numbers(slot) * means[slot]; }) / positions;
            double sum = channel.sum([&](int slot) {
                double distance = means[slot] - mean;
                return squares[slot] + numbers(slot) * (distance * distance);
            });
            T origin = x[part.begin + channel.channel];
            if (channel.lane == 0) {
                to[channel.channel] = mean + (isfinite(origin) ? origin : T(0));
                to[lines.channels + channel.channel] = sum;
            }
        });
    });
}

// Mean and variance (samples, groups) of chunks and of the channels of a group.
template <class T>
__global__ void __launch_bounds__(LINE_THREADS)
    merge_statistics(const double *partials, T *mean, T *variance, int64 groups, Lines lines, int lanes) {
    int64 width = lines.channels / groups, positions = lines.size / max(lines.channels, int64(1));
    int64 of_chunk = lines.depth * lines.positions_of_line();
    Columns::each(lines.samples, groups, lanes, [=](const Columns &column) {
        const double *of_group = partials + column.table * lines.chunks * 2 * lines.channels + column.column * width;
        auto place = [=](int64 i) { return i / width * 2 * lines.channels + i % width; };
        auto numbers = [=](int64 i) { return double(min(of_chunk, positions - i / width * of_chunk)); };
        int64 parts = lines.chunks * width;
        double count = double(positions * width);
        double m = column.sum(parts, [=](int64 i) { return numbers(i) * of_group[place(i)]; }) / count;
        double squares = column.sum(parts, [=](int64 i) {
            double distance = of_group[place(i)] - m;
            return of_group[place(i) + lines.channels] + numbers(i) * (distance * distance);
        });
        if (column.writes()) {
            mean[column.table * groups + column.column] = T(m);
            variance[column.table * groups + column.column] = T(squares / count);
        }
    });
}

// ---- the normalisation -----------------------------------------------------------------------------------------------

// What is known of samples, groups and channels.
template <class T>
struct Known {
    const T *gamma, *beta, *mean, *variance;  // beta may be null: zeros
    T epsilon;
    int64 groups;
};

// y = (x − center)·scale + shift of one channel. The one way to compute it: ReLU's gradient asks where y is positive.
template <class T>
struct Affine {
    T center, inverse, scale, shift;

    __device__ __forceinline__ T operator()(T distance) const { return fma(distance, scale, shift); }
};

template <class T>
__device__ __forceinline__ int64 group_of(const Part &part, const Lines &lines, const Known<T> &known, int channel) {
    return part.sample * known.groups + unsigned(channel) / unsigned(lines.channels / known.groups);
}

template <class T>
__device__ __forceinline__ Affine<T> affine_of(const Part &part, const Lines &lines, const Known<T> &known, int k) {
    int channel = channel_of(part, lines, k);
    int64 group = group_of(part, lines, known, channel);
    T inverse = 1 / sqrt(known.variance[group] + known.epsilon);
    T shift = known.beta ? known.beta[channel] : T(0);
    return {known.mean[group], inverse, known.gamma[channel] * inverse, shift};
}

template <class T, int N>
__global__ void __launch_bounds__(LINE_THREADS) normalize(const T *x, T *y, Known<T> known, bool relu, Lines lines) {
    each_part<N>(lines, [&](const Part &part) {
        Affine<T> affine[N];
#pragma unroll
        for (int k = 0; k < N; ++k) affine[k] = affine_of(part, lines, known, k);
        auto value = [&](T number, int k) {
            T result = affine[k](number - affine[k].center);
            return relu ? maximum(result, T(0)) : result;
        };
        auto whole = [&](int64 at, int line) {
            Pack<T, N> rows[ROWS];
            load_lines(rows, x, at, lines);
#pragma unroll
            for (int r = 0; r < ROWS; ++r)
#pragma unroll
                for (int k = 0; k < N; ++k) rows[r].items[k] = value(rows[r].items[k], k);
            store_lines(y, at, lines, rows);
        };
        walk<N, ROWS>(part, lines, whole, [&](int64 at, int k, int line) { y[at] = value(x[at], k); });
    });
}

// ---- gradients -------------------------------------------------------------------------------------------------------

// partials[sample][chunk]: Σ g and Σ g·(x − μ) of each channel, g being dy where ReLU let it through. Where `dx` is
// given, mean and variance are fixed, and dx = γ·g/√(σ² + ε).
template <class T, int N>
__global__ void __launch_bounds__(LINE_THREADS) gradient_sums(
    const T *dy, const T *x, Known<T> known, bool relu, T *dx, double *partials, Lines lines) {
    each_part<N>(lines, [&](const Part &part) {
        Affine<T> affine[N];
        T sums[2][N] = {};
#pragma unroll
        for (int k = 0; k < N; ++k) affine[k] = affine_of(part, lines, known, k);
        auto let_through = [&](T g, T distance, int k) { return relu && !(affine[k](distance) > 0) ? T(0) : g; };
        auto whole = [&](int64 at, int line) {
            Pack<T, N> slopes[ROWS_OF_TWO], numbers[ROWS_OF_TWO];
            load_lines(slopes, dy, at, lines);
            load_lines(numbers, x, at, lines);
#pragma unroll
            for (int k = 0; k < N; ++k) {
                T gs[ROWS_OF_TWO], products[ROWS_OF_TWO];
#pragma unroll
                for (int r = 0; r < ROWS_OF_TWO; ++r) {
                    T distance = numbers[r].items[k] - affine[k].center;
                    gs[r] = let_through(slopes[r].items[k], distance, k);
                    products[r] = gs[r] * distance;
                    slopes[r].items[k] = gs[r] * affine[k].scale;
                }
                sums[0][k] += tree_sum(gs);
                sums[1][k] += tree_sum(products);
            }
            if (dx) store_lines(dx, at, lines, slopes);
        };
        walk<N, ROWS_OF_TWO>(part, lines, whole, [&](int64 at, int k, int line) {
            T distance = x[at] - affine[k].center, g = let_through(dy[at], distance, k);
            sums[0][k] += g;
            sums[1][k] += g * distance;
            if (dx) dx[at] = g * affine[k].scale;
        });
        add_up<N>(part, lines, sums, partials);
    });
}

// What is left of a group's dx beside γ·g/√(σ² + ε): (x − μ)·tilt + offset.
template <class T>
struct Slopes {
    T tilt, offset;
};

// From Σ h and Σ h·x̂ of a group of `count` numbers, with h = γ·g.
template <class T>
__device__ __forceinline__ Slopes<T> slopes_of(double h, double product, double inverse, double count) {
    return {T(-inverse * inverse * product / count), T(-inverse * h / count)};
}

template <class T>
__device__ __forceinline__ double inverse_of(const Known<T> &known, int64 group) {
    return 1 / sqrt(double(known.variance[group]) + double(known.epsilon));
}

// The chunks added up: totals[sample]: Σ g and Σ g·x̂ of each channel. Where `slopes` is given, each group has one
// channel; where dgamma and dbeta are, there is one sample.
template <class T>
__global__ void __launch_bounds__(LINE_THREADS) gradient_totals(
    const double *partials, Known<T> known, double *totals, Slopes<T> *slopes, T *dgamma, T *dbeta, Lines lines,
    int lanes) {
    Columns::each(lines.samples, lines.channels, lanes, [=](const Columns &column) {
        const double *of_sample = partials + column.table * lines.chunks * 2 * lines.channels + column.column;
        double g = column.sum(lines.chunks, [=](int64 i) { return of_sample[2 * i * lines.channels]; });
        double product = column.sum(lines.chunks, [=](int64 i) { return of_sample[(2 * i + 1) * lines.channels]; });
        if (!column.writes()) return;
        unsigned width = unsigned(lines.channels) / unsigned(known.groups);
        int64 group = column.table * known.groups + unsigned(column.column) / width;
        double inverse = inverse_of(known, group);
        if (lines.chunks) product *= inverse;  // without positions it is 0, and the variance NaN
        if (dgamma) dgamma[column.column] = T(product), dbeta[column.column] = T(g);
        double *to = totals + column.table * 2 * lines.channels + column.column;
        to[0] = g, to[lines.channels] = product;
        double count = double(lines.size / lines.channels), weight = known.gamma[column.column];
        if (slopes) slopes[group] = slopes_of<T>(weight * g, weight * product, inverse, count);
    });
}

// dgamma and dbeta: tables[i] of Σ g and Σ g·x̂ added up.
template <class T>
__global__ void __launch_bounds__(LINE_THREADS)
    add_tables(const double *tables, T *dgamma, T *dbeta, int64 count, int64 channels, int lanes) {
    Columns::each(1, channels, lanes, [=](const Columns &column) {
        const double *of_channel = tables + column.column;
        double g = column.sum(count, [=](int64 i) { return of_channel[2 * i * channels]; });
        double product = column.sum(count, [=](int64 i) { return of_channel[(2 * i + 1) * channels]; });
        if (column.writes()) dgamma[column.column] = T(product), dbeta[column.column] = T(g);
    });
}

// The slopes of groups of several channels: a warp adds up those of a group.
template <class T>
__global__ void __launch_bounds__(LINE_THREADS)
    group_slopes(const double *totals, Known<T> known, Slopes<T> *slopes, Lines lines) {
    int64 width = lines.channels / known.groups, groups = lines.samples * known.groups;
    int lane = threadIdx.x % WARP;
    for (int64 group = first_item() / WARP; group < groups; group += all_threads() / WARP) {
        int64 sample = group / known.groups, first = group % known.groups * width;
        const double *of_sample = totals + sample * 2 * lines.channels;
        double h = 0, product = 0;
        for (int64 channel = first + lane; channel < first + width; channel += WARP) {
            h += known.gamma[channel] * of_sample[channel];
            product += known.gamma[channel] * of_sample[lines.channels + channel];
        }
        h = warp_sum(h), product = warp_sum(product);
        double count = double(lines.size / known.groups);
        if (lane == 0) slopes[group] = slopes_of<T>(h, product, inverse_of(known, group), count);
    }
}

template <class T, int N>
__global__ void __launch_bounds__(LINE_THREADS) normalization_gradient(
    const T *dy, const T *x, Known<T> known, bool relu, const Slopes<T> *slopes, T *dx, Lines lines) {
    each_part<N>(lines, [&](const Part &part) {
        Affine<T> affine[N];
        Slopes<T> slope[N];
#pragma unroll
        for (int k = 0; k < N; ++k) {
            affine[k] = affine_of(part, lines, known, k);
            slope[k] = slopes[group_of(part, lines, known, channel_of(part, lines, k))];
        }
        auto value = [&](T g, T number, int k) {
            T distance = number - affine[k].center, cut = fma(distance, slope[k].tilt, slope[k].offset);
            return relu && !(affine[k](distance) > 0) ? cut : fma(g, affine[k].scale, cut);
        };
        auto whole = [&](int64 at, int line) {
            Pack<T, N> gs[ROWS_OF_TWO], numbers[ROWS_OF_TWO];
            load_lines(gs, dy, at, lines);
            load_lines(numbers, x, at, lines);
#pragma unroll
            for (int r = 0; r < ROWS_OF_TWO; ++r)
#pragma unroll
                for (int k = 0; k < N; ++k) gs[r].items[k] = value(gs[r].items[k], numbers[r].items[k], k);
            store_lines(dx, at, lines, gs);
        };
        walk<N, ROWS_OF_TWO>(
            part, lines, whole, [&](int64 at, int k, int line) { dx[at] = value(dy[at], x[at], k); });
    });
}
