"""Depthwise convolution, its transpose and its weight's gradient against the reference: geometries, register widths,
channels that fill no vector, arrays that lie in main memory, and nothing touched beside the arrays."""

import platform
from itertools import product

import numpy as np
import pytest
from assembly import multiplying_loops, widest_registers
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.kernels import cpu, memory, reference
from tomograd.kernels.cpu import convolution, correlation, depthwise, simd
from tomograd.kernels.cpu.depthwise_tiles import tap_kernel, window_kernel
from tomograd.kernels.cpu.launch import using_threads
from tomograd.kernels.geometry import conv_output_size
from tomograd.testing import compare
from tomograd.testing.strategies import conv_cases, seeds

F32 = np.dtype(np.float32)


def whole_numbers(rng, shape, dtype=np.float32):
    return rng.integers(-4, 5, shape).astype(dtype)


def check_all(x, weight, bias, geometry, activation=None, seed=0):
    """All three functions to the last bit: sums of small whole numbers are exact in any order."""
    y = cpu.conv(x, weight, bias, *geometry, activation)
    np.testing.assert_array_equal(y, reference.conv(x, weight, bias, *geometry, activation))
    dy, kernel_size = whole_numbers(np.random.default_rng(seed), y.shape, x.dtype), weight.shape[:-2]
    arguments = dy, weight, bias, x.shape[1:-1], *geometry
    np.testing.assert_array_equal(cpu.conv_transpose(*arguments), reference.conv_transpose(*arguments))
    arguments = x, dy, kernel_size, *geometry
    dweight = cpu.conv_weight_gradient(*arguments)
    np.testing.assert_array_equal(dweight, reference.conv_weight_gradient(*arguments))
    assert y.dtype == dweight.dtype == x.dtype


@st.composite
def depthwise_cases(draw, max_channels=40, **limits):
    """(x, weight, bias, geometry, seed) of any dimension, stride, padding and dilation; empty batches, read-only and
    non-contiguous arrays among them."""
    case = draw(conv_cases(max_groups=1, max_channels=1, **limits))
    channels, seed = draw(st.integers(2, max_channels)), draw(seeds)
    rng = np.random.default_rng(seed)
    x = whole_numbers(rng, (*case.x.shape[:-1], channels), case.x.dtype)
    weight = whole_numbers(rng, (*case.weight.shape[:-2], 1, channels), case.x.dtype)
    bias = None if case.bias is None else whole_numbers(rng, (2 * channels,), case.x.dtype)[::2]
    if draw(st.booleans()):
        x = np.asfortranarray(x)
    x.flags.writeable = weight.flags.writeable = False
    return x, weight, bias, (*case.geometry[:-1], channels), seed


@given(case=depthwise_cases(), activation=st.sampled_from([None, "relu"]))
@settings(max_examples=25, deadline=None)
def test_every_geometry(case, activation):
    *arguments, seed = case
    check_all(*arguments, activation, seed)


@pytest.mark.parametrize("level", [name for name in simd.LEVELS if name != "avx512"])
@given(case=depthwise_cases(max_channels=19))
@settings(max_examples=4, deadline=None)
def test_every_register_width(level, case):
    *arguments, seed = case
    with simd.using_level(level):
        check_all(*arguments, None, seed)


