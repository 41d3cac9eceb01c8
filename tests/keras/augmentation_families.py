"""The random layers' cases, with factors that leave nothing to chance, or with draws that are given.

augmentation: calls, in training and outside of it. augmentation_draws: Keras's own transform_images and
transform_segmentation_masks for a transformation that is given ("flips", "contrast_factor", …).
"""

from __future__ import annotations

from typing import Any

import keras
import torch
from keras_family import KerasFamily

MODES = ("constant", "nearest", "reflect", "wrap")


def augmentation() -> KerasFamily:
    family = KerasFamily("augmentation", seed=121)
    x = family.normal(2, 5, 6, 2)

    def layer(cls: str, config: dict[str, Any], images: torch.Tensor = x, **more: Any) -> None:
        more = {"training": True} | more
        name = " ".join([cls, *(f"{k}={v}" for k, v in config.items()), *(f"{k}={v}" for k, v in more.items())])
        family.layer(f"{name} {tuple(images.shape)}", cls, config, images, **more)

    # Factors that float32 holds exactly: Keras computes with them in float32.
    layer("RandomRotation", {"factor": [0.125, 0.125]})
    layer("RandomZoom", {"height_factor": [0.25, 0.25]})
    layer("RandomZoom", {"height_factor": [-0.375, -0.375], "width_factor": [0.5, 0.5]})
    layer("RandomTranslation", {"height_factor": [0.25, 0.25], "width_factor": [-0.375, -0.375]})
    for mode in MODES:
        for interpolation in ("bilinear", "nearest"):
            more = {"fill_mode": mode, "interpolation": interpolation}
            layer("RandomRotation", {"factor": [-0.3125, -0.3125]} | more)
            layer("RandomZoom", {"height_factor": [0.875, 0.875], "width_factor": [0.625, 0.625]} | more)
            layer("RandomTranslation", {"height_factor": [0.75, 0.75], "width_factor": [0.3125, 0.3125]} | more)
    filled = {"fill_mode": "constant", "fill_value": 1.5}
    layer("RandomRotation", {"factor": [0.0625, 0.0625]} | filled)
    layer("RandomZoom", {"height_factor": [0.5, 0.5]} | filled)
    layer("RandomTranslation", {"height_factor": [-0.5, -0.5], "width_factor": [0.125, 0.125]} | filled)
    layer("RandomContrast", {"factor": [0.0, 0.0], "value_range": [-0.5, 0.75]}, x)
    layer("RandomCrop", {"height": 5, "width": 6}, x)
    for cls, config in (
        ("RandomFlip", {}),
        ("RandomRotation", {"factor": 0.25}),
        ("RandomZoom", {"height_factor": 0.25}),
        ("RandomTranslation", {"height_factor": 0.25, "width_factor": 0.25}),
        ("RandomBrightness", {"factor": 0.25}),
        ("RandomContrast", {"factor": 0.25}),
    ):
        layer(cls, config, x[:, :3, :2, :1], training=False)
    layer("RandomRotation", {"factor": [0.1875, 0.1875]}, x[0])
    layer("RandomTranslation", {"height_factor": [0.25, 0.25], "width_factor": [0.5, 0.5]}, x[0])
    return family


def augmentation_draws() -> KerasFamily:
    family = KerasFamily("augmentation_draws", seed=122)
    flips = torch.tensor([True, False, True]).reshape(3, 1, 1, 1)
    for mode in ("horizontal", "vertical"):
        draw = {"flips": flips, "input_shape": (3, 4, 5, 2)}
        _drawn(family, "RandomFlip", {"mode": mode}, draw, family.normal(3, 4, 5, 2), {"flips": flips})
    factors = torch.tensor([0.75, 1.0, 1.25], dtype=torch.float64).reshape(3, 1, 1, 1)
    for config in ({"factor": 0.25}, {"factor": [0.25, 0.5], "value_range": [20, 200]}):
        images = family.uniform(3, 4, 5, 2, high=255.0)
        _drawn(family, "RandomContrast", config, {"contrast_factor": factors}, images, {"draws": factors})
    deltas = torch.tensor([-60.0, 0.0, 100.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    bright = family.uniform(3, 4, 5, 2, high=255.0)
    _drawn(family, "RandomBrightness", {"factor": 0.5}, {"rgb_delta": deltas}, bright, {"draws": deltas})
    for config, images in (
        ({"factor": [0.25, 0.25]}, bright),
        ({"factor": [-0.5, -0.5], "value_range": [-1, 1]}, family.normal(2, 3, 4, 2)),
        ({"factor": [0.25, 0.25], "value_range": [0, 1]}, family.uniform(3, 4, 2)),
    ):  # Keras adds in place: its input has to be copied
        y = keras.layers.RandomBrightness(**config, dtype="float64")(images.clone(), training=True)
        family.keep(f"RandomBrightness {config}", {"x": images, "y": y}, cls="RandomBrightness", config=config)
    for start in ((0, 0), (1, 3)):
        _drawn(family, "RandomCrop", {"height": 3, "width": 2}, start, family.normal(2, 4, 5, 2), {}, start=start)
    for cls, config in (
        ("RandomRotation", {"factor": [0.0625, 0.0625]}),
        ("RandomZoom", {"height_factor": [0.375, 0.375], "fill_mode": "constant", "fill_value": 9.0}),
        ("RandomTranslation", {"height_factor": [0.125, 0.125], "width_factor": [0.25, 0.25], "fill_mode": "wrap"}),
    ):
        # Not by a dict of both: on PyTorch Keras changes the map while it applies it to the images, and turns the masks
        # by another.
        layer = getattr(keras.layers, cls)(**config, dtype="float64")
        nearest = getattr(keras.layers, cls)(**config, interpolation="nearest", dtype="float64")
        x, masks = family.normal(2, 5, 6, 1), family.integers(2, 5, 6, 1, low=0, high=4)
        after = nearest(masks.clone(), training=True)
        named = {"x": x, "masks": masks, "y": layer(x.clone(), training=True), "masks_after": after}
        family.keep(f"{cls} with masks", named, cls=cls, config=config)
    return family


def _drawn(
    family: KerasFamily,
    cls: str,
    config: dict[str, Any],
    draw: Any,
    x: torch.Tensor,
    draws: dict[str, torch.Tensor],
    **more: Any,
) -> None:
    layer = getattr(keras.layers, cls)(**config, dtype="float64")
    y = layer.transform_images(x.clone(), draw, training=True)
    name = " ".join([cls, *(f"{k}={v}" for k, v in (config | more).items())])
    family.keep(name, {"x": x, "y": y, **draws}, cls=cls, config=config, **more)


FAMILIES = [augmentation, augmentation_draws]
