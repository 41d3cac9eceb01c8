"""The metrics' cases, each over three batches: defaults, with weights, then each argument at another value."""

from __future__ import annotations

from typing import Any

import torch
from keras_family import KerasFamily

MEANS_OF_NUMBERS = (
    "MeanSquaredError MeanAbsoluteError MeanAbsolutePercentageError RootMeanSquaredError LogCoshError Poisson "
    "MeanSquaredLogarithmicError CosineSimilarity PearsonCorrelation ConcordanceCorrelation R2Score"
)


def metrics() -> KerasFamily:
    family = KerasFamily("metrics", seed=401)
    _of_numbers(family)
    _of_two_classes(family)
    _at_thresholds(family)
    _of_classes(family)
    _of_rankings(family)
    _of_masks(family)
    return family


def _add(family: KerasFamily, cls: str, batches: Any, config: dict[str, Any] | None = None, title: str = "") -> None:
    arguments = ", ".join(f"{name} {value}" for name, value in (config or {}).items())
    family.metric(", ".join(part for part in (cls, arguments, title) if part), cls, config or {}, batches)


def _pairs(family: KerasFamily, batches: Any) -> Any:
    """The batches with a weight for each sample."""
    return [(*batch, family.normal(len(batch[0])).abs()) for batch in batches]


def _of_numbers(family: KerasFamily) -> None:
    batches = [(family.normal(n, 3).abs() + 0.1, family.normal(n, 3).abs() + 0.1) for n in (4, 2, 3)]
    weighted = _pairs(family, batches)
    for cls in MEANS_OF_NUMBERS.split():
        _add(family, cls, batches)
        _add(family, cls, weighted, title="weighted")
    for cls in ("CosineSimilarity", "PearsonCorrelation", "ConcordanceCorrelation"):
        _add(family, cls, batches, {"axis": 0})
    for aggregation in (None, "variance_weighted_average"):
        _add(family, "R2Score", weighted, {"class_aggregation": aggregation}, "weighted")
    columns = [(truth[:, :1], found[:, :1]) for truth, found in batches]
    _add(family, "R2Score", columns, {"num_regressors": 1})
    values = [(family.normal(n, 2), family.normal(n).abs()) for n in (3, 2)]
    for cls in ("Mean", "Sum"):
        _add(family, cls, [batch[:1] for batch in values])
        _add(family, cls, values, title="weighted")


def _of_two_classes(family: KerasFamily) -> None:
    batches = [((family.normal(n, 3) > 0).double(), family.normal(n, 3).sigmoid()) for n in (4, 2, 3)]
    batches = [(truth, scores.float().double()) for truth, scores in batches]
    weighted = _pairs(family, batches)
    for cls in ("BinaryAccuracy", "BinaryCrossentropy", "Hinge", "SquaredHinge", "BinaryIoU"):
        _add(family, cls, batches)
        if cls != "BinaryIoU":
            _add(family, cls, weighted, title="weighted")
    _add(family, "BinaryAccuracy", weighted, {"threshold": 0.3})
    logits = [(truth, 2 * family.normal(*truth.shape)) for truth, _ in batches]
    _add(family, "BinaryCrossentropy", logits, {"from_logits": True})
    _add(family, "BinaryCrossentropy", batches, {"label_smoothing": 0.2})
    _add(family, "BinaryIoU", batches, {"target_class_ids": [1], "threshold": 0.3})
    ties = [(truth, (4 * scores).round() / 4) for truth, scores in batches]
    _add(family, "BinaryIoU", ties, {"target_class_ids": [0]}, "scores at the threshold")
    _add(family, "Accuracy", [(truth, scores.round()) for truth, scores in batches])


def _at_thresholds(family: KerasFamily) -> None:
    batches = [((family.normal(n, 3) > 0).double(), family.normal(n, 3).sigmoid().float().double()) for n in (4, 2, 3)]
    weighted = _pairs(family, batches)
    counts = ("TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives")
    for cls in (*counts, "Precision", "Recall"):
        _add(family, cls, batches)
        _add(family, cls, weighted, title="weighted")
        for thresholds in (0.3, [0.2, 0.7], [0.0, 0.5, 1.0]):
            _add(family, cls, weighted, {"thresholds": thresholds})
    for cls in ("Precision", "Recall"):
        for config in (
            {"top_k": 1},
            {"top_k": 2, "thresholds": 0.6},
            {"class_id": 1},
            {"top_k": 2, "class_id": 0},
            {"class_id": 2, "thresholds": [0.4, 0.8]},
        ):
            _add(family, cls, weighted, config)
    for average in (None, "micro", "macro", "weighted"):
        for threshold in (None, 0.4):
            config = {"average": average, "threshold": threshold}
            _add(family, "F1Score", batches, config)
            _add(family, "FBetaScore", weighted, {**config, "beta": 2.0}, "weighted")
    _add(family, "FBetaScore", batches, {"beta": 0.5})


