"""Pooling on the GPU against the reference: windows of every kind, ties, NaN, −∞, layouts, packs of channels and single
ones, means over windows of many positions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from same_bits import require_the_same_bits

from tomograd.kernels import reference
from tomograd.kernels.cuda import pooling
from tomograd.testing import compare
from tomograd.testing.strategies import laid_out, pool_cases

TWO = ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))  # windows of 2 × 2 side by side
GEOMETRIES = [
    TWO,
    ((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    ((3, 3), (1, 1), ((0, 0), (1, 1)), (1, 1)),
    ((1, 5), (1, 4), ((0, 0), (2, 1)), (1, 1)),
    ((2, 3), (1, 5), ((0, 0), (0, 0)), (1, 2)),
    ((2, 2), (3, 7), ((0, 0), (0, 0)), (1, 1)),
    ((3, 2), (2, 3), ((4, 2), (0, 0)), (3, 4)),
    ((2, 2), (3, 4), ((1, 0), (2, 1)), (2, 3)),
    ((3, 2), (4, 3), ((2, 2), (1, 0)), (1, 1)),
    ((2, 2), (9, 9), ((0, 0), (0, 0)), (1, 1)),
]


def with_channels(case, number):
    """The case's image with its channels repeated: packs of them, or a number that is no multiple of a pack."""
    return np.concatenate([np.roll(case.x, shift, axis=0 if not shift else 1) for shift in range(number)], axis=-1)


def require_max_pool_of_the_reference(cuda, x, geometry):
    """The maxima, the choices, and both transposes."""
    y, choice = cuda.max_pool(x, *geometry)
    expected, expected_choice = reference.max_pool(x, *geometry)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(choice, expected_choice)
    assert (y.dtype, choice.dtype) == (x.dtype, expected_choice.dtype)
    rng, size = np.random.default_rng(0), x.shape[1:-1]
    dy, direction = (rng.integers(-4, 5, shape).astype(x.dtype) for shape in (y.shape, x.shape))
    dx = cuda.max_pool_scatter(dy, choice, size, *geometry)
    np.testing.assert_array_equal(dx, reference.max_pool_scatter(dy, choice, size, *geometry))
    assert dx.dtype == x.dtype
    picked = cuda.max_pool_gather(direction, choice, *geometry)
    np.testing.assert_array_equal(picked, reference.max_pool_gather(direction, choice, *geometry))


def require_means_of_the_reference(cuda, x, geometry, include, layout="contiguous"):
    size, terms = x.shape[1:-1], int(np.prod(geometry[0])) + 3
    random = terms > 1000
    y = reference.average_pool(x, *geometry, include)
    compare(cuda.average_pool, reference.average_pool, x, *geometry, include, terms=terms, random=random)
    dy = laid_out(np.random.default_rng(0).standard_normal(y.shape).astype(x.dtype), layout)
    arguments = dy, size, *geometry, include
    compare(cuda.average_pool_gradient, reference.average_pool_gradient, *arguments, terms=terms, random=random)


@given(case=pool_cases(), number=st.sampled_from([1, 3, 4, 8]), spoil=st.sampled_from([None, np.nan, -np.inf, np.inf]))
def test_max_pool_and_its_transposes_equal_the_reference(cuda, case, number, spoil):
    x = with_channels(case, number)
    if spoil is not None:
        x[x > 1] = spoil
    require_max_pool_of_the_reference(cuda, x, case.geometry)


@given(case=pool_cases())
def test_max_pool_in_any_layout(cuda, case):
    y, choice = cuda.max_pool(case.x, *case.geometry)
    expected, expected_choice = reference.max_pool(case.x, *case.geometry)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(choice, expected_choice)
    wide = laid_out(choice, "strided")
    dx = cuda.max_pool_scatter(case.dy, wide, case.windows.input_size, *case.geometry)
    assert dx.flags.c_contiguous
    expected = reference.max_pool_scatter(case.dy, choice, case.windows.input_size, *case.geometry)
    np.testing.assert_array_equal(dx, expected)
    np.testing.assert_array_equal(cuda.max_pool_gather(case.x, wide, *case.geometry), y)


