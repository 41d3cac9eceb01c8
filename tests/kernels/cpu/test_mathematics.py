"""exp, log and their kin: the errors stated in the module's table hold, and special values are right."""

import functools
from decimal import Decimal, localcontext

import numpy as np
import pytest

from tomograd.kernels.cpu import mathematics
from tomograd.kernels.cpu.bodies import compiled, kernel, unpack
from tomograd.kernels.cpu.launch import run
from tomograd.kernels.cpu.simd import host_level, lanes, load_part, store_part, using_level, vector_of

# Where long double is no longer than double, the reference itself may be off by half a unit.
SLACK = 0.01 if np.finfo(np.longdouble).eps < np.finfo(np.float64).eps else 0.6


@functools.cache
def body_of(name):
    function = getattr(mathematics, name)

    @kernel
    def body(begin, end, arguments):
        vector, x, y = unpack(arguments)
        for i in range(begin, end, lanes(vector)):
            store_part(y, i, function(load_part(vector, x, i, end - i)), end - i)

    return body


def evaluated(name, x):
    y = np.empty_like(x)
    run(body_of(name), x.size, 10**9, vector_of(x.dtype), x, y)
    return y


def normal_cdf(x):
    """Φ(x) in 50 digits: Taylor's series of the error function."""
    with localcontext() as context:
        context.prec = 400 if abs(x) > 10 else 120
        t = Decimal(float(x)) / Decimal(2).sqrt()
        term = total = t
        n = 0
        while abs(term) > Decimal(10) ** -(context.prec - 10):
            n += 1
            term = -term * t * t / n
            total += term / (2 * n + 1)
        pi = _pi(context.prec)
        return float((1 + 2 * total / pi.sqrt()) / 2)


@functools.cache
def _pi(digits):
    """Machin: π = 16 atan(1/5) − 4 atan(1/239)."""
    with localcontext() as context:
        context.prec = digits + 10

        def arctangent(inverse):
            power = total = Decimal(1) / inverse
            n = 0
            while abs(power) > Decimal(10) ** -(digits + 8):
                n += 1
                power = -power / (inverse * inverse)
                total += power / (2 * n + 1)
            return total

        return 16 * arctangent(5) - 4 * arctangent(239)


REFERENCES = {
    "exp": np.exp,
    "exp_bounded": np.exp,
    "expm1_of_negative": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log1p_unit": np.log1p,
    "tanh": np.tanh,
    "sigmoid": lambda x: np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x))),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "gaussian": lambda x: np.exp(-x * x / 2),
    "normal_cdf": np.vectorize(normal_cdf, otypes=[np.longdouble]),
}


def stated_error(name, dtype):
    """The bound in the table of the module's docstring."""
    row = next(line for line in mathematics.__doc__.splitlines() if line.startswith(f"| {name} "))
    _, _, float32, float64, _ = (cell.strip() for cell in row.split("|"))
    return float(float32 if dtype == np.float32 else float64)


def samples(name, dtype):
    rng = np.random.default_rng(0)
    count = 40 if name == "normal_cdf" else 20000
    x = np.concatenate([rng.standard_normal(count) * scale for scale in (1e-6, 1e-3, 0.1, 1, 3, 10, 30, 100)])
    if name == "log1p_unit":
        x = np.minimum(np.abs(x), 1 / np.abs(x))
    if name == "exp_bounded":
        x = np.minimum(x, 88)
    if name == "expm1_of_negative":
        x = -np.abs(x)
    if name == "normal_cdf":
        x = x[np.abs(x) < 13]
    return x.astype(dtype)


@pytest.mark.parametrize("level", ["widest", "avx2", "scalar"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", REFERENCES)
def test_errors_are_within_the_stated_bounds(name, dtype, level):
    x = samples(name, dtype)
    with using_level(host_level().name if level == "widest" else level):
        y = evaluated(name, x)
    with np.errstate(all="ignore"):
        expected = REFERENCES[name](x.astype(np.longdouble))
        unit = np.spacing(np.abs(expected).astype(dtype)).astype(np.longdouble)
        regular = np.isfinite(expected.astype(dtype))
        error = np.abs(y.astype(np.longdouble) - expected)[regular] / unit[regular]
        np.testing.assert_array_equal(y[~regular], expected[~regular].astype(dtype))
    assert error.max() <= stated_error(name, dtype) + SLACK, f"worst at x = {x[regular][error.argmax()]!r}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [name for name in REFERENCES if name not in ("log1p_unit", "normal_cdf")])
def test_special_values(name, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, -1, -2, tiny, -tiny, 1e38, -1e38] * 3, dtype)
    if name in ("exp_bounded", "expm1_of_negative"):
        x = np.minimum(x, 0)  # NaN stays
    with np.errstate(all="ignore"):
        expected = REFERENCES[name](x)
        if name == "sigmoid":
            expected = np.where(x == -np.inf, 0, expected)
    np.testing.assert_allclose(evaluated(name, x), expected, rtol=1e-6, atol=2 * tiny)  # the last bit may be lost


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormal_results_and_the_way_to_infinity(dtype):
    limits = np.finfo(dtype)
    x = np.linspace(np.log(limits.tiny) - 8, np.log(limits.tiny) + 1, 1000).astype(dtype)
    expected = np.exp(x.astype(np.longdouble)).astype(dtype)
    assert np.abs(evaluated("exp", x) - expected).max() <= limits.smallest_subnormal * 2
    top = np.array([np.log(limits.max) * (1 - 1e-6), np.log(limits.max) * (1 + 1e-6)] * 20, dtype)
    assert np.isfinite(evaluated("exp", top)[::2]).all() and np.isinf(evaluated("exp", top)[1::2]).all()


@pytest.mark.parametrize("name", REFERENCES)
def test_loops_become_simd_code_without_calls(name):
    x = np.zeros(4, np.float32)
    assembly = compiled(body_of(name), vector_of(x.dtype), x, x).assembly()
    packed = ("mulps", "fmla", "vfmadd213ps", "vfmadd231ps")
    assert any(instruction in assembly for instruction in packed), "no packed arithmetic"
    calls = [line for line in assembly.splitlines() if "\tcall" in line and "NRT" not in line]
    assert not [line for line in calls if any(libm in line for libm in ("exp", "log", "tanh", "erf", "pow"))]
