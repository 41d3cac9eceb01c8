"""What is stored past the caches, and that it arrives."""

import numpy as np
import pytest

from tomograd.kernels import memory
from tomograd.kernels.cpu import streams
from tomograd.kernels.cpu.launch import Constant, kernel, run, unpack, value
from tomograd.kernels.cpu.simd import Vector, finish_streams, lanes, load
from tomograd.kernels.cpu.streams import past_caches, put


def test_what_the_caches_cannot_hold_together_passes_them_by(monkeypatch):
    monkeypatch.setattr(streams, "last_level_bytes", lambda: 3 * 65536)
    x, y = memory.empty(65536, np.uint8), memory.empty(65536, np.uint8)
    assert not value_of(past_caches(y, x, x))
    assert value_of(past_caches(y, x, x, x))
    assert not value_of(past_caches(memory.empty(65537, np.uint8)[1:], x, x, x))  # begins within a line


def value_of(constant: Constant) -> bool:
    return bool(constant.numba_type.number)


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
