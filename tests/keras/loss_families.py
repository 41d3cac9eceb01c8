"""The losses' cases: each with its defaults, with weights and every reduction, then each argument at another value."""

from __future__ import annotations

import torch
from keras_family import KerasFamily

REDUCTIONS = ("sum", "mean", "mean_with_sample_weight", "none", None)
ERRORS = [
    "MeanSquaredError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError",
    "LogCosh",
    "Huber",
]


def losses() -> KerasFamily:
    family = KerasFamily("losses", seed=301)
    _of_numbers(family)
    _of_two_classes(family)
    _of_classes(family)
    _of_indices(family)
    _of_regions(family)
    _of_vectors(family)
    _of_alignments(family)
    return family


def _everywhere(family: KerasFamily, cls: str, y_true: torch.Tensor, y_pred: torch.Tensor) -> None:
    """Defaults, then weights of the examples under every reduction."""
    family.loss(cls, cls, {}, y_true, y_pred)
    weights = torch.tensor([0.5, 2.0, 0.0, 1.5], dtype=torch.float64)[: y_pred.shape[0]]
    for reduction in ("sum_over_batch_size", *REDUCTIONS):
        family.loss(f"{cls} weighted, {reduction}", cls, {"reduction": reduction}, y_true, y_pred, weights)


def _probabilities(family: KerasFamily, *shape: int) -> torch.Tensor:
    """Rows of sum 1, none near 0."""
    x = family.normal(*shape).abs() + 0.2
    return (x / x.sum(-1, keepdim=True)).float().double()


def _of_numbers(family: KerasFamily) -> None:
    y_true, y_pred = family.normal(4, 3), family.normal(4, 3)
    for cls in ERRORS:
        sign = torch.abs if "Logarithmic" in cls else torch.as_tensor
        _everywhere(family, cls, sign(y_true) + (0.1 if "Log" in cls else 0.0), sign(y_pred) + 0.1)
        maps = family.normal(2, 2, 3).abs() + 0.1, family.normal(2, 2, 3).abs() + 0.1
        family.loss(f"{cls} of maps, weighted by position", cls, {}, *maps, family.normal(2, 2).abs())
    family.loss(f"{ERRORS[3]} of zeros", ERRORS[3], {}, y_true.clamp_min(0.0), y_pred.abs() + 0.1)
    for delta in (0.1, 3.0):
        family.loss(f"Huber, delta {delta}", "Huber", {"delta": delta}, y_true, y_pred)
    _everywhere(family, "Poisson", 3 * y_true.abs(), y_pred.abs() + 0.1)


def _of_two_classes(family: KerasFamily) -> None:
    y_true = (family.normal(4, 3) > 0).double()
    p, logits = family.normal(4, 3).sigmoid().float().double(), 3 * family.normal(4, 3)
    for cls in ("BinaryCrossentropy", "BinaryFocalCrossentropy"):
        _everywhere(family, cls, y_true, p)
        family.loss(f"{cls} from logits", cls, {"from_logits": True}, y_true, logits)
        family.loss(f"{cls}, smoothed", cls, {"label_smoothing": 0.3}, y_true, p)
        family.loss(f"{cls} from logits, axis 0", cls, {"axis": 0, "from_logits": True}, y_true, logits)
        maps = y_true.reshape(2, 2, 3), logits.reshape(2, 2, 3)
        config = {"axis": 1, "from_logits": True, "label_smoothing": 0.1, "reduction": "none"}
        family.loss(f"{cls} of maps, axis 1", cls, config, *maps, family.normal(2, 3).abs())
    focal = "BinaryFocalCrossentropy"
    family.loss(f"{focal}, balanced", focal, {"apply_class_balancing": True}, y_true, p)
    family.loss(f"{focal}, alpha", focal, {"apply_class_balancing": True, "alpha": 0.6}, y_true, p)
    for gamma in (0.0, 0.7, 3.0):
        family.loss(f"{focal}, gamma {gamma}", focal, {"gamma": gamma}, y_true, p)
    signs = 2 * y_true - 1
    for cls in ("Hinge", "SquaredHinge"):
        _everywhere(family, cls, signs, logits)
        family.loss(f"{cls} of 0 and 1", cls, {}, y_true, logits)


