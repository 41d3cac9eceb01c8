"""Convolution and its transposes on the GPU against the reference: all geometries, types, layouts, tiles; the same
bits whatever the order of threads and the number of blocks."""

import contextlib
from itertools import product

import numpy as np
import pytest
from halves import BFLOAT16, HALVES, require_one_rounding
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.kernels import reference
from tomograd.kernels.cuda import output_tiles, runtime, weight_tiles
from tomograd.kernels.geometry import conv_output_size
from tomograd.testing import compare
from tomograd.testing.strategies import conv_cases

activations = st.sampled_from([None, "relu"])


def assert_equal(actual, expected):
    """To the last bit: the cases' numbers are small whole ones, whose sums are exact in any order."""
    assert actual.dtype == expected.dtype and actual.flags.c_contiguous
    np.testing.assert_array_equal(actual, expected)


def rounded(function, x, *arguments):
    """What the reference makes of the arguments in double precision, in their own type."""
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in (x, *arguments)]
    return function(*wide).astype(x.dtype)


def check_all(cuda, x, weight, bias, dy, geometry, activation=None):
    """conv and its two transposes, as the reference computes them; the arguments stay as they were."""
    given = [x, weight, dy] + ([] if bias is None else [bias])
    before = [array.copy() for array in given]
    arguments = (x, weight, bias, *geometry, activation)
    assert_equal(cuda.conv(*arguments), rounded(reference.conv, *arguments))
    for offset in (None, np.arange(x.shape[-1], dtype=x.dtype)):
        arguments = (dy, weight, offset, x.shape[1:-1], *geometry)
        assert_equal(cuda.conv_transpose(*arguments), rounded(reference.conv_transpose, *arguments))
    arguments = (x, dy, weight.shape[:-2], *geometry)
    assert_equal(cuda.conv_weight_gradient(*arguments), rounded(reference.conv_weight_gradient, *arguments))
    for array, copy in zip(given, before, strict=True):
        assert np.array_equal(array, copy)


def whole(seed, *shapes, dtype=np.float32):
    """Arrays of small whole numbers."""
    rng = np.random.default_rng(seed)
    return [rng.integers(-4, 5, shape).astype(dtype) for shape in shapes]


