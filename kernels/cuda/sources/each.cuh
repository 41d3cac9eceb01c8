// Functions of each number by itself: N items at once, 16 bytes where arrays begin at a multiple of 16 bytes.
#pragma once
#include "halves.cuh"

// y[i] = f(inputs[i]…) for `count` items, N at a time; numbers of 16 bits come to f as float.
template <int N, class T, class Function, class... Inputs>
__device__ __forceinline__ void each(int64 count, T *y, Function f, const Inputs *...inputs) {
    int64 packs = count / N;
    for (int64 i = first_item(); i < packs; i += all_threads()) {
        Pack<T, N> result;
        auto apply = [&](auto... packs_of) {
#pragma unroll
            for (int k = 0; k < N; ++k) result.items[k] = stored(f(real(packs_of.items[k])...), T());
        };
        apply(reinterpret_cast<const Pack<Inputs, N> *>(inputs)[i]...);
        reinterpret_cast<Pack<T, N> *>(y)[i] = result;
    }
    for (int64 i = packs * N + first_item(); i < count; i += all_threads()) y[i] = stored(f(real(inputs[i])...), T());
}
