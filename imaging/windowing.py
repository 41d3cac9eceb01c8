"""Grey values to [0, 1] or to zero mean: windows, ranges, percentiles, standardisation; and the picture of an `Image`.

All functions take an array of numbers and return float32; NaN or infinite pixels are an ImagingError, since every
formula here would spread them over the whole image or hide them.
"""

from __future__ import annotations

import numpy as np

from .errors import ImagingError
from .image import Image, VOIWindow, check_finite


def window(pixels: np.ndarray, center: float, width: float, function: str = "LINEAR") -> np.ndarray:
    """The window of radiology: `width` grey values around `center` spread over [0, 1], those beyond it cut.

    LINEAR, DICOM PS3.3 C.11.2.1.2.1, for width ≥ 1 and x the pixel:
        x ≤ c − 0.5 − (w − 1)/2 → 0;  x > c − 0.5 + (w − 1)/2 → 1;  else (x − (c − 0.5))/(w − 1) + 0.5
    LINEAR_EXACT, C.11.2.1.3.2, for width > 0:
        x ≤ c − w/2 → 0;  x > c + w/2 → 1;  else (x − c)/w + 0.5
    SIGMOID, C.11.2.1.3.1, for width > 0:  1/(1 + exp(−4(x − c)/w))
    """
    least = 1.0 if function == "LINEAR" else 0.0
    if not (np.isfinite(center) and np.isfinite(width) and width >= least and width > 0):
        raise ImagingError(None, f"window center {center} and width {width}: expected width ≥ {max(least, 0):g}, not 0")
    x = _checked(pixels).astype(np.float64)
    if function == "LINEAR":
        low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
        if width == 1:
            return (x > low).astype(np.float32)
        return np.clip((x - low) / (high - low), 0, 1).astype(np.float32)
    if function == "LINEAR_EXACT":
        return np.clip((x - center) / width + 0.5, 0, 1).astype(np.float32)
    if function == "SIGMOID":
        return (0.5 * (1 + np.tanh(2 * (x - center) / width))).astype(np.float32)
    raise ImagingError(None, f"window function {function!r}: expected LINEAR, LINEAR_EXACT or SIGMOID")


def unit_range(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """(x − low)/(high − low), cut to [0, 1]: 0 and 255 for photographs, −1000 and 600 HU for a chest CT."""
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ImagingError(None, f"range from {low} to {high}: expected low < high")
    return np.clip((_checked(pixels).astype(np.float64) - low) / (high - low), 0, 1).astype(np.float32)


def normalise(pixels: np.ndarray) -> np.ndarray:
    """(x − min)/(max − min): the image's own range over [0, 1]; an image of one value becomes 0."""
    return percentile(pixels, 0, 100)


def percentile(pixels: np.ndarray, low: float = 1.0, high: float = 99.0) -> np.ndarray:
    """Spread the values between two percentiles of the image over [0, 1] and cut the rest; one value becomes 0.

    For scanners without units (MR): a few very bright pixels do not darken the rest.
    """
    if not 0 <= low < high <= 100:
        raise ImagingError(None, f"percentiles {low} and {high}: expected 0 ≤ low < high ≤ 100")
    pixels = _checked(pixels)
    if pixels.size == 0:
        return pixels.astype(np.float32)
    darkest, brightest = np.percentile(pixels.astype(np.float64), [low, high])
    if brightest <= darkest:  # more than `high` % of the pixels are equal: use what range there is
        darkest, brightest = float(pixels.min()), float(pixels.max())
    if brightest <= darkest:
        return np.zeros(pixels.shape, np.float32)
    return unit_range(pixels, float(darkest), float(brightest))


def standardise(pixels: np.ndarray, mean: float | None = None, deviation: float | None = None) -> np.ndarray:
    """(x − mean)/deviation, by the image's own mean and standard deviation where none are given.

    An image of one value becomes 0.
    """
    x = _checked(pixels).astype(np.float64)
    if x.size == 0:
        return x.astype(np.float32)
    mean = float(x.mean()) if mean is None else mean
    own = deviation is None
    deviation = float(x.std()) if deviation is None else deviation
    if own and deviation == 0:
        return np.zeros(x.shape, np.float32)
    if not (np.isfinite(mean) and np.isfinite(deviation) and deviation > 0):
        raise ImagingError(None, f"mean {mean} and deviation {deviation}: expected finite numbers, deviation above 0")
    return ((x - mean) / deviation).astype(np.float32)


def display(image: Image, window_index: int = 0) -> np.ndarray:
    """The image as its header would have it shown, in [0, 1] with larger brighter: the window of that number, else the
    header's VOI table, else (none, or a width of 0) the 1st to 99th percentile; colours divided by their largest value.
    """
    if image.color:
        high = image.value_range[1] if image.value_range else 255.0
        shown = unit_range(image.pixels, 0.0, high)
    elif image.windows:
        chosen: VOIWindow = image.windows[min(window_index, len(image.windows) - 1)]
        shown = window(image.pixels, chosen.center, chosen.width, chosen.function)
    elif image.voi_table is not None:
        shown = normalise(image.voi_table(image.pixels))
    else:
        shown = percentile(image.pixels)
    if image.photometric == "MONOCHROME1" and not image.inverted:
        shown = 1 - shown
    return shown


def _checked(pixels: np.ndarray) -> np.ndarray:
    pixels = np.asarray(pixels)
    if pixels.dtype.kind not in "biuf":
        raise ImagingError(None, f"pixels of type {pixels.dtype}: expected numbers")
    check_finite(None, pixels)
    return pixels
