"""Preprocessing and augmentation of an image together with its mask.

A transform is a small frozen dataclass, called as `transform(image, mask, generator) -> (image, mask)`:
image float32 (H, W, C) or (D, H, W, C), mask of class numbers (…, 1) with the same spatial shape or None, generator a
`numpy.random.Generator` (used by the random ones only, so that a seed fixes everything). Inputs are never changed.
Volumes are flipped, turned, scaled and cropped in the plane (H, W) of their slices.

    steps = Compose((UnitRange(-1000, 600), RandomFlip(), RandomRotation(10), RandomCrop((64, 64))))
    image, mask = steps(image, mask, np.random.default_rng(0))

`config` and `from_config` carry a list of transforms through JSON, so that a model can be saved with its preprocessing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from . import windowing
from .errors import ImagingError, brief
from .extras import require
from .resample import resize_linear, resize_nearest

Pair = tuple[np.ndarray, np.ndarray | None]
Transform = Callable[[np.ndarray, "np.ndarray | None", np.random.Generator], Pair]

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green, blue: ITU-R BT.601


@dataclass(frozen=True)
class Compose:
    """Several transforms, one after the other."""

    steps: tuple[Transform, ...]

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        for step in self.steps:
            image, mask = step(image, mask, generator)
        return image, mask


# --- grey values: the mask passes through


@dataclass(frozen=True)
class Window:
    """The radiologist's window on [0, 1]: `center` and `width` in the image's units (see imaging.windowing)."""

    center: float
    width: float

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        return windowing.window(image, self.center, self.width), mask


@dataclass(frozen=True)
class UnitRange:
    """`low` to `high` on [0, 1], the rest cut: 0 to 255 for photographs, −1000 to 600 HU for a chest CT."""

    low: float
    high: float

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        return windowing.unit_range(image, self.low, self.high), mask


@dataclass(frozen=True)
class Percentile:
    """The image's own percentiles `low` to `high` on [0, 1], the rest cut: for MR and other values without units."""

    low: float = 1.0
    high: float = 99.0

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        return windowing.percentile(image, self.low, self.high), mask


@dataclass(frozen=True)
class Standardise:
    """(x − mean)/deviation; the image's own mean and deviation where none are given."""

    mean: float | None = None
    deviation: float | None = None

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        return windowing.standardise(image, self.mean, self.deviation), mask


@dataclass(frozen=True)
class Grey:
    """Colours to one channel of brightness, 0.299 R + 0.587 G + 0.114 B; one channel stays as it is."""

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        if image.shape[-1] == 1:
            return image, mask
        if image.shape[-1] != 3:
            raise ImagingError(None, f"an image of {image.shape[-1]} channels cannot be made grey, expected 1 or 3")
        return (image @ LUMINANCE)[..., np.newaxis].astype(np.float32), mask


@dataclass(frozen=True)
class Channels:
    """Exactly `count` channels: 1 makes colours grey, 3 repeats grey three times (for models of colour images)."""

    count: int

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        if image.shape[-1] == self.count:
            return image, mask
        if self.count == 1:
            return Grey()(image, mask, generator)
        if image.shape[-1] == 1:
            return np.repeat(image, self.count, axis=-1), mask
        raise ImagingError(None, f"an image of {image.shape[-1]} channels cannot be given {self.count}")


@dataclass(frozen=True)
class MedianFilter:
    """Denoise: the median of `size` × `size` pixels (× `size` slices in a volume), each channel by itself."""

    size: int = 3

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        ndimage = require("scipy.ndimage")
        return ndimage.median_filter(image, size=(*[self.size] * (image.ndim - 1), 1), mode="nearest"), mask


@dataclass(frozen=True)
class GaussianFilter:
    """Denoise: a Gaussian blur of `sigma` pixels, each channel by itself."""

    sigma: float = 1.0

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        ndimage = require("scipy.ndimage")
        sigmas = (*[self.sigma] * (image.ndim - 1), 0)
        return ndimage.gaussian_filter(image, sigma=sigmas, mode="nearest"), mask


