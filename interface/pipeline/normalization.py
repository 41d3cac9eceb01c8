"""From stored pixel values to the network's input, by constants that are fixed at training and kept with the model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tomograd.imaging.transforms import Compose, Standardise, UnitRange

LUNG_WINDOW = (-600.0, 1500.0)
"""Level and width in Hounsfield units (−1350 to 150): what radiologists commonly look at lungs with."""
PERCENTILES = (0.1, 99.9)


@dataclass(frozen=True)
class Normalization:
    """x → (u − mean) / deviation, where u is x between low (0) and high (1), cut beyond.

    low, high: in the units of the file (`units`: "HU", or None), so that a CT window is stated as such.
    mean, deviation: of u over the training images.
    """

    low: float
    high: float
    mean: float
    deviation: float
    units: str | None = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """float32 of the same shape (…, H, W, C): mean 0 and deviation 1 on the training images."""
        steps = Compose((UnitRange(self.low, self.high), Standardise(self.mean, self.deviation)))
        return steps(images, None, np.random.default_rng(0))[0]

    def display(self, images: np.ndarray) -> np.ndarray:
        """The images between black (low) and white (high), in [0, 1]."""
        return UnitRange(self.low, self.high)(images, None, np.random.default_rng(0))[0]

    def config(self) -> dict[str, Any]:
        """What `Normalization(**config)` makes again."""
        return asdict(self)

    @property
    def description(self) -> str:
        """The formula with its numbers."""
        unit = f" {self.units}" if self.units else ""
        return (
            f"{self.low:g} to {self.high:g}{unit} spread over 0 to 1 and cut beyond, minus {self.mean:.4g}, divided by "
            f"{self.deviation:.4g}"
        )


def fit(
    images: Sequence[np.ndarray],
    units: str | None,
    value_range: tuple[float, float] | None = None,
    window: tuple[float, float] | None = None,
) -> Normalization:
    """The constants for these training images.

    window: level and width to cut to. Without one: the lung window for Hounsfield units, all of an 8-bit range
    (value_range, of the files' number type), else from the 0.1st to the 99.9th percentile of the pixels.
    """
    if window is None and units == "HU":
        window = LUNG_WINDOW
    if window is not None:
        low, high = window[0] - window[1] / 2, window[0] + window[1] / 2
    elif value_range == (0.0, 255.0):
        low, high = value_range
    else:
        pixels = np.concatenate([np.asarray(image, np.float32).ravel()[::7] for image in images])
        low, high = (float(value) for value in np.percentile(pixels, PERCENTILES))
        low, high = (low, high) if high > low else (low - 0.5, low + 0.5)
    count, total, squares = 0, 0.0, 0.0
    for image in images:
        unit = (np.clip(np.asarray(image, np.float64), low, high) - low) / (high - low)
        count, total, squares = count + unit.size, total + unit.sum(), squares + np.square(unit).sum()
    mean = total / count
    deviation = float(np.sqrt(max(squares / count - mean**2, 0.0)))
    return Normalization(float(low), float(high), float(mean), deviation or 1.0, units)
