"""The affine map on the GPU against the reference: every fill mode, maps of all kinds, and the transpose, which has to
find each output that reads a pixel."""

import numpy as np
import pytest
from affine_cases import FILL_MODES, INTERPOLATIONS, require_equal_up_to_rounding, tables
from hypothesis import given
from hypothesis import strategies as st
from same_bits import require_the_same_bits

from tomograd.kernels import reference
from tomograd.testing.strategies import LAYOUTS, laid_out


@given(
    seed=st.integers(0, 2**32 - 1),
    interpolation=st.sampled_from(INTERPOLATIONS),
    fill_mode=st.sampled_from(FILL_MODES),
    size=st.tuples(*[st.integers(1, 9)] * 2),
    output=st.tuples(*[st.integers(1, 9)] * 2),
    channels=st.sampled_from([1, 3, 4, 8]),
    dtype=st.sampled_from([np.float32, np.float64]),
    layout=st.sampled_from(LAYOUTS),
)
def test_the_map_and_its_transpose_equal_the_reference(
    cuda, seed, interpolation, fill_mode, size, output, channels, dtype, layout
):
    rng = np.random.default_rng(seed)
    rows, columns = tables(rng, 2, output, size)
    x = laid_out(rng.standard_normal((2, *size, channels)).astype(dtype), layout)
    dy = laid_out(rng.standard_normal((2, *output, channels)).astype(dtype), layout)
    require_equal_up_to_rounding(cuda, x, dy, rows, columns, interpolation, fill_mode)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("seed", range(3))
def test_larger_images(cuda, fill_mode, seed):
    rng = np.random.default_rng(seed)
    rows, columns = tables(rng, 3, (31, 40), (28, 37))
    x, dy = (rng.standard_normal((3, *size, 1)).astype(np.float32) for size in ((28, 37), (31, 40)))
    for interpolation in INTERPOLATIONS:
        require_equal_up_to_rounding(cuda, x, dy, rows, columns, interpolation, fill_mode)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_places_far_away(cuda, fill_mode):
    """Maps that shrink the image a hundredfold, and places beyond 32 bits."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((1, 3, 2, 4)), rng.standard_normal((1, 4, 5, 4))
    columns = np.arange(5.0)[None, :, None] * [30.3, -2.0]
    for start in (-70.0, 1e10, -1e10):
        rows = np.arange(4.0)[None, :, None] * [0.5, 20.0] + start
        for interpolation in INTERPOLATIONS:
            require_equal_up_to_rounding(cuda, x, dy, rows, columns, interpolation, fill_mode)


def test_what_is_not_finite_stays_where_it_is_read(cuda):
    x = np.random.default_rng(0).standard_normal((1, 4, 5, 4)).astype(np.float32)
    x[0, 1, 2, 0], x[0, 3, 4, 1] = np.nan, np.inf
    rows = np.stack([np.arange(4.0), np.zeros(4)], -1)[None]
    columns = np.stack([np.zeros(5), np.arange(5.0)], -1)[None]
    for mode in FILL_MODES:
        np.testing.assert_array_equal(cuda.affine_transform(x, rows, columns, "bilinear", mode, 0.0), x)
        dx = cuda.affine_transform_gradient(x, rows, columns, (4, 5), "bilinear", mode)
        np.testing.assert_array_equal(dx, x)
    fill = cuda.affine_transform(x, rows + 9.0, columns, "bilinear", "constant", np.nan)
    assert np.isnan(fill).all()


def test_unknown_names_are_refused(cuda):
    rows, columns = tables(np.random.default_rng(0), 1, (1, 1), (1, 1))
    x = np.ones((1, 1, 1, 1), np.float32)
    with pytest.raises(ValueError, match=r'interpolation = \'cubic\': expected "nearest" or "bilinear"'):
        cuda.affine_transform(x, rows, columns, "cubic", "wrap", 0.0)
    with pytest.raises(ValueError, match=r'fill_mode = \'mirror\': expected "constant", "nearest"'):
        cuda.affine_transform_gradient(x, rows, columns, (1, 1), "nearest", "mirror")


@pytest.mark.parametrize("shape", [(0, 3, 4, 2), (2, 3, 4, 0)])
def test_empty_arrays(cuda, shape):
    rows, columns = tables(np.random.default_rng(0), shape[0], (5, 2), (3, 4))
    y = cuda.affine_transform(np.zeros(shape), rows, columns, "bilinear", "wrap", 0.0)
    assert y.shape == (shape[0], 5, 2, shape[-1])
    assert cuda.affine_transform_gradient(y, rows, columns, (3, 4), "bilinear", "wrap").shape == shape


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_the_same_bits_in_every_order(cuda, on_gpu, fill_mode):
    rng = np.random.default_rng(0)
    rows, columns = tables(rng, 2, (9, 13), (11, 8))
    x, dy = rng.standard_normal((2, 11, 8, 4)).astype(np.float32), rng.standard_normal((2, 9, 13, 4)).astype(np.float32)

    def run():
        return (
            cuda.affine_transform(x, rows, columns, "bilinear", fill_mode, 0.0),
            cuda.affine_transform_gradient(dy, rows, columns, (11, 8), "bilinear", fill_mode),
        )

    require_the_same_bits(run, on_gpu)


def test_the_gradient_is_the_transpose_of_the_reference(cuda):
    rng = np.random.default_rng(4)
    for fill_mode in FILL_MODES:
        rows, columns = tables(rng, 6, (7, 6), (5, 8))
        x, dy = rng.standard_normal((6, 5, 8, 2)), rng.standard_normal((6, 7, 6, 2))
        y = reference.affine_transform(x, rows, columns, "bilinear", fill_mode, 0.0)
        dx = cuda.affine_transform_gradient(dy, rows, columns, (5, 8), "bilinear", fill_mode)
        np.testing.assert_allclose((x * dx).sum(), (y * dy).sum(), rtol=1e-10, atol=1e-12)
