"""What the system says of the processor's caches, what is assumed where it says nothing, and what passes them by."""

import numpy as np
import pytest

from tomograd.kernels import memory
from tomograd.kernels.cpu import caches


@pytest.mark.parametrize(
    ("largest", "size"),
    [("96M\n", 96 * 1024**2), ("98304K\n", 96 * 1024**2), ("1G\n", 1024**3), ("4194304", 4 * 1024**2)],
)
def test_the_largest_cache_counts(tmp_path, largest, size):
    for index, text in enumerate(["48K\n", "2M", largest]):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(text)
    assert caches.last_level_bytes(tmp_path) == size


def test_a_size_is_assumed_where_none_can_be_read(tmp_path):
    assert caches.last_level_bytes(tmp_path / "nowhere") == caches.COMMON_SIZE
    (tmp_path / "index0").mkdir()
    (tmp_path / "index0" / "size").write_text("unknown")
    assert caches.last_level_bytes(tmp_path) == caches.COMMON_SIZE


def test_this_machine_has_a_cache():
    assert caches.last_level_bytes() >= 32 * 1024


def test_large_aligned_arrays_pass_the_caches_by(monkeypatch):
    monkeypatch.setattr(caches, "last_level_bytes", lambda: 4 * 65536)
    y = memory.empty((65536,), np.uint8)
    assert caches.too_large_for_caches(y)
    assert not caches.too_large_for_caches(y[:-64])
    assert not caches.too_large_for_caches(np.concatenate([y, y])[1:].view())
