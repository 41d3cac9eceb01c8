"""The Image Pixel module of a header, checked: how the pixel data are laid out, and how large (PS3.3 C.7.6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from ..budget import check_budget, readable
from ..errors import ImagingError
from .elements import integer, value_of

PHOTOMETRIC = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}


@dataclass(frozen=True)
class PixelHeader:
    """Rows, columns and so on, each within what the standard allows and in agreement with the others."""

    keyword: str  # PixelData, FloatPixelData or DoubleFloatPixelData
    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: int
    photometric: str

    @property
    def is_float(self) -> bool:
        return self.keyword != "PixelData"

    @property
    def native_bytes(self) -> int:
        """Bytes of the uncompressed pixel data, without padding (4:2:2 halves the two colour channels)."""
        bits = self.frames * self.rows * self.columns * self.samples * self.bits_allocated
        if self.photometric == "YBR_FULL_422":
            bits = bits * 2 // 3
        return -(-bits // 8)

    @property
    def stored_range(self) -> tuple[int, int]:
        """Smallest and largest stored value that Bits Stored and Pixel Representation allow."""
        if self.signed:
            return -(2 ** (self.bits_stored - 1)), 2 ** (self.bits_stored - 1) - 1
        return 0, 2**self.bits_stored - 1

    def check_budget(self, path: str, file_size: int, budget: int | None) -> None:
        """Refuse an image whose array (float32, or wider as stored) would pass its budget (see imaging.budget)."""
        channels = 3 if self.photometric == "PALETTE COLOR" else self.samples
        values = prod((self.frames, self.rows, self.columns, channels))
        check_budget(path, values * max(4, self.bits_allocated // 8), file_size, budget)

    def check_native_length(self, path: str, actual: int) -> None:
        """Native pixel data must fill the image, and not hold another frame besides (`actual`: bytes there are)."""
        if actual < self.native_bytes:
            raise ImagingError(
                path, f"the pixel data are cut off: {actual} bytes where the header asks for {self.native_bytes}"
            )
        frame = max(self.native_bytes // self.frames, 1)
        if actual - self.native_bytes >= max(frame, 2):
            raise ImagingError(
                path,
                f"the pixel data hold {readable(actual)}, enough for {actual // frame} frames, "
                f"but the header says {self.frames} of {self.rows} × {self.columns}",
            )


def pixel_header(dataset: Any, keyword: str, path: str) -> PixelHeader:
    """Read and check the Image Pixel module; a missing, unreadable or contradictory element is an ImagingError."""
    photometric = str(value_of(dataset, "PhotometricInterpretation", path) or "").strip().upper()
    if photometric not in PHOTOMETRIC:
        raise ImagingError(path, f"PhotometricInterpretation is {photometric!r}, known are {', '.join(PHOTOMETRIC)}")
    samples = integer(dataset, "SamplesPerPixel", path, default=1)
    if samples != PHOTOMETRIC[photometric]:
        raise ImagingError(path, f"SamplesPerPixel is {samples}, but {photometric} has {PHOTOMETRIC[photometric]}")
    is_float = keyword != "PixelData"
    allocated = integer(dataset, "BitsAllocated", path)
    stored = allocated if is_float else integer(dataset, "BitsStored", path)
    header = PixelHeader(
        keyword=keyword,
        rows=_within(dataset, "Rows", path, 1, 65535),
        columns=_within(dataset, "Columns", path, 1, 65535),
        frames=_within(dataset, "NumberOfFrames", path, 1, 2**31 - 1, default=1),
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if is_float else integer(dataset, "HighBit", path, default=stored - 1),
        signed=is_float or bool(_within(dataset, "PixelRepresentation", path, 0, 1)),
        planar=_within(dataset, "PlanarConfiguration", path, 0, 1, default=0) if samples > 1 else 0,
        photometric=photometric,
    )
    _check_bits(header, path)
    return header


def _check_bits(header: PixelHeader, path: str) -> None:
    allowed = {"PixelData": (1, 8, 16, 32), "FloatPixelData": (32,), "DoubleFloatPixelData": (64,)}[header.keyword]
    if header.bits_allocated not in allowed:
        names = ", ".join(map(str, allowed))
        raise ImagingError(path, f"BitsAllocated is {header.bits_allocated}, {header.keyword} can have {names}")
    if not 1 <= header.bits_stored <= header.bits_allocated:
        raise ImagingError(
            path, f"BitsStored is {header.bits_stored}, expected 1 to BitsAllocated ({header.bits_allocated})"
        )
    if not header.bits_stored - 1 <= header.high_bit < header.bits_allocated:
        raise ImagingError(
            path,
            f"HighBit is {header.high_bit}, expected BitsStored − 1 ({header.bits_stored - 1}) "
            f"to BitsAllocated − 1 ({header.bits_allocated - 1})",
        )


def _within(dataset: Any, keyword: str, path: str, low: int, high: int, default: int | None = None) -> int:
    found = integer(dataset, keyword, path, default)
    if not low <= found <= high:
        raise ImagingError(path, f"{keyword} is {found}, expected {low} to {high}")
    return found
