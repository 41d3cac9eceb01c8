"""exp, log, tanh and their kin, for float32 and float64, written so that LLVM turns a loop over them into SIMD code.

    for i in range(begin, end):
        y[i] = exp(x[i])

There are no branches (a choice is a select), no tables and no calls: only multiplications, additions, a division here
and there, and the bits of floating-point numbers. NaN, infinities, the limits there and subnormal results are right;
of a subnormal argument the last bit may be lost. The largest errors, in units in the last place (ulp), as the tests
measure them:

| function | float32 | float64 |
| --- | --- | --- |
| exp | 1.1 | 1.1 |
| expm1 | 2 | 2 |
| log | 1 | 1 |
| log1p | 2 | 2 |
| log1p_unit | 2 | 2 |
| tanh | 3 | 3 |
| sigmoid | 3 | 3 |
| softplus | 3 | 3 |
| gaussian | 3 | 3 |
| normal_cdf | 8 | 8 |

Sources: argument reduction after Cody and Waite, "Software Manual for the Elementary Functions", 1980; log after
FreeBSD's msun (Sun Microsystems 1993); erfc(x)·exp(x²)·(1 + 2x) as one polynomial in (x − 3)/(x + 3) after Shepherd
and Laframboise, "Chebyshev approximation of (1 + 2x)exp(x²)erfc x in 0 ≤ x < ∞", Mathematics of Computation 36 (1981).
"""

import math
import struct

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# Only a·b + c may be contracted to one fused operation: the rest of IEEE arithmetic is relied on below.
function = numba.njit(error_model="numpy", fastmath={"contract"}, forceinline=True, nogil=True)


# ---- numbers of the right type, and their bits -----------------------------------------------------------------------


def _bits(number: types.Float) -> tuple[ir.IntType, int, int]:
    """LLVM's whole number as wide as `number`, the length of its significand without the leading 1, the exponent's
    bias."""
    return (ir.IntType(32), 23, 127) if number.bitwidth == 32 else (ir.IntType(64), 52, 1023)


def _real(number: types.Float) -> ir.Type:
    return ir.FloatType() if number.bitwidth == 32 else ir.DoubleType()


@intrinsic
def like(typing, x, number):
    """`number` in the type of x: a bare constant would be a float64 and make float32 expressions float64 ones."""

    def generate(context, builder, signature, arguments):
        return context.cast(builder, arguments[1], signature.args[1], x)

    return x(x, number), generate


@intrinsic
def by_type(typing, x, for_float32, for_float64):
    """One of two numbers, in the type of x."""

    def generate(context, builder, signature, arguments):
        chosen = 1 if x.bitwidth == 32 else 2
        return context.cast(builder, arguments[chosen], signature.args[chosen], x)

    return x(x, for_float32, for_float64), generate


@intrinsic
def power_of_two(typing, n):
    """2ⁿ for a whole number n that is held as a float and within the exponents of normal numbers.

    Added to 1½·2^m, m the length of the significand, n + bias lands in the lowest bits, from where a shift moves it
    into the exponent. (Conversions between float64 and int64 are slow before AVX-512.)
    """
    whole, length, bias = _bits(n)

    def generate(context, builder, signature, arguments):
        aligned = builder.fadd(arguments[0], ir.Constant(_real(n), 1.5 * 2.0**length + bias))
        exponent = builder.shl(builder.bitcast(aligned, whole), ir.Constant(whole, length))
        return builder.bitcast(exponent, _real(n))

    return n(n), generate


@intrinsic
def split(typing, x):
    """(m, e) with x = m·2^e and √½ ≤ m < √2, for normal positive x; e is a float."""
    whole, length, bias = _bits(x)

    def generate(context, builder, signature, arguments):
        real = _real(x)
        one, root = bias << length, _bit_pattern(math.sqrt(0.5), x.bitwidth)
        bits = builder.bitcast(arguments[0], whole)
        exponent = builder.lshr(builder.add(bits, ir.Constant(whole, one - root)), ir.Constant(whole, length))
        # exponent is e + bias; put below the significand of 2^length it is a float without a conversion.
        above = builder.bitcast(builder.or_(exponent, ir.Constant(whole, (bias + length) << length)), real)
        e = builder.fsub(above, ir.Constant(real, 2.0**length + bias))
        unscaled = builder.sub(exponent, ir.Constant(whole, bias))
        m = builder.bitcast(builder.sub(bits, builder.shl(unscaled, ir.Constant(whole, length))), real)
        return context.make_tuple(builder, types.UniTuple(x, 2), [m, e])

    return types.UniTuple(x, 2)(x), generate


