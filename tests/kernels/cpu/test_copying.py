"""Copies, concatenation and splitting on the CPU are NumPy's to the bit, for every stride, type and axis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.kernels import cpu, reference
from tomograd.kernels.cpu import copying, launch

DTYPES = [np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_, np.float16, np.complex64, ">f4"]
SHAPES = [(70, 80, 33), (3, 41, 77, 17), (7, 1, 9001), (2, 3, 50, 40, 17), (260000,), (3, 2, 1), (0, 5, 4), ()]
VIEWS = {
    "whole": lambda x: x,
    "reversed first": lambda x: x[::-1],
    "reversed last": lambda x: x[..., ::-1],
    "every second": lambda x: x[::2],
    "every third of the last": lambda x: x[..., 1::3],
    "cut": lambda x: x[1:-1, 1:],
    "transposed": lambda x: x.T,
    "channels first": lambda x: np.moveaxis(x, -1, 0),
    "channels last": lambda x: np.moveaxis(x, 0, -1),
    "repeated first": lambda x: np.broadcast_to(x[:1], x.shape),
    "repeated last": lambda x: np.broadcast_to(x[..., :1], x.shape),
    "unaligned": lambda x: unaligned(x),
}


def numbers(shape, dtype):
    return np.asarray(np.random.default_rng(0).standard_normal(shape) * 100).astype(dtype)


def unaligned(x):
    """The same numbers at an odd address."""
    room = np.empty(x.nbytes + 1, np.uint8)
    y = np.ndarray(x.shape, x.dtype, room, 1)
    y[...] = x
    return y


def identical(actual, expected):
    assert actual.dtype == expected.dtype.newbyteorder("=") and actual.shape == expected.shape
    assert actual.flags.c_contiguous and actual.dtype.isnative
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("view", VIEWS)
def test_a_copy_is_numpys(view, dtype):
    for shape in SHAPES:
        x = numbers(shape, dtype)
        if x.ndim > 1 or view in ("whole", "transposed", "unaligned"):
            x = VIEWS[view](x)
        x.flags.writeable = False
        y = cpu.copy(x)
        identical(y, x)
        assert not np.shares_memory(x, y)


@given(
    rows=st.integers(1, 90),
    widths=st.lists(st.integers(0, 70), min_size=1, max_size=4),
    blocks=st.sampled_from([(), (3,), (2, 5)]),
    inner=st.sampled_from([(), (1,), (13,), (3, 7)]),
    dtype=st.sampled_from([np.float32, np.float64, np.bool_]),
    strided=st.booleans(),
)
def test_concatenate_and_split_are_each_others_inverse_and_numpys(rows, widths, blocks, inner, dtype, strided):
    """Along each axis, for run lengths on both sides of every width of a vector."""
    for axis in range(len(blocks) + 1):
        outer = (*blocks, rows)
        arrays = []
        for width in widths:
            shape = [*outer, *inner]
            shape.insert(axis, width)
            array = numbers(shape, dtype)
            arrays.append(np.flip(array) if strided else array)
        joined = with_small_kernels(cpu.concatenate, arrays, axis)
        identical(joined, np.concatenate(arrays, axis))
        source = np.asfortranarray(joined) if strided else joined
        parts = with_small_kernels(cpu.split, source, widths, axis)
        for part, array in zip(parts, arrays, strict=True):
            identical(part, array)
            assert not np.shares_memory(part, joined)


def with_small_kernels(function, *arguments):
    """What is small runs through the kernel too, in many parts."""
    before = copying.LARGE, copying.SMALLEST
    copying.LARGE = copying.SMALLEST = 1
    try:
        return function(*arguments)
    finally:
        copying.LARGE, copying.SMALLEST = before


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_large_arrays_on_several_threads(axis):
    shapes = [[5, 60, 70, 24], [5, 60, 70, 24], [5, 60, 70, 24]]
    for shape, size in zip(shapes, (1, 24, 40), strict=True):
        shape[axis] = size
    arrays = [numbers(shape, np.float32) for shape in shapes]
    joined = cpu.concatenate(arrays, axis)
    identical(joined, np.concatenate(arrays, axis))
    for part, array in zip(cpu.split(joined, (1, 24, 40), axis), arrays, strict=True):
        identical(part, array)


def test_a_long_run_is_shared_by_threads_and_ends_where_it_should():
    for size in (copying.BLOCK * 5, copying.BLOCK * 5 + 1, copying.BLOCK * 5 - 1):
        arrays = [numbers(size, np.float32), numbers(40_000, np.float32)]
        room = np.full(size + 40_000 + 128, 7, np.float32)
        parts = [room[64 : 64 + size], room[64 + size : -64]]
        for array, part in zip(arrays, parts, strict=True):
            cpu.copy(array, part)
        np.testing.assert_array_equal(room[64:-64], np.concatenate(arrays))
        assert (room[:64] == 7).all() and (room[-64:] == 7).all()
        identical(cpu.concatenate(arrays, 0), np.concatenate(arrays))


@pytest.mark.parametrize("view", [view for view in VIEWS if not view.startswith("repeated")])
def test_a_destination_may_have_any_strides_and_nothing_beside_it_is_written(view):
    room = np.full((40, 41, 60), 7, np.float32)
    expected = room.copy()
    if view == "unaligned":
        room = unaligned(room)
    target = room if view == "unaligned" else VIEWS[view](room)
    x = numbers(target.shape, np.float32)
    assert cpu.copy(x, target) is target
    (expected if view == "unaligned" else VIEWS[view](expected))[...] = x
    np.testing.assert_array_equal(room, expected)


def test_nan_keeps_its_bits():
    bits = np.arange(0x7F800000, 0x7F800000 + 300 * 300, dtype=np.uint32).reshape(300, 300)
    x = bits.view(np.float32)
    np.testing.assert_array_equal(cpu.copy(x.T).view(np.uint32), bits.T)
    np.testing.assert_array_equal(cpu.concatenate([x, x], 1).view(np.uint32), np.concatenate([bits, bits], 1))


def test_only_what_is_not_contiguous_is_copied():
    x = numbers((130, 140, 9), np.float32)
    assert copying.contiguous(x) is x
    for view in (x[:, ::-1], x.T, x.astype(">f4"), unaligned(x)):
        y = copying.contiguous(view)
        identical(y, view)
        assert y.flags.aligned


def test_the_reference_agrees():
    x, y = numbers((4, 5, 6), np.float64), numbers((4, 2, 6), np.float64)
    identical(reference.copy(x.T), x.T)
    assert not np.shares_memory(reference.copy(x), x)
    target = np.empty((6, 5, 4)).T
    assert reference.copy(x, target) is target
    np.testing.assert_array_equal(target, x)
    joined = reference.concatenate([x, y], 1)
    identical(joined, cpu.concatenate([x, y], 1))
    for sizes in ((5, 2), (4, 0, 3), (1, 2, 3, 1), (7,)):
        for part, of_cpu in zip(reference.split(joined, sizes, 1), cpu.split(joined, sizes, 1), strict=True):
            identical(part, of_cpu)


def test_results_do_not_depend_on_the_number_of_threads():
    x = numbers((3, 200, 77, 5), np.float32)
    with launch.using_threads(1):
        serial = cpu.copy(x[:, ::-1])
    np.testing.assert_array_equal(serial, cpu.copy(x[:, ::-1]))