# (input size, kernel size, strides, padding, dilation): several tiles across and down, with edges and without.
SIZES = [
    ((25, 31), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    ((26, 31), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    ((25, 31), (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1)),
    ((25, 31), (3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2)),
    ((21, 20), (4, 6), (2, 1), ((3, 0), (5, 5)), (3, 2)),
    ((13, 14), (1, 11), (1, 1), ((0, 0), (5, 5)), (1, 1)),
    ((19, 20), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    ((6, 9, 18), (3, 3, 3), (1, 1, 1), ((1, 1), (1, 1), (1, 1)), (1, 1, 1)),
    ((7, 9, 18), (2, 3, 3), (2, 2, 2), ((0, 1), (1, 1), (1, 1)), (1, 1, 1)),
    ((150,), (5,), (1,), ((2, 2),), (1,)),
    ((40, 1), (3, 1), (1, 1), ((1, 1), (0, 0)), (1, 1)),
    ((9, 27), (1, 11), (1, 1), ((0, 0), (9, 11)), (1, 2)),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@given(
    channels=st.sampled_from([2, 16, 21, 64]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=seeds,
)
@settings(max_examples=3, deadline=None)
def test_images_of_many_tiles(size, channels, dtype, seed):
    input_size, kernel_size, *geometry = size
    rng = np.random.default_rng(seed)
    x, weight = whole_numbers(rng, (2, *input_size, channels), dtype), whole_numbers(rng, (*kernel_size, 1, channels))
    check_all(x, weight.astype(dtype), whole_numbers(rng, channels, dtype), (*geometry, channels), "relu", seed)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [16, 48])
def test_arrays_in_main_memory(size, channels, monkeypatch):
    """Those are asked for ahead of time and written past the caches: here all of them."""
    monkeypatch.setattr(depthwise, "last_level_bytes", lambda: 0)
    input_size, kernel_size, *geometry = size
    rng = np.random.default_rng(channels)
    x, weight = whole_numbers(rng, (2, *input_size, channels)), whole_numbers(rng, (*kernel_size, 1, channels))
    check_all(x, weight, None, (*geometry, channels))


@pytest.mark.parametrize("size", SIZES[:3], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_numbers(size, dtype):
    input_size, kernel_size, *geometry = size
    geometry, rng = (*geometry, 19), np.random.default_rng(0)
    output_size = conv_output_size(input_size, kernel_size, *geometry[:-1])
    shapes = (2, *input_size, 19), (*kernel_size, 1, 19), (2, *output_size, 19)
    x, weight, dy = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    taps, positions = int(np.prod(kernel_size)), 2 * int(np.prod(output_size))
    compare(cpu.conv, reference.conv, x, weight, None, *geometry, terms=taps)
    compare(cpu.conv_transpose, reference.conv_transpose, dy, weight, None, input_size, *geometry, terms=taps)
    arguments = x, dy, kernel_size, *geometry
    compare(cpu.conv_weight_gradient, reference.conv_weight_gradient, *arguments, terms=positions, random=True)


def test_relu_keeps_nan_and_infinity():
    x = np.ones((1, 9, 9, 20), np.float32)
    x[0, 4, 4] = np.nan
    x[0, 0, 0] = np.inf
    y = cpu.conv(x, np.ones((3, 3, 1, 20), np.float32), None, (1, 1), ((1, 1),) * 2, (1, 1), 20, "relu")
    assert np.isnan(y[0, 3:6, 3:6]).all() and np.isnan(y).sum() == 9 * 20
    assert np.isinf(y[0, :2, :2]).all() and np.isinf(y).sum() == 4 * 20


def test_only_depthwise_convolutions_are_taken():
    def work(groups, c_in, c_out):
        geometry = (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)
        return correlation.of_convolution(1, (8, 8), (8, 8), *geometry, groups, c_in, c_out)

    assert depthwise.suits(work(5, 5, 5))
    assert not any(map(depthwise.suits, [work(1, 1, 1), work(5, 5, 10), work(5, 10, 5), work(5, 10, 10)]))


@pytest.mark.parametrize("level", ["avx512", "avx2", "sse"])
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize(
    "length, kernel, channels, most", [(56, 3, 128, 3), (14, 3, 512, 3), (28, 5, 128, 1.8), (28, 7, 96, 1.8)]
)
def test_tiles_cost_their_products_and_some_more(length, kernel, channels, most, gradient, level):
    size, taps, pad = (length, length), (kernel, kernel), (kernel // 2, kernel // 2)
    work = correlation.of_convolution(2, size, size, taps, (1, 1), (pad, pad), (1, 1), channels, channels, channels)
    with simd.using_level(level) as host:
        vectors = -(-channels // (host.bytes // 4))
        (windows,) = depthwise._choose((work,), gradient, vectors, host)
        cycles = depthwise._cycles(work, windows, vectors, host)
    assert 1.1 < cycles / (length**2 * kernel**2 * vectors / 2) < most  # two multiply-adds a cycle


def test_results_repeat_to_the_last_bit_and_conv_does_not_depend_on_threads():
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((3, 61, 67, 24), dtype=np.float32) for _ in range(2))
    weight, geometry = rng.standard_normal((3, 3, 1, 24), dtype=np.float32), ((1, 1), ((1, 1), (1, 1)), (1, 1), 24)
    y, dweight = cpu.conv(x, weight, None, *geometry), cpu.conv_weight_gradient(x, dy, (3, 3), *geometry)
    for _ in range(3):
        np.testing.assert_array_equal(cpu.conv(x, weight, None, *geometry), y)
        np.testing.assert_array_equal(cpu.conv_weight_gradient(x, dy, (3, 3), *geometry), dweight)
    with using_threads(1):
        np.testing.assert_array_equal(cpu.conv(x, weight, None, *geometry), y)


@pytest.mark.parametrize("size", SIZES[:6], ids=str)
@pytest.mark.parametrize("channels", [5, 16, 37])
def test_outputs_are_written_and_no_more(size, channels, monkeypatch):
    """Each output array stands between numbers that must stay as they are."""
    kept, mark = [], 12345

    def fenced(shape, dtype):
        room = memory.empty((int(np.prod(shape)) + 64,), dtype)
        room[...] = mark
        kept.append(room)
        return room[32:-32].reshape(shape)

    for module in (convolution, depthwise):
        monkeypatch.setattr(module, "empty", fenced)
    input_size, kernel_size, *geometry = size
    x, weight = np.ones((1, *input_size, channels), np.float32), np.ones((*kernel_size, 1, channels), np.float32)
    check_all(x, weight, None, (*geometry, channels))
    assert kept
    for room in kept:
        assert (room[:32] == mark).all() and (room[-32:] == mark).all()


def tiles_of(level_name):
    """The tiles that are chosen for a range of layers, every one once."""
    level, chosen = simd.LEVELS[level_name], set()
    for size, kernel, stride, gradient in product((14, 56), (3, 5), (1, 2), (False, True)):
        output = -(-size // stride)
        geometry = (kernel, kernel), (stride, stride), ((kernel // 2, kernel // 2),) * 2, (1, 1)
        work = correlation.of_convolution(8, (size, size), (output, output), *geometry, 64, 64, 64)
        chosen |= {(gradient, *depthwise._choose((work,), gradient, 4, level))}
    return [(level_name, *case) for case in sorted(chosen, key=str)]


LEVELS = [name for name in ("avx512", "avx2") if simd.LEVELS[name].bytes <= simd.host_level().bytes]


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or simd.host_level().bytes < 32,
    reason="reads x86's assembly with fused multiply-adds",
)
@pytest.mark.parametrize("level, gradient, windows", [case for name in LEVELS for case in tiles_of(name)], ids=str)
def test_tiles_stay_in_registers(level, gradient, windows):
    """Each pixel is loaded once for all its products, and no vector goes to the stack."""
    with simd.using_level(level):
        code = (tap_kernel(F32, windows, False) if gradient else window_kernel(F32, windows, False, False)).code
        assembly = code.assembly()
    assert widest_registers(assembly) == 8 * simd.LEVELS[level].bytes
    multiply_adds = sum(map(len, windows.met))
    counts = {sum(line.multiplies_and_adds for line in loop): loop for loop in multiplying_loops(assembly)}
    found = [count for count in counts if count % multiply_adds == 0]  # LLVM may do a short loop's body several times
    assert found, f"{multiply_adds} multiply-adds expected, loops have {list(counts)}"
    loop = counts[found[0]]
    assert not [line.text for line in loop if line.spills]
    others = windows.outputs if gradient else windows.weights
    loads = len(windows.met) + others + windows.weights
    assert sum(line.loads for line in loop) <= loads * found[0] // multiply_adds
