"""exp, log, tanh and their kin on vectors of float32 and float64.

    store(y, i, exp(load(vector, x, i)))

There are no branches (a choice is a select), no tables and no calls: only multiplications, additions, and the bits of
floating-point numbers. With AVX-512, instructions that were made for the purpose replace the last steps: one scales by
a power of two, one begins a float32 division, which Newton's rule then ends. NaN, infinities, the limits there and
subnormal results are right; of a subnormal argument the last bit may be lost. The largest errors, in units in the last
place (ulp), as the tests measure them:

| function | float32 | float64 |
| --- | --- | --- |
| exp | 1.1 | 1.1 |
| exp_bounded | 1.1 | 1.1 |
| expm1_of_negative | 2 | 2 |
| log | 1 | 1 |
| log1p | 2 | 2 |
| log1p_unit | 2 | 2 |
| tanh | 3 | 3 |
| sigmoid | 3 | 3 |
| softplus | 3 | 3 |
| gaussian | 3 | 3 |
| normal_cdf | 8 | 8 |

Sources: argument reduction after Cody and Waite, "Software Manual for the Elementary Functions", 1980; log after
FreeBSD's msun (Sun Microsystems 1993); erfc(x)·exp(x²) as a polynomial in a fraction of x after Shepherd and
Laframboise, "Chebyshev approximation of (1 + 2x)exp(x²)erfc x in 0 ≤ x < ∞", Mathematics of Computation 36 (1981).
The polynomials for float32 interpolate at Chebyshev points, computed in 40 digits; their relative errors are given.
"""

import math
import struct

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import (
    VectorType,
    absolute,
    call_intrinsic,
    fma,
    fma_value,
    host_level,
    llvm_element,
    llvm_vector,
    maximum,
    minimum,
    select,
    splat_value,
    suffix,
)

# Only a·b + c may be contracted to one fused operation: the rest of IEEE arithmetic is relied on below.
function = numba.njit(error_model="numpy", fastmath={"contract"}, forceinline=True, nogil=True)


# ---- numbers of the right type, and their bits -----------------------------------------------------------------------


def _bits(x: VectorType) -> tuple[ir.IntType, int, int]:
    """LLVM's whole number as wide as an element, the length of its significand without the leading 1, the exponent's
    bias."""
    return (ir.IntType(32), 23, 127) if x.element.bitwidth == 32 else (ir.IntType(64), 52, 1023)


def _all(kind: ir.Type, number, count: int):
    """The constant vector whose lanes all hold `number`."""
    return ir.Constant(ir.VectorType(kind, count), [number] * count)


def _in_type_of(context, builder, x, number, numba_type):
    if isinstance(x, VectorType):
        return splat_value(builder, context.cast(builder, number, numba_type, x.element), x.lanes)
    return context.cast(builder, number, numba_type, x)


@intrinsic
def like(typing, x, number):
    """`number` in the type of x (a vector of it, if x is one): a bare constant would be a float64 and make float32
    expressions float64 ones."""

    def generate(context, builder, signature, arguments):
        return _in_type_of(context, builder, x, arguments[1], signature.args[1])

    return x(x, number), generate


@intrinsic
def by_type(typing, x, for_float32, for_float64):
    """One of two numbers, in the type of the vector x."""

    def generate(context, builder, signature, arguments):
        chosen = 1 if x.element.bitwidth == 32 else 2
        return _in_type_of(context, builder, x, arguments[chosen], signature.args[chosen])

    return x(x, for_float32, for_float64), generate


def _has_avx512(x: VectorType) -> bool:
    """True if x fills a register of AVX-512, and the machine has it."""
    return x.lanes * x.element.bitwidth == 512 and host_level().name == "avx512"


def _avx512(builder, name: str, x, arguments: list, *last):
    """Calls an AVX-512 instruction that takes a vector to keep masked lanes from, and a mask."""
    every = ir.Constant(ir.IntType(max(x.type.count, 8)), -1)
    kind = {16: "ps", 8: "pd"}[x.type.count]
    undefined = ir.Constant(x.type, ir.Undefined)
    return call_intrinsic(builder, f"llvm.x86.avx512.{name}.{kind}.512", x.type, [*arguments, undefined, every, *last])


def _power_of_two(builder, x: VectorType, n):
    """2ⁿ for vectors of whole numbers n that are held as floats and within the exponents of normal numbers.

    Added to 1½·2^m, m the length of the significand, n + bias lands in the lowest bits, from where a shift moves it
    into the exponent. (Conversions between float64 and int64 are slow before AVX-512.)
    """
    whole, length, bias = _bits(x)
    aligned = builder.fadd(n, _all(llvm_element(x.element), 1.5 * 2.0**length + bias, x.lanes))
    integers = builder.bitcast(aligned, ir.VectorType(whole, x.lanes))
    return builder.bitcast(builder.shl(integers, _all(whole, length, x.lanes)), n.type)


