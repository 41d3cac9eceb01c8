"""Layers that change images at random in training, each image by a draw of its own: a part of the model, which runs
where the model runs, and is saved with it. Outside of training they leave images as they are (RandomCrop: in its size).

    augment = Sequential([RandomFlip("horizontal"), RandomRotation(0.05), RandomZoom(0.1)])
    batch = augment({"images": x, "segmentation_masks": y}, training=True)       # the same draws for both

As in Keras, a layer (or a model without weights of its own, such as the one above) that is called by itself without the
flag counts as in training; `fit`, `evaluate` and `predict` say which it is.

Use these where batches of one size go into a model, images (N, H, W, C) or one (H, W, C). Use `imaging.transforms` for
data sets: there each image may have a size and a spacing of its own, volumes are augmented slice by slice, and the work
is done by the loader beside the training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import functions as F
from .. import random
from ..capture import Later, capturing, drawn, placed
from ..functions.affine import FILL_MODES, INTERPOLATIONS
from ..random import Generator
from ..tensor import Tensor, as_tensor
from .base import Layer
from .core import positive
from .preprocessing import part_of_ratio
from .spatial import channels_last
from .symbolic import Node, Symbol

__all__ = [
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
]

Factor = float | Sequence[float]
Draw = dict[str, Any]


class RandomLayer(Layer):
    """What all of them share.

    Inputs: images, or a dict with "images" and, as far as there are such, "segmentation_masks" and "labels" (and other
    entries, which pass unchanged). Masks are numbers of classes, (N, H, W, 1) or (N, H, W): they go where their images
    go, to the nearest pixel, and keep their type (Keras makes them floating). Images become the layer's type.

    seed: an integer for a generator of the layer's own, whose state checkpoints hold; None draws from the engine's.
    A subclass defines `get_random_transformation`, which draws, `transform_images`, and, if masks follow,
    `transform_segmentation_masks`.

    Raises ValueError for images of another rank, masks of another size than their images, and bounding boxes.
    """

    def __init__(self, seed: int | None = None, data_format: str | None = None, **kwargs: Any) -> None:
        if kwargs.pop("bounding_box_format", None) is not None:
            raise ValueError(f"{type(self).__name__}: bounding_box_format is not supported: layers here take no boxes")
        super().__init__(**kwargs)
        self.data_format = channels_last(data_format, self.name)
        self.seed = seed
        self.generator = None if seed is None else Generator(seed)

    def call(self, inputs: Any, training: bool = True) -> Any:
        given = inputs if isinstance(inputs, dict) else {"images": inputs}
        images = self._floating(given["images"])
        if not (training or self._changes_in_inference):
            changed = {**given, "images": images}
        else:
            draw = self._drawn(given, images.shape, training)
            changed = {**given, "images": self.transform_images(images, draw, training)}
            if "segmentation_masks" in given:
                changed["segmentation_masks"] = self._masks(given["segmentation_masks"], images, draw, training)
        return changed if isinstance(inputs, dict) else changed["images"]

    def _drawn(self, given: Any, shape: tuple[int, ...], training: bool) -> Draw:
        """What is drawn; in a graph before each launch, if all that it depends on are the images' shapes."""
        if not (capturing() and type(self).__module__ == __name__):
            return self.get_random_transformation(given, training)
        blank = np.broadcast_to(np.zeros((), self.dtype), shape)
        generator = self.generator or random.generator()
        return drawn(lambda: self.get_random_transformation({"images": blank}, training), generator)

    _changes_in_inference = False  # whether images change outside of training, too

    def _floating(self, images: Tensor) -> Tensor:
        return images if images.dtype == self.dtype else F.astype(images, self.dtype)

    def _masks(self, masks: Tensor, images: Tensor, draw: Draw, training: bool) -> Tensor:
        """The masks with the axis of channels that they may lack, transformed, and without it."""
        lacks = masks.ndim == images.ndim - 1
        whole = F.expand_dims(masks, -1) if lacks else masks
        if whole.shape[:-1] != images.shape[:-1]:
            raise ValueError(
                f"{self.name}: segmentation_masks of shape {masks.shape} do not fit images of shape {images.shape}"
            )
        whole = self.transform_segmentation_masks(whole, draw, training)
        return F.squeeze(whole, -1) if lacks else whole

    def draws(self, data: Any, low: float, high: float) -> np.ndarray:
        """A number from [low, high) for each image, in main memory: (N,), (1,) for an image by itself."""
        images = data["images"] if isinstance(data, dict) else data
        generator = self.generator or random.generator()
        return generator.uniform(low, high, (images.shape[0] if images.ndim == 4 else 1,), np.float64)

    def _each(self, numbers: Any, images: Tensor) -> Tensor:
        """A number for each image as a tensor that broadcasts against the images."""
        shape = (-1, 1, 1, 1) if images.ndim == 4 else (1, 1, 1)

        def factors(numbers: np.ndarray) -> np.ndarray:
            return numbers.reshape(shape).astype(np.bool_ if numbers.dtype == np.bool_ else self.dtype)

        return as_tensor(placed(numbers, factors, images.array))

    # ------------------------------------------------------------------------------------- what a subclass defines

    def get_random_transformation(self, data: Any, training: bool = True) -> Draw:
        """What is drawn for these images (or dict): what the `transform_` methods take."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_random_transformation")

    def transform_images(self, images: Tensor, transformation: Draw, training: bool = True) -> Tensor:
        """The images changed by this draw."""
        raise NotImplementedError(f"{type(self).__name__} defines no transform_images")

    def transform_segmentation_masks(self, masks: Tensor, transformation: Draw, training: bool = True) -> Tensor:
        """Masks changed by the same draw; here they stay."""
        return masks

    # ----------------------------------------------------------------------------------------------------- on symbols

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape if isinstance(input_shape, dict) else tuple(input_shape)

    def compute_output_dtype(self, input_dtypes: list[np.dtype]) -> np.dtype:
        return self.dtype

    def _call_on_symbols(self, inputs: Any, training: bool | None, arguments: dict[str, Any]) -> Any:
        if not isinstance(inputs, dict):
            return super()._call_on_symbols(inputs, training, arguments)
        shapes = {key: tuple(entry.shape) for key, entry in inputs.items()}
        self._prepare_for(shapes)
        kinds = {key: self.dtype if key == "images" else entry.dtype for key, entry in inputs.items()}
        given = self.compute_output_shape(shapes)
        outputs = {key: Symbol(shape, kinds[key], self.name) for key, shape in given.items()}
        given_flag = {} if training is None else {"training": bool(training)}
        self._notes.nodes.append(Node(self, inputs, arguments | given_flag, outputs))
        return outputs

    def _check_input_shape(self, shape: Any) -> None:
        if isinstance(shape, dict):
            if "images" not in shape:
                raise ValueError(f'{self.name}: expected images, or a dict with "images", got one with {list(shape)}')
            if "bounding_boxes" in shape:
                raise ValueError(f"{self.name}: bounding_boxes are not supported")
            shape = shape["images"]
        if len(shape) not in (3, 4):
            raise ValueError(f"{self.name}: expected images (N, H, W, C) or one (H, W, C), got shape {tuple(shape)}")


class RandomFlip(RandomLayer):
    """Each image mirrored with probability ½: left to right ("horizontal"), top to bottom ("vertical"), or each of both
    by a draw of its own (in Keras one draw decides on both, so that images are turned by 180° or stay).

    Raises ValueError for another mode.
    """

    MODES = ("horizontal", "vertical", "horizontal_and_vertical")

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        if mode not in self.MODES:
            raise ValueError(f"{self.name}: mode = {mode!r}: expected one of {', '.join(self.MODES)}")
        self.mode = mode

    def get_random_transformation(self, data: Any, training: bool = True) -> Draw:
        axes = {"horizontal": (-2,), "vertical": (-3,)}.get(self.mode, (-2, -3))
        return {"flips": {axis: self.draws(data, 0.0, 1.0) < 0.5 for axis in axes}}

    def transform_images(self, images: Tensor, transformation: Draw, training: bool = True) -> Tensor:
        for axis, flips in transformation["flips"].items():
            if isinstance(flips, Later) or flips.any():
                images = F.where(self._each(flips, images), F.flip(images, axis), images)
        return images

    def transform_segmentation_masks(self, masks: Tensor, transformation: Draw, training: bool = True) -> Tensor:
        return self.transform_images(masks, transformation, training)


class _AffineLayer(RandomLayer):
    """What the layers share that look at images through an affine map."""

    def __init__(
        self,
        fill_mode: str,
        interpolation: str,
        seed: int | None,
        fill_value: float,
        data_format: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, **kwargs)
        for argument, value, known in (
            ("fill_mode", fill_mode, FILL_MODES),
            ("interpolation", interpolation, INTERPOLATIONS),
        ):
            if value not in known:
                raise ValueError(f"{self.name}: {argument} = {value!r}: expected one of {', '.join(known)}")
        self.fill_mode, self.interpolation, self.fill_value = fill_mode, interpolation, fill_value

    def transform_images(self, images: Tensor, transformation: Draw, training: bool = True) -> Tensor:
        return self._seen(images, transformation["maps"], self.interpolation)

    def transform_segmentation_masks(self, masks: Tensor, transformation: Draw, training: bool = True) -> Tensor:
        exact = np.dtype(np.float32 if masks.dtype.itemsize <= 2 or masks.dtype == np.float32 else np.float64)
        return F.astype(self._seen(F.astype(masks, exact), transformation["maps"], "nearest"), masks.dtype)

    def _seen(self, images: Tensor, maps: Any, interpolation: str) -> Tensor:
        return F.affine_transform(images, maps, interpolation, self.fill_mode, self.fill_value)


def _about_the_middle(data: Any, a0: Any, a1: Any, b0: Any, b1: Any) -> Draw:
    """Maps of images (N, 8) with these linear parts, which leave the middle of the image where it is."""
    height, width = (data["images"] if isinstance(data, dict) else data).shape[-3:-1]
    x, y = (width - 1) / 2, (height - 1) / 2
    zeros = np.zeros_like(a0)
    return {"maps": np.stack([a0, a1, x - x * a0 - y * a1, b0, b1, y - x * b0 - y * b1, zeros, zeros], -1)}


class RandomRotation(_AffineLayer):
    """Each image turned about its middle by an angle drawn evenly from 2π·factor.

    factor: (lower, upper), fractions of a full turn, counterclockwise; a number f stands for (−f, f). fill_mode,
    interpolation, fill_value: as in `functional.affine_transform`.
    Raises ValueError for factors outside −1 … 1 and unknown names.
    """

    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.factor = _kept(factor)
        self._range = _bounds(factor, self.name, "factor")

    def get_random_transformation(self, data: Any, training: bool = True) -> Draw:
        angles = 2.0 * math.pi * self.draws(data, *self._range)
        return _about_the_middle(data, np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles))


class RandomZoom(_AffineLayer):
    """Each image zoomed about its middle: the part that is seen is 1 + factor times the image, so that a negative
    factor zooms in.

    height_factor, width_factor: (lower, upper), from which a factor is drawn evenly; a number f stands for (−f, f).
    Without width_factor, both sides are zoomed alike. The rest as in RandomRotation.
    Raises ValueError for factors that are not in −1 < f ≤ 1 and unknown names.
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.height_factor = _kept(height_factor)
        self.width_factor = None if width_factor is None else _kept(width_factor)
        self._height = _bounds(height_factor, self.name, "height_factor", least_counts=False)
        self._width = None
        if width_factor is not None:
            self._width = _bounds(width_factor, self.name, "width_factor", least_counts=False)

    def get_random_transformation(self, data: Any, training: bool = True) -> Draw:
        height = 1.0 + self.draws(data, *self._height)
        width = height if self._width is None else 1.0 + self.draws(data, *self._width)
        return _about_the_middle(data, width, np.zeros_like(width), np.zeros_like(height), height)


