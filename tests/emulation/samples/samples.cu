// Small kernels, right and wrong ones, that show what the emulation of CUDA does.
#include "common.cuh"

// y = x backwards, through shared memory; wrong without the barrier.
template <bool BARRIER>
__global__ void reverse(const int *x, int *y) {
    int *room = shared_memory<int>();
    int i = threadIdx.x, last = blockDim.x - 1;
    room[i] = x[i];
    if (BARRIER) __syncthreads();
    y[i] = room[last - i];
}

// The number of each thread of a grid of three axes, at its place.
template <class T>
__global__ void count(T *y) {
    T block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    T thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    T place = block * blockDim.x * blockDim.y * blockDim.z + thread;
    y[place] = place;
}

template <class T>
__global__ void read(const T *x, T *y, int64 place) {
    y[0] = x[place];
}

template <class T>
__global__ void write(T *y, int64 place) {
    y[place] = 0;
}

template <class T>
__global__ void read_shared(T *y, int64 place) {
    y[0] = shared_memory<T>()[place];
}

// What each block finds in shared memory, which it leaves full of sevens.
template <class T>
__global__ void found(T *y, int count) {
    for (int i = 0; i < count; ++i) {
        y[blockIdx.x * count + i] = shared_memory<T>()[i];
        shared_memory<T>()[i] = 7;
    }
}

// The first `count` threads wait for their block, and the others do not.
template <class T>
__global__ void some_wait(T *y, int count) {
    if (int(threadIdx.x) < count) __syncthreads();
    y[threadIdx.x] = 1;
}

// Half of a warp waits for its block, and half for its warp.
template <class T>
__global__ void dead_lock(T *y) {
    if (threadIdx.x % 32 < 16) __syncthreads();
    else y[0] = __shfl_xor_sync(0xffffffffu, y[0], 1);
    __syncthreads();
}

// Each lane's shuffles of its number: from lane `given`, from `given` lanes further, from the lane with other bits.
template <class T>
__global__ void shuffle(const T *x, T *y, unsigned mask, int given) {
    T mine = x[threadIdx.x];
    T from = __shfl_sync(mask, mine, given);
    T down = __shfl_down_sync(mask, mine, given);
    T other = __shfl_xor_sync(mask, mine, given);
    y[3 * threadIdx.x] = from;
    y[3 * threadIdx.x + 1] = down;
    y[3 * threadIdx.x + 2] = other;
}

// Warps that go through different numbers of shuffles, then meet at a barrier.
template <class T>
__global__ void sums(const T *x, T *y) {
    T *room = shared_memory<T>();
    T mine = x[threadIdx.x];
    for (int turn = 0; turn < int(threadIdx.x) / WARP; ++turn) mine = warp_sum(mine) / WARP;
    T largest = warp_maximum(mine);
    y[threadIdx.x] = block_sum(mine, room) + block_sum(largest, room);
}

// Four numbers at once, from a place that may be no multiple of 16 bytes.
template <class T>
__global__ void read_pack(const T *x, T *y, int64 place) {
    y[0] = reinterpret_cast<const Pack<T, 4> *>(x + place)->items[0];
}

template <class T>
__global__ void product_and_sum(const T *x, T *y) {
    y[0] = x[0] * x[1] + x[2];
    y[1] = x[3] * x[4];
}
