"""Losses on the GPU against the reference: few and many columns, extreme scores, clipped probabilities, empty masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import assert_close_beside_one
from same_bits import require_the_same_bits

from tomograd.kernels import reference
from tomograd.testing.strategies import LAYOUTS, arrays, laid_out, shapes

rows = st.sampled_from([0, 1, 5, 67])
widths = st.sampled_from([1, 2, 3, 4, 5, 8, 17, 64, 128, 129, 300])
dtypes = st.sampled_from([np.float32, np.float64])
layouts = st.sampled_from(LAYOUTS)


def wide(*arrays):
    return [a.astype(np.float64, "C") if a.dtype == np.float32 else np.ascontiguousarray(a) for a in arrays]


def close(actual, expected, dtype, ulps=24):
    assert actual.dtype == dtype and actual.flags.c_contiguous
    assert_close_beside_one(actual, expected, ulps)


# ---- of rows ---------------------------------------------------------------------------------------------------------


@given(rows=rows, width=widths, dtype=dtypes, layout=layouts, scale=st.sampled_from([1, 30, 1e4]))
def test_cross_entropies_from_logits(cuda, rows, width, dtype, layout, scale):
    rng = np.random.default_rng(rows + width)
    logits = laid_out((rng.standard_normal((rows, width)) * scale).astype(dtype), layout)
    targets = laid_out((rng.random((rows, width)) * (rng.random((rows, width)) > 0.3)).astype(dtype), layout)
    labels = rng.integers(0, width, 2 * rows)[::2]
    dloss = laid_out(rng.standard_normal(rows).astype(dtype), layout)
    for name, truth in (("sparse_cross_entropy", labels), ("cross_entropy", targets)):
        loss, gradient = getattr(cuda, name), getattr(cuda, f"{name}_gradient")
        terms = max(width, 8) // 8  # of a row's sum, whose size may pass that of its result
        close(loss(logits, truth), getattr(reference, name)(*wide(logits, truth)), dtype, ulps=24 * terms)
        expected = getattr(reference, f"{name}_gradient")(*wide(dloss, logits, truth))
        close(gradient(dloss, logits, truth), expected, dtype, ulps=24 * terms)


@given(rows=rows, width=widths, dtype=dtypes, layout=layouts, epsilon=st.sampled_from([1e-6, 1e-2]))
def test_cross_entropies_from_probabilities(cuda, rows, width, dtype, layout, epsilon):
    rng = np.random.default_rng(rows + width)
    p = rng.random((rows, width)).astype(dtype)
    p[rng.random(p.shape) < 0.1] = 0
    p[rng.random(p.shape) < 0.1] = 1
    p = laid_out(p, layout)
    targets, labels = laid_out(rng.random((rows, width)).astype(dtype), layout), rng.integers(0, width, rows)
    dloss, dlosses = rng.standard_normal(rows).astype(dtype), rng.standard_normal((rows, width)).astype(dtype)
    for name, truth, d in (
        ("sparse_cross_entropy", labels, dloss),
        ("cross_entropy", targets, dloss),
        ("binary_cross_entropy", targets, dlosses),
    ):
        name = f"{name}_from_probabilities"
        close(getattr(cuda, name)(p, truth, epsilon), getattr(reference, name)(p, truth, epsilon), dtype)
        gradient = getattr(cuda, f"{name}_gradient")(d, p, truth, epsilon)
        close(gradient, getattr(reference, f"{name}_gradient")(d, p, truth, epsilon), dtype)


@pytest.mark.parametrize("width", [3, 20, 300])
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
def test_rows_with_infinities_and_nan(cuda, width):
    z = np.zeros((6, width), np.float32)
    z[0, 1], z[1, 0], z[2, :], z[3, :2], z[4, 2] = -np.inf, np.inf, -np.inf, (np.inf, np.nan), 1e38
    targets = np.random.default_rng(0).random(z.shape).astype(np.float32)
    targets[0, 1] = 0
    labels, dloss = np.array([1, 0, 0, 2, 1, 2]), np.arange(6, dtype=np.float32)
    for name, truth in (("sparse_cross_entropy", labels), ("cross_entropy", targets)):
        close(getattr(cuda, name)(z, truth), getattr(reference, name)(z, truth), np.float32)
        gradient = f"{name}_gradient"
        close(getattr(cuda, gradient)(dloss, z, truth), getattr(reference, gradient)(dloss, z, truth), np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_that_are_no_number(cuda, dtype):
    p = np.array([[np.nan, 0.5], [np.inf, -np.inf], [0, 1]], dtype)
    t, d, labels = np.full_like(p, 0.25), np.ones(3, dtype), np.array([0, 1, 0])
    for name, truth, slope in (
        ("sparse_cross_entropy", labels, d),
        ("cross_entropy", t, d),
        ("binary_cross_entropy", t, np.ones_like(p)),
    ):
        name = f"{name}_from_probabilities"
        close(getattr(cuda, name)(p, truth, 1e-6), getattr(reference, name)(p, truth, 1e-6), dtype)
        gradient = f"{name}_gradient"
        expected = getattr(reference, gradient)(slope, p, truth, 1e-6)
        close(getattr(cuda, gradient)(slope, p, truth, 1e-6), expected, dtype)


@pytest.mark.parametrize("width", [3, 300])
def test_a_label_out_of_range_gives_nan_and_reads_nothing(cuda, width):
    """The engine rejects such labels; the kernel must not read beyond its arrays."""
    p, labels = np.full((4, width), 0.5, np.float32), np.array([0, width, -1, 2**40])
    assert np.isnan(cuda.sparse_cross_entropy(p, labels)).tolist() == [False, True, True, True]
    assert np.isnan(cuda.sparse_cross_entropy_from_probabilities(p, labels, 1e-6)).tolist() == [False, True, True, True]
    ones = np.ones(4, np.float32)
    assert np.isfinite(cuda.sparse_cross_entropy_gradient(ones, p, labels)).all()
    dp = cuda.sparse_cross_entropy_from_probabilities_gradient(ones, p, labels, 1e-6)
    assert dp[0, 0] == -2 and not dp[1:].any()


@pytest.mark.parametrize("width", [4, 200])
def test_one_slope_for_all_rows_and_labels_of_another_type(cuda, width):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((9, width)), rng.integers(0, width, 9).astype(np.uint8)
    dloss = np.broadcast_to(np.float64(1 / 9), 9)
    expected = reference.sparse_cross_entropy_gradient(dloss, logits, labels)
    close(cuda.sparse_cross_entropy_gradient(dloss, logits, labels), expected, np.float64)


# ---- of each number by itself ----------------------------------------------------------------------------------------


@given(
    prediction=arrays(shapes()),
    scale=st.sampled_from([1, 100, 1e4]),
    slopes=st.sampled_from(["one", "one a row", "one a column", *LAYOUTS]),
    layout=layouts,
)
def test_elementwise_losses(cuda, prediction, scale, slopes, layout):
    dtype, shape = prediction.dtype, prediction.shape
    rng = np.random.default_rng(0)
    z = laid_out(prediction * dtype.type(scale), layout)
    target, dloss = rng.random(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
    given_shape = {"one": (), "one a row": (*shape[:-1], 1), "one a column": shape[-1:]}.get(slopes)
    if given_shape is None:
        target, dloss = laid_out(target, layout), laid_out(dloss, slopes)
    else:
        dloss = np.broadcast_to(rng.standard_normal(given_shape).astype(dtype), shape)
    size = 1 + np.abs(z).max(initial=0)  # of what cancels in a loss
    for name in ("binary_cross_entropy", "squared_error"):
        loss, expected = getattr(cuda, name)(z, target), getattr(reference, name)(*wide(z, target))
        close(loss / size, expected / size, dtype)
        expected = getattr(reference, f"{name}_gradient")(*wide(dloss, z, target))
        close(getattr(cuda, f"{name}_gradient")(dloss, z, target) / size, expected / size, dtype)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_extreme_logits(cuda):
    z, t = (
        np.array([0, -0.0, 104, -104, 1e38, -1e38, np.inf, -np.inf, np.nan] * 3, np.float32),
        np.repeat([0, 0.5, 1], 9),
    )
    t = t.astype(np.float32)
    close(cuda.binary_cross_entropy(z, t), reference.binary_cross_entropy(z, t), np.float32)
    gradient = cuda.binary_cross_entropy_gradient(z, z, t), reference.binary_cross_entropy_gradient(z, z, t)
    close(*gradient, np.float32)


# ---- Dice ------------------------------------------------------------------------------------------------------------

# One class to more than a line of 1024, positions in one chunk and in several, examples that begin anywhere.
MASKS = [(2, 300, 3), (1, 20000, 1), (3, 5, 2), (2, 9, 400), (1, 9, 1300), (2, 7, 1031), (1, 9000, 4), (0, 4, 2),
         (2, 0, 3), (2, 3, 0)]  # fmt: skip


@settings(max_examples=25)
@given(shape=st.sampled_from(MASKS), dtype=dtypes, smooth=st.sampled_from([0.0, 1.0]), layout=layouts)
def test_dice(cuda, shape, dtype, smooth, layout):
    rng = np.random.default_rng(0)
    p = laid_out(rng.random(shape).astype(dtype), layout)
    t = laid_out((rng.random(shape) < 0.3).astype(dtype), layout)
    d = laid_out(rng.standard_normal((shape[0], shape[2])).astype(dtype), layout)
    close(cuda.dice(p, t, smooth), reference.dice(*wide(p, t), smooth), dtype)
    gradient, expected = cuda.dice_gradient(d, p, t, smooth), reference.dice_gradient(*wide(d, p, t), smooth)
    close(gradient, expected, dtype)
    scale = np.abs(expected).max(initial=np.finfo(dtype).tiny)  # a gradient is small: as many digits as of its largest
    close(gradient / dtype(scale), expected / scale, dtype)


def test_dice_of_empty_against_empty_is_one_with_no_gradient(cuda):
    nothing = np.zeros((2, 50, 3), np.float32)
    np.testing.assert_array_equal(cuda.dice(nothing, nothing, 0.0), np.ones((2, 3)))
    gradient = cuda.dice_gradient(np.ones((2, 3), np.float32), nothing, nothing, 0.0)
    np.testing.assert_array_equal(gradient, nothing)


def test_dice_of_masks_that_are_almost_empty_has_a_finite_gradient(cuda):
    p, t = np.zeros((1, 7, 1), np.float32), np.zeros((1, 7, 1), np.float32)
    p[0, 0] = 1e-45
    d = np.full((1, 1), 100, np.float32)
    np.testing.assert_array_equal(cuda.dice_gradient(d, p, t, 0.0), reference.dice_gradient(d, p, t, 0.0))


# ---- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [5, 300])
def test_the_same_bits_in_every_order(cuda, on_gpu, width):
    z, t = np.random.default_rng(0).random((2, 40, width)).astype(np.float32)
    masks = z.reshape(2, -1, 5), t.reshape(2, -1, 5)

    def run():
        losses = cuda.cross_entropy(z, t), cuda.cross_entropy_gradient(z[:, 0], z, t)
        return *losses, cuda.dice(*masks, 1.0), cuda.dice_gradient(z[:2, :5], *masks, 1.0)

    require_the_same_bits(run, on_gpu)
