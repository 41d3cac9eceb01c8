"""What is stored past the caches, and that it arrives."""

import numpy as np
import pytest

from tomograd.kernels import cpu, memory
from tomograd.kernels.cpu import streams
from tomograd.kernels.cpu.bodies import Constant, kernel, unpack, value
from tomograd.kernels.cpu.channels import Lines
from tomograd.kernels.cpu.launch import run
from tomograd.kernels.cpu.simd import Vector, finish_streams, lanes, load
from tomograd.kernels.cpu.streams import past_caches, put


def test_what_the_caches_cannot_hold_together_passes_them_by(monkeypatch):
    monkeypatch.setattr(streams, "last_level_bytes", lambda: 3 * 65536)
    monkeypatch.setattr(streams, "SMALL", 65535)
    x, y = memory.empty(65536, np.uint8), memory.empty(65536, np.uint8)
    assert not value_of(past_caches(y, x, x))
    assert value_of(past_caches(y, x, x, x))
    assert not value_of(past_caches(y[:-64], x, x, x, x))
    assert not value_of(past_caches(memory.empty(65537, np.uint8)[1:], x, x, x))  # begins within a line
    monkeypatch.setattr(streams, "SMALL", 65536)
    assert not value_of(past_caches(y, x, x, x))


def value_of(constant: Constant) -> bool:
    return bool(constant.numba_type.number)


@pytest.mark.parametrize("samples, positions, channels, aligned", [
    (3, 9, 64, True),
    (1, 5, 3, True),  # lines hold many positions, and there is no second sample
    (2, 5, 3, False),
    (2, 16, 3, True),
    (1, 9, 1001, False),  # a line is one position
    (2, 9, 1008, True),
    (2, 4, 63, False),
])  # fmt: skip
def test_lines_are_aligned_where_all_begin_at_a_cache_line(samples, positions, channels, aligned):
    assert Lines(samples, positions, channels, np.dtype(np.float32)).aligned is aligned


@kernel
def _copied(begin, end, arguments):
    vector, past, x, y = unpack(arguments)
    for i in range(begin * lanes(vector), end * lanes(vector), lanes(vector)):
        put(past, y, i, load(vector, x, i))
    if value(past):
        finish_streams()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("width", [1, 4, 16, 64])
@pytest.mark.parametrize("past", [False, True])
def test_every_vector_arrives(dtype, width, past):
    x = np.random.default_rng(width).integers(0, 100, 5 * width).astype(dtype)
    y = memory.zeros(4096, dtype)
    run(_copied, 5, 1, Vector(x.dtype, width), Constant(past), x, y)
    np.testing.assert_array_equal(y[: x.size], x)
    assert not y[x.size :].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(37, 64), (5, 1001), (3, 4000), (70, 5)])
def test_results_are_the_same_past_the_caches(monkeypatch, dtype, shape):
    """Rows that do and do not begin at a cache line, more than fit into a block, narrow ones; cotangents that repeat
    one number by broadcasting."""
    rng = np.random.default_rng(shape[1])
    x, dy, t = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
    labels, dloss = rng.integers(0, shape[1], shape[0]), dy[:, 0].copy()
    repeated = np.broadcast_to(dtype(0.5), shape)

    def results():
        y, log_y = cpu.softmax(x), cpu.log_softmax(x)
        yield from (y, log_y, cpu.softmax_gradient(dy, y), cpu.log_softmax_gradient(dy, log_y))
        yield from (cpu.sparse_cross_entropy_gradient(dloss, x, labels), cpu.cross_entropy_gradient(dloss, x, t))
        yield from (cpu.activation_gradient(cotangent, x, "gelu") for cotangent in (repeated, repeated.copy()))
        yield from (cpu.binary_cross_entropy_gradient(cotangent, x, t) for cotangent in (repeated, repeated.copy()))

    through = list(results())
    monkeypatch.setattr(streams, "last_level_bytes", lambda: 0)
    monkeypatch.setattr(streams, "SMALL", 0)
    for result, expected in zip(results(), through, strict=True):
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(through[-1], through[-2])
    np.testing.assert_array_equal(through[-3], through[-4])