def _of_classes(family: KerasFamily) -> None:
    rows, p, logits = _probabilities(family, 4, 3), _probabilities(family, 4, 3), 2 * family.normal(4, 3)
    _everywhere(family, "KLDivergence", rows, p)
    for cls in ("CategoricalCrossentropy", "CategoricalFocalCrossentropy"):
        _everywhere(family, cls, rows, p)
        family.loss(f"{cls} from logits", cls, {"from_logits": True}, rows, logits)
        family.loss(f"{cls} of scores", cls, {}, rows, 3 * p)
        family.loss(f"{cls}, smoothed", cls, {"label_smoothing": 0.3, "from_logits": True}, rows, logits)
        # Keras takes the last axis's size as the number of classes: it is the same here.
        square = rows[:3].T.reshape(1, 3, 3), logits[:3].T.reshape(1, 3, 3)
        for smoothing in (0.0, 0.2):
            config = {"axis": 1, "from_logits": True, "label_smoothing": smoothing}
            family.loss(f"{cls}, axis 1, smoothing {smoothing}", cls, config, *square)
        family.loss(f"{cls}, axis -2", cls, {"axis": -2, "reduction": None}, rows.T, p.T)
    focal = "CategoricalFocalCrossentropy"
    family.loss(f"{focal}, alpha", focal, {"alpha": 0.6}, rows, p)
    for gamma in (0.0, 0.7, 3.0):
        config = {"gamma": gamma, "from_logits": True}
        family.loss(f"{focal}, gamma {gamma}", focal, config, rows, logits)
    one_hot = torch.eye(3, dtype=torch.float64)[[0, 2, 1, 2]]
    _everywhere(family, "CategoricalHinge", one_hot, logits)


def _of_indices(family: KerasFamily) -> None:
    labels, p, logits = torch.tensor([0, 2, 1, 2]), _probabilities(family, 4, 3), 2 * family.normal(4, 3)
    sparse, general = "SparseCategoricalCrossentropy", "CategoricalGeneralizedCrossEntropy"
    _everywhere(family, sparse, labels, p)
    _everywhere(family, general, labels, p)
    for q in (0.1, 0.9):
        family.loss(f"{general}, q {q}", general, {"q": q}, labels, p)
    family.loss(f"{sparse} from logits", sparse, {"from_logits": True}, labels[:, None], logits)
    maps, scores = torch.tensor([[[0, 1], [2, 1]], [[1, 1], [0, 2]]]), family.normal(2, 2, 2, 3)
    family.loss(f"{sparse} of maps", sparse, {"from_logits": True}, maps, scores, family.normal(2, 2, 2).abs())
    family.loss(f"{sparse}, axis 1", sparse, {"from_logits": True, "axis": 1}, maps, family.normal(2, 3, 2, 2))
    for reduction in ("sum_over_batch_size", *REDUCTIONS):
        config = {"from_logits": True, "ignore_class": 1, "reduction": reduction}
        family.loss(f"{sparse}, a class ignored, {reduction}", sparse, config, maps, scores)
        weights = family.normal(2, 2, 2).abs()
        family.loss(f"{sparse}, a class ignored, weighted, {reduction}", sparse, config, maps, scores, weights)


def _of_regions(family: KerasFamily) -> None:
    mask = (family.normal(2, 3, 2, 2) > 0).double()
    p = family.normal(2, 3, 2, 2).sigmoid().float().double()
    for cls in ("Dice", "Tversky"):
        family.loss(cls, cls, {}, mask, p)
        for axis in ((1, 2, 3), (1, 2), 3, -1):
            for reduction in ("sum_over_batch_size", *REDUCTIONS):
                if axis == (1, 2, 3) or reduction is None:
                    config = {"axis": axis, "reduction": reduction}
                    family.loss(f"{cls}, axis {axis}, {reduction}", cls, config, mask, p)
        family.loss(f"{cls}, weighted", cls, {"axis": (1, 2, 3)}, mask, p, torch.tensor([0.5, 2.0]).double())
    for alpha, beta in ((0.3, 0.5), (0.5, 0.8)):
        family.loss(f"Tversky, {alpha} and {beta}", "Tversky", {"alpha": alpha, "beta": beta}, mask, p)


def _of_vectors(family: KerasFamily) -> None:
    _everywhere(family, "CosineSimilarity", family.normal(4, 3), family.normal(4, 3))
    for axis in (0, 1, -2):
        maps = family.normal(2, 3, 2), family.normal(2, 3, 2)
        family.loss(f"CosineSimilarity, axis {axis}", "CosineSimilarity", {"axis": axis, "reduction": None}, *maps)
    embeddings = torch.nn.functional.normalize(family.normal(5, 3), dim=-1).float().double()
    labels = torch.tensor([0, 1, 0, 1, 2])
    _everywhere(family, "Circle", labels[:4], embeddings[:4])
    family.loss("Circle, alone in a class", "Circle", {"gamma": 4.0}, labels, embeddings)
    family.loss("Circle, margin", "Circle", {"margin": 0.1, "gamma": 8.0}, labels[:4, None], embeddings[:4])
    family.loss("Circle with its diagonal", "Circle", {"remove_diagonal": False}, labels, embeddings)
    family.loss("Circle, alone, weighted", "Circle", {"gamma": 4.0}, labels, embeddings, family.normal(5).abs())


def _of_alignments(family: KerasFamily) -> None:
    labels = torch.tensor([[1, 2, 1], [2, 2, 0], [3, 0, 0], [0, 0, 0]])
    _everywhere(family, "CTC", labels, family.normal(4, 5, 4))
    family.loss("CTC in as many steps as labels", "CTC", {"reduction": None}, labels[:1], family.normal(1, 3, 4))
    family.loss("CTC of one step", "CTC", {}, labels[2:, :1], family.normal(2, 1, 4))


FAMILIES = [losses]