def _of_classes(family: KerasFamily) -> None:
    rows = [family.normal(n, 4).abs() + 0.1 for n in (5, 3)]
    scores = [(row / row.sum(-1, keepdim=True)).float().double() for row in rows]
    labels = [torch.tensor([0, 3, 1, 2, 3]), torch.tensor([2, 0, 0])]
    one_hot = [(torch.eye(4, dtype=torch.float64)[label], score) for label, score in zip(labels, scores, strict=True)]
    sparse = list(zip(labels, scores, strict=True))
    for cls in ("CategoricalAccuracy", "CategoricalCrossentropy", "CategoricalHinge", "KLDivergence"):
        chosen = [(0.9 * truth + 0.025, score) for truth, score in one_hot] if cls == "KLDivergence" else one_hot
        _add(family, cls, chosen)
        _add(family, cls, _pairs(family, chosen), title="weighted")
    for cls in ("SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"):
        _add(family, cls, sparse)
        _add(family, cls, _pairs(family, sparse), title="weighted")
        _add(family, cls, [(label[:, None], score) for label, score in sparse], title="columns")
    for k in (1, 2, 3):
        _add(family, "TopKCategoricalAccuracy", _pairs(family, one_hot), {"k": k})
        _add(family, "SparseTopKCategoricalAccuracy", _pairs(family, sparse), {"k": k})
    ids = [(label, torch.argsort(score, descending=True).double()) for label, score in sparse]
    _add(family, "SparseTopKCategoricalAccuracy", ids, {"k": 2, "from_sorted_ids": True})
    logits = [(truth, 2 * family.normal(*truth.shape)) for truth, _ in one_hot]
    for config in ({"from_logits": True}, {"from_logits": True, "label_smoothing": 0.2}):
        _add(family, "CategoricalCrossentropy", logits, config)
    turned = [(truth.T, score.T) for truth, score in one_hot]
    _add(family, "CategoricalCrossentropy", turned, {"axis": 0})
    _add(family, "SparseCategoricalCrossentropy", sparse, {"axis": -1, "from_logits": True})
    # Weights of 1: without any, Keras counts the ignored positions as zeros.
    ones = [(*batch, torch.ones(len(batch[0]), dtype=torch.float64)) for batch in sparse]
    _add(family, "SparseCategoricalCrossentropy", ones, {"ignore_class": 0})


def _of_rankings(family: KerasFamily) -> None:
    batches = [((family.normal(n, 3) > 0).double(), family.normal(n, 3).sigmoid().float().double()) for n in (6, 5, 4)]
    weighted = _pairs(family, batches)
    for curve in ("ROC", "PR", "PRGAIN"):
        for method in ("interpolation", "minoring", "majoring"):
            config = {"curve": curve, "summation_method": method, "num_thresholds": 21}
            _add(family, "AUC", batches, config)
            _add(family, "AUC", weighted, {**config, "multi_label": True, "label_weights": [1.0, 0.5, 2.0]})
        config = {"curve": curve, "thresholds": [0.25, 0.4, 0.8], "label_weights": [1.0, 0.5, 2.0]}
        _add(family, "AUC", weighted, config)
    _add(family, "AUC", batches, {"num_thresholds": 200})
    _add(family, "AUC", batches, {"num_thresholds": 5, "multi_label": True, "num_labels": 3})
    _add(family, "AUC", batches, {"thresholds": [0.25, 0.5, 0.75]})
    ties = [(truth, (4 * scores).round() / 4) for truth, scores in batches]
    _add(family, "AUC", ties, {"num_thresholds": 5}, "scores at the thresholds")
    _add(family, "AUC", ties, {"thresholds": [0.1, 0.5]}, "scores at the thresholds")
    logits = [(truth, 2 * family.normal(*truth.shape)) for truth, _ in batches]
    _add(family, "AUC", logits, {"from_logits": True, "num_thresholds": 11})
    for cls, argument in (
        ("SensitivityAtSpecificity", "specificity"),
        ("SpecificityAtSensitivity", "sensitivity"),
        ("PrecisionAtRecall", "recall"),
        ("RecallAtPrecision", "precision"),
    ):
        for value in (0.3, 0.6):
            _add(family, cls, weighted, {argument: value, "num_thresholds": 51})
        # Without weights: with them, Keras's rounded sums make a recall of 1 a little less.
        _add(family, cls, batches, {argument: 1.0, "num_thresholds": 51})
        _add(family, cls, batches, {argument: 0.5, "num_thresholds": 200, "class_id": 1})
        _add(family, cls, batches, {argument: 0.5, "num_thresholds": 1})
        _add(family, cls, ties, {argument: 0.5, "num_thresholds": 5}, "scores at the thresholds")


def _of_masks(family: KerasFamily) -> None:
    maps = [tuple(family.integers(n, 2, 3, low=0, high=3) for _ in range(2)) for n in (2, 1)]
    weighted = [(*batch, family.normal(*batch[0].shape).abs()) for batch in maps]
    plain = {"num_classes": 4, "dtype": "float64"}
    for cls, config in (("IoU", {**plain, "target_class_ids": [1, 3]}), ("MeanIoU", plain)):
        _add(family, cls, maps, config)
        _add(family, cls, weighted, config, "weighted")
        _add(family, cls, maps, {**config, "ignore_class": 1})
        scores = [(truth, family.normal(*found.shape, 4)) for truth, found in maps]
        _add(family, cls, scores, {**config, "sparse_y_pred": False})
        rows = [(torch.nn.functional.one_hot(truth.long(), 4).double(), found) for truth, found in maps]
        _add(family, cls, rows, {**config, "sparse_y_true": False})
        both = [(row, score) for (row, _), (_, score) in zip(rows, scores, strict=True)]
        _add(family, f"OneHot{cls}", both, config)
        _add(family, f"OneHot{cls}", rows, {**config, "sparse_y_pred": True, "ignore_class": 0})
        turned = [(row.movedim(-1, 1), score.movedim(-1, 1)) for row, score in both]
        if "target_class_ids" in config:  # Keras sums the classes' values over this axis too
            _add(family, f"OneHot{cls}", [(x.movedim(1, 0), y.movedim(1, 0)) for x, y in turned], {**config, "axis": 0})


FAMILIES = [metrics]
