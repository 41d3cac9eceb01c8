"""Sums over positions on the CPU: any number of channels and positions, layouts, accuracy, repeatability."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import assert_close

from tomograd.kernels import cpu, reference
from tomograd.kernels.cpu import launch, simd
from tomograd.kernels.cpu.channel_sum import LONGEST, PARTIAL, ROOM, sums_over_positions
from tomograd.testing.strategies import arrays, shapes


@given(dy=arrays(shapes(min_dims=1, max_dims=5), values="integers"))
def test_channel_sum_equals_the_reference(dy):
    total = cpu.channel_sum(dy)
    assert total.dtype == dy.dtype
    np.testing.assert_array_equal(total, reference.channel_sum(dy))


@given(
    samples=st.integers(1, 3),
    positions=st.sampled_from([1, 7, 8, 9, 15, PARTIAL - 1, PARTIAL + 1, 3 * PARTIAL + 5]),
    channels=st.sampled_from([1, 2, 3, 7, 16, 17, 48, 129, LONGEST - 1, ROOM + 3]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_sums_of_each_sample_over_rows_of_every_length(samples, positions, channels, dtype):
    x = np.random.default_rng(positions).integers(-9, 10, (samples, positions, channels)).astype(dtype)
    np.testing.assert_array_equal(sums_over_positions(x), x.sum(1, dtype=np.float64))


def test_many_samples_are_shared_by_the_threads():
    """Some samples to a part: each is less than a thread's work, all together are more."""
    x = np.random.default_rng(0).integers(-9, 10, (100, 1000, 3)).astype(np.float32)
    with launch.using_threads(2):
        np.testing.assert_array_equal(sums_over_positions(x), x.sum(1, dtype=np.float64))


@pytest.mark.parametrize("channels", [1, 5, 64, 300])
def test_many_large_numbers_of_one_sign_keep_their_digits(channels):
    """Single precision alone would lose what is added to a sum of a million."""
    dy = np.full((100_000, channels), 1000, np.float32)
    dy[1::2] += np.float32(0.5)
    exact = dy.sum(0, dtype=np.float64)
    np.testing.assert_allclose(cpu.channel_sum(dy), exact, rtol=2e-7)


@pytest.mark.parametrize("spoil", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_channel(spoil):
    dy = np.ones((70, 9, 5), np.float32)
    dy[33, 4, 2] = spoil
    total = cpu.channel_sum(dy)
    np.testing.assert_array_equal(total[[0, 1, 3, 4]], 630)
    np.testing.assert_array_equal(total[2], np.float32(spoil))


@pytest.mark.parametrize("shape", [(5, 40, 50, 16), (300_001, 1), (700, 333)])
def test_a_sum_repeats_bit_for_bit_and_hardly_depends_on_the_threads(shape):
    dy = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    total = cpu.channel_sum(dy)
    for _ in range(3):
        np.testing.assert_array_equal(cpu.channel_sum(dy), total)
    with launch.using_threads(1):
        assert_close(cpu.channel_sum(dy), total, ulps=2)


@pytest.mark.parametrize("level", [name for name in simd.LEVELS if simd.LEVELS[name].bytes <= simd.host_level().bytes])
def test_every_instruction_set(level):
    dy = np.random.default_rng(0).integers(-9, 10, (37, 11, 7)).astype(np.float32)
    with simd.using_level(level):
        np.testing.assert_array_equal(cpu.channel_sum(dy), dy.sum((0, 1)))
