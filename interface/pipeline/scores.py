"""Scores of predictions: counts that add up over images, measures from them, intervals by a bootstrap over patients.

Everything is kept as counts for each group (a patient, or an image where no patient is known): a confusion matrix, and
histograms of the scores of positives and negatives. Counts of groups add up, so a bootstrap over groups is a product of
matrices, and a patient's pixels are drawn together or not at all (they are not independent of one another). What
`tomograd.metrics.bootstrap_interval` does for any statistic, one resample after the other, is done here for all
measures at once, for 10,000 images in a few seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tomograd import metrics

LEVEL = 0.95


def resamples(groups: int) -> int:
    """How many studies the bootstrap draws."""
    return 2000 if groups <= 200 else 1000


@dataclass
class Tally:
    """Counts for each of G groups and K classes.

    groups: names of the groups. images: (G,) number of images.
    confusion: (G, K, K) int64, [g, truth, predicted].
    positives, negatives: (G, C, B) histograms of the score of class c among pixels (or images) of class c and of the
        others; the bins' edges rise, so that the order of scores is kept. C is K, or 1 (class 1's) where K is 2.
    """

    groups: list[str]
    images: np.ndarray
    confusion: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray


def tally(
    truths: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    groups: Sequence[str],
    classes: int,
) -> Tally:
    """Count. For each image: truth and prediction, integers of any one shape, and scores of that shape + (C,).

    groups: the group of each image. C: 1 (the score of class 1) where classes is 2, else classes.
    """
    names = list(dict.fromkeys(groups))
    index = {name: row for row, name in enumerate(names)}
    channels = 1 if classes == 2 else classes
    edges = [_edges(truths, scores, channel, 1 if classes == 2 else channel, len(names)) for channel in range(channels)]
    bins = max(len(e) for e in edges) + 1
    images = np.zeros(len(names), np.int64)
    confusion = np.zeros((len(names), classes, classes), np.int64)
    positives = np.zeros((len(names), channels, bins), np.float32 if len(names) > 200 else np.float64)
    negatives = np.zeros_like(positives)
    for truth, predicted, score, group in zip(truths, predictions, scores, groups, strict=True):
        row = index[group]
        images[row] += 1
        counted = metrics.confusion_matrix(np.asarray(truth), np.asarray(predicted), classes)
        confusion[row] += counted.astype(np.int64)
        for channel in range(channels):
            of_class = np.asarray(truth).ravel() == (1 if classes == 2 else channel)
            place = np.searchsorted(edges[channel], np.asarray(score)[..., channel].ravel(), side="right")
            positives[row, channel] += np.bincount(place[of_class], minlength=bins)
            negatives[row, channel] += np.bincount(place[~of_class], minlength=bins)
    return Tally(names, images, confusion, positives, negatives)


def _edges(
    truths: Sequence[np.ndarray], scores: Sequence[np.ndarray], channel: int, label: int, groups: int
) -> np.ndarray:
    """Edges at quantiles of the scores of positives and of negatives: fine wherever either kind has many."""
    each = 128 if groups > 200 else 2048
    flat = np.concatenate([np.asarray(score)[..., channel].ravel() for score in scores])
    of_class = np.concatenate([np.asarray(truth).ravel() == label for truth in truths])
    shares = np.linspace(0.0, 1.0, each)
    parts = [np.quantile(part, shares) for part in (flat[of_class], flat[~of_class]) if len(part)]
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0)


def measures(confusion: np.ndarray, task: str) -> dict[str, np.ndarray]:
    """Measures from confusion matrices (…, K, K) → each (…); NaN where a measure has no value.

    Of K = 2 classes, class 1 is the positive one: Dice = F1 = 2TP/(2TP+FP+FN), IoU = TP/(TP+FP+FN), precision =
    TP/(TP+FP), recall = TP/(TP+FN), specificity = TN/(TN+FP), accuracy = (TP+TN)/all. Nothing to find and nothing found
    is a Dice and an IoU of 1. For K > 2 they are means over the classes, each against the rest (in segmentation without
    class 0, the background); a class that is never predicted has a precision of 0 there, a class that does not occur is
    left out.
    """
    count = confusion.astype(np.float64)
    total = count.sum(axis=(-2, -1))
    true = np.diagonal(count, axis1=-2, axis2=-1)  # (…, K)
    missed = count.sum(axis=-1) - true
    false = count.sum(axis=-2) - true
    rest = total[..., None] - true - missed - false
    accuracy = _ratio(true.sum(axis=-1), total)
    dice = _ratio(2 * true, 2 * true + false + missed, empty=1.0)
    iou = _ratio(true, true + false + missed, empty=1.0)
    precision, recall, specificity = _ratio(true, true + false), _ratio(true, true + missed), _ratio(rest, rest + false)
    classes = confusion.shape[-1]
    if classes == 2:
        dice, iou, precision, recall, specificity = (m[..., 1] for m in (dice, iou, precision, recall, specificity))
    else:
        kept = slice(1, None) if task == "segment" else slice(None)
        occurs = (true + missed)[..., kept] > 0
        values = (dice, iou, np.nan_to_num(precision), recall, specificity)
        dice, iou, precision, recall, specificity = (_mean(value[..., kept], occurs) for value in values)
    if task == "segment":
        return {
            "dice": dice,
            "iou": iou,
            "precision": precision,
            "recall": recall,
            "specificity": specificity,
            "accuracy": accuracy,
        }
    return {"accuracy": accuracy, "f1": dice, "precision": precision, "recall": recall}


def _ratio(part: np.ndarray, whole: np.ndarray, empty: float = np.nan) -> np.ndarray:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), empty)


def _mean(values: np.ndarray, occurs: np.ndarray) -> np.ndarray:
    """The mean over the last axis of the values of classes that occur."""
    return _ratio(np.where(occurs, np.nan_to_num(values), 0.0).sum(axis=-1), occurs.sum(axis=-1))


def area_under_roc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Area under the ROC curve from histograms (…, B): the chance that a positive scores higher, ties half."""
    below = np.cumsum(negatives, axis=-1) - negatives
    won = (positives * (below + 0.5 * negatives)).sum(axis=-1)
    return _ratio(won, positives.sum(axis=-1) * negatives.sum(axis=-1))


