"""Copies, concatenations and splits on the GPU against the reference: the elements are the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.kernels import reference
from tomograd.testing.strategies import arrays, shapes


@given(x=arrays(shapes()))
def test_a_copy_lies_in_order_and_is_equal(cuda, x):
    copy = cuda.copy(x)
    assert copy.flags.c_contiguous and not np.shares_memory(copy, x)
    np.testing.assert_array_equal(copy, x)


@given(x=arrays(shapes()))
def test_a_copy_into_every_second_place(cuda, x):
    room = np.zeros((*x.shape, 2), x.dtype)
    cuda.copy(x, destination=room[..., 1])
    np.testing.assert_array_equal(room[..., 1], x)
    assert not room[..., 0].any()


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.float16, np.int32, np.int64, np.float64])
def test_types_of_every_size(cuda, dtype):
    x = (np.arange(2 * 3 * 5).reshape(2, 3, 5) % 7).astype(dtype).transpose(2, 0, 1)[::-1]
    np.testing.assert_array_equal(cuda.copy(x), x)


def test_more_axes_than_a_copy_takes(cuda):
    x = np.arange(4**9, dtype=np.float32).reshape((4,) * 9)
    np.testing.assert_array_equal(cuda.copy(x[::-1]), x[::-1])  # all but the first lie one after another
    with pytest.raises(ValueError, match="x has 9 axes that cannot be merged: a copy on the GPU takes 8"):
        cuda.copy(x[(slice(None, None, 2),) * 9])


def test_axes_of_one_do_not_count(cuda):
    x = np.arange(3.0**8).reshape((3,) * 8)[(slice(None, None, 2), None) * 8]  # of one element, with a stride of 0
    np.testing.assert_array_equal(cuda.copy(x), x)


@given(shape=shapes(min_dims=1), data=st.data())
def test_concatenation_and_its_transpose(cuda, shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    sizes = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    generator = np.random.default_rng(0)
    parts = [generator.standard_normal((*shape[:axis], n, *shape[axis + 1 :])).astype(np.float32) for n in sizes]
    whole = cuda.concatenate(parts, axis)
    np.testing.assert_array_equal(whole, reference.concatenate(parts, axis))
    for part, cut in zip(parts, cuda.split(whole, sizes, axis), strict=True):
        assert cut.flags.c_contiguous
        np.testing.assert_array_equal(cut, part)
