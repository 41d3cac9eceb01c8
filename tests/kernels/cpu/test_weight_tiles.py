"""The weight's gradient in many blocks of pixels, each of which has memory asked for the next one: the same numbers in
every arrangement, and hardly more instructions."""

import platform

import numpy as np
import pytest
from assembly import multiplying_loops
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.kernels import cpu, reference
from tomograd.kernels.cpu import correlation, simd, weight_tiles
from tomograd.kernels.cpu.bodies import kernel, unpack
from tomograd.kernels.cpu.gradient_tiles import product_kernel
from tomograd.kernels.cpu.launch import run
from tomograd.kernels.cpu.winograd_tiles import using_winograd
from tomograd.kernels.geometry import conv_output_size

F32 = np.dtype(np.float32)
CASES = [  # input size, kernel size, strides, padding, dilation
    ((13, 70), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    ((17, 40), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    ((9, 21), (5, 5), (1, 1), ((4, 4), (4, 4)), (1, 1)),
    ((16, 24), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    ((11, 19), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    ((11, 19), (1, 1), (3, 2), ((0, 0), (0, 0)), (1, 1)),
    ((14, 15), (3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2)),
    ((4, 6, 17), (3, 3, 3), (1, 2, 1), ((1, 1), (1, 1), (1, 1)), (1, 1, 1)),
    ((130,), (5,), (1,), ((2, 2),), (1,)),
]


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few pixels, and no plan that was made for larger ones, or will be kept for them."""
    for name, size in [("BLOCK_BYTES", 512), ("LEAST_PIXELS", 8), ("MOST_BYTES", 4096)]:
        monkeypatch.setattr(weight_tiles, name, size)
    monkeypatch.setattr(weight_tiles, "plan", weight_tiles.plan.__wrapped__)


def whole_numbers(rng, shape, dtype):
    return rng.integers(-4, 5, shape).astype(dtype)


def work_of(size, channels, groups=1):
    input_size, kernel_size, *geometry = size
    output_size = conv_output_size(input_size, kernel_size, *geometry)
    return correlation.of_convolution(3, input_size, output_size, kernel_size, *geometry, groups, *channels)


@pytest.mark.parametrize("size", CASES, ids=str)
@pytest.mark.parametrize("channels", [(1, 16), (3, 40), (20, 48), (35, 2), (33, 17)], ids=str)
def test_many_blocks(size, channels, small_blocks):
    rng, (input_size, kernel_size, *geometry) = np.random.default_rng(0), size
    output_size = conv_output_size(input_size, kernel_size, *geometry)
    x = whole_numbers(rng, (3, *input_size, channels[0]), np.float32)
    dy = whole_numbers(rng, (3, *output_size, channels[1]), np.float32)
    made = weight_tiles.plan(work_of(size, channels), F32, 1, simd.level())
    assert made.layout[weight_tiles.ROWS] > made.layout[weight_tiles.ROWS_AT_ONCE]  # several blocks, else no test
    arguments = x, dy, kernel_size, *geometry, 1
    with using_winograd(0):
        np.testing.assert_array_equal(cpu.conv_weight_gradient(*arguments), reference.conv_weight_gradient(*arguments))


def tilings_of(groups, c, k, level):
    work = correlation.of_convolution(2, (28, 28), (28, 28), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), groups, c, k)
    with simd.using_level(level) as host:
        return weight_tiles.tilings(work, F32, host), work.taps * c * k / groups / (host.bytes // F32.itemsize)


@pytest.mark.parametrize("level", ["avx512", "avx2", "sse"])
@pytest.mark.parametrize("groups, c, k", [(1, 64, 64), (1, 128, 256), (2, 64, 128), (1, 512, 64)])
def test_tiles_cost_their_products_and_some_more(groups, c, k, level):
    found, products = tilings_of(groups, c, k, level)
    assert len(found) == 2
    for tiling in found:
        assert 1 < tiling.cycles / (products / 2) < 1.6  # two multiply-adds a cycle


@pytest.mark.parametrize("groups, c, k", [(8, 16, 16), (4, 16, 16), (1, 16, 16), (2, 64, 64)])
def test_channels_are_kept_apart_where_groups_are_narrow(groups, c, k):
    found, _ = tilings_of(groups, c, k, "avx2")
    assert (weight_tiles.APART in {tiling.arrangement for tiling in found}) is (groups > 2)


@kernel
def _write_shares(begin, end, arguments):
    layout, numbers, last, following, tiles, out = unpack(arguments)
    out[0], out[1], out[2], out[3], out[4] = weight_tiles._shares(layout, numbers, last, following, tiles)


def shares(*arguments):
    out = np.empty(5, np.int64)
    run(_write_shares, 1, 1, *arguments, out)
    return out.tolist()


@given(size=st.sampled_from(CASES), rows=st.integers(1, 9), tiles=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_tiles_ask_for_all_that_the_next_block_reads(size, rows, tiles):
    """What they share follows, block by block, from where the rows before end to where the block's own do."""
    work, last_x = work_of(size, (20, 48)), None
    layout = weight_tiles.plan(work, F32, 1, simd.level()).layout
    row = work.output_size[2] * work.y_strides[3] // layout[weight_tiles.SEGMENTS]
    units = int(layout[weight_tiles.ROWS])
    for last in range(rows, units, rows):
        following = min(last + rows, units)
        for_y, y, y_share, x, x_share = shares(layout, work.numbers, last, following, tiles)
        assert 0 <= for_y <= tiles
        assert y == last * row
        if for_y:
            assert 0 <= y + for_y * y_share - following * row < for_y
        if last_x is not None and for_y < tiles:
            assert x <= last_x
        last_x = x + (tiles - for_y) * x_share


LEVELS = [name for name in ("avx512", "avx2") if simd.LEVELS[name].bytes <= simd.host_level().bytes]


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or simd.host_level().bytes < 32, reason="reads x86's assembly"
)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shape", [(1, 6, 2, 1), (3, 3, 1, 1), (1, 2, 1, 4)], ids=str)
def test_asking_takes_one_instruction_for_each_pixel(level, shape):
    groups, rows, vectors, phases = shape
    with simd.using_level(level):
        loops = multiplying_loops(product_kernel(F32, *shape, False).code.assembly())
    whole = [
        loop for loop in loops if sum(line.multiplies_and_adds for line in loop) == groups * rows * vectors * phases
    ]
    asked = [sum("prefetch" in line.text for line in loop) for loop in whole]
    assert sorted(asked) == [0, phases]
    assert not [line.text for loop in whole for line in loop if line.spills]
