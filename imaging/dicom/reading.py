"""One DICOM file: its header, its stored values, or an `Image` in physical values."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..image import Image, check_finite
from .decoding import stored_values
from .elements import text
from .geometry import frames_geometry, plane_of
from .header import pixel_header
from .parsing import parsed, pixel_keyword, read_pixel_element
from .values import physical_values


def read_dicom(path: str | os.PathLike[str], budget: int | None = None, invert: bool = True) -> Image:
    """Read one DICOM file as an `Image`: (H, W), (frames, H, W), with a last axis of 3 for colour.

    Stored values go through the header's rescale or modality table (an enhanced object's per frame); palettes and YBR
    become RGB; overlays are not burned in. With `invert`, a MONOCHROME1 image v becomes lowest + highest − v over the
    range of its number type, so that larger is brighter as in all other images; it then carries no units. Pass
    `invert=False` to keep measured values (a PET shown black on white) as they are. `budget`: see imaging.budget.

    Raises ImagingError for whatever cannot be read whole and as the header says.
    """
    path = os.fspath(path)
    with parsed(path, budget) as source:
        header = pixel_header(source.header, pixel_keyword(source), path)
        header.check_budget(path, source.file_size, budget)
        stored = stored_values(source, header, read_pixel_element(source))
        check_finite(path, stored)
        physical = physical_values(source, header, stored, invert)
        check_finite(path, physical.pixels)
        dataset = source.header
        spacing, affine = frames_geometry([plane_of(dataset, frame, path) for frame in range(header.frames)])
        return Image(
            pixels=physical.pixels,
            path=path,
            color=physical.color,
            spacing=spacing,
            affine=affine,
            units=physical.units,
            modality=text(dataset, "Modality"),
            patient_id=text(dataset, "PatientID"),
            study_uid=text(dataset, "StudyInstanceUID"),
            series_uid=text(dataset, "SeriesInstanceUID"),
            photometric=header.photometric,
            inverted=physical.inverted,
            windows=physical.windows,
            voi_table=physical.voi_table,
            value_range=physical.value_range,
        )


def read_stored(path: str | os.PathLike[str], budget: int | None = None) -> np.ndarray:
    """The stored values of a DICOM file as decoded, in its own number type: no rescale, palette or inversion.

    Shape (H, W), (frames, H, W), (H, W, samples) or (frames, H, W, samples); YBR colours come as RGB.
    Raises ImagingError as `read_dicom`.
    """
    path = os.fspath(path)
    with parsed(path, budget) as source:
        header = pixel_header(source.header, pixel_keyword(source), path)
        header.check_budget(path, source.file_size, budget)
        return stored_values(source, header, read_pixel_element(source))


def read_header(path: str | os.PathLike[str]) -> Any:
    """The header of a DICOM file, up to its pixel data, as a pydicom Dataset. Raises ImagingError."""
    with parsed(os.fspath(path), None) as source:
        return source.header