@intrinsic
def upper_part(typing, x):
    """x with the lower half of its significand zeroed: its square is exact."""
    whole, length, _ = _bits(x)

    def generate(context, builder, signature, arguments):
        mask = ir.Constant(whole, -(1 << (length // 2 + 1)))
        return builder.bitcast(builder.and_(builder.bitcast(arguments[0], whole), mask), _real(x))

    return x(x), generate


def _bit_pattern(number: float, width: int) -> int:
    return struct.unpack("<I" if width == 32 else "<Q", struct.pack("<f" if width == 32 else "<d", number))[0]


def polynomial(for_float32: list[float], for_float64: list[float]):
    """A function c₀ + c₁·x + c₂·x² + …, by Horner's rule, with coefficients for each type."""

    @intrinsic
    def evaluate(typing, x):
        def generate(context, builder, signature, arguments):
            coefficients = [ir.Constant(_real(x), c) for c in (for_float32 if x.bitwidth == 32 else for_float64)]
            result = coefficients[-1]
            for coefficient in reversed(coefficients[:-1]):
                product = builder.fmul(result, arguments[0], flags=["contract"])
                result = builder.fadd(product, coefficient, flags=["contract"])
            return result

        return x(x), generate

    return evaluate


# ---- exponentials ----------------------------------------------------------------------------------------------------

LOG2_E = 1 / math.log(2)
# ln 2 in two parts; the first has so few bits that its product with an exponent is exact.
LN2_HIGH_32, LN2_LOW_32 = 0.693359375, -2.12194440054690583e-4
LN2_HIGH_64, LN2_LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10

# (eʳ − 1 − r)/r² and (eʳ − 1 − r − r²/2)/r³ for |r| ≤ ln(2)/2: Taylor's series, cut off below a tenth of an ulp.
_exp_tail = polynomial([1 / math.factorial(k) for k in range(2, 8)], [1 / math.factorial(k) for k in range(2, 14)])
_expm1_tail = polynomial([1 / math.factorial(k) for k in range(3, 9)], [1 / math.factorial(k) for k in range(3, 15)])


@function
def nearest_whole(x):
    """The whole number nearest to x, for |x| below 2²² (float32) or 2⁵¹: adding 1½·2^m rounds at the units' place."""
    magic = by_type(x, 1.5 * 2.0**23, 1.5 * 2.0**52)
    return (x + magic) - magic


@function
def exp_of_sum(x, correction):
    """exp(x + correction), for a correction that is too small to be added to x."""
    low, high = by_type(x, -104.0, -746.0), by_type(x, 89.0, 710.0)
    x = low if x < low else x  # written so that NaN stays
    x = high if x > high else x
    n = nearest_whole(x * like(x, LOG2_E))
    r = x - n * by_type(x, LN2_HIGH_32, LN2_HIGH_64)
    r = r - n * by_type(x, LN2_LOW_32, LN2_LOW_64) + correction
    p = like(x, 1.0) + (r + r * r * _exp_tail(r))
    half = nearest_whole(n * like(x, 0.5))  # in two steps, to reach infinity and the subnormal numbers
    return p * power_of_two(half) * power_of_two(n - half)


@function
def exp(x):
    """eˣ."""
    return exp_of_sum(x, like(x, 0.0))


@function
def expm1(x):
    """eˣ − 1, exact near 0."""
    low, high = by_type(x, -20.0, -40.0), by_type(x, 89.0, 710.0)
    x = low if x < low else x
    x = high if x > high else x
    n = nearest_whole(x * like(x, LOG2_E))
    r = x - n * by_type(x, LN2_HIGH_32, LN2_HIGH_64)
    r = r - n * by_type(x, LN2_LOW_32, LN2_LOW_64)
    q = r + (r * r * like(x, 0.5) + r * r * r * _expm1_tail(r))
    half = power_of_two(n - like(x, 1.0))  # 2ⁿ itself may be infinite
    return (half * q + (half - like(x, 0.5))) * like(x, 2.0)


# ---- logarithms ------------------------------------------------------------------------------------------------------

# (ln((1+s)/(1−s)) − 2s)/s in z = s², z ≤ 0.0295: 2z/3 + 2z²/5 + …
_log_tail = polynomial([0.0] + [2 / (2 * k + 1) for k in range(1, 6)], [0.0] + [2 / (2 * k + 1) for k in range(1, 11)])


@function
def log(x):
    """Natural logarithm: −∞ at 0, NaN below."""
    smallest, scale = by_type(x, 2.0**-126, 2.0**-1022), by_type(x, 2.0**24, 2.0**53)
    subnormal = x < smallest
    m, e = split(x * scale if subnormal else x)
    e = e - by_type(x, 24.0, 53.0) if subnormal else e
    f = m - like(x, 1.0)
    s = f / (like(x, 2.0) + f)
    half_square = like(x, 0.5) * f * f
    tail = s * (half_square + _log_tail(s * s)) + e * by_type(x, LN2_LOW_32, LN2_LOW_64)
    result = e * by_type(x, LN2_HIGH_32, LN2_HIGH_64) - ((half_square - tail) - f)
    infinity = like(x, math.inf)
    result = result if x < infinity else x  # ∞ and NaN
    result = -infinity if x == like(x, 0.0) else result
    return like(x, math.nan) if x < like(x, 0.0) else result


@function
def log1p(x):
    """ln(1 + x), exact near 0: −∞ at −1, NaN below."""
    u = like(x, 1.0) + x
    lost = x - (u - like(x, 1.0))  # what rounding u took away
    correction = lost / u
    regular = (u > like(x, 0.0)) & (u < like(x, math.inf))
    return log(u) + (correction if regular else like(x, 0.0))


# ln(1 + w)/s − 2 in z = s² for s = w/(2 + w), 0 ≤ w ≤ 1, z ≤ 1/9: 2z/3 + 2z²/5 + …
_log1p_unit_tail = polynomial(
    [0.0] + [2 / (2 * k + 1) for k in range(1, 8)], [0.0] + [2 / (2 * k + 1) for k in range(1, 17)]
)


@function
def log1p_unit(w):
    """ln(1 + w) for 0 ≤ w ≤ 1: what is left of ln(1 + e^x) once the larger term is taken out."""
    s = w / (like(w, 2.0) + w)
    return s * like(w, 2.0) + s * _log1p_unit_tail(s * s)


# ---- sigmoids --------------------------------------------------------------------------------------------------------


@function
def absolute(x):
    return -x if x < like(x, 0.0) else x


@function
def tanh(x):
    """(e²ˣ − 1)/(e²ˣ + 1)."""
    t = expm1(like(x, -2.0) * absolute(x))
    y = t / (t + like(x, 2.0))
    return y if x < like(x, 0.0) else -y


@function
def sigmoid(x):
    """1/(1 + e⁻ˣ), its exponential at most 1."""
    e = exp(-absolute(x))
    return (e if x < like(x, 0.0) else like(x, 1.0)) / (like(x, 1.0) + e)


@function
def softplus(x):
    """ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|)."""
    return (like(x, 0.0) if x < like(x, 0.0) else x) + log1p_unit(exp(-absolute(x)))


# ---- the normal distribution -----------------------------------------------------------------------------------------

# (1 + 2x)·exp(x²)·erfc(x) in q = (x − 3)/(x + 3): interpolated at Chebyshev points in 50 digits, relative errors 2.5e-9
# and 1.2e-17.
_scaled_erfc = polynomial(
    [
        1.2530080582697296, -0.13562106822069417, -0.04756229382771763, 0.1296440910249622, -0.1192736784315029,
        0.06831669729438275, -0.023770388711381683, 0.0024988226113873105, 0.0018882157008084247,
        -0.0007261608011693134,
        -0.00010422117710741312, 7.720413938052222e-05, 3.891751557197811e-06,
    ],
    [
        1.2530080582697296, -0.13562110612458117, -0.04756229435345087, 0.1296451587027606, -0.11927366341530699,
        0.06830802734397848, -0.023770514918645888, 0.002529391816066239, 0.0018886903591561553, -0.0007798322721083991,
        -0.00010515979981501177, 0.00012509935235563107, 4.949484992570595e-06, -2.0100567931289227e-05,
        -7.315105164159062e-07, 3.472414602875686e-06, 3.5683839153992204e-07, -6.166496077604353e-07,
        -1.4160064940265987e-07, 1.0187000600072885e-07, 4.180784698845582e-08, -1.3326364813003834e-08,
        -8.500397929772615e-09, 9.885798831139365e-10, 8.864219016427092e-10,
    ],
)  # fmt: skip


@function
def gaussian(x):
    """exp(−x²/2), to the last digits however small: x² is taken in two parts."""
    limit = by_type(x, 15.0, 39.0)  # the result is 0 there
    x = limit if absolute(x) > limit else x
    upper = upper_part(x)
    return exp_of_sum(like(x, -0.5) * upper * upper, like(x, 0.5) * (upper - x) * (upper + x))


@function
def normal_density(x):
    """φ(x) = exp(−x²/2)/√(2π)."""
    return gaussian(x) * like(x, 1 / math.sqrt(2 * math.pi))


@function
def normal_cdf(x):
    """Φ(x) = erfc(−x/√2)/2: the probability that a standard normal number is below x."""
    t = absolute(x)
    t = by_type(x, 15.0, 39.0) if t > by_type(x, 15.0, 39.0) else t  # Φ is 0 or 1 there
    t = t * like(x, math.sqrt(0.5))
    q = (t - like(x, 3.0)) / (t + like(x, 3.0))
    tail = like(x, 0.5) * gaussian(x) * _scaled_erfc(q) / (like(x, 1.0) + t + t)
    return tail if x < like(x, 0.0) else like(x, 1.0) - tail
