"""`read`: any image file, told by its first bytes and never by its name."""

from __future__ import annotations

import os

import numpy as np

from .arrays import NpzFile, read_npy
from .dicom import read_dicom, read_series
from .errors import ImagingError
from .files import opened
from .image import Image, check_finite
from .raster import read_raster, read_tiff

KINDS = "DICOM, PNG, TIFF, JPEG, BMP, npy, npz with one array"
IMAGE_SUFFIXES = (".dcm", ".dicom", ".ima", ".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")


def read(path: str | os.PathLike[str], budget: int | None = None) -> Image:
    """Read an image file, or a folder that holds one DICOM series, as an `Image` of float32 pixels.

    `budget`: bytes that it may unpack to; without one see imaging.budget. Raises ImagingError, in one sentence that
    names the file, for whatever cannot be read whole: missing, empty, of an unknown kind, truncated, too large, NaN.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        return read_series(path, budget=budget)
    kind = kind_of(path)
    if kind == "dicom":
        return read_dicom(path, budget)
    if kind == "tiff":
        return read_tiff(path, budget)
    if kind in ("png", "jpeg", "bmp"):
        return read_raster(path, budget)
    if kind in ("npy", "npz"):
        return _array_image(path, kind, budget)
    raise ImagingError(path, f"is not an image of a known kind ({KINDS})")


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """What a file's first bytes say it is: dicom, png, jpeg, bmp, tiff, npy, npz, or None; an empty one is an error."""
    with opened(path) as file:
        start = file.read(132)
    if not start:
        raise ImagingError(path, "is empty (0 bytes)")
    if start[128:] == b"DICM":
        return "dicom"
    for kind, marks in {
        "png": (b"\x89PNG\r\n\x1a\n",),
        "jpeg": (b"\xff\xd8\xff",),
        "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        "bmp": (b"BM",),
        "npy": (b"\x93NUMPY",),
        "npz": (b"PK\x03\x04", b"PK\x05\x06"),
    }.items():
        if start.startswith(marks):
            return kind
    if start[:2] in (b"\x02\0", b"\x08\0") or os.fspath(path).lower().endswith((".dcm", ".dicom", ".ima")):
        return "dicom"  # without preamble, or DICOM by name only: the DICOM reader says what is wrong with it
    return None


def _array_image(path: str, kind: str, budget: int | None) -> Image:
    """A lone array as an image: (H, W), (D, H, W), or with a last axis of 3 for colours."""
    if kind == "npy":
        array = read_npy(path, budget)
    else:
        file = NpzFile(path, budget)
        if len(file.names) != 1:
            raise ImagingError(path, f"holds {len(file.names)} arrays ({', '.join(file.names)}), expected one image")
        array = file.read(file.names[0])
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3, 4) or array.size == 0:
        raise ImagingError(path, f"holds {array.dtype} of shape {array.shape}, which is no image")
    check_finite(path, array)
    color = array.ndim == 4 or (array.ndim == 3 and array.shape[-1] == 3)
    if array.ndim == 4 and array.shape[-1] == 1:
        array, color = array[..., 0], False
    if array.ndim == 4 and array.shape[-1] != 3:
        raise ImagingError(path, f"holds an array of shape {array.shape}, expected 1 or 3 channels in the last axis")
    largest = float(np.iinfo(array.dtype).max) if array.dtype.kind == "u" else None
    value_range = None if largest is None else (0.0, largest)
    return Image(pixels=array.astype(np.float32), path=path, color=color, value_range=value_range)
