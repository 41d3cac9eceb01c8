"""Resizing of images, and images seen through affine maps."""

from __future__ import annotations

from .entries import Entry, error, sample
from .values import normal

_MAPS = "[[0.8, 0.3, -0.4, -0.2, 0.9, 0.6], [-0.5, 1.4, 2.2, 0.7, 0.1, -1.3]]"

ENTRIES = [
    Entry(
        "affine_transform",
        samples=(
            sample(f"affine_transform(x, {_MAPS}, fill_value=2)", x=normal(2, 3, 4, 2), linear="x"),
            sample(f"affine_transform(x, {_MAPS}, fill_mode='reflect')", x=normal(2, 2, 3, 1), linear="x"),
            sample(f"affine_transform(x, {_MAPS}, fill_mode='wrap')", x=normal(2, 3, 2, 1), linear="x"),
            sample(f"affine_transform(x, {_MAPS}, 'nearest', 'nearest')", x=normal(2, 3, 3, 2), linear="x"),
            sample("affine_transform(x, [1, 0.2, 0.3, 0, 1, -0.7, 0, 0])", x=normal(3, 2, 2), linear="x"),
        ),
        errors=(
            error("affine_transform(IMAGE, [1, 0, 0, 0, 1, 0], 'cubic')", ValueError, "interpolation = 'cubic'"),
            error("affine_transform(IMAGE, np.ones(6), fill_mode='mirror')", ValueError, "fill_mode = 'mirror'"),
            error("affine_transform(IMAGE, [1, 0, 0])", ValueError, r"transform has shape \(3,\), expected \(8,\) or"),
            error("affine_transform(IMAGE, [1, 0, 0, 0, 1, 0, 0, 0.1])", ValueError, "projective"),
            error("affine_transform(IMAGE, [1, 0, np.nan, 0, 1, 0])", ValueError, "NaN or infinite"),
            error("affine_transform(IMAGE, [1, 0, 1e10, 0, 1, 0])", ValueError, "farther than 2147483648 pixels"),
            error("affine_transform(IMAGE[0, 0], np.ones(6))", ValueError, "expected .N, H, W, C. or .H, W, C."),
            error("affine_transform(IMAGE[:, :0], [1, 0, 0, 0, 1, 0])", ValueError, "there are no pixels to see"),
        ),
    ),
    Entry(
        "resize",
        samples=(
            sample("resize(x, (3, 5))", x=normal(1, 2, 3, 2), linear="x"),
            sample("resize(x, (2, 2), 'nearest')", x=normal(1, 3, 3, 1), linear="x"),
            sample("resize(x, 3)", x=normal(2, 2, 1), linear="x"),
            sample("resize(x, (1, 3, 2))", x=normal(1, 2, 2, 1, 1), linear="x"),
        ),
        errors=(
            error("resize(IMAGE, 0)", ValueError, "size = 0"),
            error("resize(IMAGE, 2, 'cubic')", ValueError, "method = 'cubic': expected one of 'nearest', 'bilinear'"),
            error("resize(IMAGE[:, :0], 2)", ValueError, "there are no pixels to resize"),
            error("resize(IMAGE[:, :, :0], 2)", ValueError, "there are no pixels to resize"),
        ),
    ),
]
