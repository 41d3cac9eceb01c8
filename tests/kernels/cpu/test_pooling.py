"""Pooling on the CPU against the reference: windows of every kind, ties, NaN, −∞, layouts, many and few channels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import inner

from tomograd.kernels import cpu, reference
from tomograd.kernels.cpu import simd
from tomograd.testing import compare
from tomograd.testing.strategies import pool_cases

TWO = ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
channels = {"max_channels": 2}


def with_channels(case, number):
    """The case's image with its channels repeated up to `number`: whole vectors, an overlapping one, a part of one."""
    return np.concatenate([np.roll(case.x, shift, axis=0 if not shift else 1) for shift in range(number)], axis=-1)


@given(case=pool_cases(), number=st.sampled_from([1, 3, 5, 7, 20]), spoil=st.sampled_from([None, np.nan, -np.inf]))
def test_max_pool_and_its_transposes_equal_the_reference(case, number, spoil):
    x = with_channels(case, number)
    if spoil is not None:
        x[x > 1] = spoil
    y, choice = cpu.max_pool(x, *case.geometry)
    expected, expected_choice = reference.max_pool(x, *case.geometry)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(choice, expected_choice)
    assert (y.dtype, choice.dtype) == (x.dtype, expected_choice.dtype)

    dy = np.random.default_rng(0).integers(-4, 5, y.shape).astype(x.dtype)
    dx = cpu.max_pool_scatter(dy, choice, case.windows.input_size, *case.geometry)
    np.testing.assert_array_equal(dx, reference.max_pool_scatter(dy, choice, case.windows.input_size, *case.geometry))
    direction = np.random.default_rng(1).integers(-4, 5, x.shape).astype(x.dtype)
    picked = cpu.max_pool_gather(direction, choice, *case.geometry)
    np.testing.assert_array_equal(picked, reference.max_pool_gather(direction, choice, *case.geometry))


@given(case=pool_cases(values="normal", dilated=False), include=st.booleans(), number=st.sampled_from([1, 3, 6, 20]))
def test_average_pool_and_its_gradient_equal_the_reference(case, include, number):
    size, x = case.windows.input_size, with_channels(case, number)
    geometry = (*case.geometry[:3], include)
    terms = int(np.prod(case.windows.kernel_size))
    compare(cpu.average_pool, reference.average_pool, x, *geometry, terms=terms)
    shape = (len(x), *case.windows.output_size, x.shape[-1])
    dy = np.random.default_rng(0).standard_normal(shape).astype(x.dtype)
    compare(cpu.average_pool_gradient, reference.average_pool_gradient, dy, size, *geometry, terms=terms)


@given(case=pool_cases())
def test_any_layout_gives_the_result_of_a_contiguous_array_and_is_not_changed(case):
    before = case.x.copy()
    for given_layout, contiguous in zip(
        cpu.max_pool(case.x, *case.geometry), cpu.max_pool(before, *case.geometry), strict=True
    ):
        np.testing.assert_array_equal(given_layout, contiguous)
    np.testing.assert_array_equal(case.x, before)


@pytest.mark.parametrize("channels", [3, 16, 40])
@pytest.mark.parametrize("window", [2, 3])
def test_what_is_not_a_number_and_what_only_adds_up_to_that(channels, window):
    """NaN before, at and behind the maximum, in a few windows of many; ±∞ in one window; sums beyond the largest
    number."""
    rng = np.random.default_rng(window)
    x = rng.standard_normal((3, 12, 70, channels)).astype(np.float32)
    x[0].ravel()[rng.choice(x[0].size, 40)] = np.nan
    x[1] = rng.choice(np.array([np.inf, -np.inf, np.nan, 1], np.float32), x[1].shape)
    x[2] = rng.choice(np.array([3e38, -3e38, 2e38], np.float32), x[2].shape)
    geometry = ((window, window), (2, 2), ((0, 1), (1, 0)), (1, 1))
    y, choice = cpu.max_pool(x, *geometry)
    expected, expected_choice = reference.max_pool(x, *geometry)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(choice, expected_choice)


