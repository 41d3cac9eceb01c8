"""Winograd's convolution and its gradients: the identity behind it, errors within the stated bounds, where NaN goes,
all geometries, register widths, blocks and parts; the same bits each run."""

import math
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from assembly import innermost_loops, multiplying_loops
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from tomograd.kernels import cpu, memory, reference
from tomograd.kernels.cpu import correlation, simd, winograd, winograd_gradient, winograd_tiles
from tomograd.kernels.cpu import winograd_deep_gradient as deep
from tomograd.kernels.cpu.bodies import Constant, compiled, kernel, unpack
from tomograd.kernels.cpu.launch import threads, using_threads
from tomograd.kernels.cpu.simd import vector_of
from tomograd.kernels.cpu.winograd_tiles import using_winograd
from tomograd.kernels.cpu.winograd_transforms import (
    FILTER,
    FILTER_GRADIENT,
    MATRICES,
    OUTPUT_GRADIENT,
    WINDOW,
    transform,
    transform_output,
)
from tomograd.testing.strategies import seeds

BOUNDS = {2: 16, 4: 64}  # errors in units of u·T, as `winograd` states them
sizes_of_tiles = st.sampled_from(sorted(MATRICES))


# ---- the small matrices ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", MATRICES)
@given(seed=seeds)
def test_the_matrices_give_the_convolution_and_its_gradient(outputs, seed):
    rng, m = np.random.default_rng(seed), MATRICES[outputs]
    d, g = rng.standard_normal((outputs + 2, outputs + 2)), rng.standard_normal((3, 3))
    dy = rng.standard_normal((outputs, outputs))
    transformed = m.window @ d @ m.window.T
    y = m.output @ ((m.filter @ g @ m.filter.T) * transformed) @ m.output.T
    np.testing.assert_allclose(y, np.einsum("ijkl,kl", sliding_window_view(d, (3, 3)), g), atol=1e-12)
    dg = m.filter_gradient @ ((m.output_gradient @ dy @ m.output_gradient.T) * transformed) @ m.filter_gradient.T
    np.testing.assert_allclose(dg, np.einsum("ijkl,kl", sliding_window_view(d, (outputs, outputs)), dy), atol=1e-12)


@pytest.mark.parametrize("outputs", MATRICES)
def test_windows_and_outputs_meet_only_numbers_that_are_exact_in_float32(outputs):
    for matrix in (MATRICES[outputs].window, MATRICES[outputs].output):
        assert np.array_equal(matrix, matrix.astype(np.float32))


# ---- their products with vectors -------------------------------------------------------------------------------------


@kernel
def transform_lines(begin, end, arguments):
    """A line of grids of vectors."""
    outputs, which, vector, x, y, step, plane, length = unpack(arguments)
    for i in range(begin, end):
        transform(outputs, which, None, vector, x, i * length, step, length, y, i * length, plane, step)


@kernel
def transform_output_lines(begin, end, arguments):
    """A line of tiles of products."""
    outputs, vector, x, bias, floor, y, step, plane, length = unpack(arguments)
    for i in range(begin, end):
        transform_output(outputs, vector, 0, x, i * length, plane, bias, floor, y, i * length, step, length)


@pytest.mark.skipif(simd.host_level().name != "avx512", reason="reads assembly that has 32 registers")
@pytest.mark.parametrize("outputs", MATRICES)
def test_transformations_keep_all_vectors_in_registers(outputs):
    x, vector, m = np.zeros(16, np.float32), vector_of(np.dtype(np.float32)), Constant(outputs)
    codes = [
        compiled(transform_lines, m, Constant(which), vector, x, x, 1, 1, 1)
        for which in (WINDOW, FILTER, OUTPUT_GRADIENT, FILTER_GRADIENT)
    ]
    codes.append(compiled(transform_output_lines, m, vector, x, x, np.float32(0), x, 1, 1, 1))
    for code in codes:
        (loop,) = multiplying_loops(code.assembly()) or innermost_loops(code.assembly())
        assert sum(line.widths == {512} for line in loop) > 10
        assert not [line.text for line in loop if line.spills]


