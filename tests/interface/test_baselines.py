"""The baselines: the best threshold is the best, constants rank nothing, the regression learns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.pipeline import baselines


def dice(truth, found):
    return 2 * (truth & found).sum() / max(truth.sum() + found.sum(), 1)


@given(st.integers(0, 10_000), st.booleans())
def test_no_threshold_between_grey_values_is_better(seed, dark):
    generator = np.random.default_rng(seed)
    masks = [(generator.random((12, 12)) < 0.3).astype(np.uint8) for _ in range(3)]
    sign = -1 if dark else 1
    values = [np.round(sign * 20.0 * mask + generator.normal(100, 12, mask.shape)) for mask in masks]
    images = [value[..., None].astype(np.float32) for value in values]
    fitted = baselines.fit_intensity(images, masks, 2)
    truth, grey = np.stack(masks).astype(bool), np.stack(images)[..., 0]
    reached = dice(truth, np.stack([fitted(image)[0] for image in images]).astype(bool))
    candidates = [dice(truth, grey >= t) for t in np.unique(grey)] + [dice(truth, grey < t) for t in np.unique(grey)]
    assert reached >= max(candidates) - 0.02  # edges stand at quantiles: not every grey value is one


def test_the_score_ranks_in_the_direction_of_the_threshold():
    image = np.array([[0.0, 10.0], [20.0, 30.0]], np.float32)[..., None]
    fitted = baselines.fit_intensity([image] * 4, [np.array([[1, 1], [0, 0]], np.uint8)] * 4, 2)
    predicted, score = fitted(image)
    assert predicted.tolist() == [[1, 1], [0, 0]] and not fitted.above
    assert score[0, 0, 0] > score[1, 1, 0]


def test_several_classes_by_brightness():
    image = np.repeat(np.array([0.0, 50.0, 100.0], np.float32), 30).reshape(9, 10, 1)
    mask = np.repeat([0, 1, 2], 30).reshape(9, 10).astype(np.uint8)
    predicted, shares = baselines.fit_intensity([image], [mask], 3)(image)
    assert (predicted == mask).all() and shares.shape == (9, 10, 3)


def test_the_fit_survives_json():
    import json

    image = np.random.default_rng(0).normal(size=(8, 8, 1)).astype(np.float32)
    fitted = baselines.fit_intensity([image], [(image[..., 0] > 0).astype(np.uint8)], 2)
    again = baselines.Intensity(**json.loads(json.dumps(fitted.config())))
    assert again == fitted


def test_constants():
    nothing, everything = baselines.constants("segment", ["background", "nodule"], 0)
    assert nothing((2, 3), 1)[0].tolist() == [[0] * 3] * 2
    assert everything((2, 3), 1)[0].tolist() == [[1] * 3] * 2
    (most,) = baselines.constants("classify", ["a", "b", "c"], 2)
    predicted, score = most((), 3)
    assert predicted == 2 and "“c”" in most.description and np.ptp(score) == 0


def test_regression_learns_what_is_linear():
    generator = np.random.default_rng(0)
    labels = np.arange(600) % 3
    patterns = generator.normal(0, 1, (3, 6, 6, 1))
    images = [patterns[label] + generator.normal(0, 0.8, (6, 6, 1)) for label in labels]
    fitted = baselines.fit_regression(images[:450], labels[:450], 3, seed=0)
    predicted, shares = fitted(images[450:])
    assert (predicted == labels[450:]).mean() > 0.9
    assert shares.sum(axis=1) == pytest.approx(1.0)
