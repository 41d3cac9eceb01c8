"""What the numbers in a mask mean, and reading masks from files.

With two classes a mask may be written as 0 and 1, or as 0 and 255 (or True and False): 0 is the background. With more
classes its numbers are class numbers. Anything else is an error, never rounded or cut: a mask saved as JPEG, for one,
has blurred numbers, and a class number out of range means another list of classes.
"""

from __future__ import annotations

import os

import numpy as np

from ..arrays import NpzFile, read_npy
from ..dicom import read_stored
from ..errors import ImagingError
from ..raster import grey_of_equal, read_mask_values, read_tiff
from ..reading import kind_of

MASK_SUFFIXES = (".png", ".npz", ".npy", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg", ".dcm")


def read_mask(
    path: str | os.PathLike[str], classes: int = 2, invert: bool = False, budget: int | None = None
) -> np.ndarray:
    """A mask of class numbers, int32 (H, W) or (D, H, W), from PNG, BMP, TIFF, npy, npz with one array, or DICOM SEG.

    Raises ImagingError as `mask_classes`, for colours, and for a file that cannot be read.
    """
    path = os.fspath(path)
    kind = kind_of(path)
    if kind in ("png", "bmp", "jpeg"):
        values = read_mask_values(path, budget)
    elif kind == "tiff":
        image = read_tiff(path, budget)
        values = grey_of_equal(path, image.pixels) if image.color else image.pixels
    elif kind == "npy":
        values = read_npy(path, budget)
    elif kind == "npz":
        values = _only_array(path, budget)
    elif kind == "dicom":
        values = read_stored(path, budget)
    else:
        raise ImagingError(path, "is not a mask of a known kind (PNG, BMP, TIFF, npy, npz, DICOM)")
    return mask_classes(values, classes, invert, path)


def mask_classes(
    values: np.ndarray, classes: int = 2, invert: bool = False, path: str | None = None, scale: bool = True
) -> np.ndarray:
    """Class numbers (int32, the shape of `values` without a last axis of 1) from the numbers in a mask.

    Two classes: 0 and 1, or (unless `scale` is off) 0 and 255; `invert` exchanges the two, for masks in which the
    object is dark. Otherwise class numbers 0 to classes − 1. Raises ImagingError for any other number, NaN, and
    `invert` with more than two classes.
    """
    values = np.asarray(values)
    if values.ndim > 2 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.dtype.kind not in "biuf":
        raise ImagingError(path, f"is a mask of type {values.dtype}, expected numbers")
    if invert and classes != 2:
        raise ImagingError(path, f"a mask of {classes} classes cannot be inverted, only one of 2")
    if values.size == 0:
        return values.astype(np.int32)
    largest, smallest = values.max(), values.min()
    if values.dtype.kind == "f" and not (np.isfinite(largest) and (values == np.rint(values)).all()):
        raise ImagingError(path, "is a mask with fractions or NaN, expected whole class numbers")
    if classes == 2 and scale and largest == 255 and ((values == 0) | (values == 255)).all():
        numbers = (values == 255).astype(np.int32)
    elif smallest < 0 or largest >= classes:
        wrong = int(smallest if smallest < 0 else largest)
        allowed = "0 and 255, or 0 and 1" if classes == 2 else f"0 to {classes - 1}"
        raise ImagingError(path, f"holds the class number {wrong}, but there are {classes} classes ({allowed})")
    else:
        numbers = values.astype(np.int32)
    return 1 - numbers if invert else numbers


def _only_array(path: str, budget: int | None) -> np.ndarray:
    """The array called mask, or the only one."""
    file = NpzFile(path, budget)
    names = [name for name in ("mask", "masks") if name in file] or file.names
    if len(names) != 1:
        raise ImagingError(path, f"holds the arrays {', '.join(file.names)}, expected one called mask")
    return file.read(names[0])