@dataclass(frozen=True)
class RandomBrightness:
    """Each image brighter or darker and of more or less contrast: x·(1 + a) + b, |a| ≤ contrast, |b| ≤ brightness.

    For images on [0, 1]; the result is not cut.
    """

    brightness: float = 0.1
    contrast: float = 0.1

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        a, b = generator.uniform(-1, 1, 2) * (self.contrast, self.brightness)
        return image * np.float32(1 + a) + np.float32(b), mask


@dataclass(frozen=True)
class RandomNoise:
    """Gaussian noise of a standard deviation drawn from [0, `deviation`]."""

    deviation: float = 0.02

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        deviation = np.float32(generator.uniform(0, self.deviation))
        return image + deviation * generator.standard_normal(image.shape, np.float32), mask


# --- geometry: image and mask move together


@dataclass(frozen=True)
class RandomFlip:
    """Mirror left and right, top and bottom, each with probability one half where switched on."""

    horizontal: bool = True
    vertical: bool = True

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        across, down = generator.random(2) < 0.5
        wanted = ((-3, down and self.vertical), (-2, across and self.horizontal))
        axes = tuple(axis for axis, chosen in wanted if chosen)
        return _both(image, mask, lambda array: np.ascontiguousarray(np.flip(array, axes)))


@dataclass(frozen=True)
class RandomQuarterTurn:
    """Turn by 0, 90, 180 or 270 degrees: exact, no pixel is interpolated. A non-square image may change shape."""

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        turns = int(generator.integers(4))
        return _both(image, mask, lambda array: np.ascontiguousarray(np.rot90(array, turns, axes=(-3, -2))))


@dataclass(frozen=True)
class RandomAffine:
    """Turn by up to ± `rotation` degrees and scale by a factor from `scale` about the centre, in one interpolation.

    The image is interpolated linearly, the mask takes the nearest pixel; beyond their edges both are continued as in a
    mirror. The size stays. A factor above 1 enlarges. (0, (1, 1)) changes nothing.
    """

    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        low, high = self.scale
        if not 0 < low <= high:
            raise ImagingError(None, f"scale {self.scale}: expected 0 < low ≤ high")
        angle, factor = generator.uniform(-1, 1) * self.rotation, np.exp(generator.uniform(np.log(low), np.log(high)))
        return affine(image, mask, float(angle), float(factor))


@dataclass(frozen=True)
class RandomRotation:
    """Turn by an angle drawn from ± `degrees` about the centre (see RandomAffine)."""

    degrees: float

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        return RandomAffine(rotation=self.degrees)(image, mask, generator)


@dataclass(frozen=True)
class RandomScale:
    """Scale by a factor drawn from [`low`, `high`] about the centre; the size stays (see RandomAffine)."""

    low: float = 0.9
    high: float = 1.1

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        return RandomAffine(scale=(self.low, self.high))(image, mask, generator)


@dataclass(frozen=True)
class RandomCrop:
    """A piece of `size` (height, width) at a random place; an image smaller than that is an ImagingError."""

    size: tuple[int, int]

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        room = _room(image, self.size)
        top, left = (int(generator.integers(free + 1)) for free in room)
        return _both(image, mask, lambda array: _cropped(array, top, left, self.size))


@dataclass(frozen=True)
class CenterCrop:
    """The piece of `size` (height, width) in the middle; an image smaller than that is an ImagingError."""

    size: tuple[int, int]

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        top, left = (free // 2 for free in _room(image, self.size))
        return _both(image, mask, lambda array: _cropped(array, top, left, self.size))


@dataclass(frozen=True)
class Resize:
    """To `size`: (height, width), or (depth, height, width) for volumes; image linear, mask nearest."""

    size: tuple[int, ...]

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator) -> Pair:
        spatial = image.shape[:-1]
        if len(self.size) > len(spatial) or min(self.size) < 1:
            raise ImagingError(None, f"an image of shape {image.shape} cannot be resized to {tuple(self.size)}")
        target = (*spatial[: len(spatial) - len(self.size)], *self.size)
        return resize_linear(image, target), None if mask is None else resize_nearest(mask, target)


