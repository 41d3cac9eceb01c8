"""Transforms: image and mask stay on each other, labels stay labels, a seed fixes everything."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tomograd.imaging import (
    CenterCrop,
    Channels,
    Compose,
    GaussianFilter,
    Grey,
    ImagingError,
    MedianFilter,
    Percentile,
    RandomAffine,
    RandomBrightness,
    RandomCrop,
    RandomFlip,
    RandomNoise,
    RandomQuarterTurn,
    RandomRotation,
    RandomScale,
    Resize,
    Standardise,
    UnitRange,
    Window,
    transforms,
)

SHAPES = st.sampled_from([(12, 12, 1), (9, 14, 1), (13, 7, 3), (3, 10, 11, 1), (2, 8, 8, 3)])
SEEDS = st.integers(0, 2**32)
EXACT = [RandomFlip(), RandomFlip(vertical=False), RandomQuarterTurn(), RandomCrop((5, 6)), CenterCrop((5, 6))]
GEOMETRIC = [*EXACT, RandomRotation(30), RandomScale(0.7, 1.4), RandomAffine(20, (0.8, 1.2)), Resize((6, 17))]
GREY_VALUES = [
    Window(0.5, 2),
    UnitRange(0, 1),
    Percentile(),
    Standardise(),
    Standardise(0.5, 2),
    Grey(),
    Channels(3),
    MedianFilter(3),
    GaussianFilter(1.5),
    RandomBrightness(),
    RandomNoise(),
]


def pair(shape, seed, classes=4):
    """A random image, and a mask of blocks of classes."""
    generator = np.random.default_rng(seed)
    return generator.random(shape, np.float32), generator.integers(0, classes, (*shape[:-1], 1)).astype(np.int32)


@pytest.mark.parametrize("step", [*GEOMETRIC, *GREY_VALUES], ids=repr)
@given(shape=SHAPES, seed=SEEDS)
def test_every_transform_keeps_types_and_labels_and_its_inputs(step, shape, seed):
    image, mask = pair(shape, seed)
    image.setflags(write=False)
    mask.setflags(write=False)
    new_image, new_mask = step(image, mask, np.random.default_rng(seed))
    assert new_image.dtype == np.float32
    assert new_mask.dtype == np.int32
    assert new_image.shape[:-1] == new_mask.shape[:-1]
    assert set(np.unique(new_mask)) <= set(np.unique(mask)) | {0}
    alone, no_mask = step(image, None, np.random.default_rng(seed))
    assert no_mask is None
    assert np.array_equal(alone, new_image)  # the mask does not change what happens, and a seed fixes it


@pytest.mark.parametrize("step", EXACT, ids=repr)
@given(shape=SHAPES, seed=SEEDS)
def test_exact_transforms_move_image_and_mask_alike(step, shape, seed):
    """Where the image is made of the mask's numbers, it still is afterwards."""
    _, mask = pair(shape, seed)
    image, moved = step(mask.astype(np.float32), mask, np.random.default_rng(seed))
    assert np.array_equal(image, moved)


@given(seed=SEEDS)
@pytest.mark.parametrize("step", [RandomRotation(180), RandomScale(0.6, 1.8), RandomAffine(90, (0.7, 1.3))], ids=repr)
def test_interpolated_transforms_move_image_and_mask_alike(step, seed):
    """A disc in the image stays the disc in the mask, but for the pixels of its border."""
    y, x = np.mgrid[:40, :40]
    disc = ((x - 25) ** 2 + (y - 15) ** 2 < 81)[..., np.newaxis]
    image, mask = step(disc.astype(np.float32), disc.astype(np.int32), np.random.default_rng(seed))
    border = ndimage.binary_dilation(mask[..., 0] > 0) ^ ndimage.binary_erosion(mask[..., 0] > 0, border_value=1)
    assert np.array_equal((image[..., 0] > 0.5)[~border], (mask[..., 0] > 0)[~border])


@given(shape=SHAPES, seed=SEEDS)
def test_no_rotation_and_no_scaling_change_nothing(shape, seed):
    image, mask = pair(shape, seed)
    for step in (RandomAffine(), RandomRotation(0), RandomScale(1, 1), Resize(shape[:-1]), CenterCrop(shape[-3:-1])):
        new_image, new_mask = step(image, mask, np.random.default_rng(seed))
        np.testing.assert_array_equal(new_image, image)
        np.testing.assert_array_equal(new_mask, mask)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_rotation_by_ninety_degrees_is_a_quarter_turn(turns):
    image, mask = pair((11, 11, 2), 0)
    turned, turned_mask = transforms.affine(image, mask, 90.0 * turns, 1.0)
    np.testing.assert_allclose(turned, np.rot90(image, turns), atol=1e-5)
    np.testing.assert_array_equal(turned_mask, np.rot90(mask, turns))


