"""Where the pixels lie in the patient: spacing, orientation and positions (DICOM PS3.3 C.7.6.2, C.7.6.16)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ImagingError
from .elements import frame_item, numbers

GAP_TOLERANCE = 0.05  # gaps may differ by 5 %: some scanners write positions to a tenth of a millimetre
LEAST_GAP = 1e-3  # mm; closer slices are at the same place
SIDEWAYS_TOLERANCE = 0.2  # mm that a slice may lie beside the line through the others


@dataclass(frozen=True)
class Plane:
    """One slice in space, as far as its header says; all in mm.

    spacing: between rows, between columns. row: direction along which columns count up; column: along which rows do.
    """

    position: np.ndarray | None  # (3,) centre of the first pixel
    row: np.ndarray | None  # (3,) unit vector
    column: np.ndarray | None  # (3,) unit vector
    spacing: tuple[float, float] | None

    @property
    def normal(self) -> np.ndarray | None:
        return None if self.row is None or self.column is None else np.cross(self.row, self.column)

    def height(self, normal: np.ndarray) -> float:
        """How far along `normal` the slice lies, in mm; 0 if its position is not known."""
        return 0.0 if self.position is None else float(normal @ self.position)


def plane_of(dataset: Any, frame: int, path: str) -> Plane:
    """The plane of one frame. Text where numbers belong is an ImagingError; what is absent or impossible is None."""

    def holder(group: str) -> Any:
        return frame_item(dataset, frame, group, path) or dataset

    position = numbers(holder("PlanePositionSequence"), "ImagePositionPatient", path, count=3)
    orientation = numbers(holder("PlaneOrientationSequence"), "ImageOrientationPatient", path, count=6)
    row, column = (None, None) if orientation is None else _directions(np.array(orientation))
    spacing = numbers(holder("PixelMeasuresSequence"), "PixelSpacing", path, count=2)
    if spacing is None:  # projection X-ray: at the detector, larger than in the patient (C.8.11.4.1.1)
        spacing = numbers(dataset, "ImagerPixelSpacing", path, count=2)
    usable = spacing is not None and min(spacing) > 0
    return Plane(
        None if position is None else np.array(position),
        row,
        column,
        (spacing[0], spacing[1]) if usable and spacing is not None else None,
    )


def _directions(orientation: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Row and column directions made exact unit vectors; None if they are not nearly that, at right angles."""
    row, column = orientation[:3], orientation[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if abs(lengths[0] - 1) > 0.01 or abs(lengths[1] - 1) > 0.01 or abs(row @ column) > 0.01:
        return None, None
    return row / lengths[0], column / lengths[1]


def regular_step(positions: np.ndarray, normal: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The vector from slice to slice (mm) of slices in order; `positions` (n, 3), n ≥ 2, `names` for messages.

    Raises ValueError, saying where, if two lie at one place, the gaps along `normal` differ, or the slices do not lie
    on one line (that line may be oblique to the slices: a tilted gantry).
    """
    gaps = np.diff(positions @ normal)
    usual = float(np.median(gaps))
    for index, gap in enumerate(gaps):
        if abs(gap) < LEAST_GAP:
            raise ValueError(f"{names[index]} and {names[index + 1]} lie at the same place")
        if abs(gap - usual) > max(GAP_TOLERANCE * abs(usual), 10 * LEAST_GAP):
            pair = f"{names[index]} and {names[index + 1]}"
            raise ValueError(f"{pair} are {abs(gap):.4g} mm apart where others are {abs(usual):.4g} mm")
    step = (positions[-1] - positions[0]) / len(gaps)
    beside = positions - (positions[0] + np.arange(len(positions))[:, np.newaxis] * step)
    sideways = np.linalg.norm(beside - np.outer(beside @ normal, normal), axis=1)
    if sideways.max() > SIDEWAYS_TOLERANCE:
        far = int(sideways.argmax())
        raise ValueError(f"{names[far]} lies {sideways[far]:.4g} mm beside the line of the others")
    return step


def affine_of(plane: Plane, step: np.ndarray | None) -> np.ndarray | None:
    """(4, 4) from (slice, row, column, 1) to mm, slices `step` apart (None: one slice, the normal stands in)."""
    if plane.position is None or plane.row is None or plane.column is None or plane.spacing is None:
        return None
    affine = np.eye(4)
    affine[:3, 0] = plane.normal if step is None else step
    affine[:3, 1] = plane.column * plane.spacing[0]
    affine[:3, 2] = plane.row * plane.spacing[1]
    affine[:3, 3] = plane.position
    return affine


def frames_geometry(planes: list[Plane]) -> tuple[tuple[float | None, ...] | None, np.ndarray | None]:
    """Spacing and affine of one file: (row, column) spacing for one frame, with the frames' own before for several.

    The frames' spacing is None unless they lie evenly, in the order of the file.
    """
    first = planes[0]
    if len(planes) == 1:
        return first.spacing, affine_of(first, None)
    step = None
    if first.normal is not None and all(_parallel(first, plane) for plane in planes):
        positions = np.array([plane.position for plane in planes])
        try:
            step = regular_step(positions, first.normal, [f"frame {index + 1}" for index in range(len(planes))])
        except ValueError:
            step = None
    if step is None:
        return (None if first.spacing is None else (None, *first.spacing)), None
    between = abs(float(step @ first.normal))
    return (between, *(first.spacing or (None, None))), affine_of(first, step)


def _parallel(first: Plane, other: Plane) -> bool:
    """Whether `other` has a position, and the orientation and spacing of `first`."""
    return other.position is not None and difference(first, other) is None


def difference(first: Plane, other: Plane) -> str | None:
    """What keeps two slices out of one volume: "orientation", "pixel spacing" or nothing (None)."""
    if first.row is None or other.row is None or first.column is None or other.column is None:
        return "orientation"
    if not (np.allclose(first.row, other.row, atol=1e-3) and np.allclose(first.column, other.column, atol=1e-3)):
        return "orientation"
    if (first.spacing is None) != (other.spacing is None):
        return "pixel spacing"
    if first.spacing is not None and not np.allclose(first.spacing, other.spacing or (), rtol=1e-3):
        return "pixel spacing"
    return None


def check_plane(plane: Plane, path: str) -> None:
    """A slice of a series must say where it lies: ImagingError without a position or a usable orientation."""
    if plane.position is None:
        raise ImagingError(path, "has no ImagePositionPatient, so its place in the series is not known")
    if plane.normal is None:
        raise ImagingError(path, "has no usable ImageOrientationPatient, so its place in the series is not known")
