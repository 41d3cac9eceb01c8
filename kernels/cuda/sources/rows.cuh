// Rows of numbers, one after another in memory, and two ways of sharing them out among threads: few columns, many
// columns. What is done with a row is written once, for both.
//
// Few: a group of 1, 2, 4 … 32 lanes of a warp has a row, each lane up to HELD of its numbers in registers, so that the
// row is read once. Neighbouring lanes have neighbouring columns, neighbouring groups neighbouring rows.
//
// Many: a block has a row and reads it once for each sum and each result; all but the first time it comes from a cache.
//
// What a kernel sees of either is a `row`, with
//   row.hold(x)      its numbers in x, as a function of (k, column); k is the place among those that a lane holds
//   row.hold_from(p) the same of a row that begins at p
//   row.keep(f)      f(k, column) as such a function, computed once where a row is held in registers
//   row.largest(x)   the largest of a row that is held; −∞ if it has no columns
//   row.sum(f)       Σ f(k, column) over the columns, added in an order that depends on nothing but their number
//   row.put(y, f)    y = f(k, column) in every column
//   row.put_one(y, f)   y[row] = f(), once for the row
#pragma once
#include "common.cuh"

constexpr int HELD = 4;  // numbers of a row in one lane

struct Few {
    static constexpr int THREADS = 256;  // in a block
    int64 row, at, columns;  // which row, where it begins
    int lane, lanes;         // of those that share it
    bool exists;             // all lanes take part in the sums, also those behind the last row

    template <class T>
    struct Held {
        T numbers[HELD];
        __device__ __forceinline__ T operator()(int k, int64 column) const { return numbers[k]; }
    };

    __device__ __forceinline__ int64 column(int k) const { return lane + k * lanes; }

    __device__ __forceinline__ bool has(int k) const { return exists && column(k) < columns; }

    template <class T>
    __device__ __forceinline__ Held<T> hold(const T *x) const {
        return hold_from(x + at);
    }

    template <class T>
    __device__ __forceinline__ Held<T> hold_from(const T *numbers) const {
        Held<T> held;
#pragma unroll
        for (int k = 0; k < HELD; ++k) held.numbers[k] = has(k) ? numbers[column(k)] : T(0);
        return held;
    }

    template <class Function>
    __device__ __forceinline__ auto keep(Function f) const {
        Held<decltype(f(0, int64(0)))> held;
#pragma unroll
        for (int k = 0; k < HELD; ++k) held.numbers[k] = f(k, column(k));
        return held;
    }

    template <class T>
    __device__ __forceinline__ T largest(const Held<T> &x) const {
        T result = -infinity<T>();
#pragma unroll
        for (int k = 0; k < HELD; ++k)
            if (has(k)) result = maximum(result, x.numbers[k]);
        for (int distance = lanes / 2; distance > 0; distance /= 2)
            result = maximum(result, __shfl_xor_sync(0xffffffffu, result, distance));
        return result;
    }

    template <class Function>
    __device__ __forceinline__ auto sum(Function f) const {
        decltype(f(0, int64(0))) total = 0;
#pragma unroll
        for (int k = 0; k < HELD; ++k)
            if (has(k)) total += f(k, column(k));
        for (int distance = lanes / 2; distance > 0; distance /= 2)
            total += __shfl_xor_sync(0xffffffffu, total, distance);
        return total;
    }

    template <class T, class Function>
    __device__ __forceinline__ void put(T *y, Function f) const {
#pragma unroll
        for (int k = 0; k < HELD; ++k)
            if (has(k)) y[at + column(k)] = f(k, column(k));
    }

    template <class T, class Function>
    __device__ __forceinline__ void put_one(T *y, Function f) const {
        if (exists && lane == 0) y[row] = f();
    }

    // `body` of every row. A warp goes on until none of its groups has a row.
    template <class Body>
    __device__ static __forceinline__ void each(int64 rows, int64 columns, int lanes, Body body) {
        int lane = threadIdx.x % lanes, group = threadIdx.x % WARP / lanes;
        int64 first = first_item() / WARP * (WARP / lanes), stride = all_threads() / lanes;
        for (; first < rows; first += stride) {
            int64 row = first + group;
            body(Few{row, row * columns, columns, lane, lanes, row < rows});
        }
    }
};

struct Many {
    int64 row, at, columns;
    static constexpr int THREADS = 512;  // in a block, at most
    static constexpr bool exists = true;
    static constexpr int AT_ONCE = 4;

    template <class T>
    struct Held {
        const T *numbers;
        __device__ __forceinline__ T operator()(int k, int64 column) const { return numbers[column]; }
    };

    template <class T>
    __device__ __forceinline__ Held<T> hold(const T *x) const {
        return {x + at};
    }

    template <class T>
    __device__ __forceinline__ Held<T> hold_from(const T *numbers) const {
        return {numbers};
    }

    template <class Function>
    __device__ __forceinline__ Function keep(Function f) const {
        return f;
    }

    // use(AT_ONCE results of f, the first column's number) for each thread's columns, which are a block's threads apart;
    // `otherwise` stands where a row has ended. So as many loads are under way before the first is used.
    template <class Function, class T, class Use>
    __device__ __forceinline__ void several(Function f, T otherwise, Use use) const {
#pragma unroll 1
        for (int64 first = threadIdx.x; first < columns; first += AT_ONCE * blockDim.x) {
            T results[AT_ONCE];
#pragma unroll
            for (int k = 0; k < AT_ONCE; ++k) {
                int64 column = first + k * blockDim.x;
                results[k] = column < columns ? f(0, column) : otherwise;
            }
            use(results, first);
        }
    }

    template <class T>
    __device__ __forceinline__ T largest(const Held<T> &x) const {
        T result = -infinity<T>();
        several(x, result, [&](const T(&numbers)[AT_ONCE], int64 first) {
            T a = maximum(numbers[0], numbers[1]), b = maximum(numbers[2], numbers[3]);
            result = maximum(result, maximum(a, b));
        });
        return block_maximum(result, shared_memory<T>());
    }

    template <class Function>
    __device__ __forceinline__ auto sum(Function f) const {
        using T = decltype(f(0, int64(0)));
        Compensated<T> total;
        several(f, T(0), [&](const T(&terms)[AT_ONCE], int64 first) {
            total.add((terms[0] + terms[1]) + (terms[2] + terms[3]));
        });
        return block_sum(total.value(), shared_memory<T>());
    }

    template <class T, class Function>
    __device__ __forceinline__ void put(T *y, Function f) const {
        several(f, T(0), [&](const T(&results)[AT_ONCE], int64 first) {
#pragma unroll
            for (int k = 0; k < AT_ONCE; ++k) {
                int64 column = first + k * blockDim.x;
                if (column < columns) y[at + column] = results[k];
            }
        });
    }

    template <class T, class Function>
    __device__ __forceinline__ void put_one(T *y, Function f) const {
        if (threadIdx.x == 0) y[row] = f();
    }

    template <class Body>
    __device__ static __forceinline__ void each(int64 rows, int64 columns, int lanes, Body body) {
        for (int64 row = blockIdx.x; row < rows; row += gridDim.x) body(Many{row, row * columns, columns});
    }
};
