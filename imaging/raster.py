"""PNG, TIFF, JPEG and BMP in (Pillow and tifffile), PNG out.

Sizes are checked in the header before pixels are unpacked, and nothing is filled in: a truncated file is an error.
"""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from .budget import check_budget
from .errors import ImagingError, brief
from .extras import logged_errors, mute, require
from .files import opened, written
from .image import Image, check_finite

# What Pillow turns each of its modes into here: the mode to convert to, whether it is colour, its largest value.
MODES: dict[str, tuple[str | None, bool, float | None]] = {
    "1": ("L", False, 255.0),
    "L": (None, False, 255.0),
    "LA": ("L", False, 255.0),
    "P": ("RGB", True, 255.0),
    "PA": ("RGB", True, 255.0),
    "RGB": (None, True, 255.0),
    "RGBA": ("RGB", True, 255.0),
    "RGBX": ("RGB", True, 255.0),
    "CMYK": ("RGB", True, 255.0),
    "YCbCr": ("RGB", True, 255.0),
    "I;16": (None, False, 65535.0),
    "I;16B": (None, False, 65535.0),
    "I": (None, False, None),
    "F": (None, False, None),
}
PNG_START = b"\x89PNG\r\n\x1a\n"
DEEP_COLORS = {2, 4, 6}  # PNG colour types that Pillow cuts from 16 bits to 8 without a word


def read_raster(path: str | os.PathLike[str], budget: int | None = None) -> Image:
    """Read a PNG, JPEG or BMP as an `Image`: grey (H, W) or colour (H, W, 3), float32, values as stored.

    1-bit images hold 0 and 255; palettes become colours; alpha is dropped. Raises ImagingError for a file that is
    none of these, is truncated, passes its budget (see imaging.budget), or is a PNG of 16-bit colours.
    """
    path = os.fspath(path)
    with _pillow(path, budget) as picture:
        target, color, largest = MODES[picture.mode]
        pixels = np.asarray(picture if target is None else picture.convert(target))
        return Image(
            pixels=pixels.astype(np.float32),
            path=path,
            color=color,
            value_range=None if largest is None else (0.0, largest),
        )


def read_tiff(path: str | os.PathLike[str], budget: int | None = None) -> Image:
    """Read a TIFF as an `Image`: one page (H, W) or (H, W, 3), several equal pages a volume (D, H, W) or (D, H, W, 3).

    8- to 32-bit integers and floats, palettes (become colours), white-is-zero images (turned); alpha is dropped.
    Raises ImagingError as `read_raster`, and for pages of different sizes, more than one axis of pages, or NaN pixels.
    """
    path = os.fspath(path)
    tifffile = require("tifffile", path)
    with opened(path) as file, logged_errors("tifffile") as messages:
        try:
            with tifffile.TiffFile(file, name=os.path.basename(path)) as tiff:
                image = _tiff_image(path, tiff, file.size, budget)
            if messages:
                raise ImagingError(path, f"is damaged ({messages[0]})")
            return image
        except ImagingError:
            raise
        except Exception as error:  # tifffile raises its own and many builtin kinds on damaged files
            raise ImagingError(path, f"cannot be read as TIFF ({brief(error)})") from error


def read_mask_values(path: str | os.PathLike[str], budget: int | None = None) -> np.ndarray:
    """The numbers in a PNG, JPEG or BMP mask, (H, W): a palette gives its indices, equal colour channels one of them.

    Raises ImagingError for a mask whose colours differ: which class each colour is cannot be known.
    """
    path = os.fspath(path)
    with _pillow(path, budget) as picture:
        if picture.mode in ("P", "PA"):
            return np.asarray(picture.getchannel(0) if picture.mode == "PA" else picture)
        target, color, _ = MODES[picture.mode]
        values = np.asarray(picture if target is None else picture.convert(target))
    return grey_of_equal(path, values) if color else values


def grey_of_equal(path: str, values: np.ndarray) -> np.ndarray:
    """The one channel of (…, 3) values whose three channels are equal; ImagingError if they are not."""
    if not (values[..., :1] == values).all():
        raise ImagingError(path, "is a mask in colours, expected class numbers (grey values or a palette)")
    return values[..., 0]


