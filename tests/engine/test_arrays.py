"""Array arithmetic that takes other ways than NumPy's above some size: the same values, whatever the shape."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd import kernels
from tomograd.engine import arrays
from tomograd.testing.strategies import float_types, laid_out, seeds

layouts = st.sampled_from(["contiguous", "transposed", "strided", "read-only"])


@st.composite
def shapes(draw):
    """Up to four axes, short and long, of about as many elements as it takes to go the other way, or of few."""
    sizes = draw(st.lists(st.sampled_from([1, 2, 3, 7, 31, 128, 129]), max_size=3))
    while math.prod(sizes) > 3 * arrays.LARGE:
        sizes.pop()
    enough = draw(st.sampled_from([arrays.LARGE, arrays.LONG]))
    long = enough // math.prod(sizes) + draw(st.sampled_from([-1, 0, 1, 13]))
    sizes.insert(draw(st.integers(0, len(sizes))), draw(st.sampled_from([max(long, 1), 5])))
    return tuple(sizes)


def numbers(seed, shape, dtype):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@settings(deadline=None, max_examples=40)
@given(shapes(), seeds, float_types, layouts, st.booleans(), st.data())
def test_total(shape, seed, dtype, layout, keepdims, data):
    x = laid_out(numbers(seed, shape, dtype), layout)
    axis = tuple(data.draw(st.lists(st.sampled_from(range(len(shape))), unique=True)))
    found = arrays.total(x, axis, keepdims)
    expected = x.sum(axis=axis, keepdims=keepdims, dtype=np.float64)
    assert found.shape == expected.shape and found.dtype == dtype
    scale = np.abs(x).sum(axis=axis, keepdims=keepdims, dtype=np.float64)
    assert (np.abs(found - expected) <= 32 * np.finfo(dtype).eps * scale).all()


@pytest.mark.parametrize("shape, axis", [((140000,), (0,)), ((70000, 2), (1,)), ((3, 20000, 2), (1,))])
def test_total_passes_nan_and_infinity_on(shape, axis):
    x = np.ones(shape, np.float32)
    x[0], x[-1, ...] = np.nan, np.inf
    np.testing.assert_array_equal(arrays.total(x, axis, False), x.sum(axis))


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("axis", [(0,), (1,), (2,), (0, 2), (0, 1, 2), (1, 2)])
@pytest.mark.parametrize("repeated", [(0,), (2,), (0, 1), (0, 2), (0, 1, 2)])
def test_total_of_numbers_that_broadcasting_repeats(repeated, axis, keepdims):
    """A product, right to the last digits; added up one after the other they would lose three."""
    shape = (3000, 20, 5)
    small = np.random.default_rng(0).standard_normal([1 if i in repeated else n for i, n in enumerate(shape)], "f4")
    x = np.broadcast_to(small, shape)
    found = arrays.total(x, axis, keepdims)
    assert found.dtype == np.float32 and found.flags.writeable and found.flags.c_contiguous
    scale = np.abs(x).sum(axis, np.float64, keepdims=keepdims)
    error = np.abs(found - x.sum(axis, np.float64, keepdims=keepdims))
    assert found.shape == scale.shape and (error <= 8 * np.finfo(np.float32).eps * scale).all()


def test_total_of_integers_is_whole():
    assert arrays.total(np.ones(140000, np.int32), (0,), False) == 140000


@pytest.mark.parametrize(
    "shape, axis, kernel",
    [
        ((400, 400), (0, 1), "channel_sum"),
        ((4000, 33), (0,), "channel_sum"),
        ((2, 4000, 5), (1,), "channel_sum"),
        ((4, 40, 30, 4), (3,), "matmul"),
        ((10, 200, 100), (0, 2), "matmul"),
        ((2, 2000, 150), (1,), "channel_sum"),
        ((2, 300, 200), (1,), None),
        ((2, 100000), (0,), None),
        ((100, 300), (1,), None),
        ((100, 30), (0, 1), None),
    ],
)
def test_which_way_a_total_takes(shape, axis, kernel, monkeypatch):
    asked = set()
    for name in ("channel_sum", "matmul"):
        original = getattr(kernels.cpu, name)
        monkeypatch.setattr(kernels.cpu, name, lambda *a, n=name, o=original: asked.add(n) or o(*a))
    arrays.total(np.ones(shape, np.float32), axis, True)
    assert asked == ({kernel} if kernel else set())


@settings(deadline=None, max_examples=40)
@given(shapes(), seeds, float_types, st.integers(0, 4), layouts)
def test_filled(shape, seed, dtype, repeated, layout):
    """Numbers repeated along the last axes, some of them or all, and such as are not to be touched."""
    kept = max(len(shape) - repeated, 0)
    small = numbers(seed, shape[:kept], dtype)
    small = laid_out(small, layout) if kept else np.asarray(small)
    x = np.broadcast_to(small.reshape(shape[:kept] + (1,) * (len(shape) - kept)), shape)
    found = arrays.filled(x)
    assert found.shape == shape and found.dtype == dtype
    np.testing.assert_array_equal(found, x)
    if x.size >= arrays.LARGE and kept < len(shape) and layout == "contiguous":
        assert found.flags.c_contiguous and (found is x or found.flags.writeable)


def test_filled_passes_nan_and_infinity_on():
    x = np.broadcast_to(np.array([[np.nan], [np.inf], [-np.inf], [1]], np.float32), (4, 10000))
    np.testing.assert_array_equal(arrays.filled(x), x)


@settings(deadline=None, max_examples=40)
@given(shapes(), seeds, float_types, layouts, st.integers(0, 4), st.sampled_from([np.multiply, np.divide, np.subtract]))
def test_compute_with_a_broadcast_operand(shape, seed, dtype, layout, axis, ufunc):
    x = laid_out(numbers(seed, shape, dtype), layout)
    y = numbers(seed + 1, [1 if i == axis or i == len(shape) - 1 else n for i, n in enumerate(shape)], dtype)
    for operands in ((x, y), (y, x)):
        found = arrays.compute(ufunc, *operands)
        np.testing.assert_array_equal(found, ufunc(*operands))
        assert found.dtype == dtype


@settings(deadline=None, max_examples=40)
@given(shapes(), seeds, float_types, layouts, st.sampled_from(["array", "zero", "number", "row"]), st.booleans())
def test_where(shape, seed, dtype, layout, other, exchanged):
    """To the last bit, with the signs of zeros, and NaN."""
    x = laid_out(numbers(seed, shape, dtype), layout)
    y = {
        "array": np.flip(x),
        "zero": np.zeros((), dtype),
        "number": np.array(-0.0, dtype),
        "row": numbers(seed, shape[-1:], dtype),
    }[other]
    if layout != "read-only":
        x[np.abs(x) < 0.1], x[x > 2] = -0.0, np.nan
    condition = np.broadcast_to(numbers(seed + 1, (*shape[:-1], 1), dtype) > 0, shape)
    for chosen in (condition, condition[..., :1], np.ascontiguousarray(condition), numbers(seed, shape, dtype) > 0.5):
        operands = (y, x) if exchanged else (x, y)
        found, expected = arrays.where(chosen, *operands), np.where(chosen, *operands)
        assert found.dtype == dtype and found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


@settings(deadline=None, max_examples=40)
@given(shapes(), seeds, float_types, layouts, st.sampled_from([None, "x", "y", "other"]), st.booleans())
def test_add(shape, seed, dtype, layout, where, broadcast):
    x = laid_out(numbers(seed, shape, dtype), layout if where != "x" else "contiguous")
    y = numbers(seed + 1, shape, dtype)
    if broadcast and where != "y":
        y = np.broadcast_to(y[..., :1], shape)
    expected = x + y
    destination = {None: None, "x": x, "y": y, "other": np.empty(shape, dtype)}[where]
    if where == "y" and broadcast:
        destination = y = np.ascontiguousarray(y)
    found = arrays.add(x, y, destination)
    assert destination is None or found is destination
    np.testing.assert_array_equal(found, expected)


def test_add_uses_the_kernel_for_whole_arrays(monkeypatch):
    asked = []
    monkeypatch.setattr(kernels.cpu, "add", lambda x, y, destination=None: asked.append(x.size) or x + y)
    arrays.add(np.ones(arrays.LONG), np.ones(arrays.LONG))
    arrays.add(np.ones(3), np.ones(3))
    arrays.add(np.ones(arrays.LONG), np.ones(1))
    assert asked == [arrays.LONG]
