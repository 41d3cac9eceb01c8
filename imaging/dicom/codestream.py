"""What a compressed frame says of itself, compared with the header before a decoder sees it.

A decoder allocates by the frame's own size, not by the header's; and a decoder that is given half a frame may return
the other half as zeros. So both are checked here: the size in the frame's header, and the mark at its end.
"""

from __future__ import annotations

import struct

from ..errors import ImagingError
from .header import PixelHeader

JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = (
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
)
RLE = "1.2.840.10008.1.2.5"

END = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000
START_OF_SCAN = 0xDA
# SOF0 … SOF15 without DHT (C4), JPG (C8) and DAC (CC); SOF55 (F7) is JPEG-LS's
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
LARGEST_RLE_RATIO = 64  # a run of 128 equal bytes takes 2


def check_frame(path: str, syntax: str, frame: bytes, index: int, header: PixelHeader) -> None:
    """Raise ImagingError if compressed frame `index` is cut off or of another size than the header's."""
    if syntax == RLE:
        expected = header.rows * header.columns * header.samples * header.bits_allocated // 8
        if len(frame) < 64 or len(frame) * LARGEST_RLE_RATIO < expected:
            raise ImagingError(path, f"frame {index + 1} has {len(frame)} bytes, too few for {expected} of pixels")
        return
    if syntax in JPEG_2000:
        size = _jpeg_2000_size(frame)
    elif syntax in JPEG or syntax in JPEG_LS:
        size = _jpeg_size(frame)
    else:
        return
    if size is None:
        raise ImagingError(path, f"frame {index + 1} is damaged: its compressed data have no readable header")
    expected_size = (header.rows, header.columns, header.samples)
    if size != expected_size:
        raise ImagingError(
            path,
            f"frame {index + 1} holds an image of {_shown(size)}, but the header says {_shown(expected_size)}",
        )
    if END not in frame[-16:]:  # after it at most padding
        raise ImagingError(path, f"frame {index + 1} is cut off: its compressed data have no end")


def _shown(size: tuple[int, int, int]) -> str:
    return f"{size[0]} × {size[1]} with {size[2]} sample(s) a pixel"


def _jpeg_size(frame: bytes) -> tuple[int, int, int] | None:
    """Rows, columns, components of a JPEG or JPEG-LS frame (ITU-T T.81 B.2.2, T.87 C.2.2), None if not to be found."""
    if frame[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 4 <= len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in FRAME_HEADERS and at + 10 <= len(frame):
            rows, columns, components = struct.unpack(">HHB", frame[at + 5 : at + 10])
            return rows, columns, components
        if marker == START_OF_SCAN:
            return None
        at += 2 + struct.unpack(">H", frame[at + 2 : at + 4])[0]
    return None


def _jpeg_2000_size(frame: bytes) -> tuple[int, int, int] | None:
    """Rows, columns, components of a JPEG 2000 codestream, in a JP2 wrapper or bare (ITU-T T.800 A.5.1), else None."""
    at = frame.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 42 > len(frame):
        return None
    width, height, left, top = struct.unpack(">4I", frame[at + 8 : at + 24])
    (components,) = struct.unpack(">H", frame[at + 40 : at + 42])
    return height - top, width - left, components
