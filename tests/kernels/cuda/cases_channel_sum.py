"""Sums over positions on the GPU: any number of channels and positions, layouts, accuracy, repeatability."""

import numpy as np
import pytest
from halves import HALVES, require_one_rounding
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.kernels import reference
from tomograd.kernels.cuda import runtime
from tomograd.testing import compare
from tomograd.testing.strategies import arrays, laid_out, shapes


@given(dy=arrays(shapes(min_dims=1, max_dims=5), values="integers"), half=st.sampled_from([None, *HALVES]))
def test_channel_sum_equals_the_reference(cuda, dy, half):
    expected = reference.channel_sum(dy)
    if half is not None:
        dy = laid_out(dy.astype(half), "reversed" if dy.size % 2 else "contiguous")
    total = cuda.channel_sum(dy)
    assert total.dtype == dy.dtype
    np.testing.assert_array_equal(total, expected.astype(dy.dtype))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("shape", [(3001, 1), (300, 24), (70, 333)])
def test_halves_are_rounded_once(cuda, dtype, shape):
    dy = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    wide = dy.astype(np.float64)
    require_one_rounding(cuda.channel_sum(dy), wide.sum(0), np.abs(wide).sum(0), dtype, 1)
    tenths = np.full((20_000, 8), 0.1, dtype)
    np.testing.assert_array_equal(cuda.channel_sum(tenths), (tenths.astype(float).sum(0)).astype(dtype))


@given(
    shape=st.sampled_from(
        [(0, 3), (5, 0), (1, 1), (1000, 1), (999, 3), (70, 16), (3, 1500), (4, 5, 6, 7), (30_000, 2), (700, 130), (9,)]
    ),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=22)
def test_sums_of_every_shape(cuda, shape, dtype):
    dy = np.random.default_rng(0).standard_normal(shape).astype(dtype) + dtype(100)
    terms = 1 if dtype is np.float32 else max(dy.size, 1)  # float32 is summed in double precision
    compare(cuda.channel_sum, reference.channel_sum, dy, terms=terms)
    compare(cuda.channel_sum, reference.channel_sum, dy[::-1], terms=terms)


@pytest.mark.parametrize("channels", [1, 5, 64])
def test_many_large_numbers_of_one_sign_keep_their_digits(cuda, channels):
    """Single precision alone would lose what is added to a sum of many."""
    dy = np.full((20_000, channels), 1000, np.float32)
    dy[1::2] += np.float32(0.5)
    np.testing.assert_allclose(cuda.channel_sum(dy), dy.sum(0, dtype=np.float64), rtol=1e-7)


@pytest.mark.parametrize("spoil", [np.nan, np.inf])
@pytest.mark.parametrize("channels", [5, 8])
def test_what_is_not_finite_stays_in_its_channel(cuda, spoil, channels):
    dy = np.ones((70, 9, channels), np.float32)
    dy[33, 4, 2] = spoil
    expected = np.full(channels, 630, np.float32)
    expected[2] = spoil
    np.testing.assert_array_equal(cuda.channel_sum(dy), expected)


@pytest.mark.parametrize("shape", [(5, 40, 30, 3), (3001, 1), (300, 333)])
def test_a_sum_repeats_bit_for_bit_on_any_device(cuda, on_gpu, shape):
    dy = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    total = cuda.channel_sum(dy)
    np.testing.assert_array_equal(cuda.channel_sum(dy), total)
    if not on_gpu:
        from emulated import Emulated

        with runtime.use(Emulated(order=1, device_blocks=50)):
            np.testing.assert_array_equal(cuda.channel_sum(dy), total)


@pytest.mark.parametrize("offset", [1, 2])
def test_an_array_that_begins_in_the_middle_of_sixteen_bytes(cuda, offset):
    dy = np.arange(100, dtype=np.float32)[offset : offset + 96].reshape(12, 8)
    np.testing.assert_array_equal(cuda.channel_sum(dy), dy.sum(0))