@dataclass(frozen=True)
class Roc:
    """The exact ROC curves over all images: one (false-positive rates, true-positive rates, area) a class."""

    curves: list[tuple[np.ndarray, np.ndarray, float] | None]  # None for a class that does not occur, or alone

    @property
    def area(self) -> float | None:
        """The area under the curve; of several classes the mean."""
        areas = [curve[2] for curve in self.curves if curve is not None]
        return float(np.mean(areas)) if areas else None


def roc(truths: Sequence[np.ndarray], scores: Sequence[np.ndarray], classes: int, task: str) -> Roc:
    """Arguments as in `tally`. For two classes class 1's curve; for more each class's against the rest."""
    flat = np.concatenate([np.asarray(truth).ravel() for truth in truths])
    channels = [(0, 1)] if classes == 2 else [(c, c) for c in range(1 if task == "segment" else 0, classes)]
    curves: list[tuple[np.ndarray, np.ndarray, float] | None] = []
    for channel, label in channels:
        of_class = flat == label
        if of_class.all() or not of_class.any():
            curves.append(None)
            continue
        score = np.concatenate([np.asarray(score)[..., channel].ravel() for score in scores])
        false_rate, true_rate, _ = metrics.roc_curve(of_class, score)
        area = np.sum(np.diff(false_rate) * (true_rate[1:] + true_rate[:-1]) / 2)
        curves.append((false_rate, true_rate, float(area)))
    return Roc(curves)


def summarise(counts: Tally, area: float | None, task: str, seed: int) -> dict[str, dict[str, float | None]]:
    """{measure: {"value", "low", "high"}}: over all images together, with a percentile bootstrap interval over groups.

    area: the exact area under the ROC curve (`Roc.area`); the histograms serve for its interval only.
    """
    values = {name: _plain(v) for name, v in measures(counts.confusion.sum(axis=0), task).items()} | {"auc": area}
    draws = _bootstrap(counts, task, seed) if len(counts.groups) > 1 else {}
    result: dict[str, dict[str, float | None]] = {}
    for name, value in values.items():
        sample = draws.get(name, np.zeros(0))
        sample = sample[np.isfinite(sample)]
        low, high = np.percentile(sample, (50 * (1 - LEVEL), 50 * (1 + LEVEL))) if len(sample) else (np.nan, np.nan)
        result[name] = {"value": value, "low": _plain(low), "high": _plain(high)}
    return result


def _bootstrap(counts: Tally, task: str, seed: int) -> dict[str, np.ndarray]:
    """The measures of `resamples(G)` studies, each of G groups drawn with replacement."""
    generator = np.random.default_rng(seed)
    size = len(counts.groups)
    parts = []
    for _ in range(0, resamples(size), 250):
        weights = generator.multinomial(size, np.full(size, 1 / size), size=250)
        parts.append(_all_measures(counts, weights, task))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _all_measures(counts: Tally, weights: np.ndarray, task: str) -> dict[str, np.ndarray]:
    """Measures, the area under the ROC curve among them, of R studies with weights (R, G) on the groups."""
    size = len(counts.groups)
    classes = counts.confusion.shape[-1]
    confusion = weights.astype(np.float64) @ counts.confusion.reshape(size, -1).astype(np.float64)
    result = measures(confusion.reshape(-1, classes, classes), task)
    areas = []
    first = 1 if task == "segment" and counts.positives.shape[1] > 1 else 0
    for channel in range(first, counts.positives.shape[1]):
        weighting = weights.astype(counts.positives.dtype)
        areas.append(area_under_roc(weighting @ counts.positives[:, channel], weighting @ counts.negatives[:, channel]))
    stacked = np.stack(areas, axis=-1)
    result["auc"] = _mean(stacked, np.isfinite(stacked))
    return result


def per_group(counts: Tally, task: str) -> list[dict[str, Any]]:
    """One row a group: its name, its images and its measures."""
    values = measures(counts.confusion, task)
    return [
        {"name": name, "images": int(counts.images[row]), **{key: _plain(v[row]) for key, v in values.items()}}
        for row, name in enumerate(counts.groups)
    ]


def mean_over_groups(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """The mean of each measure over the rows of `per_group` that have it: every patient counts alike."""
    result: dict[str, float | None] = {}
    for name in rows[0]:
        if name not in ("name", "images"):
            values = [row[name] for row in rows if row[name] is not None]
            result[name] = float(np.mean(values)) if values else None
    return result


def method(counts: Tally, unit: str) -> str:
    """How the intervals were computed, as a sentence for the report."""
    size = len(counts.groups)
    if size < 2:
        return f"No interval is given: the test part has one {unit} only."
    together = "" if unit == "image" else f" (all images of a {unit} together)"
    text = (
        f"95% intervals by a percentile bootstrap over {unit}s: {resamples(size):,} times, {size:,} {unit}s were drawn "
        f"with replacement from the {size:,} of the test part{together}, and the measure computed anew over all that "
        f"was drawn; the interval holds the middle 95%. It covers the choice of test {unit}s, not that of the training "
        f"{unit}s or of the seed."
    )
    return text + (f" With only {size} {unit}s it is a rough guide." if size < 10 else "")


def _plain(value: Any) -> float | None:
    """A Python float, or None where there is no value: JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
