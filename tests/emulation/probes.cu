// Kernels that tests alone launch: the tensor cores' instructions and asynchronous copies, each by itself, on a matrix
// as a reader of the PTX ISA would lay it out.
#include "tensor_cores.cuh"

// One warp: c (16, 8) = a (16, 8) · b (8, 8), in TF32.
template <class T>
__global__ void product_tf32(const T *a, const T *b, T *c) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned left[4];
    for (int i = 0; i < 4; ++i) left[i] = tf32(a[(g + i % 2 * 8) * 8 + t + i / 2 * 4]);
    unsigned right[2] = {tf32(b[t * 8 + g]), tf32(b[(t + 4) * 8 + g])};
    float sums[4] = {};
    mma_tf32(sums[0], sums[1], sums[2], sums[3], left, right);
    for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

// One warp: c (16, 8) = a (16, 16) · b (16, 8), in bfloat16 or half precision.
template <class T, bool BRAIN>
__global__ void product_of_pairs(const T *a, const T *b, T *c) {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    auto pair = [](T x, T y) { return BRAIN ? bfloat16_pair(x, y) : half_pair(x, y); };
    unsigned left[4], right[2];
    for (int i = 0; i < 4; ++i) {
        const T *place = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
        left[i] = pair(place[0], place[1]);
    }
    for (int i = 0; i < 2; ++i) {
        const T *place = b + (2 * t + i * 8) * 8 + g;
        right[i] = pair(place[0], place[8]);
    }
    float sums[4] = {};
    if constexpr (BRAIN) mma_bfloat16(sums[0], sums[1], sums[2], sums[3], left, right);
    else mma_half(sums[0], sums[1], sums[2], sums[3], left, right);
    for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

// y = x as it is after rounding: to TF32, bfloat16, half precision.
template <class T>
__global__ void rounded(const T *x, T *as_tf32, T *as_bfloat16, T *as_half, int64 count) {
    for (int64 i = first_item(); i < count; i += all_threads()) {
        unsigned bits = tf32(x[i]);
        as_tf32[i] = *reinterpret_cast<const float *>(&bits);
        as_bfloat16[i] = real(stored(x[i], BFloat16()));
        as_half[i] = real(stored(x[i], Half()));
    }
}

// y (threads, 4) = what each thread copied, 16 bytes with `kept[thread]` of them kept, through shared memory. `early`:
// it is read before the wait for its group, of which two are open; `waits`: whether all is waited for at the end.
template <class T>
__global__ void copied(const T *x, const int *kept, T *y, bool early, bool waits) {
    int64 i = threadIdx.x;
    T *room = shared_memory<T>() + i * 8;
    copy_async<16>(room, x + i * 4, kept[i]);
    commit_copies();
    copy_async<4>(room + 4, x + i * 4, 4);
    commit_copies();
    if (early) wait_for_copies<2>();
    else wait_for_copies<1>();
    for (int k = 0; k < 4; ++k) y[i * 4 + k] = room[k];
    if (waits) wait_for_copies<0>();
}
