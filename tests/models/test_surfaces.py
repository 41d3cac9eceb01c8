"""Distances between surfaces against all pairs of points, against scipy's distance transform, and by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tomograd.models import metrics as M
from tomograd.models.metrics import surface_distances as S


@st.composite
def two_masks(draw):
    """Two masks of one shape, in one to three dimensions, and the size of their pixels."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.sampled_from([0.02, 0.3, 0.9]))
    spacing = tuple(generator.choice([0.5, 1.0, 2.5, 0.33], len(shape)).tolist())
    return generator.random(shape) < share, generator.random(shape) < share, spacing


def surface_points(mask):
    """By the definition: a neighbour along an axis is outside, or there is none."""
    points = []
    for place in np.argwhere(mask):
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            beside = place.copy()
            beside[axis] += step
            if not 0 <= beside[axis] < mask.shape[axis] or not mask[tuple(beside)]:
                points.append(place)
                break
    return np.array(points, float).reshape(-1, mask.ndim)


@given(two_masks())
def test_all_pairs_of_points(masks):
    first, second, spacing = masks
    p, q = surface_points(first) * spacing, surface_points(second) * spacing
    there, back = S.surface_distances(first, second, spacing)
    if not len(p) or not len(q):
        assert there.size == len(p)
        assert back.size == len(q)
        assert np.isinf(there).all()
        assert np.isinf(back).all()
        expected = 0.0 if len(p) == len(q) else np.inf
        assert M.hausdorff_distance(first, second, spacing) == expected
        assert M.average_surface_distance(first, second, spacing) == expected
        return
    apart = np.sqrt(((p[:, None] - q) ** 2).sum(-1))
    np.testing.assert_allclose(there, apart.min(1), rtol=1e-12)
    np.testing.assert_allclose(back, apart.min(0), rtol=1e-12)
    assert M.hausdorff_distance(first, second, spacing) == pytest.approx(max(apart.min(1).max(), apart.min(0).max()))
    robust = max(np.percentile(apart.min(1), 95), np.percentile(apart.min(0), 95))
    assert M.hausdorff_distance(first, second, spacing, 95) == pytest.approx(robust)
    mean = (apart.min(1).sum() + apart.min(0).sum()) / (len(p) + len(q))
    assert M.average_surface_distance(first, second, spacing) == pytest.approx(mean)
    assert M.hausdorff_distance(second, first, spacing) == M.hausdorff_distance(first, second, spacing)


@given(two_masks())
def test_the_distance_transform_is_scipys(masks):
    targets, _, spacing = masks
    squares = S.squared_distances(targets, spacing)
    if not targets.any():
        assert np.isinf(squares).all()
        return
    expected = ndimage.distance_transform_edt(~targets, sampling=spacing)
    np.testing.assert_allclose(np.sqrt(squares), expected, rtol=1e-12, atol=1e-12)


@given(two_masks())
def test_the_surface_is_what_an_erosion_takes(masks):
    mask = masks[0]
    np.testing.assert_array_equal(S.surface(mask), mask & ~ndimage.binary_erosion(mask))


def test_two_rectangles_by_hand():
    """The second is the first moved by 3 pixels of 0.5 mm; and one that has lost its last row, of 2 mm."""
    first, second = np.zeros((2, 12, 12), bool)
    first[2:6, 2:6], second[2:6, 5:9] = True, True
    assert M.hausdorff_distance(first, second, (2.0, 0.5)) == 1.5
    shorter = first.copy()
    shorter[5] = False
    assert M.hausdorff_distance(first, shorter, (2.0, 0.5)) == 2.0
    # The 4 points of the lost row are 2 mm off; of the row that is an edge now 2 points lie within the first, half a mm
    # from its sides.
    there, back = S.surface_distances(first, shorter, (2.0, 0.5))
    assert (there.sum(), back.sum()) == (4 * 2.0, 2 * 0.5)
    assert M.average_surface_distance(first, shorter, (2.0, 0.5)) == pytest.approx(9.0 / (12 + 10))


def test_errors():
    mask = np.zeros((4, 4), bool)
    for wrong in ((1.0, 1.0, 1.0), 0.0, (1.0, -1.0), np.inf):
        with pytest.raises(ValueError, match="spacing"):
            M.hausdorff_distance(mask, mask, wrong)
        if np.ndim(wrong) == 0:
            with pytest.raises(ValueError, match="spacing"):
                M.HausdorffDistance(spacing=wrong)
    with pytest.raises(ValueError, match="expected one shape"):
        M.hausdorff_distance(mask, mask[:3])
    with pytest.raises(ValueError, match="only 0 and 1"):
        M.hausdorff_distance(255 * np.eye(4), mask)
    with pytest.raises(ValueError, match="percentile"):
        M.hausdorff_distance(mask, mask, percentile=101)
    with pytest.raises(ValueError, match="percentile"):
        M.HausdorffDistance(-1)
    with pytest.raises(ValueError, match="missed"):
        M.AverageSurfaceDistance(missed="far")


