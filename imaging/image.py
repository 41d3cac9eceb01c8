"""`Image`: the pixels of one file or series in physical values, and what its header says about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .errors import ImagingError


class VOIWindow(NamedTuple):
    """A window that the header suggests for looking at the image (DICOM PS3.3 C.11.2)."""

    center: float
    width: float
    function: str = "LINEAR"  # or LINEAR_EXACT, SIGMOID
    explanation: str = ""


class LookupTable(NamedTuple):
    """A table of output values for the inputs `first`, `first` + 1, …; inputs beyond an end take its value."""

    first: int
    values: np.ndarray  # (n,) float32

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        index = np.clip(np.rint(pixels).astype(np.int64) - self.first, 0, len(self.values) - 1)
        return self.values[index]


@dataclass(frozen=True, eq=False)
class Image:
    """The pixels of one file or series.

    pixels: float32, (H, W) or (D, H, W), with a last axis of 3 (red, green, blue) if `color`. Greyscale values are
        those that the file means: after DICOM's rescale or modality table (`units` says of what), larger is brighter.
    spacing: mm between neighbours along each spatial axis of `pixels`; None for an axis that the file says nothing
        about, None altogether if it says nothing at all.
    affine: (4, 4) float64, takes (slice, row, column, 1) to patient coordinates in mm (DICOM's: x to the patient's
        left, y to the back, z to the head), or None.
    units: "HU", "BQML", … or None when the values carry none.
    photometric: DICOM's Photometric Interpretation as stored in the file, "" for other formats.
    inverted: whether a MONOCHROME1 image was turned so that larger is brighter (its windows are turned with it).
    windows: those of the header that can be used (a width of 0 cannot), the preferred one first.
    value_range: smallest and largest value that the file's number type could hold after rescale; None for floats.
    """

    pixels: np.ndarray
    path: str
    color: bool = False
    spacing: tuple[float | None, ...] | None = None
    affine: np.ndarray | None = None
    units: str | None = None
    modality: str | None = None
    patient_id: str | None = None
    study_uid: str | None = None
    series_uid: str | None = None
    photometric: str = ""
    inverted: bool = False
    windows: tuple[VOIWindow, ...] = ()
    voi_table: LookupTable | None = None
    value_range: tuple[float, float] | None = None

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """(H, W) or (D, H, W)."""
        return self.pixels.shape[:-1] if self.color else self.pixels.shape

    @property
    def origin(self) -> tuple[float, float, float] | None:
        """Patient coordinates (mm) of the centre of the first pixel."""
        if self.affine is None:
            return None
        x, y, z = (float(value) for value in self.affine[:3, 3])
        return x, y, z

    def channels_last(self) -> np.ndarray:
        """The pixels with an axis of channels at the end: (H, W, C) or (D, H, W, C), C 1 or 3; a view."""
        return self.pixels if self.color else self.pixels[..., np.newaxis]


def check_finite(path: str | None, pixels: np.ndarray) -> None:
    """Raise ImagingError if an array of floats holds NaN or infinity, with how many and where the first is."""
    if pixels.dtype.kind != "f":
        return
    finite = np.isfinite(pixels)
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        count = int(finite.size - np.count_nonzero(finite))
        raise ImagingError(path, f"{count} of {finite.size} pixels are NaN or infinite, the first at {first}")
