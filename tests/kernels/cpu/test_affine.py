"""The affine map on the CPU against the reference."""

import numpy as np
import pytest
from affine_cases import FILL_MODES, INTERPOLATIONS, require_equal_up_to_rounding, tables
from hypothesis import given
from hypothesis import strategies as st

from tomograd.kernels import cpu, reference
from tomograd.testing.strategies import LAYOUTS, laid_out


@given(
    seed=st.integers(0, 2**32 - 1),
    interpolation=st.sampled_from(INTERPOLATIONS),
    fill_mode=st.sampled_from(FILL_MODES),
    size=st.tuples(*[st.integers(1, 9)] * 2),
    output=st.tuples(*[st.integers(1, 9)] * 2),
    images=st.integers(1, 3),
    channels=st.sampled_from([1, 2, 3, 16]),
    dtype=st.sampled_from([np.float32, np.float64]),
    layout=st.sampled_from(LAYOUTS),
)
def test_the_map_and_its_transpose_equal_the_reference(
    seed, interpolation, fill_mode, size, output, images, channels, dtype, layout
):
    rng = np.random.default_rng(seed)
    rows, columns = tables(rng, images, output, size)
    x = laid_out(rng.standard_normal((images, *size, channels)).astype(dtype), layout)
    dy = laid_out(rng.standard_normal((images, *output, channels)).astype(dtype), layout)
    require_equal_up_to_rounding(cpu, x, dy, rows, columns, interpolation, fill_mode)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_large_images_on_all_threads(fill_mode):
    rng = np.random.default_rng(0)
    rows, columns = tables(rng, 3, (90, 70), (80, 60))
    x, dy = (rng.standard_normal((3, *size, 3)).astype(np.float32) for size in ((80, 60), (90, 70)))
    for interpolation in INTERPOLATIONS:
        y = cpu.affine_transform(x, rows, columns, interpolation, fill_mode, 1.0)
        np.testing.assert_allclose(
            y, reference.affine_transform(x, rows, columns, interpolation, fill_mode, 1.0), atol=1e-5
        )
        dx = cpu.affine_transform_gradient(dy, rows, columns, (80, 60), interpolation, fill_mode)
        exact = reference.affine_transform_gradient(
            dy.astype(np.float64), rows, columns, (80, 60), interpolation, fill_mode
        )
        np.testing.assert_allclose(dx, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite_stays_where_it_is_read(dtype):
    x = np.random.default_rng(0).standard_normal((1, 4, 5, 2)).astype(dtype)
    x[0, 1, 2, 0], x[0, 3, 4, 1] = np.nan, np.inf
    rows = np.stack([np.arange(4.0), np.zeros(4)], -1)[None]
    columns = np.stack([np.zeros(5), np.arange(5.0)], -1)[None]
    for mode in FILL_MODES:
        np.testing.assert_array_equal(cpu.affine_transform(x, rows, columns, "bilinear", mode, 0.0), x)
        dx = cpu.affine_transform_gradient(x, rows, columns, (4, 5), "bilinear", mode)
        np.testing.assert_array_equal(dx, x)
    shifted = columns + [0.0, 0.5]
    with np.errstate(invalid="ignore"):
        expected = reference.affine_transform(x, rows, shifted, "bilinear", "wrap", 0.0)
    np.testing.assert_allclose(cpu.affine_transform(x, rows, shifted, "bilinear", "wrap", 0.0), expected, rtol=1e-6)


def test_unknown_names_are_refused():
    rows, columns = tables(np.random.default_rng(0), 1, (1, 1), (1, 1))
    x = np.ones((1, 1, 1, 1))
    with pytest.raises(ValueError, match=r'interpolation = \'cubic\': expected "nearest" or "bilinear"'):
        cpu.affine_transform(x, rows, columns, "cubic", "wrap", 0.0)
    with pytest.raises(ValueError, match=r'fill_mode = \'mirror\': expected "constant", "nearest"'):
        cpu.affine_transform_gradient(x, rows, columns, (1, 1), "nearest", "mirror")


def test_empty_arrays():
    for shape in ((0, 3, 4, 2), (2, 3, 4, 0)):
        rows, columns = tables(np.random.default_rng(0), shape[0], (5, 2), (3, 4))
        y = cpu.affine_transform(np.zeros(shape), rows, columns, "bilinear", "wrap", 0.0)
        assert y.shape == (shape[0], 5, 2, shape[-1])
        assert cpu.affine_transform_gradient(y, rows, columns, (3, 4), "bilinear", "wrap").shape == shape
