"""From images to probabilities by the recipe of a model: normalise, run, sigmoid or softmax."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tomograd.pipeline.recipe import Recipe

PIXELS_AT_ONCE = 2**19


def probabilities(
    model: Any, recipe: Recipe, images: Sequence[np.ndarray], progress: Callable[[int, int], None] | None = None
) -> list[np.ndarray]:
    """Probabilities of each image (H, W, channels): (H, W, C) for masks, (C,) for classes; C as `Recipe.outputs`.

    Images of one size run together, as many at once as make PIXELS_AT_ONCE. progress(done, all) is called after each
    batch.
    """
    result: list[np.ndarray] = []
    while len(result) < len(images):
        shape = images[len(result)].shape
        most = max(1, PIXELS_AT_ONCE // (shape[0] * shape[1]))
        batch = [images[len(result)]]
        while len(batch) < most and len(result) + len(batch) < len(images):
            following = images[len(result) + len(batch)]
            if following.shape != shape:
                break
            batch.append(following)
        logits = model.predict_on_batch(recipe.normalization(np.stack(batch)))
        result.extend(from_logits(np.asarray(logits)))
        if progress is not None:
            progress(len(result), len(images))
    return result


def from_logits(logits: np.ndarray) -> np.ndarray:
    """Sigmoid of a single channel (…, 1), else softmax over the channels."""
    if logits.shape[-1] == 1:
        return 0.5 * (1.0 + np.tanh(0.5 * logits))  # never overflows
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
