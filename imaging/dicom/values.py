"""From stored values to physical values: rescale or modality table, palettes, MONOCHROME1 turned.

DICOM PS3.3 C.11.1 (modality), C.11.2 (windows), C.7.6.3.1.2 (photometric interpretation).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ImagingError
from ..image import LookupTable, VOIWindow
from .elements import frame_item, items, number, numbers, text
from .header import PixelHeader
from .lookup import apply_palette, lookup_table, palette_maximum
from .parsing import Parsed


@dataclass(frozen=True)
class Physical:
    """Pixels in the units that the header gives them, and how the header would have them shown."""

    pixels: np.ndarray  # float32
    color: bool
    units: str | None
    value_range: tuple[float, float] | None
    inverted: bool
    windows: tuple[VOIWindow, ...]
    voi_table: LookupTable | None


def physical_values(source: Parsed, header: PixelHeader, stored: np.ndarray, invert: bool) -> Physical:
    """Apply what the header says to `stored`; with `invert`, MONOCHROME1 images are turned: larger is brighter."""
    dataset, path = source.header, source.path
    if header.photometric == "PALETTE COLOR":
        pixels = apply_palette(stored, dataset, path, header.signed, source.little_endian)
        return Physical(pixels, True, None, (0.0, float(palette_maximum(dataset, path))), False, (), None)
    if header.samples == 3:
        largest = float(2**header.bits_stored - 1)
        return Physical(stored.astype(np.float32), True, None, (0.0, largest), False, (), None)
    pixels, units, value_range = _measured(source, header, stored)
    windows = _windows(dataset, path)
    tables = [table for item in _voi_items(dataset, path) if (table := _voi_table(source, header, item)) is not None]
    voi_table = tables[0] if tables else None
    if header.photometric != "MONOCHROME1" or not invert:
        return Physical(pixels, False, units, value_range, False, windows, voi_table)
    if value_range is None:
        raise ImagingError(path, "is MONOCHROME1 with floating pixels, whose range to turn over is not known")
    # v → lowest + highest − v, exact in the range that the number type allows: the same for all images of a series.
    total = value_range[0] + value_range[1]
    np.subtract(np.float32(total), pixels, out=pixels)
    windows = tuple(_turned_window(window, total) for window in windows)
    voi_table = None if voi_table is None else _turned_table(voi_table, total)
    return Physical(pixels, False, None, value_range, True, windows, voi_table)


def _measured(
    source: Parsed, header: PixelHeader, stored: np.ndarray
) -> tuple[np.ndarray, str | None, tuple[float, float] | None]:
    """Every frame through its own modality transformation: pixels (float32), their units, the range they can have."""
    frames = stored.reshape(header.frames, header.rows, header.columns)
    pixels = np.empty(frames.shape, np.float32)
    found: set[str | None] = set()
    limits: list[float] = []
    for frame in range(header.frames):
        transform, units = _modality(source, header, frame)
        pixels[frame] = transform(frames[frame])
        found.add(units)
        if not header.is_float:
            limits.extend(transform(np.array(header.stored_range)).tolist())
    if len(found) > 1:
        raise ImagingError(source.path, f"its frames are in different units: {', '.join(sorted(map(str, found)))}")
    value_range = (float(min(limits)), float(max(limits))) if limits else None
    return pixels.reshape(stored.shape), found.pop(), value_range


def _modality(source: Parsed, header: PixelHeader, frame: int) -> tuple[Callable[[np.ndarray], np.ndarray], str | None]:
    """The function from stored to physical values of one frame, and the units of its result."""
    dataset, path = source.header, source.path
    tables = items(dataset, "ModalityLUTSequence", path)
    if tables:
        table = lookup_table(tables[0], path, header.signed, source.little_endian)
        return table.__call__, _units(text(tables[0], "ModalityLUTType"), dataset)
    holder = frame_item(dataset, frame, "PixelValueTransformationSequence", path) or dataset
    slope = number(holder, "RescaleSlope", path, 1.0)
    intercept = number(holder, "RescaleIntercept", path, 0.0)
    if slope == 0:
        raise ImagingError(path, "RescaleSlope is 0, which would make all pixels equal")
    rescaled = "RescaleSlope" in holder or "RescaleIntercept" in holder
    units = _units(text(holder, "RescaleType"), dataset) if rescaled else None
    return (lambda values: values.astype(np.float64) * slope + intercept), units


def _units(stated: str | None, dataset: Any) -> str | None:
    """Units of rescaled values: as stated, for CT without a statement HU (PS3.3 C.8.2.1), for PET its Units."""
    if stated is not None:
        return None if stated == "US" else stated  # US: unspecified
    modality = text(dataset, "Modality")
    if modality == "CT":
        return "HU"
    return text(dataset, "Units") if modality == "PT" else None


def _voi_items(dataset: Any, path: str) -> list[Any]:
    return items(dataset, "VOILUTSequence", path)


def _voi_table(source: Parsed, header: PixelHeader, item: Any) -> LookupTable | None:
    """A VOI table, None if it is damaged: it only says how to show the image, not what is in it."""
    try:
        return lookup_table(item, source.path, header.signed, source.little_endian)
    except ImagingError:
        return None


def _windows(dataset: Any, path: str) -> tuple[VOIWindow, ...]:
    """The windows of the header (an enhanced object's: of its first frame) that can be used.

    A linear window needs a width of at least 1, the others one above 0 (PS3.3 C.11.2.1.2, C.11.2.1.3); MR scanners
    that write 0 mean that they have none. Unreadable ones are passed over, as with tables.
    """
    try:
        holder = frame_item(dataset, 0, "FrameVOILUTSequence", path) or dataset
        centers, widths = numbers(holder, "WindowCenter", path), numbers(holder, "WindowWidth", path)
    except ImagingError:
        return ()
    function = text(holder, "VOILUTFunction") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        return ()
    names = getattr(holder, "WindowCenterWidthExplanation", None) or ()
    names = [str(name) for name in ([names] if isinstance(names, str) else names)]
    return tuple(
        VOIWindow(center, width, function, names[index] if index < len(names) else "")
        for index, (center, width) in enumerate(zip(centers or (), widths or (), strict=False))
        if width >= 1 or (width > 0 and function != "LINEAR")
    )


def _turned_window(window: VOIWindow, total: float) -> VOIWindow:
    """The window that shows total − v as bright as `window` shows v dark; a linear one is centred on center − 0.5."""
    shift = 1.0 if window.function == "LINEAR" else 0.0
    return window._replace(center=total - window.center + shift)


def _turned_table(table: LookupTable, total: float) -> LookupTable:
    first = round(total) - (table.first + len(table.values) - 1)
    return LookupTable(first, table.values.max() + table.values.min() - table.values[::-1])
