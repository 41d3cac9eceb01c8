"""Convolution and its transposes on the GPU against the reference: all geometries, types, layouts, tiles; the same
bits whatever the order of threads and the number of blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.kernels import reference
from tomograd.kernels.geometry import conv_output_size
from tomograd.testing import compare
from tomograd.testing.strategies import conv_cases

activations = st.sampled_from([None, "relu"])


def assert_equal(actual, expected):
    """To the last bit: the cases' numbers are small whole ones, whose sums are exact in any order."""
    assert actual.dtype == expected.dtype and actual.flags.c_contiguous
    np.testing.assert_array_equal(actual, expected)


def check_all(cuda, x, weight, bias, dy, geometry, activation=None):
    """conv and its two transposes, as the reference computes them; the arguments stay as they were."""
    given = [x, weight, dy] + ([] if bias is None else [bias])
    before = [array.copy() for array in given]
    arguments = (x, weight, bias, *geometry, activation)
    assert_equal(cuda.conv(*arguments), reference.conv(*arguments))
    for offset in (None, np.arange(x.shape[-1], dtype=x.dtype)):
        arguments = (dy, weight, offset, x.shape[1:-1], *geometry)
        assert_equal(cuda.conv_transpose(*arguments), reference.conv_transpose(*arguments))
    arguments = (x, dy, weight.shape[:-2], *geometry)
    assert_equal(cuda.conv_weight_gradient(*arguments), reference.conv_weight_gradient(*arguments))
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
@settings(max_examples=40)
def test_few_channels(cuda, case, activation):
    check_all(cuda, case.x, case.weight, case.bias, case.dy, case.geometry, activation)


@given(case=conv_cases(max_channels=40, max_groups=2, max_batch=1))
@settings(max_examples=15)
def test_many_channels(cuda, case):
    check_all(cuda, case.x, case.weight, case.bias, case.dy, case.geometry)


PLAIN = (1, 1), ((1, 1), (1, 1)), (1, 1), 1  # as most layers are


@pytest.mark.parametrize("channels", [(1, 32), (3, 16), (16, 16), (20, 36), (35, 33), (64, 3), (16, 64), (12, 130)])
def test_channels_that_tiles_fit_and_do_not(cuda, channels):
    check_layer(cuda, 1, (7, 9), (3, 3), channels, *PLAIN, activation="relu")


def test_not_a_number_stays_where_it_is_seen(cuda):
    """Tiles at an end hold pixels, channels and terms that are nobody's."""
    x = np.ones((1, 5, 40, 17), np.float32)
    x[0, 2, 20], x[0, 4, 39] = np.nan, np.inf
    w = np.ones((3, 5, 17, 18), np.float32)
    arguments = x, w, None, (1, 1), ((1, 1), (2, 2)), (1, 1), 1
    assert_equal(cuda.conv(*arguments), reference.conv(*arguments))


@given(
    shape=st.sampled_from(
        [(0, 3), (5, 0), (1, 1), (1000, 1), (999, 3), (70, 16), (3, 1500), (4, 5, 6, 7), (30_000, 2), (700, 130), (9,)]
    ),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=22)
def test_channel_sum(cuda, shape, dtype):
    dy = np.random.default_rng(0).standard_normal(shape).astype(dtype) + dtype(100)
    terms = 1 if dtype is np.float32 else max(dy.size, 1)  # float32 is summed in double precision
    compare(cuda.channel_sum, reference.channel_sum, dy, terms=terms)
    compare(cuda.channel_sum, reference.channel_sum, dy[::-1], terms=terms)
