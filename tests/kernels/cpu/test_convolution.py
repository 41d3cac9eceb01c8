"""The CPU's convolution against the reference: all geometries, types, layouts, register widths; the same bits each
run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.kernels import cpu, reference
from tomograd.kernels.cpu import caches, output_tiles, simd
from tomograd.kernels.cpu.launch import using_threads
from tomograd.kernels.cpu.winograd_tiles import using_winograd
from tomograd.kernels.geometry import conv_output_size
from tomograd.testing import compare
from tomograd.testing.strategies import conv_cases, seeds

activations = st.sampled_from([None, "relu"])


@pytest.fixture(autouse=True, scope="module")
def direct():
    """These tests are of the direct sum, which is exact on whole numbers; Winograd's method has its own."""
    with using_winograd(0):
        yield


def assert_equal(actual, expected):
    """To the last bit: the tests' numbers are small whole ones, whose sums are exact in any order."""
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


def check_all(case, activation=None):
    """conv and its two transposes, as the reference computes them; the arguments stay as they were."""
    before = [None if array is None else array.copy() for array in (case.x, case.weight, case.bias, case.dy)]
    arguments = (case.x, case.weight, case.bias, *case.geometry, activation)
    assert_equal(cpu.conv(*arguments), reference.conv(*arguments))
    arguments = (case.dy, case.weight, None, case.windows.input_size, *case.geometry)
    assert_equal(cpu.conv_transpose(*arguments), reference.conv_transpose(*arguments))
    arguments = (case.x, case.dy, case.windows.kernel_size, *case.geometry)
    assert_equal(cpu.conv_weight_gradient(*arguments), reference.conv_weight_gradient(*arguments))
    for array, copy in zip((case.x, case.weight, case.bias, case.dy), before, strict=True):
        assert array is copy is None or np.array_equal(array, copy)


@given(case=conv_cases(), activation=activations)
def test_few_channels(case, activation):
    check_all(case, activation)


@given(case=conv_cases(max_channels=40, max_groups=2, max_batch=1))
def test_many_channels(case):
    check_all(case)


@given(case=conv_cases(max_output=30, dims=st.integers(1, 2), max_channels=18, max_groups=1))
@settings(max_examples=25)
def test_long_rows(case):
    check_all(case)


@pytest.mark.parametrize("level", [name for name in simd.LEVELS if name != "avx512"])
@given(case=conv_cases(max_channels=9, max_output=9, max_groups=2))
@settings(max_examples=8)
def test_every_register_width(level, case):
    with simd.using_level(level):
        check_all(case)