@given(
    case=pool_cases(values="normal", dilated=False),
    include=st.booleans(),
    number=st.sampled_from([1, 3, 4]),
    layout=st.sampled_from(["contiguous", "strided", "reversed"]),
)
def test_average_pool_and_its_gradient_equal_the_reference(cuda, case, include, number, layout):
    x = laid_out(with_channels(case, number), layout)
    require_means_of_the_reference(cuda, x, case.geometry[:3], include, layout)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("channels", [1, 4, 5, 12])
def test_rows_of_many_packs(cuda, channels, geometry):
    rng = np.random.default_rng(channels)
    x = rng.integers(-9, 10, (2, 10, 63, channels)).astype(np.float32)
    x[x == 9] = np.nan
    require_max_pool_of_the_reference(cuda, x, geometry)
    if geometry[3] == (1, 1):
        x = rng.standard_normal(x.shape).astype(np.float32)
        require_means_of_the_reference(cuda, x, geometry[:3], include=False)


@pytest.mark.parametrize("channels", [3, 16])
@pytest.mark.parametrize("window", [2, 3])
def test_what_is_not_a_number_and_what_only_adds_up_to_that(cuda, channels, window):
    """NaN before, at and behind the maximum, in a few windows of many; ±∞ in one window; sums beyond the largest
    number."""
    rng = np.random.default_rng(window)
    x = rng.standard_normal((3, 12, 30, channels)).astype(np.float32)
    x[0].ravel()[rng.choice(x[0].size, 40)] = np.nan
    x[1] = rng.choice(np.array([np.inf, -np.inf, np.nan, 1], np.float32), x[1].shape)
    x[2] = rng.choice(np.array([3e38, -3e38, 2e38], np.float32), x[2].shape)
    require_max_pool_of_the_reference(cuda, x, ((window, window), (2, 2), ((0, 1), (1, 0)), (1, 1)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_means_and_slopes_that_are_not_finite_stay_in_their_windows(cuda, value):
    x = np.zeros((1, 5, 40, 4), np.float32)
    x[:, 2, 20] = value
    for geometry in (((2, 3), (2, 3), ((0, 0), (1, 1))), ((3, 3), (1, 1), ((1, 1), (1, 1)))):
        y = cuda.average_pool(x, *geometry, False)
        np.testing.assert_array_equal(y, reference.average_pool(x, *geometry, False))
        dx = cuda.average_pool_gradient(y, (5, 40), *geometry, False)
        np.testing.assert_array_equal(dx, reference.average_pool_gradient(y, (5, 40), *geometry, False))
    y, choice = cuda.max_pool(x, *TWO)
    dx = cuda.max_pool_scatter(y, choice, (5, 40), *TWO)
    np.testing.assert_array_equal(dx, reference.max_pool_scatter(y, choice, (5, 40), *TWO))


@pytest.mark.parametrize("value", [-5.0, -1e30, -np.inf])
def test_padding_never_wins(cuda, value):
    x = np.full((1, 3, 3, 4), value, np.float32)
    y, choice = cuda.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))
    np.testing.assert_array_equal(y, np.full((1, 2, 2, 4), value, np.float32))
    np.testing.assert_array_equal(choice[0, ..., 0], [[4, 3], [1, 0]])  # the first position inside the image


@pytest.mark.parametrize("window, kind", [((15, 17), np.uint8), ((16, 16), np.int32), ((16, 17), np.int32)])
@pytest.mark.parametrize("channels", [3, 4])
def test_windows_of_more_than_255_positions_have_wide_choices(cuda, channels, window, kind):
    x = np.zeros((2, 20, 20, channels), np.float64)
    x[0, window[0] - 1, window[1] - 1, 1] = 1
    geometry = (window, (2, 1), ((0, 0), (0, 0)), (1, 1))
    choice = cuda.max_pool(x, *geometry)[1]
    assert choice.dtype == kind and choice[0, 0, 0, 1] == window[0] * window[1] - 1
    require_max_pool_of_the_reference(cuda, x, geometry)


def test_a_choice_that_no_window_has_reads_nothing(cuda):
    x = np.ones((1, 4, 4, 4), np.float32)
    choice = np.full((1, 2, 2, 4), 200, np.uint8)
    choice[..., 0] = 3
    picked = cuda.max_pool_gather(x, choice, *TWO)
    np.testing.assert_array_equal(picked, np.broadcast_to(np.float32([1, 0, 0, 0]), (1, 2, 2, 4)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 40, 50, 1), (3, 17, 19, 5), (2, 33, 64, 8), (2, 5, 6, 7, 132), (2, 700, 3)])
