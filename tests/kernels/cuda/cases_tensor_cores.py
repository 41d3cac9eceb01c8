"""The instructions of the tensor cores and the asynchronous copies, one by one, against what NumPy makes of the same
matrices."""

import numpy as np
import pytest
from hypothesis import given

from tomograd.testing.strategies import seeds


@pytest.fixture(scope="session")
def probes(cuda, on_gpu):
    import probes

    if on_gpu:
        from gpu_arrays import OnGPU

        return OnGPU(probes)
    return probes


def cut(x, digits):
    """float32 rounded to so many binary digits after the point, ties away from zero; no subnormal numbers."""
    fraction, exponent = np.frexp(x.astype(np.float64))
    scaled = np.abs(fraction) * 2 ** (digits + 1)
    return (np.copysign(np.floor(scaled + 0.5), fraction) * 2.0 ** (exponent - digits - 1)).astype(np.float32)


def nearest_even(x, digits):
    fraction, exponent = np.frexp(x.astype(np.float64))
    return (np.rint(fraction * 2 ** (digits + 1)) * 2.0 ** (exponent - digits - 1)).astype(np.float32)


@given(seed=seeds)
def test_rounding(probes, seed):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal(500) * 10.0 ** rng.integers(-4, 4, 500)).astype(np.float32)
    as_tf32, as_bfloat16, as_half = probes.rounded(x)
    np.testing.assert_array_equal(as_tf32, cut(x, 10))
    np.testing.assert_array_equal(as_bfloat16, nearest_even(x, 7))
    np.testing.assert_array_equal(as_half, x.astype(np.float16).astype(np.float32))


def test_rounding_to_half_of_every_half_and_of_the_middles_between(probes):
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        middles = (halves[1:] + halves[:-1]) / 2
        for x in (halves, middles, np.nextafter(middles, np.float32(0)), np.array([65519, 65520, 1e9], np.float32)):
            np.testing.assert_array_equal(probes.rounded(x)[2], x.astype(np.float16).astype(np.float32))


def test_rounding_of_infinities_and_nan(probes):
    x = np.array([np.inf, -np.inf, np.nan, 0, -0.0], np.float32)
    for result in probes.rounded(x):
        np.testing.assert_array_equal(result, x)
        np.testing.assert_array_equal(np.signbit(result[[0, 1, 3, 4]]), np.signbit(x[[0, 1, 3, 4]]))


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "half"])
@given(seed=seeds)
def test_a_product_of_integers_is_exact(probes, precision, seed):
    rng = np.random.default_rng(seed)
    k = 8 if precision == "tf32" else 16
    a, b = rng.integers(-99, 99, (16, k)).astype(np.float32), rng.integers(-99, 99, (k, 8)).astype(np.float32)
    np.testing.assert_array_equal(probes.product(a, b, precision), a @ b)


@pytest.mark.parametrize(("precision", "digits"), [("tf32", 10), ("bfloat16", 7), ("half", 10)])
def test_a_product_of_rounded_numbers(probes, precision, digits):
    rng = np.random.default_rng(0)
    k = 8 if precision == "tf32" else 16
    a, b = rng.standard_normal((16, k)).astype(np.float32), rng.standard_normal((k, 8)).astype(np.float32)
    near = cut if precision == "tf32" else nearest_even
    expected = near(a, digits).astype(np.float64) @ near(b, digits)
    np.testing.assert_allclose(probes.product(a, b, precision), expected, rtol=0, atol=4e-6)
    assert not np.allclose(a @ b, expected, rtol=0, atol=4e-6)


def test_copies_keep_the_bytes_asked_for(probes):
    x = np.arange(1, 65 * 4 + 1, dtype=np.float32).reshape(65, 4)
    kept = (np.arange(65, dtype=np.int32) % 5) * 4
    expected = np.where(np.arange(4) * 4 < kept[:, None], x, 0)
    np.testing.assert_array_equal(probes.copied(x, kept), expected)


def test_copies_are_poison_before_they_are_waited_for(probes, on_gpu):
    if on_gpu:
        return
    x, kept = np.ones((33, 4), np.float32), np.full(33, 16, np.int32)
    assert np.isnan(probes.copied(x, kept, early=True)).all()


def test_a_kernel_that_ends_before_its_copies(probes, on_gpu):
    if on_gpu:
        return
    from emulated import EmulationError

    x, kept = np.ones((1, 4), np.float32), np.full(1, 16, np.int32)
    with pytest.raises(EmulationError, match=r"a thread ends before its cp\.async"):
        probes.copied(x, kept, waits=False)
