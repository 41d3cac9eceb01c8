"""Windows over padded arrays: what pads and crops is inverse, and each size has as many dimensions as the others."""

import numpy as np
import pytest

from tomograd.kernels.reference import windows

PAIR = ((1, 2), (0, 3))


def test_crop_undoes_pad():
    x = np.random.default_rng(0).standard_normal((2, 4, 3, 2))
    padded = windows.pad(x, PAIR, 7)
    assert padded.shape == windows.padded_zeros(2, (4, 3), PAIR, 2, x.dtype).shape == (2, 7, 6, 2)
    assert (padded == 7).sum() == padded.size - x.size
    np.testing.assert_array_equal(windows.crop(padded, (4, 3), PAIR), x)


@pytest.mark.parametrize("size", [(4,), (4, 3, 2)])
def test_sizes_and_paddings_of_other_dimensions_are_refused(size):
    with pytest.raises(ValueError, match="zip"):
        windows.padded_zeros(1, size, PAIR, 1, np.dtype(float))
    with pytest.raises(ValueError, match="zip"):
        windows.crop(np.zeros((1, 7, 6, 2)), size, PAIR)


@pytest.mark.parametrize("wrong", range(4))
def test_windows_of_other_dimensions_are_refused(wrong):
    sizes = [(2, 2), (3, 3), (1, 1), (1, 1)]
    sizes[wrong] = sizes[wrong][:1]
    with pytest.raises(ValueError, match="zip"):
        list(windows.each_tap(np.zeros((1, 4, 4, 1)), *sizes))
