"""Softmax and its kin on the GPU against the reference in double precision: few and many columns, extreme rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import assert_close
from numerics import assert_close_beside_one as close
from same_bits import require_the_same_bits

from tomograd.kernels import reference
from tomograd.testing.strategies import LAYOUTS, laid_out

NAMES = ("softmax", "log_softmax", "logsumexp")
# Up to 4 in a lane, 128 in a warp; beyond, blocks of 64 and more threads, with and without a second round of theirs.
WIDTHS = st.sampled_from([0, 1, 2, 3, 4, 5, 8, 17, 21, 64, 127, 128, 129, 256, 257, 700, 2053])


@given(
    rows=st.sampled_from([0, 1, 5, 31, 64, 67]),
    width=WIDTHS,
    dtype=st.sampled_from([np.float32, np.float64]),
    layout=st.sampled_from(LAYOUTS),
)
def test_softmax_and_its_kin(cuda, rows, width, dtype, layout):
    rng = np.random.default_rng(rows + width)
    x = laid_out((rng.standard_normal((rows, width)) * 5).astype(dtype), layout)
    dy = laid_out(rng.standard_normal((rows, width)).astype(dtype), layout)
    wide, wide_dy = x.astype(np.float64, "C"), dy.astype(np.float64, "C")
    for name in NAMES:
        result = getattr(cuda, name)(x)
        assert result.dtype == dtype and result.flags.c_contiguous
        close(result, getattr(reference, name)(wide))
    for name in ("softmax", "log_softmax"):
        y = getattr(reference, name)(x)
        gradient = getattr(cuda, f"{name}_gradient")(dy, y)
        expected = getattr(reference, f"{name}_gradient")(wide_dy, y.astype(np.float64))
        assert_close(gradient, expected, scale=1 + np.abs(wide_dy).sum(-1).max(initial=0))


@pytest.mark.parametrize("width", [3, 20, 70, 300])
@pytest.mark.parametrize("name", NAMES)
def test_rows_with_infinities_and_nan(cuda, name, width):
    x = np.zeros((6, width), np.float32)
    x[0, 1], x[1, 0], x[2, :], x[3, :2], x[4, 2] = -np.inf, np.inf, -np.inf, (np.inf, np.nan), 1e38
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(getattr(cuda, name)(x), getattr(reference, name)(x), rtol=1e-6)


def test_many_rows_go_round_the_device(cuda):
    x = np.random.default_rng(0).standard_normal((3, 7, 59, 2)).astype(np.float32)
    close(cuda.softmax(x), reference.softmax(x.astype(np.float64)))
    assert cuda.logsumexp(x).shape == (3, 7, 59)


def test_a_long_sum_loses_no_digits(cuda):
    x = np.full((1, 100_003), 0.1, np.float32)
    np.testing.assert_allclose(cuda.softmax(x), 1 / 100_003, rtol=2e-7)


@pytest.mark.parametrize("width", [5, 300])
def test_the_same_bits_in_every_order(cuda, on_gpu, width):
    x, dy = np.random.default_rng(0).standard_normal((2, 60, width)).astype(np.float32)
    names = ("softmax", "log_softmax", "logsumexp")
    run = lambda: (*[getattr(cuda, name)(x) for name in names], cuda.softmax_gradient(dy, x))  # noqa: E731
    require_the_same_bits(run, on_gpu)
