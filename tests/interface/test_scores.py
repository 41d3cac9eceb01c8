"""The report's measures: equal to scikit-learn's and to tg.metrics', defined where there is nothing, repeatable."""

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from tomograd import metrics
from tomograd.pipeline import scores


def binary_case(seed: int, images: int = 6, side: int = 9, share: float = 0.3):
    """Truths, decisions and scores of a noisy predictor of masks, and a group for each image."""
    generator = np.random.default_rng(seed)
    truths = [(generator.random((side, side)) < share).astype(np.int64) for _ in range(images)]
    values = [np.round(t + generator.normal(0, 0.7, t.shape), 1)[..., None] for t in truths]  # rounded: with ties
    return truths, [(v[..., 0] > 0.5).astype(np.int64) for v in values], values, [f"p{i % 4}" for i in range(images)]


@given(st.integers(0, 10_000), st.floats(0.05, 0.9))
def test_binary_measures_equal_scikit_learn(seed, share):
    truths, decided, values, groups = binary_case(seed, share=share)
    truth, found = np.concatenate(truths).ravel(), np.concatenate(decided).ravel()
    if len(np.unique(truth)) < 2 or not found.any():
        return
    counts = scores.tally(truths, decided, values, groups, 2)
    got = {k: float(v) for k, v in scores.measures(counts.confusion.sum(axis=0), "segment").items()}
    assert got["dice"] == pytest.approx(sklearn.metrics.f1_score(truth, found))
    assert got["iou"] == pytest.approx(sklearn.metrics.jaccard_score(truth, found))
    assert got["precision"] == pytest.approx(sklearn.metrics.precision_score(truth, found))
    assert got["recall"] == pytest.approx(sklearn.metrics.recall_score(truth, found))
    assert got["specificity"] == pytest.approx(sklearn.metrics.recall_score(truth, found, pos_label=0))
    assert got["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(truth, found))
    score = np.concatenate(values).ravel()
    exact = sklearn.metrics.roc_auc_score(truth, score)
    assert scores.roc(truths, values, 2, "segment").area == pytest.approx(exact)
    binned = scores.area_under_roc(counts.positives[:, 0].sum(axis=0), counts.negatives[:, 0].sum(axis=0))
    assert float(binned) == pytest.approx(exact, abs=2e-3)


@given(st.integers(0, 10_000), st.integers(3, 6))
def test_measures_of_several_classes_are_scikit_learns_macro_averages(seed, classes):
    generator = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), generator.integers(0, classes, 60)])
    probabilities = generator.random((len(truth), classes)) + 1.0 * np.eye(classes)[truth]
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    found = probabilities.argmax(axis=1)
    counts = scores.tally(list(truth), list(found), list(probabilities), [str(i) for i in range(len(truth))], classes)
    got = {k: float(v) for k, v in scores.measures(counts.confusion.sum(axis=0), "classify").items()}
    options = {"average": "macro", "zero_division": 0}
    assert got["f1"] == pytest.approx(sklearn.metrics.f1_score(truth, found, **options))
    assert got["precision"] == pytest.approx(sklearn.metrics.precision_score(truth, found, **options))
    assert got["recall"] == pytest.approx(sklearn.metrics.recall_score(truth, found, **options))
    assert got["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(truth, found))
    exact = sklearn.metrics.roc_auc_score(truth, probabilities, multi_class="ovr")
    assert scores.roc(list(truth), list(probabilities), classes, "classify").area == pytest.approx(exact)


def test_the_background_does_not_count_in_a_mask_of_several_classes():
    confusion = np.array([[90, 0, 0], [5, 5, 0], [0, 0, 10]])
    got = scores.measures(confusion, "segment")
    assert float(got["dice"]) == pytest.approx((2 * 5 / 15 + 1.0) / 2)
    assert float(got["recall"]) == pytest.approx((0.5 + 1.0) / 2)


def test_a_class_that_is_missed_altogether_counts_zero():
    confusion = np.array([[50, 0, 0], [10, 0, 0], [0, 0, 10]])
    got = scores.measures(confusion, "segment")
    assert float(got["dice"]) == pytest.approx((0 + 1) / 2)
    assert float(got["precision"]) == pytest.approx((0 + 1) / 2)


def test_nothing_to_find_and_nothing_found():
    counts = scores.tally([np.zeros((4, 4), int)], [np.zeros((4, 4), int)], [np.zeros((4, 4, 1))], ["a"], 2)
    row = scores.per_group(counts, "segment")[0]
    assert row["dice"] == 1.0 and row["iou"] == 1.0 and row["accuracy"] == 1.0
    assert row["precision"] is None and row["recall"] is None
    assert scores.roc([np.zeros((4, 4), int)], [np.zeros((4, 4, 1))], 2, "segment").area is None


def test_the_interval_is_that_of_the_general_bootstrap():
    """The product of matrices gives what tg.metrics.bootstrap_interval gives, one resample after the other."""
    truths, decided, values, groups = binary_case(3, images=40, side=5)
    groups = [f"p{i % 12}" for i in range(40)]
    counts = scores.tally(truths, decided, values, groups, 2)
    ours = scores.summarise(counts, None, "segment", seed=1)["dice"]

    def dice(truth, found):
        return 2 * (truth & found).sum() / (truth.sum() + found.sum())

    arrays = np.stack(truths).astype(bool), np.stack(decided).astype(bool)
    theirs = metrics.bootstrap_interval(dice, *arrays, clusters=groups, resamples=2000, seed=2)
    assert ours["value"] == pytest.approx(theirs.value)
    assert ours["low"] == pytest.approx(theirs.low, abs=0.01)
    assert ours["high"] == pytest.approx(theirs.high, abs=0.01)


def test_the_same_seed_gives_the_same_interval_and_one_patient_none():
    truths, decided, values, groups = binary_case(5)
    counts = scores.tally(truths, decided, values, groups, 2)
    first, again = (scores.summarise(counts, 0.5, "segment", seed=7) for _ in range(2))
    assert first == again
    assert first["dice"]["low"] < first["dice"]["value"] < first["dice"]["high"]
    alone = scores.tally(truths, decided, values, ["p"] * len(truths), 2)
    assert scores.summarise(alone, 0.5, "segment", seed=7)["dice"]["low"] is None
    assert "one patient only" in scores.method(alone, "patient")
    assert "bootstrap over patients" in scores.method(counts, "patient")


def test_values_are_plain_numbers():
    truths, decided, values, groups = binary_case(5)
    counts = scores.tally(truths, decided, values, groups, 2)
    for measure in scores.summarise(counts, 0.5, "segment", seed=0).values():
        assert all(value is None or (type(value) is float and math.isfinite(value)) for value in measure.values())