@st.composite
def sizes(draw):
    """(batch, input size, kernel size, strides, padding, dilation) of common layers, larger than Hypothesis likes."""
    return draw(
        st.sampled_from(
            [
                (2, (37, 41), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
                (1, (16, 16), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
                (2, (33, 20), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
                (1, (45, 37), (7, 7), (2, 2), ((3, 3), (3, 3)), (1, 1)),
                (3, (19, 23), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
                (1, (27, 29), (3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2)),
                (1, (9, 11, 13), (3, 3, 3), (1, 1, 1), ((1, 1), (1, 1), (1, 1)), (1, 1, 1)),
                (2, (301,), (5,), (1,), ((2, 2),), (1,)),
                (2, (40, 1), (3, 1), (1, 1), ((1, 1), (0, 0)), (1, 1)),
            ]
        )
    )


@given(
    size=sizes(),
    channels=st.sampled_from([(1, 16), (3, 32), (16, 16), (16, 1), (32, 64), (64, 3), (20, 48)]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=seeds,
)
@settings(max_examples=30)
def test_common_layers_on_random_numbers(size, channels, dtype, seed):
    n, input_size, kernel_size, *geometry = size
    rng = np.random.default_rng(seed)
    output_size = conv_output_size(input_size, kernel_size, geometry[0], geometry[1], geometry[2])
    x, w = (
        rng.standard_normal(shape).astype(dtype) for shape in ((n, *input_size, channels[0]), (*kernel_size, *channels))
    )
    dy = rng.standard_normal((n, *output_size, channels[1])).astype(dtype)
    taps, positions = int(np.prod(kernel_size)), n * int(np.prod(output_size))
    geometry = (*geometry, 1)
    compare(cpu.conv, reference.conv, x, w, None, *geometry, terms=taps * channels[0], random=True)
    arguments = dy, w, None, input_size, *geometry
    compare(cpu.conv_transpose, reference.conv_transpose, *arguments, terms=taps * channels[1], random=True)
    arguments = x, dy, kernel_size, *geometry
    compare(cpu.conv_weight_gradient, reference.conv_weight_gradient, *arguments, terms=positions, random=True)


@given(
    channels=st.sampled_from([2, 5, 16, 35, 64]),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    multiplier=st.integers(1, 2),
    seed=seeds,
)
@settings(max_examples=15)
def test_depthwise(channels, stride, dilation, multiplier, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-4, 5, (2, 11, 23, channels)).astype(np.float32)
    w = rng.integers(-4, 5, (3, 5, 1, channels * multiplier)).astype(np.float32)
    geometry = (stride, stride), ((1, 2), (2, 0)), (dilation, dilation), channels
    bias = np.arange(channels * multiplier, dtype=np.float32)
    y = cpu.conv(x, w, bias, *geometry, "relu")
    assert_equal(y, reference.conv(x, w, bias, *geometry, "relu"))
    dy = rng.integers(-4, 5, y.shape).astype(np.float32)
    bias = np.arange(channels, dtype=np.float32)
    assert_equal(
        cpu.conv_transpose(dy, w, bias, (11, 23), *geometry), reference.conv_transpose(dy, w, bias, (11, 23), *geometry)
    )
    assert_equal(
        cpu.conv_weight_gradient(x, dy, (3, 5), *geometry), reference.conv_weight_gradient(x, dy, (3, 5), *geometry)
    )


@given(
    group=st.sampled_from([(1, 2), (2, 1), (4, 4), (3, 4), (4, 3), (2, 8)]),
    groups=st.sampled_from([2, 5, 16]),
    stride=st.integers(1, 2),
    level=st.sampled_from(["avx512", "avx2", "sse"]),
    seed=seeds,
)
@settings(max_examples=15)
def test_narrow_groups(group, groups, stride, level, seed):
    rng = np.random.default_rng(seed)
    geometry = (stride, stride), ((1, 1), (2, 0)), (1, 1), groups
    x = rng.integers(-4, 5, (2, 7, 21, group[0] * groups)).astype(np.float32)
    w = rng.integers(-4, 5, (3, 3, group[0], group[1] * groups)).astype(np.float32)
    bias = rng.integers(-4, 5, group[1] * groups).astype(np.float32)
    with simd.using_level(level):
        y = cpu.conv(x, w, bias, *geometry, "relu")
        assert_equal(y, reference.conv(x, w, bias, *geometry, "relu"))
        dy, bias = rng.integers(-4, 5, y.shape).astype(np.float32), np.arange(group[0] * groups, dtype=np.float32)
        arguments = dy, w, bias, (7, 21), *geometry
        assert_equal(cpu.conv_transpose(*arguments), reference.conv_transpose(*arguments))


@given(
    channels=st.sampled_from([(1, 16), (1, 3), (2, 24), (3, 16), (3, 64), (4, 10)]),
    kernel=st.integers(2, 5),
    stride=st.integers(1, 3),
    width=st.integers(5, 70),
    level=st.sampled_from(["avx512", "avx2", "sse", "scalar"]),
    seed=seeds,
)
@settings(max_examples=30)
def test_first_layers(channels, kernel, stride, width, level, seed):
    """Few input channels, whose windows overlap in memory number by number."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-4, 5, (2, 6, width, channels[0])).astype(np.float32)
    w = rng.integers(-4, 5, (3, kernel, *channels)).astype(np.float32)
    arguments = x, w, np.arange(channels[1], dtype=np.float32), (1, stride), ((1, 0), (1, 2)), (1, 1), 1, "relu"
    with simd.using_level(level):
        assert_equal(cpu.conv(*arguments), reference.conv(*arguments))


@given(
    width=st.integers(1, 70),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 4),
    sides=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    channels=st.sampled_from([(16, 16), (33, 16), (16, 35), (20, 64), (64, 20)]),
    groups=st.integers(1, 2),
    level=st.sampled_from(["avx512", "avx2"]),
    way=st.sampled_from(["cheapest", "copied", "moved", "staged"]),
    seed=seeds,
)
@settings(max_examples=40)
def test_ends_of_rows(width, kernel, stride, dilation, sides, channels, groups, level, way, seed):
    """Tiles of which some rows, or all, meet padding at some taps; rows shorter than a tile; padding wider than one.
    Computed in the cheapest way, and in each of the others."""
    rng = np.random.default_rng(seed)
    width = max(width, (kernel - 1) * dilation + 1 - sum(sides))
    geometry = (1, stride), ((1, 1), sides), (1, dilation), groups
    x = rng.integers(-4, 5, (2, 4, width, channels[0] * groups)).astype(np.float32)
    w = rng.integers(-4, 5, (3, kernel, channels[0], channels[1] * groups)).astype(np.float32)
    bias = rng.integers(-4, 5, channels[1] * groups).astype(np.float32)
    with simd.using_level(level), pytest.MonkeyPatch.context() as patched:
        if way != "cheapest":
            patched.setattr(output_tiles, "_cheapest", lambda costs: way if costs[way] < np.inf else "copied")
        output_tiles.plan.cache_clear()
        y = cpu.conv(x, w, bias, *geometry, "relu")
        assert_equal(y, reference.conv(x, w, bias, *geometry, "relu"))
        dy = rng.integers(-4, 5, y.shape).astype(np.float32)
        arguments = dy, w, None, x.shape[1:-1], *geometry
        assert_equal(cpu.conv_transpose(*arguments), reference.conv_transpose(*arguments))
        output_tiles.plan.cache_clear()


def test_not_a_number_stays_where_it_is_seen():
    """Tiles at a row's ends read pixels for rows that are nobody's."""
    x = np.ones((1, 5, 40, 16), np.float32)
    x[0, 2, 20], x[0, 4, 39] = np.nan, np.inf
    w = np.ones((3, 5, 16, 16), np.float32)
    arguments = x, w, None, (1, 1), ((1, 1), (2, 2)), (1, 1), 1
    assert_equal(cpu.conv(*arguments), reference.conv(*arguments))


@given(
    width=st.integers(1, 23),
    kernel=st.integers(1, 8),
    stride=st.integers(2, 5),
    before=st.integers(0, 7),
    channels=st.sampled_from([(1, 16), (2, 3), (4, 33), (20, 5)]),
    seed=seeds,
)
@settings(max_examples=30)
def test_transposes_whose_phases_are_joined(width, kernel, stride, before, channels, seed):
    """Few channels, wide strides: rows whose length the stride does not divide, kernels shorter than the stride."""
    rng = np.random.default_rng(seed)
    padding, size = ((1, 0), (min(before, kernel - 1), kernel - 1)), (5, width)
    geometry = (2, stride), padding, (1, 1)
    output_size = conv_output_size(size, (2, kernel), *geometry)
    w = rng.integers(-4, 5, (2, kernel, *channels)).astype(np.float32)
    dy = rng.integers(-4, 5, (2, *output_size, channels[1])).astype(np.float32)
    for bias in (None, np.arange(channels[0], dtype=np.float32)):
        arguments = dy, w, bias, size, *geometry, 1
        assert_equal(cpu.conv_transpose(*arguments), reference.conv_transpose(*arguments))


def test_a_sum_too_long_for_the_cache_is_cut_in_pieces():
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, (1, 5, 17, 1900)).astype(np.float32)
    w = rng.integers(-2, 3, (3, 3, 1900, 33)).astype(np.float32)
    geometry = (1, 1), ((1, 1), (1, 1)), (1, 1), 1
    bias = np.arange(33, dtype=np.float32)
    assert_equal(cpu.conv(x, w, bias, *geometry, "relu"), reference.conv(x, w, bias, *geometry, "relu"))


@given(
    case=conv_cases(max_output=30, dims=st.just(2), max_channels=3, max_groups=1, max_batch=2),
    channels=st.sampled_from([(3, 16), (16, 32), (1, 64), (20, 48)]),
    level=st.sampled_from(["avx512", "avx2", "sse"]),
)
@settings(max_examples=25)
def test_outputs_too_large_for_the_caches(case, channels, level):
    """They are stored past the caches; here all are, however small."""
    rng, shape = np.random.default_rng(0), case.x.shape[:-1]
    x = rng.integers(-4, 5, (*shape, channels[0])).astype(case.x.dtype)
    w = rng.integers(-4, 5, (*case.weight.shape[:2], *channels)).astype(x.dtype)
    dy = rng.integers(-4, 5, (*case.dy.shape[:-1], channels[1])).astype(x.dtype)
    with pytest.MonkeyPatch.context() as patched, simd.using_level(level):
        patched.setattr(caches, "last_level_bytes", lambda: 0)
        arguments = x, w, None, *case.geometry
        assert_equal(cpu.conv(*arguments), reference.conv(*arguments))
        arguments = dy, w, None, case.windows.input_size, *case.geometry
        assert_equal(cpu.conv_transpose(*arguments), reference.conv_transpose(*arguments))


def test_relu_keeps_nan():
    x = np.full((1, 4, 4, 3), np.nan, np.float32)
    y = cpu.conv(x, np.ones((3, 3, 3, 5), np.float32), None, (1, 1), ((0, 0), (0, 0)), (1, 1), 1, "relu")
    assert np.isnan(y).all()


@pytest.mark.parametrize("shape", [(0, 5, 5, 3, 4), (2, 5, 5, 0, 4), (2, 5, 5, 3, 0)])
def test_empty_batches_and_channels(shape):
    n, h, w, c_in, c_out = shape
    x, weight, bias = (np.ones(s, np.float32) for s in ((n, h, w, c_in), (3, 3, c_in, c_out), (c_out,)))
    geometry = (1, 1), ((1, 1), (1, 1)), (1, 1), 1
    assert_equal(cpu.conv(x, weight, bias, *geometry), reference.conv(x, weight, bias, *geometry))
    dy = np.ones((n, h, w, c_out), np.float32)
    assert_equal(
        cpu.conv_weight_gradient(x, dy, (3, 3), *geometry), reference.conv_weight_gradient(x, dy, (3, 3), *geometry)
    )
    bias = np.ones(c_in, np.float32)
    assert_equal(
        cpu.conv_transpose(dy, weight, bias, (h, w), *geometry),
        reference.conv_transpose(dy, weight, bias, (h, w), *geometry),
    )


def test_results_repeat_to_the_last_bit_and_conv_does_not_depend_on_threads():
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((3, 61, 67, c), dtype=np.float32) for c in (16, 24))
    w = rng.standard_normal((3, 3, 16, 24), dtype=np.float32)
    geometry = (1, 1), ((1, 1), (1, 1)), (1, 1), 1
    y, dw = cpu.conv(x, w, None, *geometry), cpu.conv_weight_gradient(x, dy, (3, 3), *geometry)
    for _ in range(3):
        assert_equal(cpu.conv(x, w, None, *geometry), y)
        assert_equal(cpu.conv_weight_gradient(x, dy, (3, 3), *geometry), dw)
    with using_threads(1):
        assert_equal(cpu.conv(x, w, None, *geometry), y)


@given(
    shape=st.sampled_from(
        [(0, 3), (5, 0), (1, 1), (1000, 1), (999, 3), (70, 16), (3, 1500), (4, 5, 6, 7), (300_000, 2)]
    ),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=18)
def test_channel_sum(shape, dtype):
    dy = np.random.default_rng(0).standard_normal(shape).astype(dtype) + dtype(100)
    terms = 1 if dtype is np.float32 else dy.size  # float32 is summed in double precision
    compare(cpu.channel_sum, reference.channel_sum, dy, terms=terms)
    compare(cpu.channel_sum, reference.channel_sum, dy[::-1], terms=terms)
