// CUDA C as plain C++: what a kernel needs of the language, on one thread of the CPU.
//
// The blocks of a grid run in turn. Each CUDA thread of a block is a fiber (a stack of its own, see fibers.h) that runs
// until it ends or waits: at a barrier for its block, at a shuffle or an mma for its warp. A thread that never waits
// costs two switches of stacks. Whoever waits for what can no longer come gets an error, not a dead lock.
//
// What a GPU leaves open is made to hurt:
//   - shared memory is poisoned before every block (each byte 0xff: NaN, or −1), and lies on the heap, so that the
//     address sanitizer sees an access beyond its end;
//   - threads run in order, in reverse order, or in a shuffled one (`order`): a missing barrier changes the result; in
//     every second order a warp runs ahead of the others, as far as it can;
//   - a cp.async is poison from its start until the wait for its group.
//
// What a GPU does to numbers is done to them: products and sums become one operation (the compiler's flags), and in
// float kernels numbers below 2⁻¹²⁶ are zeros, as CuPy has it (`flushed`).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "fibers.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __align__(bytes) alignas(bytes)
#define __launch_bounds__(...)
#define __constant__ static const
#define __grid_constant__

struct dim3 {
    unsigned x, y, z;
};

namespace emulation {

inline dim3 thread, block, grid, threads;  // what threadIdx … blockDim say now
inline int order = 0;                      // of threads: 0 from the first, 1 from the last, else shuffled by this seed
inline char failure[512];                  // what went wrong in the launch at hand
inline std::vector<unsigned char> shared;

struct Thread {
    dim3 index;
    Fiber *fiber = nullptr;
    bool ended = false;
    int block_waits = 0, warp_waits = 0;  // barriers passed or waited at
    alignas(16) unsigned char exchanged[2][64];  // in turn: nobody writes the next value where others read this one
    struct Copy {
        void *to;
        const void *from;
        int bytes, kept;
        int group;
    };
    std::vector<Copy> copies;  // asynchronous, not yet waited for
    int groups = 0;            // committed
};

inline std::vector<Thread> all;
inline Thread *running = nullptr;

// End the launch with a message.
template <class... Arguments>
void fail(const char *format, Arguments... arguments) {
    if (!failure[0]) std::snprintf(failure, sizeof failure, format, arguments...);
    leave_for_good();
}

inline Thread *warp_begin() { return &all[(running - &all[0]) / 32 * 32]; }

inline int warp_size() {
    long left = &all[0] + all.size() - warp_begin();
    return left < 32 ? int(left) : 32;
}

// Wait until all threads from `begin` on have come as far as this one, by a counter.
inline void wait_for(Thread *begin, int count, int Thread::*waits, const char *what) {
    int mine = ++(running->*waits);
    for (;;) {
        bool all_there = true;
        for (Thread *other = begin; other < begin + count; ++other) {
            if (other->*waits >= mine) continue;
            if (other->ended)
                fail("%s: thread (%u, %u, %u) of block (%u, %u, %u) ended while others wait", what, other->index.x,
                     other->index.y, other->index.z, block.x, block.y, block.z);
            all_there = false;
        }
        if (all_there) return;
        pause();
    }
}

inline void wait_for_block() { wait_for(&all[0], int(all.size()), &Thread::block_waits, "__syncthreads"); }
inline void wait_for_warp(const char *what) { wait_for(warp_begin(), warp_size(), &Thread::warp_waits, what); }

// What every lane of the warp gives, read by `use(lane ↦ value)` when all are there.
template <class T, class Use>
auto exchange(const T &mine, const char *what, Use use) {
    static_assert(sizeof(T) <= sizeof(Thread::exchanged[0]) && alignof(T) <= 16);
    int turn = running->warp_waits % 2;
    std::memcpy(running->exchanged[turn], &mine, sizeof(T));
    wait_for_warp(what);
    Thread *lanes = warp_begin();
    return use([=](int lane) -> const T & { return *reinterpret_cast<const T *>(lanes[lane].exchanged[turn]); });
}

inline int lane() { return int(running - warp_begin()); }

// The lanes that take part in a shuffle must be the whole warp: kernels here never shuffle among fewer.
inline void expect_whole_warp(unsigned mask, const char *what) {
    if (mask != 0xffffffffu || warp_size() != 32) fail("%s among fewer than 32 lanes (mask %08x)", what, mask);
}

// ---- the launch ------------------------------------------------------------------------------------------------------

// One turn of a thread, until it waits or ends. Returns whether it came any further.
inline bool take_turn(Thread &next, const std::function<void()> &enter) {
    running = &next;
    thread = next.index;
    int before = next.block_waits + next.warp_waits;
    bool begins = next.fiber == nullptr;
    if (begins) next.fiber = begin_fiber(enter);
    next.ended = resume(next.fiber);
    if (failure[0]) return false;
    if (next.ended) {
        if (!next.copies.empty()) std::snprintf(failure, sizeof failure, "a thread ends before its cp.async");
        end_fiber(next.fiber);
    }
    return begins || next.ended || next.block_waits + next.warp_waits != before;
}

// The threads of a block in the order of their turns, in groups of which each goes as far as it can before the next has
// a turn: all together, or warp by warp where `order` is odd.
inline std::vector<std::vector<int>> turns_of(int count) {
    std::vector<int> turns(count);
    for (int i = 0; i < count; ++i) turns[i] = order == 1 ? count - 1 - i : i;
    if (order > 1) {
        std::uint64_t state = order;
        for (int i = count - 1; i > 0; --i) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            std::swap(turns[i], turns[(state >> 33) % (i + 1)]);
        }
    }
    if (order % 2 == 0) return {turns};
    std::vector<std::vector<int>> warps((count + 31) / 32);
    std::vector<int> met;  // warps, as their first threads have turns
    for (int turn : turns) {
        if (warps[turn / 32].empty()) met.push_back(turn / 32);
        warps[turn / 32].push_back(turn);
    }
    std::vector<std::vector<int>> groups;
    for (int warp : met) groups.push_back(warps[warp]);
    return groups;
}