@pytest.mark.parametrize("size", [(6, 8), (7, 8), (6, 9)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_windows_side_by_side_with_and_without_a_rest(size, dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (2, *size, 33)).astype(dtype)
    y, choice = cpu.max_pool(x, *TWO)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = cpu.max_pool_scatter(dy, choice, size, *TWO)
    np.testing.assert_array_equal(dx, reference.max_pool_scatter(dy, choice, size, *TWO))
    assert inner(x, dx) == pytest.approx(inner(y, dy), rel=1e-6)


FEW_CHANNELS_TO_MANY = [1, 2, 3, 5, 8, 11, 12, 15, 16, 17, 33, 100]


@pytest.mark.parametrize("channels", FEW_CHANNELS_TO_MANY)
@pytest.mark.parametrize(
    "geometry",
    [
        ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
        ((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
        ((3, 3), (1, 1), ((0, 0), (1, 1)), (1, 1)),
        ((1, 5), (1, 4), ((0, 0), (2, 1)), (1, 1)),
        ((2, 3), (1, 5), ((0, 0), (0, 0)), (1, 2)),
        ((2, 2), (3, 7), ((0, 0), (0, 0)), (1, 1)),
    ],
)
def test_rows_of_many_vectors(channels, geometry):
    """Long enough that the lanes' regular vectors are used, and what is before and behind them."""
    rng = np.random.default_rng(channels)
    x = rng.integers(-9, 10, (2, 7, 83, channels)).astype(np.float32)
    x[x == 9] = np.nan
    y, choice = cpu.max_pool(x, *geometry)
    expected, expected_choice = reference.max_pool(x, *geometry)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(choice, expected_choice)
    dy = rng.integers(-4, 5, y.shape).astype(np.float32)
    np.testing.assert_array_equal(
        cpu.max_pool_scatter(dy, choice, (7, 83), *geometry),
        reference.max_pool_scatter(dy, choice, (7, 83), *geometry),
    )
    np.testing.assert_array_equal(
        cpu.max_pool_gather(x, choice, *geometry), reference.max_pool_gather(x, choice, *geometry)
    )
    if geometry[3] == (1, 1):
        x, average = rng.standard_normal(x.shape).astype(np.float32), (*geometry[:3], False)
        terms = int(np.prod(geometry[0]))
        compare(cpu.average_pool, reference.average_pool, x, *average, terms=terms)
        compare(cpu.average_pool_gradient, reference.average_pool_gradient, dy, (7, 83), *average, terms=terms)


def test_infinities_stay_in_their_own_windows():
    """Numbers that a vector's window of registers touches, but no pooling window, count for nothing."""
    x = np.zeros((1, 5, 100, 3), np.float32)
    x[:, :, 50] = np.inf
    for geometry in (((2, 3), (2, 3), ((0, 0), (1, 1))), ((3, 3), (1, 1), ((1, 1), (1, 1)))):
        y = cpu.average_pool(x, *geometry, False)
        np.testing.assert_array_equal(y, reference.average_pool(x, *geometry, False))
        dx = cpu.average_pool_gradient(y, (5, 100), *geometry, False)
        np.testing.assert_array_equal(dx, reference.average_pool_gradient(y, (5, 100), *geometry, False))


@pytest.mark.parametrize(
    "shape, pool", [((2, 3, 7, 1500), (2, 4)), ((1, 3, 4600, 1), (2, 4500)), ((1, 3, 9, 2), (2, 8))]
)
def test_windows_larger_than_the_room_for_them(shape, pool):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    geometry = (pool, (1, 1), ((0, 1), (0, 0)), False)
    terms = int(np.prod(pool))
    compare(cpu.average_pool, reference.average_pool, x, *geometry, terms=terms, random=True)
    y = cpu.average_pool(x, *geometry)
    arguments = y, shape[1:-1], *geometry
    compare(cpu.average_pool_gradient, reference.average_pool_gradient, *arguments, terms=terms, random=True)


@pytest.mark.parametrize("shape", [(1, 40, 50, 1), (3, 17, 19, 5), (2, 33, 64, 64), (4, 5, 6, 300)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_average_over_all_positions(shape, dtype):
    x = (np.random.default_rng(0).standard_normal(shape) + 3).astype(dtype)
    geometry = shape[1:-1], shape[1:-1], ((0, 0), (0, 0))
    y = cpu.average_pool(x, *geometry, False)
    assert y.shape == (shape[0], 1, 1, shape[-1])
    compare(cpu.average_pool, lambda x, *_: x.mean((1, 2), keepdims=True), x, *geometry, False,
            terms=shape[1] * shape[2], random=True)  # fmt: skip
    compare(cpu.average_pool_gradient, reference.average_pool_gradient, y[::-1], shape[1:-1], *geometry, True)


def test_an_average_over_all_positions_keeps_its_digits():
    """Single precision alone would lose what is added to a sum of a hundred million."""
    x = np.full((1, 300, 400, 3), 1000, np.float32)
    x[:, 1::2] += np.float32(0.5)
    y = cpu.average_pool(x, (300, 400), (300, 400), ((0, 0), (0, 0)), False)
    np.testing.assert_allclose(y, 1000.25, rtol=2e-7)


@pytest.mark.parametrize("level", [name for name in simd.LEVELS if simd.LEVELS[name].bytes <= simd.host_level().bytes])
def test_every_instruction_set(level):
    x = np.random.default_rng(0).integers(-9, 10, (1, 6, 41, 3)).astype(np.float32)
    with simd.using_level(level):
        y, choice = cpu.max_pool(x, *TWO)
        dx = cpu.max_pool_scatter(y, choice, (6, 41), *TWO)
        compare(cpu.average_pool, reference.average_pool, x, *TWO[:3], False, terms=4)
    expected, expected_choice = reference.max_pool(x, *TWO)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(choice, expected_choice)
    np.testing.assert_array_equal(dx, reference.max_pool_scatter(y, choice, (6, 41), *TWO))


@pytest.mark.parametrize("window, kind", [((15, 17), np.uint8), ((16, 16), np.int32), ((16, 17), np.int32)])
def test_windows_of_more_than_255_positions_have_wide_choices(window, kind):
    x = np.zeros((1, 20, 20, 3), np.float32)
    x[0, window[0] - 1, window[1] - 1, 1] = 1
    geometry = (window, (2, 1), ((0, 0), (0, 0)), (1, 1))
    _, choice = cpu.max_pool(x, *geometry)
    assert choice.dtype == kind
    np.testing.assert_array_equal(choice, reference.max_pool(x, *geometry)[1])
    assert choice[0, 0, 0, 1] == math.prod(window) - 1


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (2, 4, 4, 0)])
def test_empty_arrays(shape):
    x = np.zeros(shape, np.float32)
    y, choice = cpu.max_pool(x, *TWO)
    assert y.shape == choice.shape == (shape[0], 2, 2, shape[-1])
    assert cpu.max_pool_scatter(y, choice, (4, 4), *TWO).shape == shape
    assert cpu.max_pool_gather(x, choice, *TWO).shape == y.shape
    assert cpu.average_pool_gradient(y, (4, 4), *TWO[:3], True).shape == shape


def test_large_arrays_are_the_same_on_one_thread_and_on_all():
    from tomograd.kernels.cpu import launch

    x = np.random.default_rng(0).standard_normal((2, 64, 66, 48)).astype(np.float32)
    geometry = ((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))

    def results():
        y, choice = cpu.max_pool(x, *geometry)
        return y, choice, cpu.max_pool_scatter(y, choice, (64, 66), *geometry)

    with launch.using_threads(1):
        serial = results()
    for one, other in zip(serial, results(), strict=True):
        np.testing.assert_array_equal(one, other)