class RandomTranslation(_AffineLayer):
    """Each image shifted, down by height_factor of its height and right by width_factor of its width.

    height_factor, width_factor: (lower, upper), from which a factor is drawn evenly; a number f stands for (−f, f). The
    rest as in RandomRotation. Raises ValueError for factors outside −1 … 1 and unknown names.
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.height_factor, self.width_factor = _kept(height_factor), _kept(width_factor)
        self._height = _bounds(height_factor, self.name, "height_factor")
        self._width = _bounds(width_factor, self.name, "width_factor")

    def get_random_transformation(self, data: Any, training: bool = True) -> Draw:
        height, width = (data["images"] if isinstance(data, dict) else data).shape[-3:-1]
        down, right = height * self.draws(data, *self._height), width * self.draws(data, *self._width)
        one, zero = np.ones_like(down), np.zeros_like(down)
        return {"maps": np.stack([one, zero, -right, zero, one, -down, zero, zero], -1)}


class RandomCrop(RandomLayer):
    """A part of height × width pixels, at a place that is drawn once for all images of a call, as in Keras.

    Outside of training, and of images that are smaller in a side, it is the largest part in the middle with the wanted
    ratio of the sides, resized (bilinearly; masks to the nearest pixel). This is what Keras's documentation says: its
    code leaves images in their size outside of training, and distorts those that are smaller.
    Raises ValueError and TypeError for sizes that are not positive integers.
    """

    _changes_in_inference = True

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, name=name, **kwargs)
        self.height, self.width = positive(height, "height", self.name), positive(width, "width", self.name)

    def get_random_transformation(self, data: Any, training: bool = True) -> Draw:
        size = (data["images"] if isinstance(data, dict) else data).shape[-3:-1]
        wanted = self.height, self.width
        if training and all(have >= want for have, want in zip(size, wanted, strict=True)):
            generator = self.generator or random.generator()
            room = zip(size, wanted, strict=True)
            return {"start": np.array([generator.integers(0, have - want + 1) for have, want in room]), "size": wanted}
        kept = part_of_ratio(size, wanted)
        return {"start": np.array([(have - want) // 2 for have, want in zip(size, kept, strict=True)]), "size": kept}

    def transform_images(self, images: Tensor, transformation: Draw, training: bool = True) -> Tensor:
        return self._cropped(images, transformation, "bilinear")

    def transform_segmentation_masks(self, masks: Tensor, transformation: Draw, training: bool = True) -> Tensor:
        exact = masks if masks.dtype.kind == "f" else F.astype(masks, np.float64)
        return F.astype(self._cropped(exact, transformation, "nearest"), masks.dtype)

    def _cropped(self, images: Tensor, draw: Draw, method: str) -> Tensor:
        part = self._part(images, draw["start"], draw["size"])
        if draw["size"] == (self.height, self.width):
            return part
        batch = part if part.ndim == 4 else F.expand_dims(part, 0)
        resized = F.resize(batch, (self.height, self.width), method)
        return resized if part.ndim == 4 else F.squeeze(resized, 0)

    @staticmethod
    def _part(images: Tensor, start: Any, size: tuple[int, int]) -> Tensor:
        if not isinstance(start, Later):
            cuts = [slice(int(first), int(first) + extent) for first, extent in zip(start, size, strict=True)]
            return images[(..., *cuts, slice(None))]
        rows, columns = (np.arange(extent) for extent in size)  # in a graph the places are numbers on the GPU
        images = F.take(images, placed(start, lambda first: first[0] + rows, images.array), images.ndim - 3)
        return F.take(images, placed(start, lambda first: first[1] + columns, images.array), images.ndim - 2)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if not isinstance(input_shape, dict):
            return (*input_shape[:-3], self.height, self.width, input_shape[-1])
        shapes = {**input_shape, "images": self.compute_output_shape(input_shape["images"])}
        if "segmentation_masks" in shapes:
            rank, given = len(shapes["images"]), input_shape["segmentation_masks"]
            channels = given[-1:] if len(given) == rank else ()
            shapes["segmentation_masks"] = (*shapes["images"][:-1], *channels)
        return shapes


class RandomContrast(RandomLayer):
    """c·(x − x̄) + x̄, held to value_range, with x̄ the mean of each channel of each image and c drawn evenly from
    1 − lower … 1 + upper.

    factor: (lower, upper); a number f stands for (f, f), as Keras's documentation says (its code takes 0 for lower, and
    sorts a pair). Masks stay. Raises ValueError for factors outside 0 … 1.
    """

    def __init__(
        self, factor: Factor, value_range: Sequence[float] = (0, 255), seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed, **kwargs)
        self.factor = _kept(factor)
        numbers = _numbers(factor, self.name, "factor")
        self._lower, self._upper = numbers[0], numbers[-1]
        _require(self.name, "factor", factor, 0.0 <= self._lower <= 1.0 and 0.0 <= self._upper <= 1.0, "from 0 to 1")
        self.value_range = _sorted_range(value_range, self.name)

    def get_random_transformation(self, data: Any, training: bool = True) -> Draw:
        return {"contrast_factor": self.draws(data, 1.0 - self._lower, 1.0 + self._upper)}

    def transform_images(self, images: Tensor, transformation: Draw, training: bool = True) -> Tensor:
        mean = F.mean(images, axis=(-3, -2), keepdims=True)
        factor = self._each(transformation["contrast_factor"], images)
        return F.clip((images - mean) * factor + mean, *self.value_range)


class RandomBrightness(RandomLayer):
    """x + d·(high − low), held to value_range = (low, high), with d drawn evenly from factor.

    factor: (lower, upper); a number f stands for (−f, f). Masks stay. Raises ValueError for factors outside −1 … 1.
    """

    def __init__(
        self, factor: Factor, value_range: Sequence[float] = (0, 255), seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed, **kwargs)
        self.factor = _kept(factor)
        self._range = _bounds(factor, self.name, "factor")
        self.value_range = _sorted_range(value_range, self.name)

    def get_random_transformation(self, data: Any, training: bool = True) -> Draw:
        low, high = self.value_range
        return {"rgb_delta": self.draws(data, *self._range) * (high - low)}

    def transform_images(self, images: Tensor, transformation: Draw, training: bool = True) -> Tensor:
        return F.clip(images + self._each(transformation["rgb_delta"], images), *self.value_range)


# --------------------------------------------------------------------------------------------------------- arguments


def _kept(factor: Any) -> Any:
    """A factor as configurations hold it."""
    return list(factor) if isinstance(factor, (list, tuple)) else factor


def _numbers(factor: Any, name: str, argument: str) -> tuple[float, ...]:
    """A number, or two as they were given."""
    given = tuple(factor) if isinstance(factor, (list, tuple)) else (factor,)
    are_numbers = all(isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n) for n in given)
    expected_number = 2 if isinstance(factor, (list, tuple)) else 1
    _require(name, argument, factor, are_numbers and len(given) == expected_number, "a number or two")
    return tuple(map(float, given))


def _bounds(factor: Any, name: str, argument: str, least_counts: bool = True) -> tuple[float, float]:
    """(lower, upper) in order, within −1 … 1; −1 itself only if `least_counts`."""
    numbers = _numbers(factor, name, argument)
    low, high = (min(numbers), max(numbers)) if len(numbers) == 2 else (-abs(numbers[0]), abs(numbers[0]))
    _require(name, argument, factor, (low >= -1.0 if least_counts else low > -1.0) and high <= 1.0, "from -1 to 1")
    return low, high


def _sorted_range(value_range: Any, name: str) -> tuple[float, float]:
    numbers = _numbers(value_range, name, "value_range")
    _require(name, "value_range", value_range, len(numbers) == 2, "two numbers")
    return min(numbers), max(numbers)


def _require(name: str, argument: str, value: Any, holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(f"{name}: {argument} = {value!r}: expected {expected}")
