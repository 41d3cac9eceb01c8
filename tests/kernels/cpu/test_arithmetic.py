"""The sum of two arrays is NumPy's to the bit, in place too."""

import numpy as np
import pytest

from tomograd.kernels import cpu, reference


@pytest.mark.parametrize("backend", [cpu, reference])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_, np.complex64, ">f4"])
@pytest.mark.parametrize("shape", [(), (0, 3), (7, 5), (4, 61, 67, 5), (4, 61, 67, 9)])
def test_sums(shape, dtype, backend):
    x, y = (np.asarray(np.random.default_rng(i).standard_normal(shape) * 9).astype(dtype) for i in range(2))
    expected = np.asarray(x + y)
    x.flags.writeable = False
    np.testing.assert_array_equal(backend.add(x, y), expected)
    np.testing.assert_array_equal(backend.add(x[..., ::-1] if shape else x, y), (x[..., ::-1] if shape else x) + y)
    total = np.empty_like(expected)
    assert backend.add(x, y, total) is total
    np.testing.assert_array_equal(total, expected)
    assert backend.add(x, y, y) is y
    np.testing.assert_array_equal(y, expected)


def test_nan_and_infinity():
    x, y = np.full((2, 200, 200), np.inf, np.float32)
    y[0], y[1], x[2] = -np.inf, np.nan, 1
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(cpu.add(x, y), x + y)
