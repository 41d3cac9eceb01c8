// Arrays (samples, positions, channels) where something belongs to each channel: sums over positions, or numbers by
// which a channel is scaled.
//
// A sample is a row of numbers, cut into lines: as many numbers as a block's threads have, N each, and a whole number of
// positions, so that a thread finds the same N channels in every line. Neighbouring threads have neighbouring numbers,
// whatever the number of channels. Of 3 channels, 4 numbers a thread, the last of 256 threads idle:
//
//     thread     0       1       2       3       4    …   254
//     channel 0 1 2 0 1 2 0 1 2 0 1 2 0 1 2 0 1 2 0 1 …  2 0 1 2
//
// Where the channels are too many for a block, a line is one position, in strips of what a block has. Some lines are a
// chunk. A block has a part, one strip of one chunk of one sample:
//
//   - a map runs over the parts with the numbers of its channels in registers, from the last part to the first: what a
//     sum before it has read last is still in the cache;
//   - a sum ends with numbers for each channel of a part, added in double precision from those of its threads, in a
//     fixed order; another kernel adds the chunks. What a chunk is depends on the array's size alone, and so do sums.
#pragma once
#include "common.cuh"

constexpr int LINE_THREADS = 256;

struct Lines {
    int64 samples, size, channels;  // size: numbers in a sample
    int64 pitch, depth;             // numbers in a line, lines in a chunk
    int64 chunks, strips;           // in a sample, in a line
    int64 backwards;                // 1: the parts from the last to the first

    // (Divisions of 64 bits are long; a line fits in 32.)
    __device__ __forceinline__ unsigned positions_of_line() const { return unsigned(pitch) / unsigned(channels); }
};

struct Part {
    int64 sample, chunk, strip;
    int64 begin, end;  // of the chunk, in the array
    int64 offset;      // of the thread's numbers, in a line
    int64 at;          // of the thread's first number, in the array; the end where the thread is idle
};

// `body` of every part, of which there are fewer than 2³²; all threads of a block take part.
template <int N, class Body>
__device__ __forceinline__ void each_part(const Lines &lines, Body body) {
    unsigned strips = unsigned(lines.strips), chunks = unsigned(lines.chunks);
    int64 parts = lines.samples * chunks * strips;
    for (int64 turn = blockIdx.x; turn < parts; turn += gridDim.x) {
        int64 number = lines.backwards ? parts - 1 - turn : turn;
        Part part;
        part.strip = unsigned(number) % strips;
        part.chunk = unsigned(number) / strips % chunks;
        part.sample = unsigned(number) / strips / chunks;
        part.begin = part.sample * lines.size + part.chunk * lines.depth * lines.pitch;
        part.end = min(part.begin + lines.depth * lines.pitch, (part.sample + 1) * lines.size);
        part.offset = (part.strip * LINE_THREADS + threadIdx.x) * N;
        part.at = part.offset < lines.pitch ? part.begin + part.offset : part.end;
        body(part);
    }
}

// The channel of number k of a thread.
__device__ __forceinline__ int channel_of(const Part &part, const Lines &lines, int k) {
    return int(unsigned(part.offset + k) % unsigned(lines.channels));
}

// The numbers of a thread down the lines: whole(place of the first, line) for ROWS lines at once, N numbers in each, and
// single(place, k, line) for each of the numbers that are left.
template <int N, int ROWS, class Whole, class Single>
__device__ __forceinline__ void walk(const Part &part, const Lines &lines, Whole whole, Single single) {
    int64 at = part.at;
    int line = 0;
    for (; at + (ROWS - 1) * lines.pitch + N <= part.end; at += ROWS * lines.pitch, line += ROWS) whole(at, line);
    for (; at < part.end; at += lines.pitch, ++line)
#pragma unroll
        for (int k = 0; k < N; ++k)
            if (at + k < part.end) single(at + k, k, line);
}

// ROWS times N numbers, a line apart.
template <int N, int ROWS, class T>
__device__ __forceinline__ void load_lines(Pack<T, N> (&rows)[ROWS], const T *x, int64 at, const Lines &lines) {
#pragma unroll
    for (int r = 0; r < ROWS; ++r) rows[r] = *reinterpret_cast<const Pack<T, N> *>(x + at + r * lines.pitch);
}

template <int N, int ROWS, class T>
__device__ __forceinline__ void store_lines(T *y, int64 at, const Lines &lines, const Pack<T, N> (&rows)[ROWS]) {
#pragma unroll
    for (int r = 0; r < ROWS; ++r) *reinterpret_cast<Pack<T, N> *>(y + at + r * lines.pitch) = rows[r];
}

