"""Medical images: files in, arrays, data sets and batches out. Knows NumPy arrays only, no Tensor.

    image = imaging.read("scan.dcm")                # Image: pixels in HU, spacing in mm, patient …
    volume = imaging.read_series("folder")          # (D, H, W), in order of position, true spacing
    data = imaging.open_dataset("study")            # images with masks or labels, read when asked for
    parts, how = imaging.split(data, (0.8, 0.2), seed=0)
    batches = imaging.Batches(data.select(parts[0]), 8, [imaging.UnitRange(-1000, 600), imaging.RandomFlip()])

Whatever cannot be read is an `ImagingError`: one sentence with the file and the reason. Names are imported when they
are first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see; at run time __getattr__ finds the same names
    from .arrays import NpzFile, is_idx, read_idx, read_npy, read_npz, write_npz
    from .batches import Batches
    from .datasets import DataSet, Sample, mask_classes, open_dataset, read_mask
    from .dicom import read_dicom, read_header, read_series, read_stored
    from .errors import ImagingError
    from .image import Image, LookupTable, VOIWindow
    from .raster import read_raster, read_tiff, write_png
    from .reading import kind_of, read
    from .splits import split, split_at_random, split_by_patient, split_stratified
    from .synthetic import write_study
    from .transforms import (
        CenterCrop,
        Channels,
        Compose,
        GaussianFilter,
        Grey,
        MedianFilter,
        Percentile,
        RandomAffine,
        RandomBrightness,
        RandomCrop,
        RandomFlip,
        RandomNoise,
        RandomQuarterTurn,
        RandomRotation,
        RandomScale,
        Resize,
        Standardise,
        UnitRange,
        Window,
    )
    from .windowing import display, normalise, percentile, standardise, unit_range, window

_HOMES = {
    "arrays": ("NpzFile", "is_idx", "read_idx", "read_npy", "read_npz", "write_npz"),
    "batches": ("Batches",),
    "datasets": ("DataSet", "Sample", "mask_classes", "open_dataset", "read_mask"),
    "dicom": ("read_dicom", "read_header", "read_series", "read_stored"),
    "errors": ("ImagingError",),
    "image": ("Image", "LookupTable", "VOIWindow"),
    "raster": ("read_raster", "read_tiff", "write_png"),
    "reading": ("kind_of", "read"),
    "splits": ("split", "split_at_random", "split_by_patient", "split_stratified"),
    "synthetic": ("write_study",),
    "transforms": (
        "CenterCrop",
        "Channels",
        "Compose",
        "GaussianFilter",
        "Grey",
        "MedianFilter",
        "Percentile",
        "RandomAffine",
        "RandomBrightness",
        "RandomCrop",
        "RandomFlip",
        "RandomNoise",
        "RandomQuarterTurn",
        "RandomRotation",
        "RandomScale",
        "Resize",
        "Standardise",
        "UnitRange",
        "Window",
    ),
    "windowing": ("display", "normalise", "percentile", "standardise", "unit_range", "window"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Batches",
    "CenterCrop",
    "Channels",
    "Compose",
    "DataSet",
    "GaussianFilter",
    "Grey",
    "Image",
    "ImagingError",
    "LookupTable",
    "MedianFilter",
    "NpzFile",
    "Percentile",
    "RandomAffine",
    "RandomBrightness",
    "RandomCrop",
    "RandomFlip",
    "RandomNoise",
    "RandomQuarterTurn",
    "RandomRotation",
    "RandomScale",
    "Resize",
    "Sample",
    "Standardise",
    "UnitRange",
    "VOIWindow",
    "Window",
    "display",
    "is_idx",
    "kind_of",
    "mask_classes",
    "normalise",
    "open_dataset",
    "percentile",
    "read",
    "read_dicom",
    "read_header",
    "read_idx",
    "read_mask",
    "read_npy",
    "read_npz",
    "read_raster",
    "read_series",
    "read_stored",
    "read_tiff",
    "split",
    "split_at_random",
    "split_by_patient",
    "split_stratified",
    "standardise",
    "unit_range",
    "window",
    "write_npz",
    "write_png",
    "write_study",
]


def __getattr__(name: str) -> Any:
    """The public name `name`, imported now and kept."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tomograd.imaging' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
