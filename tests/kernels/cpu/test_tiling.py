"""The cost model on layers that nobody chose: whatever the shape, its tiles fit in the registers and lie in bounds, at
every instruction set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.kernels.cpu import correlation, simd, weight_tiles
from tomograd.kernels.cpu.tiling import (
    LATENCY,
    MOST_DOT_ROWS,
    MOST_VECTORS,
    channel_tile,
    dot_tile,
    gradient_tile,
    output_tile,
    short_run_tile,
)
from tomograd.kernels.geometry import conv_output_size

levels = pytest.mark.parametrize("level", simd.LEVELS.values(), ids=lambda level: level.name)
sizes = st.one_of(st.integers(1, 20), st.integers(1, 5000))


@levels
@given(pixels=sizes, vectors=sizes, depth=sizes)
def test_output_tiles_fit(level, pixels, vectors, depth):
    rows, wide, cycles = output_tile(pixels, vectors, depth, level)
    assert 1 <= rows <= pixels
    assert 1 <= wide <= min(vectors, MOST_VECTORS)
    assert rows * wide + wide + 1 <= level.registers
    # Two multiply-adds a cycle, at most.
    assert cycles >= pixels * vectors * depth / 2


@levels
@given(pixels=sizes, vectors=sizes, taps=st.integers(1, 12), channels=st.integers(1, 12), stride=st.integers(1, 4))
def test_output_tiles_over_short_runs_fit(level, pixels, vectors, taps, channels, stride):
    length, step = taps * channels, stride * channels
    (rows, wide, cycles), shared = short_run_tile(pixels, vectors, 3 * length, length, step, level)
    assert 1 <= rows <= pixels
    assert 1 <= wide <= min(vectors, MOST_VECTORS)
    assert rows * wide + wide * (length if shared else 1) + 1 <= level.registers
    assert not shared or step < length  # else windows have nothing in common
    assert cycles >= pixels * vectors * 3 * length / 2


@levels
@given(
    pixels=sizes,
    channels=st.integers(1, 40),
    steps=sizes,
    crossings=st.floats(0, 1),
    unshared=st.floats(0, 1),
    together=st.booleans(),
)
def test_output_tiles_with_lanes_over_the_input_fit(level, pixels, channels, steps, crossings, unshared, together):
    lanes = max(1, level.bytes // 4)
    rows, columns, cycles = dot_tile(pixels, channels, steps, lanes, crossings, unshared, together, level)
    assert 1 <= rows <= min(pixels, MOST_DOT_ROWS)
    assert 1 <= columns <= min(channels, MOST_VECTORS)
    assert rows * columns + columns + 1 <= level.registers
    assert cycles >= pixels * channels * steps / 2


@levels
@given(kernel_rows=st.integers(1, 30), run=sizes, vectors=sizes)
def test_gradient_tiles_fit(level, kernel_rows, run, vectors):
    (groups, rows, wide, phases), cycles = gradient_tile(kernel_rows, run, vectors, level)
    assert 1 <= groups <= kernel_rows
    assert 1 <= rows <= run
    assert groups == 1 or rows == run  # several kernel rows only whole
    assert 1 <= wide <= min(vectors, MOST_VECTORS)
    sums = groups * rows * wide * phases
    assert sums + wide + 1 <= level.registers
    assert sums >= 2 * LATENCY or 2 * sums + wide + 1 > level.registers  # as many as can be
    assert cycles >= kernel_rows * run * vectors / 2


@levels
@given(
    row=sizes,
    kernel_rows=st.integers(1, 9),
    taps=st.integers(1, 40),
    inputs=st.integers(1, 16),
    vectors=sizes,
    stride=st.integers(1, 4),
    dilation=st.integers(1, 4),
)
def test_tiles_of_channels_apart_fit(level, row, kernel_rows, taps, inputs, vectors, stride, dilation):
    found = channel_tile(row, kernel_rows, taps, inputs, vectors, stride, dilation, level)
    if found is None:
        assert 2 * inputs + 5 > level.registers  # not even one tap
        return
    (rows, width, wide, pixels, phases), cycles = found
    assert 1 <= rows <= kernel_rows
    assert 1 <= width <= taps
    assert rows == 1 or width == taps
    assert 1 <= wide <= min(vectors, MOST_VECTORS)
    assert pixels % phases == 0
    assert rows * width * inputs * wide * phases + pixels + 1 <= level.registers
    assert cycles >= kernel_rows * taps * inputs * vectors / 2


@st.composite
def layers(draw):
    """The correlation of a random layer: grouped or not, any kernel, stride and dilation that its input allows."""
    dims = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 1, 2, 5, 16, 40]))
    widest = 600 if groups == 1 else 12
    c, k = (groups * draw(st.integers(1, widest)) for _ in range(2))
    kernel = tuple(draw(st.integers(1, 9)) for _ in range(dims))
    dilation = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    strides = tuple(draw(st.integers(1, 4)) for _ in range(dims))
    spans = [(size - 1) * d + 1 for size, d in zip(kernel, dilation, strict=True)]
    input_size = tuple(draw(st.integers(span, span + 300 // dims**2)) for span in spans)
    padding = tuple((draw(st.integers(0, span - 1)), draw(st.integers(0, span - 1))) for span in spans)
    output_size = conv_output_size(input_size, kernel, strides, padding, dilation)
    batch = draw(st.integers(1, 4))
    return correlation.of_convolution(batch, input_size, output_size, kernel, strides, padding, dilation, groups, c, k)


@levels
@given(layer=layers(), dtype=st.sampled_from([np.float32, np.float64]))
@settings(max_examples=60)
def test_all_arrangements_of_a_weight_gradient_cover_it_and_stay_in_bounds(level, layer, dtype):
    with simd.using_level(level.name) as host:
        lanes = simd.vector_of(np.dtype(dtype)).lanes
        tilings = weight_tiles.tilings(layer, np.dtype(dtype), host)
    for tiling in tilings:
        groups, rows, wide, phases = tiling.shape
        numbers = tiling.taps * tiling.groups * tiling.kernel_rows * tiling.run * tiling.columns
        assert numbers == layer.taps * layer.groups * layer.channels_in * layer.channels_out
        # Tiles are moved back until they end where the gradient does, so none may be larger than the gradient.
        assert 1 <= groups <= tiling.kernel_rows
        assert 1 <= rows <= tiling.run
        assert 1 <= wide <= -(-tiling.columns // lanes)
        assert groups * rows * wide * phases + wide + 1 <= host.registers or tiling.pattern is not None
        if tiling.pattern is not None:
            assert tiling.pattern.rows == groups * rows
            assert lanes % tiling.pattern.group_outputs == 0
            assert tiling.pattern.group_inputs <= tiling.pattern.group_outputs


@given(
    most_parts=st.integers(1, 128),
    cycles=st.floats(1, 1e10),
    rows=sizes,
    tiles=sizes,
    sums=st.integers(1, 10**8),
    inputs=st.integers(1, 10**9),
)
def test_work_is_shared_by_no_more_threads_than_there_are_or_can_be_used(most_parts, cycles, rows, tiles, sums, inputs):
    by_pixels, by_tiles = weight_tiles._split(most_parts, cycles, rows, tiles, sums, inputs)
    assert 1 <= by_pixels <= rows
    assert 1 <= by_tiles <= tiles
    assert by_pixels * by_tiles <= most_parts


def test_many_threads_share_pixels_and_tiles_both():
    # A late layer: few rows of pixels, many tiles; neither alone feeds 64 threads.
    by_pixels, by_tiles = weight_tiles._split(64, 1e8, 14, 40, 10**6, 10**6)
    assert by_pixels > 1
    assert by_tiles > 1
    assert by_pixels * by_tiles > 40