// The sum of a few numbers, neighbours first.
template <class T, int COUNT>
__device__ __forceinline__ T tree_sum(T (&terms)[COUNT]) {
#pragma unroll
    for (int step = 1; step < COUNT; step *= 2)
#pragma unroll
        for (int i = 0; i + step < COUNT; i += 2 * step) terms[i] += terms[i + step];
    return terms[0];
}

// ---- what the threads of a block know of a channel -------------------------------------------------------------------

// The numbers of a channel in a line that a block's threads hold: `repeats` of them, from `slot` on, `stride` apart.
struct Channel {
    int64 channel;
    int slot, stride, repeats;
    int lane, lanes;  // of the threads that add them up

    // Σ f(slot) over the repeats, in all these threads.
    template <class Function>
    __device__ __forceinline__ double sum(Function f) const {
        double total = 0;
        for (int i = lane; i < repeats; i += lanes) total += f(slot + i * stride);
        return lanes == WARP ? warp_sum(total) : total;
    }
};

// `body` of each channel of a part: a thread has one, or a warp, where the channels are few.
template <int N, class Body>
__device__ __forceinline__ void each_channel(const Part &part, const Lines &lines, Body body) {
    bool whole = lines.strips == 1;
    int64 first = part.strip * LINE_THREADS * N;
    int channels = int(whole ? lines.channels : min(lines.pitch - first, int64(LINE_THREADS * N)));
    int repeats = whole ? int(lines.positions_of_line()) : 1;
    int lanes = repeats >= WARP ? WARP : 1;
    for (int c = threadIdx.x / lanes; c < channels; c += LINE_THREADS / lanes)
        body(Channel{first + c, c, channels, repeats, int(threadIdx.x) % lanes, lanes});
}

// Numbers of a thread, QUANTITIES for each of its N channels, added up over the block:
// partials[sample][chunk][quantity][channel].
template <int N, int QUANTITIES, class T>
__device__ __forceinline__ void add_up(
    const Part &part, const Lines &lines, const T (&sums)[QUANTITIES][N], double *partials) {
    constexpr int SLOTS = LINE_THREADS * N;
    T *room = shared_memory<T>();
    __syncthreads();  // the room may still be read, for the part before
#pragma unroll
    for (int q = 0; q < QUANTITIES; ++q)
#pragma unroll
        for (int k = 0; k < N; ++k) room[q * SLOTS + threadIdx.x * N + k] = sums[q][k];
    __syncthreads();
    double *to = partials + (part.sample * lines.chunks + part.chunk) * QUANTITIES * lines.channels;
    each_channel<N>(part, lines, [&](const Channel &channel) {
        for (int q = 0; q < QUANTITIES; ++q) {
            double total = channel.sum([&](int slot) { return double(room[q * SLOTS + slot]); });
            if (channel.lane == 0) to[q * lines.channels + channel.channel] = total;
        }
    });
}

// ---- columns of a table ----------------------------------------------------------------------------------------------

// Sums down the columns of tables: `lanes` neighbouring columns in a block, its threads down them.
struct Columns {
    int64 table, column;
    bool exists;  // all threads take part in the sums
    int lane, lanes, first, step;

    // Σ f(i) for i = 0 … count − 1, in all threads of the column; always added in the same order.
    template <class Function>
    __device__ __forceinline__ double sum(int64 count, Function f) const {
        double total = 0, *room = shared_memory<double>();
        for (int64 i = first; exists && i < count; i += step) total += f(i);
        __syncthreads();
        room[threadIdx.x] = total;
        for (int half = step / 2; half > 0; half /= 2) {
            __syncthreads();
            if (first < half) room[threadIdx.x] += room[threadIdx.x + half * lanes];
        }
        __syncthreads();
        return room[lane];
    }

    // Whether this thread is the one to write what belongs to the column.
    __device__ __forceinline__ bool writes() const { return exists && first == 0; }

    template <class Body>
    __device__ static __forceinline__ void each(int64 tables, int64 columns, int lanes, Body body) {
        unsigned strips = unsigned((columns + lanes - 1) / lanes);
        int lane = threadIdx.x % lanes, first = threadIdx.x / lanes, step = LINE_THREADS / lanes;
        for (int64 number = blockIdx.x; number < tables * strips; number += gridDim.x) {
            int64 column = int64(unsigned(number) % strips) * lanes + lane;
            body(Columns{unsigned(number) / strips, column, column < columns, lane, lanes, first, step});
        }
    }
};
