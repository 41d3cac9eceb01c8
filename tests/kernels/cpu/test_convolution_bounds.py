"""Convolution reads and writes nothing outside its arrays: each array lies at the end, or at the start, of memory
beside which any access kills the process. Hence the tests run in a process of their own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs mmap's mprotect")

SCRIPT = '''
import ctypes, mmap, sys
import numpy as np
from tomograd.kernels import cpu, reference
from tomograd.kernels.cpu import convolution, correlation, dense, depthwise, few_rows, output_tiles, simd
from tomograd.kernels.cpu import weight_tiles, winograd, winograd_gradient, workspaces
from tomograd.kernels.cpu.winograd_tiles import using_winograd

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
kept, at_end = [], sys.argv[1] == "end"

def guarded(shape, dtype=np.float32):
    """An array that ends (or begins) where a page that nobody may touch begins (or ends)."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = -(-size // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, pages + 1):
        assert libc.mprotect(ctypes.c_void_p(address + page * PAGE), ctypes.c_size_t(PAGE), 0) == 0
    kept.append(memory)
    offset = PAGE + (pages * PAGE - size if at_end else 0)
    return np.frombuffer(memory, dtype, int(np.prod(shape)), offset).reshape(shape)

def numbers(*shape, dtype=np.float32):
    array = guarded(shape, dtype)
    array[...] = np.random.default_rng(0).integers(-3, 4, shape)
    return array

direct = convolution, dense, depthwise, few_rows, output_tiles, weight_tiles
for module in (*direct, winograd, winograd_gradient, workspaces):
    module.empty = guarded

def check(dtype, n, size, kernel, strides, padding, dilation, groups, c_in, c_out):
    x, w = numbers(n, *size, c_in, dtype=dtype), numbers(*kernel, c_in // groups, c_out, dtype=dtype)
    bias, geometry = numbers(c_out, dtype=dtype), (strides, padding, dilation, groups)
    y = cpu.conv(x, w, bias, *geometry)
    assert np.array_equal(y, reference.conv(x, w, bias, *geometry))
    dy = numbers(*y.shape, dtype=dtype)
    for name, arguments in [("conv_transpose", (dy, w, None, size)), ("conv_weight_gradient", (x, dy, kernel))]:
        result = getattr(cpu, name)(*arguments, *geometry)
        assert np.array_equal(result, getattr(reference, name)(*arguments, *geometry)), name
    assert np.allclose(cpu.channel_sum(dy), dy.sum(tuple(range(dy.ndim - 1))))

def check_winograd(dtype, n, size, kernel, padding, groups, c_in, c_out):
    """By tiles of either size, whether they pay or not."""
    x, w = numbers(n, *size, c_in, dtype=dtype), numbers(*kernel, c_in // groups, c_out, dtype=dtype)
    bias, geometry = numbers(c_out, dtype=dtype), ((1,) * len(size), padding, (1,) * len(size), groups)
    expected = reference.conv(x, w, bias, *geometry)
    y, dy, dw = guarded(expected.shape, dtype), numbers(*expected.shape, dtype=dtype), guarded(w.shape, dtype)
    work = correlation.of_convolution(n, size, y.shape[1:-1], kernel, *geometry, c_in, c_out)
    rest = np.dtype(dtype), 2, simd.level()
    for outputs in (2, 4):
        winograd.launch(winograd._plan(work, outputs, *rest), x, w, bias, y)
        assert np.allclose(y, expected, atol=1e-3)
        for whole in (False, True):
            winograd_gradient.launch(winograd_gradient._plan(work, outputs, whole, *rest), work, x, dy, dw)
            assert np.allclose(dw, reference.conv_weight_gradient(x, dy, kernel, *geometry), atol=1e-3)

for level in sys.argv[2].split(","):
    with simd.using_level(level), using_winograd(0):
        for dtype in (np.float32, np.float64):
            for c_in, c_out, groups, size in [(16, 17, 1, (7, 19)), (33, 70, 1, (6, 5)), (40, 32, 2, (4, 4))]:
                check_winograd(dtype, 2, size, (3, 3), ((1, 1), (1, 1)), groups, c_in, c_out)
            check_winograd(dtype, 1, (5, 6, 7), (3, 3, 3), ((1, 1), (0, 2), (2, 1)), 1, 16, 33)
        for dtype in (np.float32, np.float64):
            channels = [(1, 1, 1), (3, 5, 1), (16, 17, 1), (33, 31, 1)]
            for c_in, c_out, groups in [*channels, (6, 10, 2), (5, 5, 5), (19, 19, 19), (32, 32, 32)]:
                check(dtype, 2, (7, 19), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), groups, c_in, c_out)
                check(dtype, 1, (9, 14), (3, 2), (2, 3), ((0, 1), (2, 1)), (1, 2), groups, c_in, c_out)
            check(dtype, 1, (5, 6, 7), (2, 3, 2), (1, 2, 1), ((0, 1), (1, 1), (1, 0)), (1, 1, 2), 1, 3, 18)
            check(dtype, 1, (13,), (1,), (1,), ((0, 0),), (1,), 1, 7, 9)
            for m, k, n in [(1, 1, 1), (13, 7, 17), (3, 4001, 10), (1, 2003, 129), (33, 20, 31), (60, 40, 31)]:
                a, b, at = numbers(m, k, dtype=dtype), numbers(k, n, dtype=dtype), numbers(k, m, dtype=dtype)
                assert np.array_equal(cpu.matmul(a, b), a @ b)
                assert np.array_equal(cpu.matmul(at, b, transpose_a=True), at.T @ b)
                bt = numbers(n, k, dtype=dtype)
                assert np.array_equal(cpu.matmul(a, bt, transpose_b=True), a @ bt.T)
print("within bounds")
'''


@pytest.mark.parametrize("where", ["end", "start"])
def test_nothing_outside_the_arrays_is_touched(where):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, where, "avx512,avx2"], capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, f"exit status {result.returncode}: {result.stderr[-2000:]}"
    assert result.stdout.strip() == "within bounds"
