"""A model judged on images that training did not see, beside a constant prediction and a classical baseline."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tomograd.pipeline import baselines, prediction, scores
from tomograd.pipeline.recipe import Recipe
from tomograd.pipeline.study import Study

LABELLED_EXAMPLES = 12


@dataclass(frozen=True)
class Example:
    """One image for the report with what was expected and what was predicted.

    image: (H, W) or (H, W, 3), in [0, 1]. Segmentation: truth and predicted are (H, W) masks of class indices, score is
    the image's Dice. Classification: both are class names, score is the probability of the predicted class.
    """

    name: str
    image: np.ndarray
    truth: Any
    predicted: Any
    score: float


@dataclass
class Evaluation:
    """results: the model's and each baseline's name, description and measures, as the report holds them.

    curves: (name, ROC) of those that rank. counts: the model's tally. examples: for the pictures. seconds:
    the model's predictions alone.
    """

    results: list[dict[str, Any]]
    curves: list[tuple[str, scores.Roc]]
    counts: scores.Tally
    examples: list[Example]
    images: int
    seconds: float

    def value(self, measure: str, row: int = 0) -> float | None:
        """A measure of the model (row 0) or of a baseline."""
        return self.results[row]["measures"][measure]["value"]


def evaluate(
    model: Any,
    recipe: Recipe,
    study: Study,
    chosen: np.ndarray,
    name: str,
    seed: int,
    training: np.ndarray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score `model` on the images `chosen` of `study`.

    name: of the model in the tables. training: indices of the study's training images, on which a classifier's
    baseline is fitted; without them that baseline is left out.
    """
    images = [study.images[i] for i in chosen]
    for index in chosen:
        recipe.check(study.names[index], study.images[index])
    truths = [np.asarray(study.targets[i]) for i in chosen]
    groups = [study.groups[i] for i in chosen]
    start = time.perf_counter()
    found = prediction.probabilities(model, recipe, images, progress)
    seconds = time.perf_counter() - start
    classes = len(recipe.classes)
    judge = _Judge(truths, groups, classes, recipe.task, seed)
    decided = [recipe.decide(p) for p in found]
    ranked = [recipe.ranking(p) for p in found]
    judge.add(name, _model_description(recipe), decided, ranked)
    counts = judge.counts
    if recipe.task == "segment" and recipe.baseline is not None:
        pairs = [recipe.baseline(image) for image in images]
        judge.add(recipe.baseline.name, recipe.baseline.description, [p[0] for p in pairs], [p[1] for p in pairs])
    if recipe.task == "classify" and training is not None and len(training):
        fitted = baselines.fit_regression(
            [study.images[i] for i in training], np.asarray(study.targets)[training], classes, seed
        )
        if fitted is not None:
            labels, values = fitted(images)
            judge.add(fitted.name, fitted.description, list(labels), list(values))
    channels = ranked[0].shape[-1]
    for constant in baselines.constants(recipe.task, recipe.classes, recipe.most_frequent):
        pairs = [constant(truth.shape, channels) for truth in truths]
        judge.add(constant.name, constant.description, [p[0] for p in pairs], [p[1] for p in pairs], draw=False)
    examples = _examples(recipe, study, chosen, truths, decided, found, seed)
    return Evaluation(judge.results, judge.curves, counts, examples, len(chosen), seconds)


def _model_description(recipe: Recipe) -> str:
    if recipe.outputs == 1:
        return f"foreground where its probability is at least {recipe.threshold:g}."
    return "the class of the largest probability."


class _Judge:
    """Scores several predictors of the same images."""

    def __init__(self, truths: Sequence[np.ndarray], groups: Sequence[str], classes: int, task: str, seed: int) -> None:
        self.truths, self.groups, self.classes, self.task, self.seed = truths, groups, classes, task, seed
        self.results: list[dict[str, Any]] = []
        self.curves: list[tuple[str, scores.Roc]] = []
        self.counts: scores.Tally

    def add(
        self,
        name: str,
        description: str,
        decided: Sequence[np.ndarray],
        ranked: Sequence[np.ndarray],
        draw: bool = True,
    ) -> None:
        """Score one predictor; `draw` also keeps its ROC curve. `counts` is the tally of the last one added."""
        self.counts = scores.tally(self.truths, decided, ranked, self.groups, self.classes)
        curve = scores.roc(self.truths, ranked, self.classes, self.task)
        measured = scores.summarise(self.counts, curve.area, self.task, self.seed)
        self.results.append({"name": name, "description": description, "measures": measured})
        if draw:
            self.curves.append((name, curve))


def _examples(
    recipe: Recipe,
    study: Study,
    chosen: np.ndarray,
    truths: Sequence[np.ndarray],
    decided: Sequence[np.ndarray],
    found: Sequence[np.ndarray],
    seed: int,
) -> list[Example]:
    """Images for the report, with what was expected and found."""
    if recipe.task == "segment":
        dice = [_dice(truth, predicted) for truth, predicted in zip(truths, decided, strict=True)]
        picked = _spread(dice, [bool((t > 0).any()) for t in truths], [study.groups[i] for i in chosen])
        return [
            Example(study.names[chosen[i]], _picture(recipe, study.images[chosen[i]]), truths[i], decided[i], dice[i])
            for i in picked
        ]
    generator = np.random.default_rng(seed)
    wrong = [i for i in range(len(chosen)) if int(truths[i]) != int(decided[i])]
    mistakes = generator.permutation(wrong)[: LABELLED_EXAMPLES // 2].astype(int).tolist()
    others = [i for i in generator.permutation(len(chosen)).tolist() if i not in mistakes]
    picked = sorted(others[: LABELLED_EXAMPLES - len(mistakes)]) + sorted(mistakes)
    return [
        Example(
            study.names[chosen[i]],
            _picture(recipe, study.images[chosen[i]]),
            recipe.classes[int(truths[i])],
            recipe.classes[int(decided[i])],
            float(found[i].max()),
        )
        for i in picked
    ]


def _picture(recipe: Recipe, image: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3) in [0, 1]."""
    shown = recipe.normalization.display(image)
    return shown if image.shape[-1] == 3 else shown[..., 0]


def _dice(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Dice of what is not background."""
    counts = np.bincount(2 * (truth > 0).ravel() + (predicted > 0).ravel(), minlength=4).reshape(2, 2)
    return float(scores.measures(counts, "segment")["dice"])


def _spread(dice: Sequence[float], present: Sequence[bool], groups: Sequence[str], count: int = 5) -> list[int]:
    """Indices of `count` images from the best Dice to the worst, evenly over the order, of different groups.

    Images with nothing to find are left out, unless all are such.
    """
    order = sorted(range(len(dice)), key=lambda i: -dice[i])
    order = [i for i in order if present[i]] or order
    rank = {index: place for place, index in enumerate(order)}
    wanted = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    picked: list[int] = []
    used: set[str] = set()
    for place in wanted:
        left = [i for i in order if i not in picked]
        nearest = [left[k] for k in np.argsort([abs(rank[i] - place) for i in left], kind="stable")]
        fresh = [i for i in nearest if groups[i] not in used]
        index = (fresh or nearest)[0]
        picked.append(index)
        used.add(groups[index])
    return sorted(picked, key=lambda i: -dice[i])