def write_png(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Write (H, W) or (H, W, 3) uint8, (H, W) uint16 or bool as PNG; whole or not at all (see imaging.files).

    Booleans become 0 and 255. Raises ImagingError for other shapes and types, so that nothing is rounded unseen.
    """
    data = png_bytes(pixels, path)
    with written(path) as file:
        file.write(data)


def png_bytes(pixels: np.ndarray, path: str | os.PathLike[str] | None = None) -> bytes:
    """The PNG file that `write_png` writes, in memory; `path` only for messages."""
    pixels = np.asarray(pixels)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    grey = pixels.ndim == 2 and pixels.dtype in (np.uint8, np.uint16)
    color = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
    if not (grey or color) or pixels.size == 0:
        raise ImagingError(
            path,
            f"a PNG cannot hold {pixels.dtype} of shape {pixels.shape}: expected (H, W) uint8, uint16 or bool, "
            "or (H, W, 3) uint8",
        )
    pillow = require("PIL.Image", path)
    file = io.BytesIO()
    pillow.fromarray(np.ascontiguousarray(pixels)).save(file, format="PNG")
    return file.getvalue()


@contextmanager
def _pillow(path: str, budget: int | None) -> Any:
    """The opened picture, its size within its budget and its mode known; whatever fails inside is an ImagingError."""
    pillow = require("PIL.Image", path)
    mute("PIL")
    with opened(path) as file:
        start = file.read(26)
        file.seek(0)
        if start[:8] == PNG_START and len(start) == 26 and start[24] == 16 and start[25] in DEEP_COLORS:
            raise ImagingError(path, "is a PNG of 16-bit colours, which would lose half their bits: use TIFF")
        try:
            with pillow.open(file, formats=("PNG", "JPEG", "BMP")) as picture:
                if picture.mode not in MODES:
                    raise ImagingError(path, f"has pixels of the unknown kind {picture.mode}")
                color = MODES[picture.mode][1]
                check_budget(path, 4 * prod(picture.size) * (3 if color else 1), file.size, budget)
                picture.load()
                yield picture
        except ImagingError:
            raise
        except Exception as error:  # Pillow raises many kinds: UnidentifiedImageError, OSError, SyntaxError …
            if isinstance(error, pillow.DecompressionBombError):
                reason = f"has more than {2 * pillow.MAX_IMAGE_PIXELS} pixels, the most that Pillow unpacks"
            elif isinstance(error, pillow.UnidentifiedImageError):
                reason = "is not an image of a known kind"
            else:
                reason = f"is damaged ({brief(error)})"
            raise ImagingError(path, reason) from error


def _tiff_image(path: str, tiff: Any, file_size: int, budget: int | None) -> Image:
    series = tiff.series
    if len(series) != 1:
        sizes = "; ".join(" × ".join(map(str, one.shape)) for one in series[:4])
        raise ImagingError(path, f"holds {len(series)} images of different sizes or kinds ({sizes}), expected one")
    shape, axes, page = tuple(series[0].shape), series[0].axes, series[0].keyframe
    if series[0].dtype is None or series[0].dtype.kind not in "biuf":
        raise ImagingError(path, f"has pixels of type {series[0].dtype}, expected numbers")
    palette = page.colormap is not None and int(page.photometric) == 3
    check_budget(path, prod(shape) * max(4, series[0].dtype.itemsize) * (3 if palette else 1), file_size, budget)
    samples = axes.find("S")
    if samples >= 0 and shape[samples] not in (1, 3, 4):
        raise ImagingError(path, f"has {shape[samples]} samples a pixel, expected 1 (grey), 3 or 4 (colours)")
    pages = [size for size, axis in zip(shape, axes, strict=True) if axis not in "YXS" and size > 1]
    if "Y" not in axes or "X" not in axes or len(pages) > 1:
        raise ImagingError(path, f"has axes {axes} of {' × '.join(map(str, shape))}, expected one image or one stack")
    pixels = _tiff_pixels(path, series[0])
    if samples >= 0:
        pixels = np.moveaxis(pixels, samples, -1)
    color = samples >= 0 and shape[samples] >= 3
    planes = tuple(size for size, axis in zip(shape, axes, strict=True) if axis in "YX")
    pixels = pixels.reshape(*pages, *planes, -1)
    pixels = pixels[..., :3] if color else pixels[..., 0]
    check_finite(path, pixels)
    kind, largest = pixels.dtype.kind, None
    if kind in "bu":
        largest = 1.0 if kind == "b" else float(2 ** min(page.bitspersample, 8 * pixels.dtype.itemsize) - 1)
    if palette:
        pixels, color, largest = page.colormap.T[pixels], True, 65535.0
    pixels = pixels.astype(np.float32)
    if int(page.photometric) == 0 and largest is not None:  # white is zero
        pixels = largest - pixels
    return Image(pixels=pixels, path=path, color=color, value_range=None if largest is None else (0.0, largest))


def _tiff_pixels(path: str, series: Any) -> np.ndarray:
    """The numbers of the pages; every strip must lie in the file, where tifffile would leave missing ones zero."""
    pages = [page for page in series.pages if page is not None]
    end = series.parent.filehandle.size
    for page in pages:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if offset == 0 or count == 0 or offset + count > end:
                raise ImagingError(path, "is truncated: part of its pixels lie beyond the end of the file")
    try:
        return series.asarray(maxworkers=1)
    except ValueError as error:
        if "imagecodecs" not in str(error) or len(pages) != len(series.pages):
            raise
    return _tiff_pixels_by_pillow(path, series.keyframe).reshape(series.shape)


def _tiff_pixels_by_pillow(path: str, page: Any) -> np.ndarray:
    """The same numbers by Pillow, for compressions that tifffile alone does not know (LZW, fax, JPEG)."""
    pillow = require("PIL.Image", path)
    mute("PIL")
    pages = []
    with pillow.open(path, formats=("TIFF",)) as picture:
        for index in range(picture.n_frames):
            picture.seek(index)
            mode = "RGB" if picture.mode == "YCbCr" else picture.mode
            pages.append(np.asarray(picture.convert(mode) if mode != picture.mode else picture))
    pixels = np.stack(pages)
    if pixels.dtype != page.dtype or page.bitspersample not in (1, 8, 16, 32):
        raise ImagingError(path, f"has {page.bitspersample}-bit pixels in a compression that is not known here")
    if int(page.photometric) == 0:  # Pillow has turned white-is-zero; our caller does that
        pixels = ~pixels
    return pixels