@intrinsic
def scaled(typing, p, n):
    """p·2ⁿ for whole n, held as floats, between twice the exponents of normal numbers: also where 2ⁿ or the result is
    infinite or subnormal."""

    def generate(context, builder, signature, arguments):
        factor, exponent = arguments
        if _has_avx512(p):
            return _avx512(builder, "mask.scalef", factor, arguments, ir.Constant(ir.IntType(32), 4))
        magic = _all(llvm_element(p.element), 1.5 * 2.0 ** _bits(p)[1], p.lanes)
        half = builder.fmul(exponent, _all(llvm_element(p.element), 0.5, p.lanes))
        half = builder.fsub(builder.fadd(half, magic), magic)  # in two steps, to reach infinity and subnormal numbers
        rest = builder.fsub(exponent, half)
        return builder.fmul(builder.fmul(factor, _power_of_two(builder, p, half)), _power_of_two(builder, p, rest))

    return p(p, n), generate


@intrinsic
def power_of_two(typing, n):
    """2ⁿ for whole numbers n that are held as floats and within the exponents of normal numbers."""

    def generate(context, builder, signature, arguments):
        if _has_avx512(n):
            one = _all(llvm_element(n.element), 1.0, n.lanes)
            return _avx512(builder, "mask.scalef", one, [one, arguments[0]], ir.Constant(ir.IntType(32), 4))
        return _power_of_two(builder, n, arguments[0])

    return n(n), generate


@intrinsic
def split(typing, x):
    """(m, e) with x = m·2^e and √½ ≤ m < √2, for normal positive x; e is a float."""
    whole, length, bias = _bits(x)

    def generate(context, builder, signature, arguments):
        def every(number):
            return _all(whole, number, x.lanes)

        real, root = llvm_vector(x), _bit_pattern(math.sqrt(0.5), x.element.bitwidth)
        bits = builder.bitcast(arguments[0], ir.VectorType(whole, x.lanes))
        exponent = builder.lshr(builder.add(bits, every((bias << length) - root)), every(length))
        # exponent is e + bias; put below the significand of 2^length it is a float without a conversion.
        above = builder.bitcast(builder.or_(exponent, every((bias + length) << length)), real)
        e = builder.fsub(above, _all(real.element, 2.0**length + bias, x.lanes))
        unscaled = builder.sub(exponent, every(bias))
        m = builder.bitcast(builder.sub(bits, builder.shl(unscaled, every(length))), real)
        return context.make_tuple(builder, types.UniTuple(x, 2), [m, e])

    return types.UniTuple(x, 2)(x), generate


