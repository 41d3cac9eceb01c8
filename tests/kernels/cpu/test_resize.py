"""Resizing on the CPU against the reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import assert_close

from tomograd.kernels import cpu, reference
from tomograd.kernels.cpu import streams
from tomograd.testing import compare
from tomograd.testing.strategies import LAYOUTS, laid_out

WEIGHTS = 4  # roundings in the weights of one dimension
sizes = st.integers(1, 3).flatmap(lambda d: st.tuples(*[st.tuples(st.integers(1, 7), st.integers(1, 9))] * d))


def require_equal_up_to_rounding(x, dy, method):
    """Resizing x to dy's size, and its transpose. A weight, 1 less a fraction, is rounded too: in each dimension."""
    before, after = x.shape[1:-1], dy.shape[1:-1]
    corners = 2 ** len(before)
    compare(cpu.resize, reference.resize, x, after, method, terms=corners + WEIGHTS * len(before))
    reached = int(np.prod([2 * -(-m // n) + 2 for n, m in zip(before, after, strict=True)]))
    terms = reached + WEIGHTS * len(before)
    compare(cpu.resize_gradient, reference.resize_gradient, dy, before, method, terms=terms)


@given(
    sizes=sizes,
    channels=st.sampled_from([1, 3, 16, 21]),
    method=st.sampled_from(["nearest", "bilinear"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    layout=st.sampled_from(LAYOUTS),
)
def test_resize_and_its_gradient_equal_the_reference(sizes, channels, method, dtype, layout):
    rng = np.random.default_rng(0)
    before, after = zip(*sizes, strict=True)
    x = laid_out(rng.standard_normal((2, *before, channels)).astype(dtype), layout)
    require_equal_up_to_rounding(x, laid_out(rng.standard_normal((2, *after, channels)).astype(dtype), layout), method)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 12, 15, 16, 40])
@pytest.mark.parametrize("after", [(10, 140), (4, 96), (5, 31), (1, 9), (5, 70)])
@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_rows_of_many_vectors(channels, after, method):
    rng = np.random.default_rng(channels)
    x = rng.standard_normal((2, 5, 70, channels)).astype(np.float32)
    require_equal_up_to_rounding(x, rng.standard_normal((2, *after, channels)).astype(np.float32), method)


@given(
    before=st.integers(2, 3).flatmap(lambda d: st.tuples(*[st.integers(1, 6)] * d)),
    channels=st.sampled_from([4, 8, 16, 21, 48]),
    dtype=st.sampled_from([np.float32, np.float64]),
    layout=st.sampled_from(LAYOUTS),
    past=st.booleans(),
)
def test_twice_the_size(before, channels, dtype, layout, past):
    """Images of one position along an axis, parts of a vector of channels, an overlapping one, two and three axes."""
    rng = np.random.default_rng(channels)
    after = tuple(2 * n for n in before)
    x = laid_out(rng.standard_normal((2, *before, channels)).astype(dtype), layout)
    dy = laid_out(rng.standard_normal((2, *after, channels)).astype(dtype), layout)
    with pytest.MonkeyPatch.context() as patch:
        if past:
            patch.setattr(streams, "last_level_bytes", lambda: 0)
            patch.setattr(streams, "SMALL", 0)
        y, dx = cpu.resize(x, after, "bilinear"), cpu.resize_gradient(dy, before, "bilinear")
    assert_close(y, reference.resize(x, after, "bilinear"), scale=4)
    assert_close(dx, reference.resize_gradient(dy, before, "bilinear"), scale=4 * 3 ** len(before))


def test_the_gradient_of_twice_the_size_is_the_transpose():
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 3, 5, 4, 24)), rng.standard_normal((2, 6, 10, 8, 24))
    forward = (cpu.resize(x, (6, 10, 8), "bilinear") * dy).sum()
    np.testing.assert_allclose((cpu.resize_gradient(dy, (3, 5, 4), "bilinear") * x).sum(), forward, rtol=1e-10)


@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
def test_what_is_not_finite_shows_where_it_has_a_share(kernels):
    """5 pixels to 3: the second output lies on the centre of the third pixel, and reads nothing else."""
    for channels in (1, 40):
        for place, reached in ((0, [0]), (1, [0]), (2, [1]), (3, [2]), (4, [2])):
            x = np.ones((1, 5, channels), np.float32)
            x[0, place] = -np.inf
            y = kernels.resize(x, (3,), "bilinear")
            np.testing.assert_array_equal(np.isneginf(y[0, :, 0]), [o in reached for o in range(3)])
            assert not np.isnan(y).any()
        dy = np.ones((1, 3, channels), np.float32)
        dy[0, 1] = np.inf
        np.testing.assert_array_equal(
            kernels.resize_gradient(dy, (5,), "bilinear")[0, :, 0] == np.inf, np.arange(5) == 2
        )


@given(
    sizes=sizes,
    method=st.sampled_from(["nearest", "bilinear"]),
    values=st.sampled_from([(np.nan,), (np.inf,), (np.inf, -np.inf)]),
    channels=st.sampled_from([1, 3, 21]),
    double=st.booleans(),
)
def test_what_is_not_finite_goes_where_the_reference_has_it(sizes, method, values, channels, double):
    rng = np.random.default_rng(1)
    before, after = zip(*sizes, strict=True)
    after = tuple(2 * n for n in before) if double else after
    x, dy = (rng.standard_normal((2, *size, channels)).astype(np.float32) for size in (before, after))
    for array in (x, dy):
        array.ravel()[rng.choice(array.size, min(3, array.size))] = rng.choice(values, min(3, array.size))
    with np.errstate(invalid="ignore"):
        expected = reference.resize(x, after, method), reference.resize_gradient(dy, before, method)
    np.testing.assert_allclose(cpu.resize(x, after, method), expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(cpu.resize_gradient(dy, before, method), expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_the_same_size_changes_nothing(kernels, method):
    x = np.random.default_rng(0).standard_normal((1, 4, 3, 2)).astype(np.float32)
    x[0, 1, 1, 0], x[0, 2, 2, 1], x[0, 3, 0, 0] = np.inf, np.nan, -np.inf
    np.testing.assert_array_equal(kernels.resize(x, (4, 3), method), x)
    np.testing.assert_array_equal(kernels.resize_gradient(x, (4, 3), method), x)


def test_unknown_method():
    with pytest.raises(ValueError, match="cubic"):
        cpu.resize(np.zeros((1, 2, 2, 1), np.float32), (4, 4), "cubic")


def test_empty_batch():
    assert cpu.resize(np.zeros((0, 3, 2), np.float32), (5,), "nearest").shape == (0, 5, 2)
