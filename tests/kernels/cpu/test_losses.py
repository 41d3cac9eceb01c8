"""Losses on the CPU against the reference: narrow and wide rows, extreme scores, clipped probabilities, empty masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import assert_close_beside_one

from tomograd.kernels import cpu, reference
from tomograd.kernels.cpu.rows import NARROW
from tomograd.testing import compare
from tomograd.testing.strategies import LAYOUTS, arrays, laid_out, shapes

rows = st.sampled_from([0, 1, 63, 64, 130])
widths = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 17, NARROW, NARROW + 1, 64])
dtypes = st.sampled_from([np.float32, np.float64])
layouts = st.sampled_from(LAYOUTS)


def wide(*arrays):
    return [a.astype(np.float64) if a.dtype == np.float32 else a for a in arrays]


def close(actual, expected, dtype, ulps=24):
    assert actual.dtype == dtype
    assert_close_beside_one(actual, expected, ulps)


@given(rows=rows, width=widths, dtype=dtypes, layout=layouts, scale=st.sampled_from([1, 30, 1e4]))
def test_cross_entropies_from_logits(rows, width, dtype, layout, scale):
    rng = np.random.default_rng(rows + width)
    logits = laid_out((rng.standard_normal((rows, width)) * scale).astype(dtype), layout)
    targets = laid_out((rng.random((rows, width)) * (rng.random((rows, width)) > 0.3)).astype(dtype), layout)
    labels = rng.integers(0, width, 2 * rows)[::2]
    dloss = laid_out(rng.standard_normal(rows).astype(dtype), layout)
    for name, truth in (("sparse_cross_entropy", labels), ("cross_entropy", targets)):
        loss, gradient = getattr(cpu, name), getattr(cpu, f"{name}_gradient")
        close(loss(logits, truth), getattr(reference, name)(*wide(logits, truth)), dtype)
        expected = getattr(reference, f"{name}_gradient")(*wide(dloss, logits, truth))
        close(gradient(dloss, logits, truth), expected, dtype)


@given(rows=rows, width=widths, dtype=dtypes, layout=layouts, epsilon=st.sampled_from([1e-6, 1e-2]))
def test_cross_entropies_from_probabilities(rows, width, dtype, layout, epsilon):
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
        close(getattr(cpu, name)(p, truth, epsilon), getattr(reference, name)(p, truth, epsilon), dtype)
        gradient = getattr(cpu, f"{name}_gradient")(d, p, truth, epsilon)
        close(gradient, getattr(reference, f"{name}_gradient")(d, p, truth, epsilon), dtype)


@given(prediction=arrays(shapes()), scale=st.sampled_from([1, 100, 1e4]))
def test_elementwise_losses(prediction, scale):
    dtype = prediction.dtype
    rng = np.random.default_rng(0)
    z = prediction * dtype.type(scale)
    target, dloss = rng.random(z.shape).astype(dtype), rng.standard_normal(z.shape).astype(dtype)
    for name in ("binary_cross_entropy", "squared_error"):
        close(getattr(cpu, name)(z, target), getattr(reference, name)(*wide(z, target)), dtype)
        expected = getattr(reference, f"{name}_gradient")(*wide(dloss, z, target))
        close(getattr(cpu, f"{name}_gradient")(dloss, z, target), expected, dtype)


@given(
    shape=st.sampled_from([(2, 300, 3), (1, 40000, 1), (3, 5, 2), (2, 90, 400), (0, 4, 2), (2, 0, 3), (2, 3, 0)]),
    dtype=dtypes,
    smooth=st.sampled_from([0.0, 1.0]),
    layout=layouts,
)
def test_dice(shape, dtype, smooth, layout):
    rng = np.random.default_rng(0)
    p = laid_out(rng.random(shape).astype(dtype), layout)
    t = laid_out((rng.random(shape) < 0.3).astype(dtype), layout)
    d = rng.standard_normal((shape[0], shape[2])).astype(dtype)

    def sizes(p, t, smooth):
        """Of two sums of positive numbers, and their quotient."""
        return 2 * reference.dice(p, t, smooth)

    def sizes_of_gradient(d, p, t, smooth):
        """Of d · (2t − dice) / (Σ p + Σ t + smooth): the sums, and what they are in dice once more."""
        total = (p + t).sum(1) + smooth
        share = np.divide(np.abs(d), total, out=np.zeros_like(d), where=total > 0)
        return 3 * share[:, None] * (2 * t + reference.dice(p, t, smooth)[:, None])

    compare(cpu.dice, reference.dice, p, t, smooth, terms=shape[1], magnitude=sizes, random=True)
    gradient = cpu.dice_gradient, reference.dice_gradient
    compare(*gradient, d, p, t, smooth, terms=shape[1], magnitude=sizes_of_gradient, random=True)


def test_dice_of_empty_against_empty_is_one_with_no_gradient():
    nothing = np.zeros((2, 50, 3), np.float32)
    np.testing.assert_array_equal(cpu.dice(nothing, nothing, 0.0), np.ones((2, 3)))
    gradient = cpu.dice_gradient(np.ones((2, 3), np.float32), nothing, nothing, 0.0)
    np.testing.assert_array_equal(gradient, nothing)


def test_a_label_out_of_range_gives_nan_and_reads_nothing():
    """The engine rejects such labels; the kernel must not read beyond its arrays."""
    logits = np.zeros((4, 3), np.float32)
    labels = np.array([0, 3, -1, 2**40])
    assert np.isnan(cpu.sparse_cross_entropy(logits, labels)).tolist() == [False, True, True, True]
    assert np.isfinite(cpu.sparse_cross_entropy_gradient(np.ones(4, np.float32), logits, labels)).all()


@pytest.mark.parametrize("width", [3, 40])
def test_inputs_are_not_changed(width):
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((2, 100, width)).astype(np.float32)
    dloss = np.ones(100, np.float32)
    copies = [a.copy() for a in (logits, targets, dloss)]
    cpu.cross_entropy(logits, targets)
    cpu.cross_entropy_gradient(dloss, logits, targets)
    for now, before in zip((logits, targets, dloss), copies, strict=True):
        np.testing.assert_array_equal(now, before)
