"""The tile kernel's inner loop as machine code: exactly the tile's multiply-adds, all accumulators in registers."""

import platform
import re

import numpy as np
import pytest
from numba.core.caching import NullCache

from tomograd.kernels.cpu import launch, simd
from tomograd.kernels.cpu.tile_kernel import MASKED, tile_kernel
from tomograd.kernels.cpu.tiles import TileShape
from tomograd.kernels.cpu.tiling import fits, gradient_tile, output_tile

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or simd.host_level().bytes < 32,
    reason="reads x86's assembly with fused multiply-adds",
)
LEVELS = [name for name in ("avx512", "avx2") if simd.LEVELS[name].bytes <= simd.host_level().bytes]


@pytest.fixture(autouse=True)
def compiled_afresh(monkeypatch):
    """Code from the cache has no assembly to read."""
    monkeypatch.setattr(launch, "cache_for", lambda body: NullCache())
    monkeypatch.setattr(launch, "_compiled", {})


def inner_loops(assembly: str) -> list[list[str]]:
    """The instructions of each innermost loop that multiplies and adds."""
    loops, label, start = [], None, 0
    lines = [line.strip() for line in assembly.splitlines()]
    for position, line in enumerate(lines):
        target = re.match(r"(\.LBB\w+):", line)
        if target:
            label, start = target.group(1), position + 1
        elif label and re.fullmatch(rf"j\w+\s+{re.escape(label)}", line):
            body = lines[start : position + 1]
            if any("fmadd" in instruction for instruction in body):
                loops.append(body)
            label = None
    return loops


def check(code, multiply_adds, register):
    (loop,) = inner_loops(code.code._library.get_asm_str())
    vector = [instruction for instruction in loop if "fmadd" in instruction and register in instruction]
    assert len(vector) == multiply_adds
    on_stack = [instruction for instruction in loop if "%rsp" in instruction]
    assert not on_stack


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pixels, vectors", [(256, 1), (128, 2), (64, 4), (13, 3), (1, 8)])
def test_output_tiles_stay_in_registers(level, dtype, pixels, vectors):
    with simd.using_level(level) as host:
        rows, wide = output_tile(pixels, vectors, 576, host)
        assert fits(rows, wide, host)
        code = tile_kernel(np.dtype(dtype), TileShape(np.dtype(dtype), rows, wide), advance=1)
    check(code, rows * wide, "zmm" if level == "avx512" else "ymm")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("mode", [0, MASKED])
@pytest.mark.parametrize("kernel_rows, run, vectors", [(1, 16, 1), (1, 64, 4), (1, 256, 16), (3, 9, 2)])
def test_gradient_tiles_stay_in_registers(level, mode, kernel_rows, run, vectors):
    with simd.using_level(level) as host:
        groups, rows, wide = gradient_tile(kernel_rows, run, vectors, mode == MASKED, host)
        shape = TileShape(np.dtype(np.float32), groups * rows, wide, groups)
        code = tile_kernel(np.dtype(np.float32), shape, step=1, mode=mode)
    check(code, groups * rows * wide, "zmm" if level == "avx512" else "ymm")
