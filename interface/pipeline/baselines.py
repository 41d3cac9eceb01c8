"""What a network has to beat: a constant prediction, a threshold for masks, a logistic regression for classes.

Each is fitted on the training images only. The constant and the threshold are a few numbers and travel with the model,
so that `evaluate` can state them for images that come without a training part.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 512


@dataclass(frozen=True)
class Intensity:
    """Predicts each pixel's class from its grey value alone.

    edges: (B − 1,) rising. shares: (B, K), the share of each class among the training pixels of a bin.
    limit: for two classes: foreground where the grey value is at least that (`above`) or below it; chosen for the
        largest Dice on the training images. With more classes a pixel gets the most frequent class of its bin.
    """

    edges: list[float]
    shares: list[list[float]]
    limit: float | None
    above: bool

    name = "Threshold on brightness"

    @property
    def description(self) -> str:
        """What it does, as a sentence."""
        if self.limit is None:
            return "each pixel gets the class that was most frequent at its brightness in the training images."
        side = "of at least" if self.above else "below"
        return f"foreground is every pixel {side} {self.limit:.4g}, which has the largest Dice on the training images."

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(predicted classes (H, W), scores (H, W, C)) of an image (H, W, channels)."""
        value = grey(image)
        if self.limit is not None:
            signed = value if self.above else -value
            return ((value >= self.limit) == self.above).astype(np.int64), signed[..., np.newaxis]
        shares = np.asarray(self.shares)[np.searchsorted(self.edges, value, side="right")]
        return shares.argmax(axis=-1), shares

    def config(self) -> dict[str, Any]:
        return {"edges": self.edges, "shares": self.shares, "limit": self.limit, "above": self.above}


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W) float32: the mean of the channels of an image (H, W, C)."""
    return np.asarray(image, np.float32).mean(axis=-1)


def fit_intensity(images: Sequence[np.ndarray], masks: Sequence[np.ndarray], classes: int) -> Intensity:
    """The intensity baseline from training images (H, W, channels) and masks (H, W) of class indices."""
    sample = np.concatenate([grey(image).ravel()[:: max(1, image[..., 0].size // 4096)] for image in images])
    edges = np.unique(np.quantile(sample, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = np.zeros((len(edges) + 1, classes))
    for image, mask in zip(images, masks, strict=True):
        place = np.searchsorted(edges, grey(image).ravel(), side="right")
        cells = place * classes + np.asarray(mask).ravel().astype(np.int64)
        counts += np.bincount(cells, minlength=counts.size).reshape(counts.shape)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if classes > 2:
        return Intensity([float(e) for e in edges], [[float(v) for v in row] for row in shares], None, True)
    limit, above = _best_threshold(edges, counts)
    return Intensity([], [], limit, above)


def _best_threshold(edges: np.ndarray, counts: np.ndarray) -> tuple[float, bool]:
    """The edge and the side of it on which calling every pixel foreground has the largest Dice."""
    foreground, total = counts[:, 1], counts.sum(axis=1)
    best = (-1.0, 0.0, True)
    for above in (True, False):
        step = slice(None, None, -1) if above else slice(None)
        true = np.cumsum(foreground[step])[step]
        called = np.cumsum(total[step])[step]
        dice = 2 * true / np.maximum(called + foreground.sum(), 1)
        for place, edge in enumerate(edges):
            value = dice[place + 1] if above else dice[place]
            if value > best[0]:
                best = (float(value), float(edge), above)
    return best[1], best[2]


@dataclass(frozen=True)
class Constant:
    """Predicts one class everywhere."""

    label: int
    name: str
    description: str

    def __call__(self, shape: tuple[int, ...], channels: int) -> tuple[np.ndarray, np.ndarray]:
        """(predicted classes of `shape`, scores of shape + (channels,): all equal, since it ranks nothing)."""
        return np.full(shape, self.label, np.int64), np.zeros((*shape, channels), np.float32)


def constants(task: str, classes: Sequence[str], most_frequent: int) -> list[Constant]:
    """The constant predictions worth stating: for a mask of two classes both, else the most frequent training class."""
    if task == "segment" and len(classes) == 2:
        return [
            Constant(0, "Constant: nothing", f"every pixel is {classes[0]}: right for that share of them."),
            Constant(1, "Constant: everything", f"every pixel is {classes[1]}."),
        ]
    what = "pixel" if task == "segment" else "image"
    name = classes[most_frequent]
    text = f"every {what} is “{name}”, the most frequent training class."
    return [Constant(most_frequent, f"Constant: {name}", text)]


@dataclass(frozen=True)
class Regression:
    """Logistic regression on the first 100 principal components of the pixels (scikit-learn)."""

    pipeline: Any
    scale: float
    classes: int
    description: str

    name = "Logistic regression"

    def __call__(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """(predicted classes (N,), scores (N, C)) of images of one shape; C is 1 (class 1's) for two classes."""
        shares = np.zeros((len(images), self.classes), np.float32)
        shares[:, self.pipeline.classes_] = self.pipeline.predict_proba(_rows(images) / self.scale)
        return shares.argmax(axis=1), shares[:, 1:] if self.classes == 2 else shares


def fit_regression(
    images: Sequence[np.ndarray], labels: np.ndarray, classes: int, seed: int, most: int = 10_000
) -> Regression | None:
    """The classical baseline of a classifier, or None where scikit-learn is not installed.

    Fitted on at most `most` training images, drawn by `seed`.
    """
    try:
        from sklearn.decomposition import PCA
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
    except ImportError:
        return None
    chosen = np.random.default_rng(seed).permutation(len(images))[:most]
    rows = _rows([images[i] for i in chosen])
    components = min(100, len(rows) - 1, rows.shape[1])
    scale = float(rows.std()) or 1.0
    pipeline = make_pipeline(
        PCA(components, svd_solver="randomized", random_state=seed), LogisticRegression(max_iter=300)
    )
    with warnings.catch_warnings():  # 300 iterations are enough for a baseline; the warning would look like a fault
        warnings.simplefilter("ignore")
        pipeline.fit(rows / scale, labels[chosen])
    text = f"on {components} principal components of the pixels of {len(chosen):,} training images (scikit-learn)."
    return Regression(pipeline, scale, classes, text)


def _rows(images: Sequence[np.ndarray]) -> np.ndarray:
    """(N, pixels) float32."""
    return np.stack([np.asarray(image, np.float32).ravel() for image in images])