@intrinsic
def minus_half_square(typing, x):
    """−x²/2 as a sum of two vectors: rounded, and what rounding took away."""
    whole, length, _ = _bits(x)

    def generate(context, builder, signature, arguments):
        (given,) = arguments
        minus_half = _all(llvm_element(x.element), -0.5, x.lanes)
        scaled_down = builder.fmul(given, minus_half)
        if host_level().name in ("avx512", "avx2", "neon"):
            high = builder.fmul(given, scaled_down)
            name = f"llvm.fma.{suffix(given.type)}"
            low = call_intrinsic(builder, name, given.type, [given, scaled_down, builder.fneg(high)])
        else:  # without fused operations: x = u + v, u so short that its square is exact; u² and (x − u)·(x + u)
            mask = _all(whole, -(1 << (length // 2 + 1)), x.lanes)
            kept = builder.and_(builder.bitcast(given, mask.type), mask)
            upper = builder.bitcast(kept, given.type)
            high = builder.fmul(builder.fmul(upper, minus_half), upper)
            low = builder.fmul(builder.fmul(builder.fsub(given, upper), minus_half), builder.fadd(given, upper))
        return context.make_tuple(builder, types.UniTuple(x, 2), [high, low])

    return types.UniTuple(x, 2)(x), generate


@intrinsic
def with_sign_of(typing, x, sign):
    """|x| with the sign bits of `sign`."""

    def generate(context, builder, signature, arguments):
        return call_intrinsic(builder, f"llvm.copysign.{suffix(arguments[0].type)}", arguments[0].type, arguments)

    return x(x, sign), generate


def _bit_pattern(number: float, width: int) -> int:
    return struct.unpack("<I" if width == 32 else "<Q", struct.pack("<f" if width == 32 else "<d", number))[0]


def polynomial(for_float32: list[float], for_float64: list[float]):
    """A function c₀ + c₁·x + c₂·x² + … of a vector, by Horner's rule, with coefficients for each type."""

    @intrinsic
    def evaluate(typing, x):
        def generate(context, builder, signature, arguments):
            numbers = for_float32 if x.element.bitwidth == 32 else for_float64
            coefficients = [_all(llvm_element(x.element), number, x.lanes) for number in numbers]
            result = coefficients[-1]
            for coefficient in reversed(coefficients[:-1]):
                result = fma_value(builder, result, arguments[0], coefficient)
            return result

        return x(x), generate

    return evaluate


# ---- exponentials ----------------------------------------------------------------------------------------------------

LOG2_E = 1 / math.log(2)
# ln 2 in two parts; the first has so few bits that its product with an exponent is exact.
LN2_HIGH_32, LN2_LOW_32 = 0.693359375, -2.12194440054690583e-4
LN2_HIGH_64, LN2_LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10

# (eʳ − 1 − r)/r² and (eʳ − 1 − r − r²/2)/r³ for |r| ≤ ln(2)/2. float32: 1.0e-8 of eʳ and 9e-10 of eʳ − 1; float64:
# Taylor's series, cut off below a tenth of an ulp.
_exp_tail = polynomial(
    [0.5, 0.16666576666119928, 0.04166655421298415, 0.008363232883682618, 0.0013926250831497611],
    [1 / math.factorial(k) for k in range(2, 14)],
)
_expm1_tail = polynomial(
    [0.16666666666666666, 0.04166655421298415, 0.008333320842276708, 0.0013926250831497611, 0.00019882773016255759],
    [1 / math.factorial(k) for k in range(3, 15)],
)


@function
def _reduced(x):
    """(n, r) with x = n·ln 2 + r, n whole and |r| ≤ ln(2)/2 and a little more."""
    magic = by_type(x, 1.5 * 2.0**23, 1.5 * 2.0**52)  # adding 1½·2^m rounds at the units' place
    n = fma(x, like(x, LOG2_E), magic) - magic
    r = fma(n, by_type(x, -LN2_HIGH_32, -LN2_HIGH_64), x)
    return n, fma(n, by_type(x, -LN2_LOW_32, -LN2_LOW_64), r)


@function
def exp_bounded(x):
    """eˣ for x below 88 (float32) or 709: one operation cheaper than exp."""
    x = maximum(by_type(x, -104.0, -746.0), x)  # written so that NaN stays
    n, r = _reduced(x)
    return scaled(fma(fma(_exp_tail(r), r, like(r, 1.0)), r, like(r, 1.0)), n)


@function
def exp(x):
    """eˣ."""
    x = minimum(by_type(x, 89.0, 710.0), maximum(by_type(x, -104.0, -746.0), x))
    n, r = _reduced(x)
    return scaled(fma(fma(_exp_tail(r), r, like(r, 1.0)), r, like(r, 1.0)), n)


@function
def expm1_of_negative(x):
    """eˣ − 1 for x ≤ 0, exact near 0."""
    x = maximum(by_type(x, -20.0, -40.0), x)
    n, r = _reduced(x)
    q = fma(r * r, fma(_expm1_tail(r), r, like(r, 0.5)), r)
    s = power_of_two(n)
    return fma(s, q, s - like(x, 1.0))


# ---- logarithms ------------------------------------------------------------------------------------------------------

# (ln((1+s)/(1−s)) − 2s)/s in z = s², z ≤ 0.0295: 2z/3 + 2z²/5 + …
_log_tail = polynomial([0.0] + [2 / (2 * k + 1) for k in range(1, 5)], [0.0] + [2 / (2 * k + 1) for k in range(1, 11)])


@function
def log(x):
    """Natural logarithm: −∞ at 0, NaN below."""
    subnormal = x < by_type(x, 2.0**-126, 2.0**-1022)
    m, e = split(select(subnormal, x * by_type(x, 2.0**24, 2.0**53), x))
    e = select(subnormal, e - by_type(x, 24.0, 53.0), e)
    f = m - like(x, 1.0)
    s = f / (like(x, 2.0) + f)
    half_square = like(x, 0.5) * f * f
    tail = fma(s, half_square + _log_tail(s * s), e * by_type(x, LN2_LOW_32, LN2_LOW_64))
    result = fma(e, by_type(x, LN2_HIGH_32, LN2_HIGH_64), f - (half_square - tail))
    result = select(x < like(x, math.inf), result, x)  # ∞ and NaN
    result = select(x == like(x, 0.0), like(x, -math.inf), result)
    return select(x < like(x, 0.0), like(x, math.nan), result)


@function
def log1p(x):
    """ln(1 + x), exact near 0: −∞ at −1, NaN below."""
    u = like(x, 1.0) + x
    lost = x - (u - like(x, 1.0))  # what rounding u took away
    regular = (u > like(x, 0.0)) & (u < like(x, math.inf))
    return log(u) + select(regular, lost / u, like(x, 0.0))


# ln(1 + w)/s − 2 in z = s² for s = w/(2 + w), 0 ≤ w ≤ 1, z ≤ 1/9. float32: 1.5e-8; float64: 2z/3 + 2z²/5 + …
_log1p_unit_tail = polynomial(
    [0.6666664033669923, 0.40007560644911205, 0.2823661980531048, 0.2685149802283715],
    [2 / (2 * k + 1) for k in range(1, 17)],
)


@function
def log1p_unit(w):
    """ln(1 + w) for 0 ≤ w ≤ 1: what is left of ln(1 + e^x) once the larger term is taken out."""
    s = w / (like(w, 2.0) + w)
    z = s * s
    return fma(s, z * _log1p_unit_tail(z), s + s)


# ---- sigmoids --------------------------------------------------------------------------------------------------------


@function
def tanh(x):
    """(e²ˣ − 1)/(e²ˣ + 1), from the exponential that is at most 1."""
    t = expm1_of_negative(like(x, -2.0) * absolute(x))
    return with_sign_of(t / (t + like(x, 2.0)), x)


@function
def _exp_below_infinity(x):
    return exp_bounded(minimum(by_type(x, 87.0, 708.0), x))


@function
def sigmoid(x):
    """σ(x) = eˣ/(1 + eˣ), to its last digits, however small."""
    e = _exp_below_infinity(x)
    return e / (like(x, 1.0) + e)


@function
def sigmoid_and_complement(x):
    """σ(x) and σ(−x) = 1/(1 + eˣ), to their last digits, however small."""
    e = _exp_below_infinity(x)
    complement = like(x, 1.0) / (like(x, 1.0) + e)
    return e * complement, complement


@function
def softplus(x):
    """ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|)."""
    return maximum(like(x, 0.0), x) + log1p_unit(exp_bounded(-absolute(x)))


# ---- the normal distribution -----------------------------------------------------------------------------------------

# Φ(−t)·exp(t²/2)/u in v = u − ½ for u = 1/(1 + t/4) and 0 ≤ t ≤ 14.4 (1.3e-7) or 38.6 (4e-18).
_scaled_tail = polynomial(
    [
        0.18882129095672262, 0.3039486022932132, 0.38713468906114085, 0.3730201409615628, 0.24174356813994013,
        0.06073105515283109, -0.058799004941600945, -0.05194211935673811, 0.028396429286929953,
    ],
    [
        0.18882128260393788, 0.30394832098594604, 0.38713740074221453, 0.37304371591931434, 0.24158629956374433,
        0.06032151173383525, -0.05567507787816306, -0.0521861906442093, 0.008534035989798452, 0.02958015175049997,
        -0.0004885141024567088, -0.017994080289236297, 0.0007338660674300794, 0.012124528342334781,
        -0.00257924472491776, -0.008368677263147262, 0.004453374188011626, 0.005078382544238789,
        -0.005598229721361127, -0.001741816729263205, 0.005146270787122252, -0.0010056703668164621,
        -0.0026489013195087757, 0.0015257410170355147,
    ],
)  # fmt: skip


@function
def _bell(t):
    """exp(−t²/2) for 0 ≤ t ≤ 14.5 (float32) or 38.7, to the last digits however small: t² is taken in two parts."""
    high, low = minus_half_square(t)
    n, r = _reduced(high)
    r = r + low
    return scaled(fma(fma(_exp_tail(r), r, like(r, 1.0)), r, like(r, 1.0)), n)


@function
def normal_tail_and_bell(x):
    """Φ(−t) and exp(−t²/2) for t = |x|, and t itself, cut off where both are 0."""
    t = minimum(by_type(x, 14.5, 38.7), absolute(x))
    u = like(x, 1.0) / fma(t, like(x, 0.25), like(x, 1.0))
    bell = _bell(t)
    return bell * (u * _scaled_tail(u - like(x, 0.5))), bell, t


@function
def normal_cdf(x):
    """Φ(x) = erfc(−x/√2)/2: the probability that a standard normal number is below x."""
    tail, _, _ = normal_tail_and_bell(x)
    return select(x < like(x, 0.0), tail, like(x, 1.0) - tail)


@function
def gaussian(x):
    """exp(−x²/2)."""
    _, bell, _ = normal_tail_and_bell(x)
    return bell
