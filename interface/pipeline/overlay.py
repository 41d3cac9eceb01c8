"""A mask drawn over its image as plain pixels, for `predict`: no plotting library needed."""

import numpy as np

COLOURS = np.array([(86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167)], np.uint8)
"""Okabe and Ito's, for classes 1, 2, 3 …, then from the start again."""


def outline(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pixels of a mask (H, W) of class indices with a neighbour (left, right, above, below) of another
    class, the background's own left out. The image's border counts as another class.
    """
    padded = np.pad(mask, 1, constant_values=-1)
    inner = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return (mask > 0) & np.any([inner != neighbour for neighbour in neighbours], axis=0)


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: an image (H, W) or (H, W, 3) in [0, 1] with the outlines of a mask (H, W) in colour."""
    grey = image if image.ndim == 3 else np.repeat(image[..., np.newaxis], 3, axis=-1)
    picture = np.rint(255 * np.clip(grey, 0, 1)).astype(np.uint8)
    edge = outline(mask)
    picture[edge] = COLOURS[(mask[edge].astype(np.int64) - 1) % len(COLOURS)]
    return picture
