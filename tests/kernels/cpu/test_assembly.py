"""The tile kernels' inner loops as machine code, for every tile that the cost model picks over a range of layers:
exactly the tile's multiply-adds, all accumulators in registers, no vector on the stack, hardly anything besides."""

import platform
from itertools import product

import numpy as np
import pytest
from assembly import multiplying_loops, widest_registers

from tomograd.kernels.cpu import simd
from tomograd.kernels.cpu.gradient_tiles import ChannelPattern, channel_kernel, product_kernel
from tomograd.kernels.cpu.tile_kernel import apart_kernel, dot_kernel, tile_kernel
from tomograd.kernels.cpu.tiles import UNROLLED, TileShape
from tomograd.kernels.cpu.tiling import apart_tile, channel_tile, dot_tile, gradient_tile, output_tile, short_run_tile

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or simd.host_level().bytes < 32,
    reason="reads x86's assembly with fused multiply-adds",
)
LEVELS = [name for name in ("avx512", "avx2") if simd.LEVELS[name].bytes <= simd.host_level().bytes]
POINTER = 3  # instructions by which a loop moves one of its pointers on, at most
COUNTER = 3  # and by which it counts
F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


def chosen(choose, *ranges):
    """What the cost model picks over the product of ranges, for each level: every choice once."""
    cases = {(name, choose(*case, simd.LEVELS[name])) for name in LEVELS for case in product(*ranges)}
    return sorted((name, choice) for name, choice in cases if choice is not None)


def the_loop(kernel, multiply_adds, level):
    """That inner loop of the kernel which has so many multiply-adds, all as wide as the level's registers."""
    assembly, bits = kernel.code.assembly(), 8 * simd.LEVELS[level].bytes
    assert widest_registers(assembly) == bits
    loops = sorted(multiplying_loops(assembly), key=len)  # loops for edges are longer
    counts = [sum(line.multiplies_and_adds for line in loop) for loop in loops]
    assert multiply_adds in counts, f"{multiply_adds} multiply-adds expected, loops have {counts}"
    loop = loops[counts.index(multiply_adds)]
    assert all(line.widths == {bits} for line in loop if line.multiplies_and_adds)
    return loop


def check(loop, loads, pointers, copies=0, besides=0):
    """No spill, no copy beyond `copies`, no more loads than needed, and nothing else but pointers, a counter and a
    jump."""
    assert not [line.text for line in loop if line.spills]
    assert sum(line.copies_register for line in loop) <= copies
    assert sum(line.loads for line in loop) <= loads
    multiply_adds = sum(line.multiplies_and_adds for line in loop)
    assert len(loop) <= multiply_adds + loads + POINTER * pointers + COUNTER + besides