# ---- against the reference -------------------------------------------------------------------------------------------


def drawn(rng, kind, shape, dtype):
    """Numbers of one of several kinds, each of which another algorithm would find hard."""
    x = rng.standard_normal(shape)
    if kind == "positive":
        x = np.maximum(x, 0)
    if kind == "outliers":
        x = x * np.where(rng.random(shape) < 0.02, 1e4, 1)
    if kind == "sparse":
        x = x * (rng.random(shape) < 0.2)
    return x.astype(dtype)


class Case:
    """A convolution of `dims` dimensions, its arrays and its correlation."""

    def __init__(self, seed, dtype, batch, size, padding, groups, c, k, kinds=("normal", "normal"), depth=(1, 1)):
        d, rng = len(size), np.random.default_rng(seed)
        kernel = (3,) * d
        self.dtype, self.groups, self.size = np.dtype(dtype), groups, size
        strides, dilation = ((depth[0],) * (d - 2) + (1, 1), (depth[1],) * (d - 2) + (1, 1))
        self.padding = ((1, 1),) * (d - 2) + padding
        self.geometry = strides, self.padding, dilation, groups
        self.x = drawn(rng, kinds[0], (batch, *size, c * groups), dtype)
        self.weight, self.bias = (
            drawn(rng, kinds[1], (*kernel, c, k * groups), dtype),
            drawn(rng, "", k * groups, dtype),
        )
        self.expected = reference.conv(
            *(a.astype(np.float64) for a in (self.x, self.weight, self.bias)), *self.geometry
        )
        self.dy = drawn(rng, kinds[1], self.expected.shape, dtype)
        self.kernel = kernel
        self.correlation = correlation.of_convolution(
            batch, size, self.expected.shape[1:-1], kernel, strides, self.padding, dilation, groups, c * groups,
            k * groups,
        )  # fmt: skip

    def plan(self, outputs, module=winograd, *more):
        """The plan for tiles of this size, whether it pays or not."""
        return module._plan(self.correlation, outputs, *more, self.dtype, threads(), simd.level())

    def convolved(self, outputs, relu=False):
        """The convolution by tiles of this size."""
        y = np.full(self.expected.shape, 7, self.dtype)
        winograd.launch(self.plan(outputs), self.x, self.weight, self.bias, y, relu)
        return y

    def weight_gradient(self, outputs, whole):
        """The gradient by tiles of this size."""
        dweight = np.full(self.weight.shape, 7, self.dtype)
        chosen = self.plan(outputs, winograd_gradient, whole)
        winograd_gradient.launch(chosen, self.correlation, self.x, self.dy, dweight)
        return dweight

    def deep_gradient(self, outputs):
        """The gradient by tiles of this size, all at once for some channels at a time."""
        dweight = np.full(self.weight.shape, 7, self.dtype)
        way = deep.divided(self.correlation, outputs, self.dtype, threads(), simd.level())
        if way is None:  # too many tiles
            return self.weight_gradient(outputs, True)
        deep.launch(deep.plan(self.correlation, way, self.dtype), self.x, self.dy, dweight)
        return dweight

    def windows(self, outputs):
        """Σ over the depth's taps of the largest |x| in the window of each tile: (N, D, tile rows, tile columns, C)."""
        d, tiles = len(self.size), [-(-n // outputs) for n in self.expected.shape[-3:-1]]
        missing = [
            t * outputs + 2 - n - sum(p) for t, n, p in zip(tiles, self.size[-2:], self.padding[-2:], strict=True)
        ]
        pads = [(p[0], p[1] + max(m, 0)) for p, m in zip(self.padding[-2:], missing, strict=True)]
        x = np.pad(np.abs(self.x.astype(np.float64)), ((0, 0), *self.padding[: d - 2], *pads, (0, 0)))
        x = x[..., : tiles[0] * outputs + 2, : tiles[1] * outputs + 2, :]
        windows = sliding_window_view(x, (outputs + 2,) * 2, (-3, -2))[..., ::outputs, ::outputs, :, :, :].max((-1, -2))
        if d == 2:
            return windows[:, None]
        step, dilation = self.geometry[0][0], self.geometry[2][0]
        return sum(windows[:, t * dilation :][:, : (self.expected.shape[1] - 1) * step + 1 : step] for t in range(3))


cases = st.builds(
    Case,
    seed=seeds,
    dtype=st.sampled_from([np.float32, np.float64]),
    batch=st.integers(1, 3),
    size=st.tuples(st.integers(3, 13), st.integers(3, 21)),
    padding=st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2),
    groups=st.integers(1, 2),
    c=st.integers(16, 35),
    k=st.integers(16, 67),
    kinds=st.tuples(*[st.sampled_from(["normal", "positive", "outliers", "sparse"])] * 2),
)
volumes = st.builds(
    Case,
    seed=seeds,
    dtype=st.just(np.float32),
    batch=st.integers(1, 2),
    size=st.tuples(st.integers(5, 7), st.integers(3, 9), st.integers(3, 9)),
    padding=st.just(((1, 1), (1, 1))),
    groups=st.just(1),
    c=st.integers(16, 20),
    k=st.integers(16, 35),
    depth=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)


def check_convolution(case, outputs, relu):
    """Errors of each output, against the bound of its tile."""
    expected = np.maximum(case.expected, 0) if relu else case.expected
    y, u, d = case.convolved(outputs, relu), np.finfo(case.dtype).eps / 2, len(case.size)
    weights = np.abs(case.weight.astype(np.float64)).reshape(-1, 9, *case.weight.shape[-2:]).sum(1).max(0)
    windows = case.windows(outputs)
    windows = windows.reshape(*windows.shape[:-1], case.groups, -1)
    total = np.einsum("ndijgc,cgk->ndijgk", windows, weights.reshape(weights.shape[0], case.groups, -1))
    total = total.reshape(*windows.shape[:-2], -1).repeat(outputs, 2).repeat(outputs, 3)
    total = total[:, :, : y.shape[-3], : y.shape[-2]].reshape(y.shape) if d == 3 else total[:, 0]
    bound = BOUNDS[outputs] * u * (total[tuple(slice(n) for n in y.shape)] + np.abs(case.bias))
    worst = np.argmax(np.abs(y - expected) - bound)
    assert np.all(np.abs(y - expected) <= bound), (y.flat[worst], expected.flat[worst], bound.flat[worst])


def check_gradient(case, outputs, whole):
    """Errors of each weight, against the bound of its channels; `whole` is None for all tiles at once."""
    arrays = (a.astype(np.float64) for a in (case.x, case.dy))
    expected = reference.conv_weight_gradient(*arrays, case.kernel, *case.geometry)
    actual = case.deep_gradient(outputs) if whole is None else case.weight_gradient(outputs, whole)
    u = np.finfo(case.dtype).eps / 2
    dy = np.abs(case.dy.astype(np.float64)).reshape(len(case.dy), -1, *case.dy.shape[-3:])
    dy = np.pad(dy, [(0, 0)] * 2 + [(0, -n % outputs) for n in dy.shape[2:4]] + [(0, 0)])
    tiles = dy.reshape(*dy.shape[:2], dy.shape[2] // outputs, outputs, dy.shape[3] // outputs, outputs, -1).sum((3, 5))
    windows = case.windows(outputs)
    windows, tiles = (a.reshape(-1, case.groups, a.shape[-1] // case.groups) for a in (windows, tiles))
    total = np.einsum("tgc,tgk->cgk", windows, tiles).reshape(expected.shape[-2:])
    assert np.all(np.abs(actual - expected) <= BOUNDS[outputs] * u * total + 1e-300)


@given(case=cases, outputs=sizes_of_tiles, relu=st.booleans())
@settings(max_examples=40)
def test_errors_of_the_convolution_stay_within_the_bound(case, outputs, relu):
    check_convolution(case, outputs, relu)


@given(case=cases, outputs=sizes_of_tiles, whole=st.sampled_from([None, False, True]))
@settings(max_examples=40)
def test_errors_of_the_weights_gradient_stay_within_the_bound(case, outputs, whole):
    check_gradient(case, outputs, whole)


@given(case=volumes, outputs=sizes_of_tiles)
@settings(max_examples=15)
def test_a_third_dimension_makes_the_sums_longer(case, outputs):
    check_convolution(case, outputs, relu=False)
    for whole in (False, True):
        check_gradient(case, outputs, whole)


# NEON's lanes are SSE's on this machine; its tile of 4 is compiled in the slow run.
@pytest.mark.parametrize("level, outputs", [("avx2", 4), ("sse", 2), pytest.param("neon", 4, marks=pytest.mark.slow)])
@given(case=cases.filter(lambda case: case.dtype == np.float32))  # each type and tile has to be compiled
@settings(max_examples=5)
def test_every_register_width(level, outputs, case):
    with simd.using_level(level):
        check_convolution(case, outputs, relu=True)
        for whole in (None, True):
            check_gradient(case, outputs, whole)


def forget_plans():
    """Lets plans be made anew."""
    for module in (winograd, winograd_gradient):
        module._plan.cache_clear()
        module._divided.cache_clear()
    deep.plan.cache_clear()
    deep.divided.cache_clear()


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that every loop over blocks goes round, and parts for more threads than there are."""
    for name, number in [("BLOCKS_OF_TILES", (2,)), ("MOST_TILES", 2), ("MOST_INPUTS", 16), ("PART_COLUMNS", 16)]:
        monkeypatch.setattr(winograd, name, number)
    for name in ("BLOCK_CHANNELS", "PART_COLUMNS"):
        monkeypatch.setattr(deep, name, 16)
    for name, number in [("BLOCK_BYTES", 1), ("FEWEST_TILES", 2)]:
        monkeypatch.setattr(winograd_gradient, name, number)
    for module in (winograd, winograd_gradient):
        monkeypatch.setattr(module, "SERIAL_CYCLES", 1)
    forget_plans()
    yield
    forget_plans()


@pytest.mark.parametrize("outputs", MATRICES)
@pytest.mark.parametrize("kept", [False, True])
def test_blocks_and_parts_make_no_difference(small_blocks, monkeypatch, outputs, kept):
    monkeypatch.setattr(winograd, "KEPT_BYTES", 2**30 if kept else 0)
    case = Case(1, np.float32, 3, (14, 17), ((1, 1), (1, 1)), 2, 18, 50)
    for chosen, module in [
        (case.plan(outputs), winograd),
        (case.plan(outputs, winograd_gradient, True), winograd_gradient),
        (case.plan(outputs, winograd_gradient, False), winograd_gradient),
    ]:
        assert chosen.layout[module.BLOCK_TILES] < chosen.layout[module.OF_TILES] / 4
    assert case.plan(outputs).layout[winograd.KEPT] == kept
    check_convolution(case, outputs, relu=False)
    for whole in (None, False, True):
        check_gradient(case, outputs, whole)


def test_blocks_of_channels_make_no_difference(small_blocks):
    case = Case(4, np.float32, 1, (9, 11), ((1, 1), (1, 1)), 2, 53, 70)
    ways = [deep.divided(case.correlation, 4, case.dtype, workers, simd.level()) for workers in (1, 8)]
    assert ways[0].blocks < ways[1].blocks
    gradients = []
    for way in ways:
        gradients.append(np.full(case.weight.shape, 7, case.dtype))
        deep.launch(deep.plan(case.correlation, way, case.dtype), case.x, case.dy, gradients[-1])
    assert np.array_equal(*gradients)
    check_gradient(case, 4, None)


def test_many_tiles_and_volumes_are_summed_block_by_block():
    level, volume = simd.level(), Case(0, np.float32, 1, (5, 6, 7), ((1, 1), (1, 1)), 1, 16, 16)
    assert deep.divided(volume.correlation, 4, volume.dtype, 1, level) is None
    case = Case(0, np.float32, 3, (40, 41), ((1, 1), (1, 1)), 1, 16, 16)
    assert deep.divided(case.correlation, 4, case.dtype, 1, level) is None


@pytest.mark.parametrize("outputs", MATRICES)
@pytest.mark.parametrize("groups, c, k", [(1, 16, 16), (1, 40, 50), (2, 33, 17)])
def test_the_inputs_gradient_transforms_transposed_weights(outputs, groups, c, k):
    case = Case(5, np.float32, 2, (9, 14), ((1, 1), (0, 2)), groups, c, k)
    (work,), _ = correlation.of_transpose(
        2, case.expected.shape[1:-1], case.size, (3, 3), *case.geometry[:3], groups, k * groups, c * groups
    )  # fmt: skip
    dx = np.full(case.x.shape, 7, case.dtype)
    chosen = winograd._plan(work, outputs, case.dtype, threads(), simd.level())
    winograd.launch(chosen, case.dy, case.weight, None, dx)
    arrays = (a.astype(np.float64) for a in (case.dy, case.weight))
    expected = reference.conv_transpose(*arrays, None, case.size, *case.geometry)
    np.testing.assert_allclose(dx, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("outputs", MATRICES)
@pytest.mark.parametrize("k", [32, 40])
def test_outputs_that_pass_the_caches_by_are_the_same(monkeypatch, outputs, k):
    case = Case(3, np.float32, 2, (13, 17), ((1, 1), (1, 1)), 1, 16, k)
    y = [memory.empty(case.expected.shape, case.dtype) for _ in range(2)]
    for streamed, array in enumerate(y):
        monkeypatch.setattr(winograd, "too_large_for_caches", lambda y, streamed=streamed: bool(streamed))
        chosen = case.plan(outputs)
        assert chosen.aligned == (k == 32)
        winograd.launch(chosen, case.x, case.weight, case.bias, array, True)
    assert np.array_equal(*y)


@pytest.mark.parametrize("outputs", MATRICES)
def test_one_thread_and_two_convolve_alike_and_gradients_repeat(outputs):
    case = Case(2, np.float32, 2, (20, 20), ((1, 1), (1, 1)), 1, 48, 70)
    with using_threads(1):
        alone = case.convolved(outputs)
        gradient = case.deep_gradient(outputs)
    assert np.array_equal(alone, case.convolved(outputs))
    assert np.array_equal(gradient, case.deep_gradient(outputs))
    for whole in (False, True):
        assert np.array_equal(case.weight_gradient(outputs, whole), case.weight_gradient(outputs, whole))


# ---- where NaN goes --------------------------------------------------------------------------------------------------


@given(
    seed=seeds,
    spoiled=st.tuples(st.integers(0, 12), st.integers(0, 14)),
    number=st.sampled_from([np.nan, np.inf, 1e38]),
    outputs=sizes_of_tiles,
)
@settings(max_examples=20)
def test_a_spoiled_pixel_spoils_no_tile_whose_window_it_is_not_in(seed, spoiled, number, outputs):
    case = Case(seed, np.float32, 1, (13, 15), ((1, 1), (1, 1)), 1, 16, 16)
    clean = case.convolved(outputs)
    case.x[0, *spoiled, 3] = number
    y = case.convolved(outputs)
    first = [[(p + 1 - 2) // outputs * outputs, (p + 1) // outputs * outputs + outputs] for p in spoiled]
    if outputs == 2:  # each output keeps to its own window
        first = [[p - 1, p + 2] for p in spoiled]
    untouched = np.ones(y.shape, bool)
    untouched[:, max(first[0][0], 0) : first[0][1], max(first[1][0], 0) : first[1][1]] = False
    assert np.array_equal(y[untouched], clean[untouched])
    if np.isnan(number):
        own = y[0, max(spoiled[0] - 1, 0) : spoiled[0] + 2, max(spoiled[1] - 1, 0) : spoiled[1] + 2]
        assert np.all(np.isnan(own))


# ---- when it is used -------------------------------------------------------------------------------------------------


def large(c=64, k=64, size=(32, 32)):
    """A convolution for which the method pays, if channels are many."""
    return Case(0, np.float32, 2, size, ((1, 1), (1, 1)), 1, c, k)


def test_kernels_use_it_where_it_pays():
    case = large()
    arguments = case.x, case.weight, case.bias, *case.geometry
    chosen = winograd.plan(case.correlation, case.dtype)
    assert chosen is not None and chosen.outputs == 4
    assert np.array_equal(cpu.conv(*arguments), case.convolved(4))
    deeper = large(128, 144, (16, 16))
    dweight = cpu.conv_weight_gradient(deeper.x, deeper.dy, (3, 3), *deeper.geometry)
    assert isinstance(winograd_gradient.plan(deeper.correlation, deeper.dtype), deep.Plan)
    assert np.array_equal(dweight, deeper.deep_gradient(4))
    more = large(size=(64, 72))
    gradient = winograd_gradient.plan(more.correlation, more.dtype)
    dweight = cpu.conv_weight_gradient(more.x, more.dy, (3, 3), *more.geometry)
    assert np.array_equal(dweight, more.weight_gradient(gradient.outputs, gradient.whole))
    direct = dict.fromkeys(("conv", "input", "weight"))
    for outputs in (0, 4):
        with using_winograd(outputs):
            found = {
                "conv": cpu.conv(*arguments),
                "input": cpu.conv_transpose(case.dy, case.weight, None, case.size, *case.geometry),
                "weight": cpu.conv_weight_gradient(case.x, case.dy, (3, 3), *case.geometry),
            }
        for name, array in found.items():
            if outputs == 0:
                direct[name] = array
            else:
                assert not np.array_equal(array, direct[name]), name
                np.testing.assert_allclose(array, direct[name], rtol=0, atol=2e-5 * np.abs(direct[name]).max())


def test_the_largest_tile_is_kept_to():
    case = large()
    with using_winograd(2):
        assert winograd.plan(case.correlation, case.dtype).outputs == 2
        assert winograd_gradient.plan(case.correlation, case.dtype).outputs == 2
    with using_winograd(0):
        assert winograd.plan(case.correlation, case.dtype) is None
        assert winograd_gradient.plan(case.correlation, case.dtype) is None


@pytest.mark.parametrize("c, k", [(3, 64), (64, 2)])
def test_it_needs_a_vector_of_channels(c, k):
    case = large(c, k)
    assert winograd.plan(case.correlation, case.dtype) is None
    assert winograd_gradient.plan(case.correlation, case.dtype) is None
    with simd.using_level("scalar"):
        assert winograd.plan(large().correlation, case.dtype) is None
        assert winograd_gradient.plan(large().correlation, case.dtype) is None


def test_only_the_tiles_that_are_taken_are_compiled(monkeypatch):
    case = large(size=(64, 72))
    compiled = {module: [] for module in (winograd, winograd_gradient)}
    for module in compiled:
        taken = compiled[module]
        monkeypatch.setattr(
            module, "_plan", lambda *arguments, plan=module._plan, taken=taken: taken.append(1) or plan(*arguments)
        )
        for largest, most in [(4, 1), (0, 0)]:
            taken.clear()
            module._best.cache_clear()
            with using_winograd(largest):
                module.plan(case.correlation, case.dtype)
            assert len(taken) == most
    small = Case(0, np.float32, 1, (7, 7), ((1, 1), (1, 1)), 1, 16, 16)
    assert winograd.plan(small.correlation, small.dtype) is None
    assert not compiled[winograd]


@pytest.mark.parametrize("level", ["avx2", "avx512"])
@pytest.mark.parametrize("outputs", MATRICES)
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("layer", [
    (4, (14, 14), 256, 256),
    (2, (14, 14), 512, 512),
    (8, (7, 7), 512, 512),
    (2, (32, 32), 128, 256),
    (4, (14, 14), 128, 64),
    (1, (56, 56), 256, 256),
], ids=str)  # fmt: skip
def test_a_large_layer_costs_its_products_and_some_more_and_is_work_for_all(level, outputs, workers, layer):
    """What is taken to cost much more or less would be chosen wrongly, beside the direct sum or the other tile."""
    samples, size, c, k = layer
    dtype, points = np.dtype(np.float32), outputs + 2
    work = correlation.of_convolution(samples, size, size, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1, c, k)
    with simd.using_level(level) as host:
        forward = winograd._divided(work, outputs, dtype, workers, host)
        gradient = deep.divided(work, outputs, dtype, workers, host)
    tiles = samples * math.prod(-(-length // outputs) for length in size)
    cycles = points**2 * tiles * c * k / (host.bytes // dtype.itemsize) / 2  # two multiply-adds in each
    assert 1.1 < forward.cycles / cycles < 1.6
    assert -(-tiles // forward.block_tiles) * forward.splits >= workers
    if gradient is None:
        assert tiles > deep.MOST_TILES
    else:
        assert 1.15 < gradient.cycles / cycles < 2.4
        assert gradient.blocks >= workers == gradient.workers


@pytest.mark.parametrize("size", [(32, 32), (64, 72)])
def test_it_is_not_used_where_the_direct_sum_takes_fewer_cycles(monkeypatch, size):
    case = large(size=size)
    monkeypatch.setattr(winograd, "direct_cycles", lambda *_: 1)
    monkeypatch.setattr(winograd_gradient, "tilings", lambda *_: [SimpleNamespace(cycles=1e-9)])
    for module in (winograd, winograd_gradient):
        module._best.cache_clear()
        assert module.plan(case.correlation, case.dtype) is None
        module._best.cache_clear()


@pytest.mark.parametrize(
    "kernel, strides, dilation", [((3, 3), (2, 2), (1, 1)), ((3, 3), (1, 1), (2, 2)), ((5, 5), (1, 1), (1, 1))]
)
def test_other_windows_are_convolved_directly(kernel, strides, dilation):
    size = tuple((32 - (k - 1) * d - 1) // s + 1 for k, s, d in zip(kernel, strides, dilation, strict=True))
    work = correlation.of_convolution(2, (32, 32), size, kernel, strides, ((0, 0),) * 2, dilation, 1, 64, 64)
    assert winograd.plan(work, np.dtype(np.float32)) is None
    assert winograd_gradient.plan(work, np.dtype(np.float32)) is None


@given(given_=st.one_of(st.integers(), st.text(max_size=3)))
def test_a_wrong_tile_is_refused(given_):
    assume(str(given_) not in map(str, winograd_tiles.CHOICES))
    with pytest.raises(ValueError, match="expected one of 0, 2, 4"), using_winograd(given_):
        pass


@pytest.mark.parametrize("given_, expected", [("0", "0"), ("2", "2"), ("", "4"), ("3", "expected one of 0, 2, 4")])
def test_the_environment_sets_the_tile(given_, expected):
    code = "from tomograd.kernels.cpu.winograd_tiles import largest_tile; print(largest_tile())"
    environment = {**os.environ, "TOMOGRAD_WINOGRAD": given_}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert expected in (result.stdout if result.returncode == 0 else result.stderr)
    assert (result.returncode == 0) == (given_ != "3")
