"""The slices of one series in a folder, put in order by where they lie in the patient, as one volume."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..budget import check_budget
from ..errors import ImagingError
from ..image import Image
from .elements import text
from .geometry import Plane, affine_of, check_plane, difference, plane_of, regular_step
from .header import pixel_header
from .parsing import parsed, pixel_keyword
from .reading import read_dicom

SUFFIXES = (".dcm", ".dicom", ".ima")
# Objects of a study that hold no image: structure sets, plans, reports, presentation states, key objects …
WITHOUT_IMAGE = {"RTSTRUCT", "RTPLAN", "RTRECORD", "SR", "PR", "KO", "REG", "DOC", "FID", "PLAN", "AU", "ECG"}
DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory: the DICOMDIR file of a disc


@dataclass(frozen=True)
class Slice:
    """One frame of one file, before its pixels are read."""

    path: str
    frame: int
    plane: Plane
    shape: tuple[int, ...]  # (H, W) or (H, W, 3)
    series: str
    label: str  # modality and description, for messages


def read_series(
    folder: str | os.PathLike[str], series: str | None = None, budget: int | None = None, invert: bool = True
) -> Image:
    """Read the DICOM series in `folder` (and the folders in it) as one volume (D, H, W), or (D, H, W, 3) for colour.

    Slices are ordered by ImagePositionPatient along the normal of their planes, low to high, never by InstanceNumber;
    `spacing` comes from the positions, never from SliceThickness. Each slice is rescaled by its own header; frames of
    enhanced objects count as slices. `series`: the SeriesInstanceUID to read where the folder holds several.

    Raises ImagingError for a folder without DICOM images or with several series (it lists them), slices of different
    sizes, orientations, spacings or units, two at one place, unequal gaps (a slice is missing), and as `read_dicom`.
    """
    folder = os.fspath(folder)
    slices, file_sizes = _chosen(folder, series)
    slices, step, between = _ordered(folder, slices)
    needed = 4 * len(slices) * int(np.prod(slices[0].shape))
    check_budget(folder, needed, file_sizes, budget)
    volume = np.empty((len(slices), *slices[0].shape), np.float32)
    first = _fill(folder, volume, slices, budget, invert)
    plane = slices[0].plane
    return replace(
        first,
        pixels=volume,
        path=folder,
        spacing=(between, *(plane.spacing or (None, None))),
        affine=affine_of(plane, step),
    )


def _chosen(folder: str, series: str | None) -> tuple[list[Slice], int]:
    """The slices of the one series that is asked for, and the size of their files in bytes."""
    found: list[Slice] = []
    sizes: dict[str, int] = {}
    for path in _files(folder):
        slices = _slices(path)
        found.extend(slices)
        if slices:
            sizes[path] = os.path.getsize(path)
    if not found:
        raise ImagingError(folder, "holds no DICOM images")
    labels = {one.series: one.label for one in found}
    counts = Counter(one.series for one in found)
    listing = "; ".join(f"{uid} ({labels[uid]}, {count} slices)" for uid, count in counts.items())
    if series is None and len(counts) > 1:
        raise ImagingError(folder, f"holds {len(counts)} series, choose one by its UID: {listing}")
    if series is not None and series not in counts:
        raise ImagingError(folder, f"holds no series {series}, but {listing}")
    chosen = [one for one in found if series is None or one.series == series]
    return chosen, sum(sizes[path] for path in {one.path for one in chosen})


def _files(folder: str) -> Iterator[str]:
    """The files under `folder` that are DICOM by their mark or their name, in the order of their names."""
    if not os.path.isdir(folder):
        raise ImagingError(folder, "is not a folder" if os.path.exists(folder) else "no such file or folder")
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and (path.suffix.lower() in SUFFIXES or has_mark(path)):
            yield str(path)


def has_mark(path: str | os.PathLike[str]) -> bool:
    """Whether a file has DICOM's mark, DICM at byte 128."""
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _slices(path: str) -> list[Slice]:
    """The frames of a file, none if it is no image by its kind; a damaged file is an ImagingError, never left out."""
    with parsed(path, None) as source:
        dataset: Any = source.header
        meta = getattr(dataset, "file_meta", None) or {}
        modality = text(dataset, "Modality")
        if modality in WITHOUT_IMAGE or str(meta.get("MediaStorageSOPClassUID", "")) == DIRECTORY:
            return []
        header = pixel_header(dataset, pixel_keyword(source), path)
        color = header.samples == 3 or header.photometric == "PALETTE COLOR"
        shape = (header.rows, header.columns, 3) if color else (header.rows, header.columns)
        label = " ".join(part for part in (modality, text(dataset, "SeriesDescription")) if part) or "no description"
        series = text(dataset, "SeriesInstanceUID") or "no UID"
        return [
            Slice(path, frame, plane_of(dataset, frame, path), shape, series, label) for frame in range(header.frames)
        ]


def _ordered(folder: str, slices: list[Slice]) -> tuple[list[Slice], np.ndarray | None, float | None]:
    """The slices along their common normal; the step from one to the next, and its part along the normal, in mm.

    Both are None for one slice. ImagingError unless they make one regular volume.
    """
    first = slices[0]
    for one in slices:
        check_plane(one.plane, one.path)
        if one.shape != first.shape:
            raise ImagingError(
                folder,
                f"its slices differ in size: {_name(first)} has {_size(first.shape)}, {_name(one)} {_size(one.shape)}",
            )
        what = difference(first.plane, one.plane)
        if what is not None:
            raise ImagingError(folder, f"its slices differ in {what}: {_name(first)} and {_name(one)}")
    normal = first.plane.normal
    assert normal is not None  # check_plane has seen to it
    ordered = sorted(slices, key=lambda one: (one.plane.height(normal), one.path, one.frame))
    if len(ordered) == 1:
        return ordered, None, None
    positions = np.array([one.plane.position for one in ordered])
    try:
        step = regular_step(positions, normal, [_name(one) for one in ordered])
    except ValueError as error:
        raise ImagingError(folder, f"its {len(ordered)} slices make no regular volume: {error}") from error
    return ordered, step, float(step @ normal)


def _fill(folder: str, volume: np.ndarray, slices: list[Slice], budget: int | None, invert: bool) -> Image:
    """Read each file once and put its frames where they belong; returns the image of the first slice's file."""
    places: dict[str, list[int]] = {}
    for index, one in enumerate(slices):
        places.setdefault(one.path, []).append(index)
    first: Image | None = None
    for path, indices in places.items():
        image = read_dicom(path, budget, invert)
        first = first or image
        if (image.units, image.photometric) != (first.units, first.photometric):
            raise ImagingError(
                folder,
                f"its slices differ in kind: {first.units} {first.photometric} in {os.path.basename(first.path)}, "
                f"{image.units} {image.photometric} in {os.path.basename(path)}",
            )
        frames = image.pixels.reshape(-1, *slices[0].shape)
        for index in indices:
            volume[index] = frames[slices[index].frame]
    assert first is not None  # slices is never empty
    return first


def _name(one: Slice) -> str:
    name = os.path.basename(one.path)
    return name if one.frame == 0 else f"{name} frame {one.frame + 1}"


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