def test_a_scale_above_one_enlarges():
    disc = (np.hypot(*(np.mgrid[:41, :41] - 20)) < 8).astype(np.float32)[..., np.newaxis]
    enlarged, _ = transforms.affine(disc, None, 0.0, 1.5)
    assert enlarged.sum() == pytest.approx(1.5**2 * disc.sum(), rel=0.05)


def test_volumes_are_turned_slice_by_slice():
    image, mask = pair((3, 9, 9, 1), 0)
    moved, moved_mask = transforms.affine(image, mask, 25.0, 1.1)
    for index in range(3):
        single, single_mask = transforms.affine(image[index], mask[index], 25.0, 1.1)
        assert np.array_equal(moved[index], single)
        assert np.array_equal(moved_mask[index], single_mask)


@given(sizes=st.tuples(*[st.integers(1, 20)] * 4))
def test_resize_keeps_the_mean_and_a_constant(sizes):
    height, width, new_height, new_width = sizes
    image = np.full((height, width, 1), 3.5, np.float32)
    resized, _ = Resize((new_height, new_width))(image, None, None)
    np.testing.assert_allclose(resized, 3.5, rtol=1e-6)


def test_resize_is_linear_between_half_pixel_centres():
    ramp = (np.arange(8, dtype=np.float32) + 0.5)[np.newaxis, :, np.newaxis]
    finer, _ = Resize((1, 16))(ramp, None, None)
    np.testing.assert_allclose(finer[0, 1:-1, 0], (np.arange(16) / 2 + 0.25)[1:-1], rtol=1e-6)
    coarser, _ = Resize((1, 4))(ramp, None, None)
    np.testing.assert_allclose(coarser[0, 1:-1, 0], [3, 5], rtol=1e-6)


def test_shrinking_averages_a_fine_pattern():
    pattern = (np.indices((32, 32)).sum(0) % 2).astype(np.float32)[..., np.newaxis]
    small, _ = Resize((8, 8))(pattern, None, None)
    np.testing.assert_allclose(small[1:-1, 1:-1], 0.5, atol=0.05)


def test_random_crops_reach_every_place():
    image, mask = pair((6, 7, 1), 0)
    image = np.arange(42, dtype=np.float32).reshape(6, 7, 1)
    generator = np.random.default_rng(0)
    corners = {float(RandomCrop((4, 4))(image, mask, generator)[0][0, 0, 0]) for _ in range(300)}
    assert corners == {7.0 * row + column for row in range(3) for column in range(4)}


def test_a_crop_larger_than_the_image():
    image, mask = pair((6, 7, 1), 0)
    for step in (RandomCrop((7, 7)), CenterCrop((6, 8)), RandomCrop((0, 3))):
        with pytest.raises(ImagingError, match=r"cannot be cut from an image of \(6, 7\)"):
            step(image, mask, np.random.default_rng(0))


def test_grey_values_by_their_formulas():
    image, _ = pair((5, 6, 3), 0)
    grey, _ = Grey()(image, None, None)
    np.testing.assert_allclose(grey[..., 0], image @ [0.299, 0.587, 0.114], rtol=1e-5)
    tripled, _ = Channels(3)(grey, None, None)
    assert np.array_equal(tripled, np.repeat(grey, 3, -1))
    blurred, _ = GaussianFilter(2)(image, None, None)
    np.testing.assert_allclose(blurred[..., 1], ndimage.gaussian_filter(image[..., 1], 2, mode="nearest"), rtol=1e-5)
    salted = np.zeros((9, 9, 1), np.float32)
    salted[4, 4] = 1
    assert not MedianFilter(3)(salted, None, None)[0].any()


@given(seed=SEEDS)
def test_the_same_seed_gives_the_same_and_another_not(seed):
    image, mask = pair((16, 16, 1), 0)
    steps = Compose((RandomFlip(), RandomAffine(15, (0.9, 1.1)), RandomCrop((9, 9)), RandomNoise(0.1)))
    first = steps(image, mask, np.random.default_rng(seed))
    again = steps(image, mask, np.random.default_rng(seed))
    other = steps(image, mask, np.random.default_rng(seed + 1))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_transforms_survive_json():
    steps = [Compose((UnitRange(-1000, 600), RandomFlip(vertical=False))), RandomCrop((64, 48)), *GREY_VALUES]
    steps += [RandomAffine(10, (0.9, 1.1)), Resize((4, 5))]
    settings = json.loads(json.dumps(transforms.config(steps)))
    assert transforms.from_config(settings) == (*steps[0].steps, *steps[1:])


@pytest.mark.parametrize("setting", [{"name": "Blur"}, {}, {"name": "Window", "centre": 4}, {"name": "Window"}])
def test_settings_that_make_no_transform(setting):
    with pytest.raises(ImagingError):
        transforms.from_config([setting])


def test_a_mask_of_another_size():
    image, mask = pair((6, 7, 1), 0)
    with pytest.raises(ImagingError, match="does not fit"):
        transforms.apply([], image, mask[:5], np.random.default_rng(0))