def check_layer(cuda, batch, input_size, kernel_size, channels, *geometry, dtype=np.float32, activation=None):
    """`check_all` for the layer of these sizes; channels are those in and out, of all groups."""
    output_size = conv_output_size(input_size, kernel_size, *geometry[:3])
    weights = (*kernel_size, channels[0] // geometry[3], channels[1])
    shapes = (batch, *input_size, channels[0]), weights, (channels[1],), (batch, *output_size, channels[1])
    check_all(cuda, *whole(len(weights), *shapes, dtype=dtype), geometry, activation)


@given(case=conv_cases(), activation=activations)
@settings(max_examples=30)
def test_few_channels(cuda, case, activation):
    check_all(cuda, case.x, case.weight, case.bias, case.dy, case.geometry, activation)


@given(case=conv_cases(max_channels=40, max_groups=2, max_batch=1))
@settings(max_examples=15)
def test_many_channels(cuda, case):
    check_all(cuda, case.x, case.weight, case.bias, case.dy, case.geometry)


@pytest.mark.parametrize(
    "channels", [(1, 1), (1, 20), (2, 16), (4, 33), (8, 1), (20, 2), (36, 3), (64, 4), (6, 4), (4, 4)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, BFLOAT16], ids=str)
def test_first_and_last_layers(cuda, channels, dtype):
    """Few channels on one side, in both directions; rows shorter and longer than a thread's pixels."""
    for width in (3, 9):
        check_layer(cuda, 2, (4, width), (3, 2), channels, (1, 2), ((1, 1), (1, 0)), (1, 1), 1, dtype=dtype)


def test_few_channels_whose_weights_are_too_many_for_a_block(cuda):
    check_layer(cuda, 1, (20, 22), (20, 21), (1, 20), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    check_layer(cuda, 1, (10, 11), (10, 10), (128, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)


PLAIN = (1, 1), ((1, 1), (1, 1)), (1, 1), 1  # as most layers are


@pytest.mark.parametrize("channels", [(1, 32), (3, 16), (16, 16), (20, 36), (35, 33), (64, 3), (16, 64), (12, 130)])
def test_channels_that_tiles_fit_and_do_not(cuda, channels):
    check_layer(cuda, 1, (7, 9), (3, 3), channels, *PLAIN, activation="relu")


@pytest.mark.parametrize("channels", [(128, 8), (8, 128), (100, 92), (35, 100), (48, 50), (50, 48)])
def test_the_tiles_of_large_images(cuda, monkeypatch, channels):
    monkeypatch.setattr(output_tiles, "ENOUGH", 1)
    check_layer(cuda, 1, (7, 21), (3, 2), channels, *PLAIN, activation="relu")


# (dtype, batch, input size, kernel size, strides, padding, dilation): what is special in a dimension
GEOMETRIES = [
    (np.float32, 2, (11,), (5,), (2,), ((2, 1),), (1,)),
    (np.float64, 1, (9, 8), (3, 2), (2, 3), ((0, 2), (3, 1)), (3, 2)),
    (np.float32, 2, (5, 6, 7), (3, 3, 3), (1, 2, 2), ((1, 1), (1, 0), (1, 1)), (1, 1, 1)),
    (np.float32, 1, (23, 25), (2, 3), (11, 9), ((1, 0), (0, 4)), (1, 1)),  # strides of more phases than a launch takes
    (np.float64, 1, (40,), (3,), (12,), ((0, 0),), (4,)),  # and of phases that no tap reaches
    (np.float16, 1, (9, 8), (3, 2), (2, 3), ((0, 2), (3, 1)), (3, 2)),
    (BFLOAT16, 2, (3, 6, 5), (1, 3, 2), (1, 2, 1), ((0, 0), (1, 0), (1, 1)), (1, 1, 2)),
    (np.float32, 3, (1, 1), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),  # of one pixel, most taps see padding
    (np.float32, 1, (6, 6), (1, 1), (1, 1), ((3, 3), (4, 0)), (1, 1)),  # of many pixels, most are padding
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: f"{len(geometry[2])}D-stride{geometry[4][-1]}")
@pytest.mark.parametrize(
    "channels", [(3, 5, 1), (12, 3, 1), (8, 12, 1), (7, 9, 1), (8, 24, 2), (6, 6, 6), (8, 8, 8), (4, 12, 4), (9, 6, 3)]
)
def test_geometries_with_groups_of_every_kind(cuda, geometry, channels):
    """Groups that are matrices, that are narrow, and depthwise ones with one and several outputs each."""
    dtype, batch, input_size, kernel_size, *rest = geometry
    *channels, groups = channels
    check_layer(cuda, batch, input_size, kernel_size, channels, *rest, groups, dtype=dtype, activation="relu")


def test_depthwise_rows_of_every_length(cuda):
    """A thread computes a few pixels, of which some may be nobody's."""
    for width in range(1, 10):
        dtype = (np.float32, *HALVES)[width % 3]
        check_layer(cuda, 1, (3, width), (3, 4), (20, 20), (1, 1), ((1, 1), (2, 1)), (1, 1), 20, dtype=dtype)


@pytest.mark.parametrize(
    ("dtype", "channels"),
    [
        *product([np.float32, np.float64], [(40, 36, 1), (24, 72, 1), (33, 130, 1)]),
        *product([np.float32, np.float64, *HALVES], [(36, 36, 36), (130, 130, 65)]),
    ],
    ids=str,
)
def test_gradients_of_weights_from_many_pixels(cuda, dtype, channels):
    """Enough pixels for several parts, the last of them shorter."""
    *channels, groups = channels
    x, dy = whole(0, (2, 13, 23, channels[0]), (2, 13, 23, channels[1]), dtype=dtype)
    arguments = x, dy, (3, 1), (1, 1), ((1, 1), (0, 0)), (1, 1), groups
    assert_equal(cuda.conv_weight_gradient(*arguments), rounded(reference.conv_weight_gradient, *arguments))


def test_a_gradient_of_weights_from_a_part_that_is_summed_in_runs(cuda, monkeypatch):
    x, dy = np.random.default_rng(0).standard_normal((2, 1, 4500, 1), np.float32) + np.float32(3)
    monkeypatch.setattr(weight_tiles, "FEWEST_PIXELS", 1 << 30)
    arguments = x, dy, (1,), (1,), ((0, 0),), (1,), 1
    compare(cuda.conv_weight_gradient, reference.conv_weight_gradient, *arguments, terms=2048 + 3, random=True)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("channels", [(1, 20, 1), (16, 3, 1), (24, 24, 24), (7, 7, 7)])
def test_halves_of_few_channels_and_narrow_groups(cuda, channels, dtype):
    """On the ordinary units: sums in float32, one rounding."""
    rng = np.random.default_rng(1)
    c_in, c_out, groups = channels
    shapes = (2, 9, 7, c_in), (3, 3, c_in // groups, c_out), (2, 9, 7, c_out), (c_out,)
    x, w, dy, bias = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    geometry = (*PLAIN[:3], groups)

    def check(function, terms, *arguments):
        twin = getattr(reference, function.__name__)
        wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]
        size = twin(*[np.abs(a) if isinstance(a, np.ndarray) else a for a in wide])
        require_one_rounding(function(*arguments), twin(*wide), size, dtype, terms)

    check(cuda.conv, 9 * c_in // groups + 1, x, w, bias, *geometry)
    check(cuda.conv_transpose, 9 * c_out // groups, dy, w, None, (9, 7), *geometry)
    check(cuda.conv_weight_gradient, 2 * 9 * 7, x, dy, (3, 3), *geometry)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_numbers(cuda, dtype):
    rng = np.random.default_rng(0)
    x, w, dy = (
        rng.standard_normal(shape).astype(dtype) for shape in ((2, 13, 11, 20), (3, 3, 20, 24), (2, 13, 11, 24))
    )
    bias, geometry = rng.standard_normal(24).astype(dtype), PLAIN
    compare(cuda.conv, reference.conv, x, w, bias, *geometry, "relu", terms=181, random=True)
    compare(cuda.conv_transpose, reference.conv_transpose, dy, w, None, (13, 11), *geometry, terms=216, random=True)
    arguments = x, dy, (3, 3), *geometry
    compare(cuda.conv_weight_gradient, reference.conv_weight_gradient, *arguments, terms=286, random=True)


@pytest.mark.parametrize("groups", [1, 6])
def test_results_repeat_bit_for_bit_in_any_order_of_threads_on_any_device(cuda, on_gpu, groups):
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((2, 19, 17, 6), np.float32) for _ in range(2))
    w = rng.standard_normal((3, 3, 6 // groups, 6), np.float32)
    geometry = (1, 1), ((1, 1), (1, 1)), (1, 1), groups

    def results():
        return (
            cuda.conv(x, w, w[0, 0, 0], *geometry),
            cuda.conv_transpose(dy, w, None, (19, 17), *geometry),
            cuda.conv_weight_gradient(x, dy, (3, 3), *geometry),
        )

    first = results()
    for device in devices(on_gpu):
        with device:
            for result, expected in zip(results(), first, strict=True):
                assert_equal(result, expected)


def devices(on_gpu):
    """Contexts of launches: twice the GPU, or emulated devices of different sizes whose threads run in other orders."""
    if on_gpu:
        return [contextlib.nullcontext()] * 2
    from emulated import Emulated

    return [runtime.use(Emulated(*each)) for each in [(0, 1), (1, 2), (2, 100), (3, 7)]]


def test_not_a_number_stays_where_it_is_seen(cuda):
    """Tiles at an end hold pixels, channels and terms that are nobody's."""
    x = np.ones((1, 5, 40, 17), np.float32)
    x[0, 2, 20], x[0, 4, 39] = np.nan, np.inf
    w = np.ones((3, 5, 17, 18), np.float32)
    arguments = x, w, None, (1, 1), ((1, 1), (2, 2)), (1, 1), 1
    assert_equal(cuda.conv(*arguments), reference.conv(*arguments))


@pytest.mark.parametrize("groups", [1, 4])
def test_relu_keeps_nan(cuda, groups):
    x = np.full((1, 4, 4, 4), np.nan, np.float32)
    w = np.ones((3, 3, 4 // groups, 8 * groups), np.float32)
    assert np.isnan(cuda.conv(x, w, None, (1, 1), ((0, 0), (0, 0)), (1, 1), groups, "relu")).all()


def test_an_activation_that_is_unknown(cuda):
    x = np.ones((1, 4, 3), np.float32)
    with pytest.raises(ValueError, match="activation = 'tanh': expected None or"):
        cuda.conv(x, np.ones((1, 3, 3), np.float32), None, (1,), ((0, 0),), (1,), 1, "tanh")


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("shape", [(0, 5, 5, 3, 6), (2, 5, 5, 0, 6), (2, 5, 5, 3, 0), (0, 5, 5, 0, 0)])
def test_empty_batches_and_channels(cuda, shape, groups):
    n, h, w, c_in, c_out = shape
    shapes = (n, h, w, c_in), (3, 3, c_in // groups, c_out), (c_out,), (n, h, w, c_out)
    check_all(cuda, *whole(0, *shapes), (*PLAIN[:3], groups))


def test_arrays_that_begin_in_the_middle_of_sixteen_bytes(cuda):
    shapes = (1, 5, 5, 8), (3, 3, 8, 8), (8,), (1, 5, 5, 8)
    x, w, bias, dy = (
        np.concatenate([[0], array.ravel()]).astype(np.float32)[1:].reshape(array.shape) for array in whole(0, *shapes)
    )
    check_all(cuda, x, w, bias, dy, PLAIN)
    check_all(cuda, x, w[:, :, :1], bias, dy, (*PLAIN[:3], 8))