inline void run_block(const std::function<void()> &enter) {
    std::fill(shared.begin(), shared.end(), (unsigned char)0xff);
    int count = int(threads.x * threads.y * threads.z);
    all.assign(count, Thread());
    for (int i = 0; i < count; ++i)
        all[i].index = {i % threads.x, i / threads.x % threads.y, i / (threads.x * threads.y)};
    std::vector<std::vector<int>> groups = turns_of(count);
    for (int left = count; left > 0;) {
        bool moved = false;
        for (const std::vector<int> &group : groups)
            for (bool further = true; further;) {
                further = false;
                for (int turn : group) {
                    if (all[turn].ended) continue;
                    further |= take_turn(all[turn], enter);
                    if (failure[0]) return abandon_fibers();
                    left -= all[turn].ended;
                }
                moved |= further;
                if (groups.size() == 1) break;
            }
        if (!moved) {
            std::snprintf(failure, sizeof failure, "dead lock: some threads wait for their block, some for their warp");
            return abandon_fibers();
        }
    }
}

// While one lives, numbers that are too small to be normal are zeros, where they are read and where they come out.
class Flushed {
  public:
#if defined(__SSE2__)
    explicit Flushed(bool flush) : before(_mm_getcsr()) { _mm_setcsr(flush ? before | 0x8040 : before); }
    ~Flushed() { _mm_setcsr(before); }

  private:
    unsigned before;
#elif defined(__aarch64__)
    explicit Flushed(bool flush) {
        asm volatile("mrs %0, fpcr" : "=r"(before));
        asm volatile("msr fpcr, %0" ::"r"(flush ? before | 1 << 24 : before));
    }
    ~Flushed() { asm volatile("msr fpcr, %0" ::"r"(before)); }

  private:
    unsigned long before;
#else
    explicit Flushed(bool) {}
#endif
};

template <class... Parameters, std::size_t... Places>
void call(void (*kernel)(Parameters...), void **arguments, std::index_sequence<Places...>) {
    kernel(*static_cast<std::remove_cv_t<std::remove_reference_t<Parameters>> *>(arguments[Places])...);
}

// Run a kernel on a grid. Returns what went wrong, "" if nothing did.
template <class... Parameters>
const char *launch(void (*kernel)(Parameters...), dim3 blocks, dim3 threads_, long long shared_bytes, void **arguments,
                   int count, int order_, bool flush) {
    Flushed flushed(flush);
    failure[0] = 0;
    if (count != int(sizeof...(Parameters))) return "the kernel has another number of parameters";
    grid = blocks, threads = threads_, order = order_;
    shared = std::vector<unsigned char>();  // of exactly the size asked for: the sanitizer watches its end
    shared.reserve(shared_bytes);
    shared.resize(shared_bytes);
    for (block.z = 0; block.z < grid.z; ++block.z)
        for (block.y = 0; block.y < grid.y; ++block.y)
            for (block.x = 0; block.x < grid.x; ++block.x) {
                run_block([&] { call(kernel, arguments, std::index_sequence_for<Parameters...>()); });
                if (failure[0]) return failure;
            }
    return failure;
}

}  // namespace emulation

// ---- the names of the language ---------------------------------------------------------------------------------------

#define threadIdx (::emulation::thread)
#define blockIdx (::emulation::block)
#define gridDim (::emulation::grid)
#define blockDim (::emulation::threads)
#define shared_bytes (::emulation::shared.data())

inline void __syncthreads() { emulation::wait_for_block(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) {
    emulation::expect_whole_warp(mask, "__syncwarp");
    emulation::wait_for_warp("__syncwarp");
}

template <class T>
T __shfl_sync(unsigned mask, T value, int from) {
    emulation::expect_whole_warp(mask, "__shfl_sync");
    return emulation::exchange(value, "__shfl_sync", [&](auto of) { return of(from % 32); });
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
    emulation::expect_whole_warp(mask, "__shfl_xor_sync");
    return emulation::exchange(value, "__shfl_xor_sync", [&](auto of) { return of(emulation::lane() ^ distance); });
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, int distance) {
    emulation::expect_whole_warp(mask, "__shfl_down_sync");
    int from = emulation::lane() + distance;
    return emulation::exchange(value, "__shfl_down_sync", [&](auto of) { return of(from < 32 ? from : from - distance); });
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
    emulation::expect_whole_warp(mask, "__ballot_sync");
    return emulation::exchange(unsigned(predicate != 0), "__ballot_sync", [](auto of) {
        unsigned bits = 0;
        for (int lane = 0; lane < 32; ++lane) bits |= of(lane) << lane;
        return bits;
    });
}
inline int __ffs(int bits) { return __builtin_ffs(bits); }

template <class T>
T __ldg(const T *place) {
    return *place;
}

// The functions of <cmath> that CUDA C overloads for float and double, as it does without a prefix.
using std::abs;
using std::ceil;
using std::copysign;
using std::erf;
using std::erfc;
using std::exp;
using std::expm1;
using std::floor;
using std::fma;
using std::fmax;
using std::fmin;
using std::isfinite;
using std::isinf;
using std::isnan;
using std::log;
using std::log1p;
using std::pow;
using std::sqrt;
using std::tanh;

inline float rsqrt(float x) { return 1 / std::sqrt(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
template <class T>
T min(T a, T b) {
    return b < a ? b : a;
}
template <class T>
T max(T a, T b) {
    return a < b ? b : a;
}

#include "tensor_cores.h"
