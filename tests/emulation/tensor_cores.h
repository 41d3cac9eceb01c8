// The functions of kernels/cuda/sources/tensor_cores.cuh on the CPU.
//
// What an asynchronous copy will fill is poison (0xff) from its start, and is copied at the wait for its group, not
// before. A product on the tensor cores exchanges the registers of a warp's lanes, laid out as the PTX ISA has them.
// Its terms are exact, and their sum is rounded toward zero: of what GPUs do (Fasi and others 2021, "Numerical behavior
// of NVIDIA tensor cores"), the worst.
#pragma once

namespace emulation {

inline float as_float(unsigned bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

inline unsigned as_bits(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, sizeof x);
    return bits;
}

inline float bfloat16(unsigned bits) { return as_float(bits << 16); }

// To nearest, ties to even.
inline unsigned to_bfloat16(float x) {
    unsigned bits = as_bits(x);
    if (std::isnan(x)) return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

inline float half(unsigned bits) {
    int exponent = bits >> 10 & 31, digits = bits & 1023;
    float size = exponent == 31   ? (digits ? NAN : INFINITY)
                 : exponent == 0 ? std::ldexp(float(digits), -24)
                                 : std::ldexp(float(digits + 1024), exponent - 25);
    return bits & 0x8000 ? -size : size;
}

// To nearest, ties to even (as `nearbyint` has it): a multiple of the last place of x, which is 2⁻²⁴ or more.
inline unsigned to_half(float x) {
    unsigned sign = as_bits(x) >> 16 & 0x8000;
    if (std::isnan(x)) return 0x7fff;
    float size = std::fabs(x);
    if (size >= 65520) return sign | 0x7c00;
    if (size == 0) return sign;
    int exponent = std::max(std::ilogb(size), -14);
    int digits = int(std::nearbyint(std::ldexp(size, 10 - exponent)));  // 2048 carries into the exponent
    return sign | unsigned(digits + ((exponent + 14) << 10));
}

inline float toward_zero(double x) {
    float nearest = float(x);
    return std::isfinite(nearest) && std::fabs(nearest) > std::fabs(x) ? std::nextafter(nearest, 0.0f) : nearest;
}

// c += a · b, matrices of 16 × K and K × 8; number(register, i) is the i-th number in a register.
template <int K, class Number>
void multiply_add(float *const (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], Number number) {
    struct Registers {
        unsigned a[4], b[2];
    } mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    constexpr int packed = K / 8;  // numbers in a register
    expect_whole_warp(0xffffffffu, "mma.sync");
    exchange(mine, "mma.sync", [&](auto of) {
        for (int i = 0; i < 4; ++i) {
            int row = lane() / 4 + i / 2 * 8, column = lane() % 4 * 2 + i % 2;
            double sum = *c[i];
            for (int k = 0; k < K; ++k) {
                int part = k / (K / 2), place = k % (K / 2);  // the later half of k has registers of its own
                unsigned left = of(row % 8 * 4 + place / packed).a[row / 8 + 2 * part];
                unsigned right = of(column * 4 + place / packed).b[part];
                sum += double(number(left, place % packed)) * number(right, place % packed);
            }
            *c[i] = toward_zero(sum);
        }
        return 0;
    });
}

}  // namespace emulation

template <int BYTES>
void copy_async(void *to, const void *from, int kept) {
    static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16);
    if (std::uintptr_t(to) % BYTES || (kept && std::uintptr_t(from) % BYTES))
        emulation::fail("cp.async of %d bytes from %p to %p", BYTES, from, to);
    if (kept < 0 || kept > BYTES) emulation::fail("cp.async of %d of %d bytes", kept, BYTES);
    std::memset(to, 0xff, BYTES);
    emulation::running->copies.push_back({to, from, BYTES, kept, emulation::running->groups});
}

inline void commit_copies() { ++emulation::running->groups; }

template <int PENDING>
void wait_for_copies() {
    auto &thread = *emulation::running;
    std::size_t left = 0;
    for (const auto &copy : thread.copies) {
        if (copy.group >= thread.groups - PENDING) {
            thread.copies[left++] = copy;
            continue;
        }
        std::memset(copy.to, 0, copy.bytes);
        if (copy.kept) std::memcpy(copy.to, copy.from, copy.kept);
    }
    thread.copies.resize(left);
}

inline unsigned tf32(float x) {
    unsigned bits = emulation::as_bits(x);
    return std::isfinite(x) ? (bits + 0x1000) & 0xffffe000 : bits;
}

inline unsigned bfloat16_pair(float first, float second) {
    return emulation::to_bfloat16(first) | emulation::to_bfloat16(second) << 16;
}

inline unsigned half_pair(float first, float second) {
    return emulation::to_half(first) | emulation::to_half(second) << 16;
}

// The multiplier does not read the last 13 bits of a register: a number that was not rounded is cut off.
inline void mma_tf32(float &c0, float &c1, float &c2, float &c3, const unsigned (&a)[4], const unsigned (&b)[2]) {
    auto number = [](unsigned bits, int) { return emulation::as_float(bits & 0xffffe000); };
    emulation::multiply_add<8>({&c0, &c1, &c2, &c3}, a, b, number);
}

inline void mma_bfloat16(float &c0, float &c1, float &c2, float &c3, const unsigned (&a)[4], const unsigned (&b)[2]) {
    auto number = [](unsigned bits, int i) { return emulation::bfloat16(bits >> 16 * i & 0xffff); };
    emulation::multiply_add<16>({&c0, &c1, &c2, &c3}, a, b, number);
}

inline void mma_half(float &c0, float &c1, float &c2, float &c3, const unsigned (&a)[4], const unsigned (&b)[2]) {
    auto number = [](unsigned bits, int i) { return emulation::half(bits >> 16 * i & 0xffff); };
    emulation::multiply_add<16>({&c0, &c1, &c2, &c3}, a, b, number);
}
