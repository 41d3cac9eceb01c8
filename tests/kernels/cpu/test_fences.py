"""Whatever is stored past the caches is seen by other threads: a fence comes after it. No result would tell for sure
that one is missing, so it is looked for in the machine code."""

import platform

import numpy as np
import pytest

from tomograd.kernels import cpu
from tomograd.kernels.cpu import bodies, compiling, streams

FENCES = b"\x0f\xae\xf0", b"\xf0\x83\x4c\x24\xc0\x00", b"\xf0\x83\x0c\x24\x00"  # mfence, lock or: as LLVM prefers

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="looks for x86's instructions"
)


def numbers(*shape):
    return np.random.default_rng(0).uniform(0.1, 1, shape).astype(np.float32)


IMAGE, ROWS, GAMMA, SHARES = numbers(2, 16, 16, 16), numbers(256, 16), numbers(16), numbers(2, 500, 16)
BATCH, EACH = np.ones((2, 16), np.float32), np.ones((256, 1), np.float32)
TWO = (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)
SAME = ((1, 1), (1, 1)), (1, 1)

CALLS = {
    "sum": lambda: cpu.add(*numbers(2, 200, 1000)),
    "formula": lambda: cpu.activation(IMAGE, "gelu"),
    "rows": lambda: cpu.softmax(numbers(8, 1024)),
    "layer_norm": lambda: cpu.group_norm(ROWS, 1, GAMMA, GAMMA, 1e-3),
    "layer_norm_gradient": lambda: cpu.group_norm_gradient(ROWS, ROWS, 1, GAMMA, EACH, EACH, 1e-3),
    "batch_norm": lambda: cpu.batch_norm_inference(IMAGE, GAMMA, GAMMA, GAMMA, GAMMA, 1e-3),
    "batch_norm_gradient": lambda: cpu.batch_norm_gradient(IMAGE, IMAGE, GAMMA, GAMMA, GAMMA, GAMMA, 1e-3),
    "dice_gradient": lambda: cpu.dice_gradient(BATCH, SHARES, SHARES, 1.0),
    "pooling_gradient": lambda: cpu.max_pool_scatter(IMAGE, (IMAGE > 2).view(np.uint8), (32, 32), *TWO),
    "doubled": lambda: cpu.resize(IMAGE, (32, 32), "bilinear"),
    "halved": lambda: cpu.resize_gradient(IMAGE, (8, 8), "bilinear"),
}
WITH_FENCES_ALWAYS = {
    "conv": lambda: cpu.conv(IMAGE, numbers(3, 3, 16, 32), None, (2, 2), *SAME, 1),
    "conv_depthwise": lambda: cpu.conv(IMAGE, numbers(3, 3, 1, 16), None, (1, 1), *SAME, 16),
}


@pytest.fixture
def has_fence(monkeypatch):
    """Whether there is a fence in what a call needs of machine code."""
    loaded, load = [], compiling.Loaded

    def note(content):
        loaded.append(content)
        return load(content)

    def answer(call):
        loaded.clear()
        monkeypatch.setattr(bodies, "_compiled", {})
        call()
        assert loaded
        return any(fence in content for content in loaded for fence in FENCES)

    monkeypatch.setattr(compiling, "Loaded", note)
    return answer


@pytest.mark.parametrize("name", CALLS)
def test_stores_past_the_caches_end_with_a_fence(monkeypatch, has_fence, name):
    assert not has_fence(CALLS[name])
    monkeypatch.setattr(streams, "last_level_bytes", lambda: 0)
    monkeypatch.setattr(streams, "SMALL", 0)
    assert has_fence(CALLS[name])


@pytest.mark.parametrize("name", WITH_FENCES_ALWAYS)
def test_a_body_that_may_store_past_the_caches_ends_with_a_fence(has_fence, name):
    assert has_fence(WITH_FENCES_ALWAYS[name])