def output_shape(*case):
    """What `output_tile` picks, without its cost."""
    return output_tile(*case)[:2]


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("level, shape", chosen(output_shape, (1, 5, 7, 13, 28, 54, 256), (1, 2, 3, 4, 8), (9, 576)))
def test_output_tiles_stay_in_registers(level, shape, ahead):
    rows, vectors = shape
    with simd.using_level(level):
        kernel = tile_kernel(F32, TileShape(F32, rows, vectors), advance=1, ahead=ahead)
    loop = the_loop(kernel, rows * vectors, level)
    check(loop, rows + vectors, -(-min(rows, 14) // 3) + 1 + ahead, besides=ahead)
    assert sum("prefetch" in line.text for line in loop) == ahead


@pytest.mark.parametrize("level, shape", chosen(output_shape, (54,), (1, 2, 4), (576,)))
def test_output_tiles_of_float64_stay_in_registers(level, shape):
    rows, vectors = shape
    with simd.using_level(level):
        kernel = tile_kernel(F64, TileShape(F64, rows, vectors), advance=1)
    check(the_loop(kernel, rows * vectors, level), rows + vectors, -(-min(rows, 14) // 3) + 1)


@pytest.mark.parametrize("level", LEVELS)
def test_streamed_tiles_are_stored_past_the_caches(level):
    with simd.using_level(level):
        shape = TileShape(F32, 4, 2)
        kept, streamed = (tile_kernel(F32, shape, streamed=past, ahead=True).code.assembly() for past in (False, True))
    assert kept.count("vmovntps") == 0
    assert streamed.count("vmovntps") == 4 * 2
    assert kept.count("prefetchw") == 4 * 2
    assert streamed.count("prefetchw") == 0


def short_run_shape(pixels, vectors, kernel, channels, stride, host):
    """What `short_run_tile` picks for square kernels, without its cost, and what is compiled in."""
    length, step = kernel * channels, stride * channels
    (rows, wide, _), shared = short_run_tile(pixels, vectors, kernel * length, length, step, host)
    return rows, wide, length, step, shared


@pytest.mark.parametrize(
    "level, shape",
    [
        *chosen(short_run_shape, (13, 32, 256), (1, 2, 4), (3,), (1, 2, 3, 4), (1,)),
        *chosen(short_run_shape, (256,), (1, 2), (5, 7), (1,), (1, 2)),
        *chosen(short_run_shape, (256,), (2,), (3,), (3,), (2,)),
    ],
)
def test_output_tiles_over_short_runs_stay_in_registers(level, shape):
    rows, vectors, length, step, shared = shape
    with simd.using_level(level):
        kernel = tile_kernel(F32, TileShape(F32, rows, vectors), length=length, step=step, advance=1, shared=shared)
    unrolled = length if rows * vectors * length <= UNROLLED or shared else 1
    positions = len({r * step + s for r in range(rows) for s in range(length)}) if shared else rows * unrolled
    loop = the_loop(kernel, rows * vectors * unrolled, level)
    # Where a number has a single vector of weights, or a vector of weights a single number, its load is an operand.
    check(loop, positions + vectors * unrolled, 3, copies=1, besides=2)


def dot_shape(pixels, channels, steps, host):
    """What `dot_tile` picks for float32, without its cost."""
    return dot_tile(pixels, channels, steps, host.bytes // 4, 0, 1, True, host)[:2]


@pytest.mark.parametrize("level, shape", chosen(dot_shape, (1, 5, 13, 54, 256), (1, 2, 3, 4, 6, 10, 64), (1, 9, 36)))
def test_tiles_with_lanes_over_the_input_stay_in_registers(level, shape):
    rows, channels = shape
    with simd.using_level(level):
        kernel = dot_kernel(F32, rows, channels)
    loop = the_loop(kernel, rows * channels, level)
    check(loop, rows + channels, -(-rows // 3) + -(-channels // 3))


def apart_shape(pixels, channels, group, host):
    """What `apart_tile` picks for 3 × 3 kernels in float32, without its cost, and the group."""
    return *apart_tile(pixels, channels, 3, 9, group, group, min(channels, host.bytes // 4), host)[:2], group


@pytest.mark.parametrize("level, shape", chosen(apart_shape, (14, 256), (16, 64), (1, 4)))
def test_output_tiles_of_channels_apart_stay_in_registers(level, shape):
    rows, vectors, group = shape
    with simd.using_level(level):
        kernel = apart_kernel(F32, TileShape(F32, rows, vectors), group, group)
    for loop in multiplying_loops(kernel.code.assembly()):  # over taps; LLVM may take two at once
        assert sum(line.multiplies_and_adds for line in loop) % (rows * vectors * group) == 0
        assert not [line.text for line in loop if line.spills]


def gradient_shape(kernel_rows, run, vectors, host):
    """What `gradient_tile` picks, without its cost."""
    return gradient_tile(kernel_rows, run, vectors, host)[0]


# Whole taps of 1 … 512 channels; and the windows of kernels of 3, 5, 7 and 8 positions over 1, 3 and 4 channels.
GRADIENTS = sorted(
    {
        *chosen(gradient_shape, (1,), (1, 2, 3, 10, 16, 24, 33, 64, 512), (1, 2, 3, 4, 7, 16)),
        *chosen(gradient_shape, (3, 7, 9), (3, 9, 21, 32), (1, 2, 4)),
    }
)


def check_gradient(dtype, level, shape, masked):
    groups, rows, vectors, phases = shape
    with simd.using_level(level):
        kernel = product_kernel(dtype, *shape, masked)
    loop = the_loop(kernel, groups * rows * vectors * phases, level)
    # Of a masked tile, phase by phase, AVX2's loads are no operands.
    check(loop, (groups * rows + vectors) * phases, groups + 1, besides=2 * masked)


@pytest.mark.parametrize("level, shape", GRADIENTS)
def test_gradient_tiles_stay_in_registers(level, shape):
    check_gradient(F32, level, shape, masked=False)


@pytest.mark.parametrize("level, shape", GRADIENTS[::3])
def test_gradient_tiles_with_a_partial_vector_stay_in_registers(level, shape):
    check_gradient(F32, level, shape, masked=True)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("level, shape", chosen(gradient_shape, (1,), (3, 64), (1, 4)))
def test_gradient_tiles_of_float64_stay_in_registers(level, shape, masked):
    check_gradient(F64, level, shape, masked)


def channel_shape(row, kernel_rows, inputs, vectors, stride, host):
    """What `channel_tile` picks for square kernels, with what it was asked; None where it declines."""
    found = channel_tile(row, kernel_rows, kernel_rows, inputs, vectors, stride, 1, host)
    return None if found is None else (inputs, stride, found[0])


APART = [
    (name, choice)
    for name, choice in chosen(channel_shape, (14, 256), (1, 3, 5, 7), (1, 2, 4), (1, 2, 4), (1, 2))
    if 4 * choice[0] < simd.LEVELS[name].bytes  # wider groups fill a vector by themselves
]


@pytest.mark.parametrize(
    "level, choice, masked", [(*case, False) for case in APART] + [(*case, True) for case in APART[::2]]
)
def test_gradient_tiles_of_channels_apart_stay_in_registers(level, choice, masked):
    inputs, stride, (kernel_rows, taps, vectors, pixels, phases) = choice
    with simd.using_level(level):
        pattern = ChannelPattern(kernel_rows, taps, stride, 1, inputs, inputs, pixels, phases)
        kernel = channel_kernel(F32, pattern, vectors, masked)
    loop = the_loop(kernel, pattern.rows * vectors * pixels, level)
    positions = kernel_rows * len(pattern.positions) * vectors
    loads, shuffles = positions + pixels * vectors, positions * inputs if inputs > 1 else 0
    # x86 has fifteen registers for addresses; some more are read from the stack.
    # Shuffles may read memory or their pattern from there; LLVM now and then copies what a multiply-add overwrites.
    copies = pattern.rows * vectors * pixels // 4
    check(loop, loads + shuffles, kernel_rows + 1, copies, besides=shuffles + copies + 16)