@given(st.integers(0, 10_000), st.sampled_from([M.HausdorffDistance, M.AverageSurfaceDistance]))
def test_the_metric_is_the_mean_over_images(seed, cls):
    generator = np.random.default_rng(seed)
    truth, scores = generator.random((3, 6, 5)) < 0.4, generator.random((3, 6, 5, 1))
    function = M.hausdorff_distance if cls is M.HausdorffDistance else M.average_surface_distance
    each = [function(t, s[..., 0] > 0.6, (2.0, 0.5)) for t, s in zip(truth, scores, strict=True)]
    each = [np.hypot(5 * 2.0, 4 * 0.5) if np.isinf(distance) else distance for distance in each]
    weights = generator.random(3) + 0.1
    metric = cls(spacing=(2.0, 0.5), threshold=0.6)
    assert metric(truth, scores, weights) == pytest.approx(np.average(each, weights=weights))
    logits = np.log(scores / (1 - scores))
    assert cls(spacing=(2.0, 0.5), threshold=0.6, from_logits=True)(truth, logits, weights) == metric.result()
    # Without an axis of channels, of which the spacing tells.
    assert cls(spacing=(2.0, 0.5), threshold=0.6)(truth, scores[..., 0], weights) == metric.result()
    # A spacing for each image.
    spacings = generator.random((3, 2)) + 0.1
    single = [
        cls(spacing=row.tolist(), threshold=0.6)(truth[i : i + 1], scores[i : i + 1]) for i, row in enumerate(spacings)
    ]
    several = cls(threshold=0.6)
    several.update_state(truth, scores, spacing=spacings)
    assert several.result() == pytest.approx(np.mean(single))


def test_a_miss_is_never_cheap_and_never_dropped():
    empty, one = np.zeros((1, 4, 4, 1)), np.zeros((1, 4, 4, 1))
    one[0, 1, 1] = 1
    assert M.HausdorffDistance()(empty, empty) == 0
    assert M.HausdorffDistance()(one, empty) == pytest.approx(np.hypot(3, 3))
    assert M.HausdorffDistance(missed=400.0)(empty, one) == 400.0
    assert M.AverageSurfaceDistance(missed=np.inf)(empty, one) == np.inf


def test_classes_one_by_one():
    labels = np.zeros((2, 8, 8), int)
    labels[:, 1:4, 1:4], labels[:, 5:7, 5:7] = 1, 2
    found = labels.copy()
    found[0, 5:7, 5:7], found[0, 5:7, 4:6] = 0, 2  # class 2 of the first image: moved by one
    metric = M.HausdorffDistance()
    assert metric(labels, np.eye(3)[found]) == pytest.approx((0.0 + 0.5) / 2)
    np.testing.assert_allclose(metric.per_class(), [0.0, 0.5])
    assert M.HausdorffDistance(class_ids=[2])(np.eye(3)[labels], np.eye(3)[found]) == 0.5
    # Several labels to a pixel: every channel is a mask.
    channels = np.eye(3)[labels][..., 1:], np.eye(3)[found][..., 1:]
    apart = M.HausdorffDistance(spacing=(1.0, 1.0))
    assert apart(*channels) == pytest.approx(0.25)
    np.testing.assert_allclose(apart.per_class(), [0.0, 0.5])
    with pytest.raises(ValueError, match="one of the image or of classes"):
        M.HausdorffDistance()(*channels)
    with pytest.raises(ValueError, match="spatial axes"):
        M.HausdorffDistance(spacing=(1.0,) * 4)(labels[..., None], found[..., None])
    with pytest.raises(ValueError, match="one weight an image"):
        M.HausdorffDistance()(labels == 1, (found == 1)[..., None], np.ones((2, 8)))
    with pytest.raises(ValueError, match="3 rows for 2 images"):
        M.HausdorffDistance().update_state(labels == 1, (found == 1)[..., None], spacing=np.ones((3, 2)))


def test_a_volume():
    z, y, x = np.mgrid[:12, :20, :20]
    ball = ((z - 6) * 2) ** 2 + (y - 10) ** 2 + (x - 10) ** 2 < 64
    moved = np.roll(ball, 2, axis=1)
    assert M.hausdorff_distance(ball, moved, (2.0, 1.0, 1.0)) == 2.0
    metric = M.AverageSurfaceDistance(spacing=(2.0, 1.0, 1.0))
    assert metric(ball[None], moved[None, ..., None]) == M.average_surface_distance(ball, moved, (2.0, 1.0, 1.0))