def test_means_over_all_positions(cuda, shape, dtype):
    x = (np.random.default_rng(0).standard_normal(shape) + 3).astype(dtype)
    size = shape[1:-1]
    require_means_of_the_reference(cuda, x, (size, size, ((0, 0),) * len(size)), include=True)


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize(
    "shape, pool", [((2, 3, 7, 1500), (2, 4)), ((1, 3, 1200, 1), (2, 1100)), ((1, 30, 9, 2), (20, 8))]
)
def test_large_windows_that_overlap(cuda, shape, pool, include):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    padding = ((0, 1), (2, 3))
    require_means_of_the_reference(cuda, x, (pool, (1, 1), padding), include)


def test_an_axis_that_lies_in_the_windows_as_a_whole(cuda):
    """It is one with the axis before it, whose windows have padding and steps."""
    x = np.random.default_rng(0).standard_normal((2, 9, 5, 6, 4)).astype(np.float32)
    for include in (False, True):
        require_means_of_the_reference(cuda, x, ((3, 5, 6), (2, 1, 3), ((2, 1), (0, 0), (0, 0))), include)
        require_means_of_the_reference(cuda, x, ((3, 5, 2), (2, 9, 1), ((2, 1), (0, 0), (1, 0))), include)


@pytest.mark.parametrize("positions, few", [(100_000, 2**16), (1000, 2**16), (1000, 0)])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_the_error_of_a_mean_grows_slowly(cuda, mean, positions, few, monkeypatch):
    """In parts, and (with so few outputs called many) by one thread: a few roundings, not hundreds."""
    monkeypatch.setattr(pooling, "FEW_OUTPUTS", few)
    x = (np.random.default_rng(0).random((1, positions, 1)) + mean).astype(np.float32)
    y = cuda.average_pool(x, (positions,), (1,), ((0, 0),), False)
    np.testing.assert_allclose(y, x.astype(np.float64).mean(1, keepdims=True), rtol=4 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (2, 4, 4, 0)])
def test_empty_arrays(cuda, shape):
    x = np.zeros(shape, np.float32)
    y, choice = cuda.max_pool(x, *TWO)
    assert y.shape == choice.shape == (shape[0], 2, 2, shape[-1])
    assert cuda.max_pool_scatter(y, choice, (4, 4), *TWO).shape == shape
    assert cuda.max_pool_gather(x, choice, *TWO).shape == y.shape
    assert cuda.average_pool(x, *TWO[:3], False).shape == y.shape
    assert cuda.average_pool_gradient(y, (4, 4), *TWO[:3], True).shape == shape
    whole = cuda.average_pool(np.zeros((shape[0], 20, 20, shape[-1])), (20, 20), (1, 1), ((0, 0), (0, 0)), False)
    assert whole.shape == (shape[0], 1, 1, shape[-1])


def test_a_window_larger_than_the_image(cuda):
    x = np.zeros((1, 3, 3, 1), np.float32)
    for pool in (lambda g: cuda.max_pool(x, *g), lambda g: cuda.average_pool(x, *g[:3], False)):
        with pytest.raises(ValueError, match=r"a window of size \(2, 4\) is larger than the padded input"):
            pool(((2, 4), (1, 1), ((0, 0), (0, 0)), (1, 1)))


def test_the_same_bits_in_every_order(cuda, on_gpu):
    rng = np.random.default_rng(0)
    x, large = rng.standard_normal((3, 20, 27, 20)).astype(np.float32), rng.standard_normal((2, 900, 5))
    geometry = ((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))

    def run():
        y, choice = cuda.max_pool(x, *geometry)
        mean = cuda.average_pool(x, *geometry[:3], False)
        dx = cuda.max_pool_scatter(y, choice, (20, 27), *geometry)
        gradient = cuda.average_pool_gradient(mean, (20, 27), *geometry[:3], True)
        return y, choice, dx, mean, gradient, cuda.average_pool(large, (800,), (7,), ((0, 0),), False)

    require_the_same_bits(run, on_gpu)
