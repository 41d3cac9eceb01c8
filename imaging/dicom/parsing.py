"""From a file to its parsed header, and from there to the bytes of its pixel data (DICOM PS3.10 7, PS3.5 A)."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..budget import allowance, readable
from ..errors import ImagingError, brief
from ..extras import mute
from ..files import BoundedReader, opened

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

PIXEL_TAGS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True)
class Parsed:
    """A header, and a stream that stands where its pixel data begins."""

    path: str
    file_size: int
    header: Any  # pydicom Dataset: everything before the pixel data
    transfer_syntax: str
    implicit: bool
    little_endian: bool
    stream: BinaryIO


@dataclass(frozen=True)
class PixelElement:
    """The pixel data as they lie in the file: `value` holds the compressed frames or the plain samples."""

    keyword: str
    vr: str | None
    stated_length: int | None  # None where the element's length is undefined (compressed data)
    value: bytes


@contextlib.contextmanager
def parsed(path: str, budget: int | None) -> Iterator[Parsed]:
    """Parse the header of a DICOM file; its pixel data are not read. Raises ImagingError."""
    mute("pydicom")
    with opened(path) as file:
        yield _parse(path, file, budget)


def read_pixel_element(source: Parsed) -> PixelElement:
    """Read the pixel data that follow the header; ImagingError if there are none or they cannot be taken apart."""
    from pydicom.filereader import read_dataset

    keyword = pixel_keyword(source)
    try:
        found = read_dataset(
            source.stream,
            source.implicit,
            source.little_endian,
            stop_when=lambda tag, vr, length: tag not in PIXEL_TAGS,
        )
        element = found.get_item(keyword)
    except Exception as error:  # see elements.value_of
        raise ImagingError(source.path, f"the pixel data cannot be read ({brief(error)})") from error
    if element is None:
        raise ImagingError(source.path, "the pixel data are cut off: the file ends before their last item")
    if not element.value:
        raise ImagingError(source.path, "the pixel data are empty")
    stated = getattr(element, "length", None)
    if stated == UNDEFINED_LENGTH or getattr(element, "is_undefined_length", False):
        stated = None
    return PixelElement(keyword, element.VR, stated, bytes(element.value))


def pixel_keyword(source: Parsed) -> str:
    """Which of the three pixel data elements stands where the header ended; ImagingError if none does."""
    start = source.stream.tell()
    tag = source.stream.read(4)
    source.stream.seek(start)
    if len(tag) == 4:
        group, element = struct.unpack("<HH" if source.little_endian else ">HH", tag)
        keyword = PIXEL_TAGS.get(group << 16 | element)
        if keyword is not None:
            return keyword
    raise ImagingError(source.path, "has no pixel data (or ends before them)")


def _parse(path: str, file: BoundedReader, budget: int | None) -> Parsed:
    from pydicom.filereader import dcmread, read_dataset

    has_preamble = _check_is_dicom(path, file)
    try:
        if has_preamble and _stated_syntax(file) == DEFLATED:
            stream = _inflated(path, file, budget)
            header = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag in PIXEL_TAGS)
            return Parsed(path, file.size, header, DEFLATED, False, True, stream)
        file.seek(0)
        header = dcmread(file, stop_before_pixels=True, force=True)
        implicit, little_endian = header.original_encoding
        syntax = str(header.file_meta.get("TransferSyntaxUID", "") or "")
    except ImagingError:
        raise
    except Exception as error:  # see elements.value_of; RecursionError too, from sequences nested without end
        raise ImagingError(path, f"cannot be parsed as DICOM ({brief(error)})") from error
    if not syntax:  # the file does not say: native data, in the encoding that the header was found to have
        syntax = IMPLICIT if implicit else EXPLICIT if little_endian else BIG_ENDIAN
    return Parsed(path, file.size, header, syntax, bool(implicit), bool(little_endian), file)


def _stated_syntax(file: BoundedReader) -> str:
    """The transfer syntax in the file meta information, which begins at byte 132; `file` is left behind its end.

    It is read apart from the rest because pydicom inflates a deflated file without a bound.
    """
    from pydicom.filereader import read_dataset

    file.seek(132)
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    return str(meta.get("TransferSyntaxUID", "") or "")


def _check_is_dicom(path: str, file: BoundedReader) -> bool:
    """A DICOM file has DICM at byte 128 (True); older ones begin with the data set itself, in group 2 or 8 (False).

    PS3.10 7.1. ImagingError if neither holds.
    """
    start = file.read(132)
    file.seek(0)
    if not start:
        raise ImagingError(path, "is empty (0 bytes)")
    if start[128:132] == b"DICM":
        return True
    if len(start) >= 8:
        group, element = struct.unpack("<HH", start[:4])
        if group in (0x0002, 0x0008) and element <= 0x0018:
            return False
    raise ImagingError(path, "is not a DICOM file: neither the mark DICM at byte 128 nor a header at its start")


def _inflated(path: str, file: BoundedReader, budget: int | None) -> BinaryIO:
    """The data set of a deflated file, inflated up to the file's allowance (PS3.5 A.5: raw deflate, RFC 1951)."""
    allowed = allowance(file.size, budget)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(file.read(), allowed + 1)
    except zlib.error as error:
        raise ImagingError(path, f"its deflated data are damaged ({brief(error)})") from error
    if len(data) > allowed:
        raise ImagingError(
            path, f"would inflate to more than its budget of {readable(allowed)} (pass budget=BYTES to allow more)"
        )
    if not inflater.eof:
        raise ImagingError(path, "its deflated data are cut off")
    return io.BytesIO(data)