def affine(image: np.ndarray, mask: np.ndarray | None, degrees: float, factor: float) -> Pair:
    """Turn by `degrees` (counter-clockwise as displayed) and enlarge by `factor` about the centre; sizes stay.

    Output pixel p takes its value from centre + R(−degrees)·(p − centre)/factor.
    """
    if degrees == 0 and factor == 1:
        return image, mask
    ndimage = require("scipy.ndimage")
    turn = np.deg2rad(degrees)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / factor
    center = (np.array(image.shape[-3:-1]) - 1) / 2
    offset = center - matrix @ center

    def moved(array: np.ndarray, order: int) -> np.ndarray:
        result = np.empty_like(array)
        lead = array.shape[:-3]
        for index in np.ndindex(*lead):
            for channel in range(array.shape[-1]):
                result[(*index, ..., channel)] = ndimage.affine_transform(
                    array[(*index, ..., channel)], matrix, offset, order=order, mode="reflect"
                )
        return result

    return moved(image, 1), None if mask is None else moved(mask, 0)


def apply(
    steps: Iterable[Transform], image: np.ndarray, mask: np.ndarray | None, generator: np.random.Generator
) -> Pair:
    """All of `steps` on one image and its mask, checked: (…, C) float32 and (…, 1) of the same spatial shape."""
    if mask is not None and mask.shape[:-1] != image.shape[:-1]:
        raise ImagingError(None, f"a mask of shape {mask.shape} does not fit an image of shape {image.shape}")
    return Compose(tuple(steps))(image, mask, generator)


_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Window, UnitRange, Percentile, Standardise, Grey, Channels, MedianFilter, GaussianFilter, RandomBrightness,
        RandomNoise, RandomFlip, RandomQuarterTurn, RandomAffine, RandomRotation, RandomScale, RandomCrop, CenterCrop,
        Resize,
    )
}  # fmt: skip


def config(steps: Iterable[Any]) -> list[dict[str, Any]]:
    """The transforms as plain data: [{"name": "UnitRange", "low": 0, "high": 255}, …]; a foreign one is an error."""
    result: list[dict[str, Any]] = []
    for step in steps:
        if isinstance(step, Compose):
            result.extend(config(step.steps))
        elif type(step) in _KINDS.values():
            result.append({"name": type(step).__name__, **asdict(step)})
        else:
            raise ImagingError(None, f"{step!r} is not a transform of this package and cannot be written down")
    return result


def from_config(settings: Sequence[dict[str, Any]]) -> tuple[Transform, ...]:
    """The transforms that `config` wrote down. Raises ImagingError for an unknown name or setting."""
    steps = []
    for setting in settings:
        fields = dict(setting)
        kind = _KINDS.get(str(fields.pop("name", None)))
        if kind is None:
            raise ImagingError(None, f"{setting!r} names no transform, known are {', '.join(_KINDS)}")
        try:
            steps.append(kind(**{key: tuple(one) if isinstance(one, list) else one for key, one in fields.items()}))
        except TypeError as error:
            raise ImagingError(None, f"{setting!r} is not a setting of {kind.__name__} ({brief(error)})") from error
    return tuple(steps)


def _both(image: np.ndarray, mask: np.ndarray | None, change: Callable[[np.ndarray], np.ndarray]) -> Pair:
    return change(image), None if mask is None else change(mask)


def _room(image: np.ndarray, size: Sequence[int]) -> tuple[int, int]:
    """How far a piece of `size` can move down and right in the image."""
    height, width = image.shape[-3:-1]
    if len(size) != 2 or min(size) < 1 or size[0] > height or size[1] > width:
        raise ImagingError(None, f"a piece of {tuple(size)} cannot be cut from an image of {(height, width)}")
    return height - size[0], width - size[1]


def _cropped(array: np.ndarray, top: int, left: int, size: Sequence[int]) -> np.ndarray:
    return np.ascontiguousarray(array[..., top : top + size[0], left : left + size[1], :])
