"""`Recipe`: all that turns a file into a prediction besides the weights; it travels in the model file's metadata."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tomograd import models
from tomograd.failures import UserError
from tomograd.pipeline.baselines import Intensity
from tomograd.pipeline.normalization import Normalization

METADATA = "recipe"
VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """How the model's inputs are made and its outputs read.

    task: "segment" or "classify". classes: names by index. channels: of an image. size: (H, W) that a classifier
    takes, None where any size will do, of at least `least` pixels each way. threshold: probability from which a pixel
    is foreground (two classes). invert_masks: whether the object is 0 in the mask files.
    spacing: mean pixel spacing of the training images in mm, or None. baseline: see `Intensity`. most_frequent: the
    class with the most training pixels or images. data: what it was trained on (source, digest, split, seed).
    """

    task: str
    classes: list[str]
    channels: int
    size: tuple[int, int] | None
    least: int
    normalization: Normalization
    threshold: float
    invert_masks: bool
    spacing: tuple[float, float] | None
    most_frequent: int
    baseline: Intensity | None
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """Channels of the model's output: one logit for two classes of pixels, else one a class."""
        return 1 if self.task == "segment" and len(self.classes) == 2 else len(self.classes)

    def to_json(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Raises ValueError, KeyError or TypeError for what `to_json` did not write."""
        values = json.loads(text)
        if values.pop("version") != VERSION:
            raise ValueError("it was written by another version of tomograd")
        values["normalization"] = Normalization(**values["normalization"])
        values["baseline"] = Intensity(**values["baseline"]) if values["baseline"] else None
        values["size"] = tuple(values["size"]) if values["size"] else None
        values["spacing"] = tuple(values["spacing"]) if values["spacing"] else None
        return cls(**values)

    def check(self, name: str, image: np.ndarray) -> None:
        """Raise UserError where the model cannot take this image (H, W, C)."""
        if image.shape[-1] != self.channels:
            raise UserError(name, f"has {image.shape[-1]} channel(s) a pixel, but the model takes {self.channels}")
        if self.size is not None and image.shape[:2] != self.size:
            height, width = self.size
            raise UserError(
                name, f"is {image.shape[0]} × {image.shape[1]} pixels, but the model takes {height} × {width} only"
            )
        if min(image.shape[:2]) < self.least:
            raise UserError(
                name,
                f"is {image.shape[0]} × {image.shape[1]} pixels, but the model needs at least {self.least} each way",
            )

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Class indices (…,) from probabilities (…, C)."""
        if probabilities.shape[-1] == 1:
            return (probabilities[..., 0] >= self.threshold).astype(np.int64)
        return probabilities.argmax(axis=-1)

    def ranking(self, probabilities: np.ndarray) -> np.ndarray:
        """Scores for the ROC curve (…, C), C = 1 for two classes."""
        return probabilities[..., 1:] if probabilities.shape[-1] == 2 else probabilities


def save(model: Any, recipe: Recipe, path: Path) -> None:
    """Write the weights, the model's configuration and the recipe into one safetensors file."""
    model.save(path, metadata={METADATA: recipe.to_json()}, include_optimizer=False)


def load(path: Path) -> tuple[Any, Recipe]:
    """The model and its recipe. Raises UserError for a file that is none of ours, naming it and the reason."""
    if not Path(path).exists():
        raise UserError(path, "no such file or folder")
    if Path(path).is_dir():
        raise UserError(path, "is a folder; a model file is expected, such as model.safetensors inside it")
    try:
        text = models.read_metadata(path).get(METADATA)
        model = models.load_model(path, compile=False)
    except models.CheckpointError as error:
        raise UserError(path, str(error).removeprefix(f"{path}: ")) from error
    if text is None:
        raise UserError(
            path, "holds a model, but not how to prepare images for it: it was not made by `tomograd train`"
        )
    try:
        recipe = Recipe.from_json(text)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(path, f"its notes on how to prepare images cannot be read: {error}") from error
    _check_fit(path, model, recipe)
    return model, recipe


def _check_fit(path: Path, model: Any, recipe: Recipe) -> None:
    """Raise UserError where the model in the file is not the one that the recipe speaks of."""
    given = getattr(model, "input_shape", None)
    if given is not None and given[-1] not in (None, recipe.channels):
        raise UserError(path, f"its model takes {given[-1]} channels, but its notes speak of {recipe.channels}")
