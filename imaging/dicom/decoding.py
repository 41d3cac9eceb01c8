"""From pixel bytes to the array of stored values, by pydicom's decoders and the plugins of the `imaging` extra."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ImagingError, brief
from ..extras import INSTALL
from .codestream import RLE, check_frame
from .header import PixelHeader
from .parsing import Parsed, PixelElement

# The first of these that there is reads a file, and its refusal is final: another might fill what it cannot read.
# pydicom's own decoder knows RLE only, and unlike pylibjpeg's it never panics on damaged data.
DECODERS = ("pydicom", "pylibjpeg", "pyjpegls", "gdcm", "pillow")


def stored_values(source: Parsed, header: PixelHeader, element: PixelElement) -> np.ndarray:
    """The stored values, (rows, columns), with frames before and samples behind where there are several.

    The YBR colour spaces are turned into RGB, as most decoders do by themselves.
    """
    decoder = _decoder(source)
    options = _options(source, header, element)
    if decoder.is_encapsulated:
        if element.stated_length is not None and header.native_bytes == len(element.value):
            raise ImagingError(source.path, "the pixel data are not compressed, but the transfer syntax says so")
        _check_frames(source, header, element, options)
        options["decoding_plugin"] = next(name for name in DECODERS if name in decoder.available_plugins)
    else:
        header.check_native_length(source.path, len(element.value))
    # Bits above High Bit may hold anything (old overlays, for one), those below its range too: PS3.5 8.1.1.
    shifted = header.high_bit != header.bits_stored - 1 and (not decoder.is_encapsulated or decoder.UID == RLE)
    if shifted:
        options["correct_unused_bits"] = False
    try:
        pixels, properties = decoder.as_array(element.value, **options)
    except Exception as error:  # see elements.value_of
        raise ImagingError(source.path, f"the pixel data cannot be decoded ({brief(error)})") from error
    if shifted:
        pixels = _shifted(pixels, header)
    photometric = str(properties["photometric_interpretation"])
    if header.samples == 3 and photometric != "RGB":
        raise ImagingError(source.path, f"its colours are {photometric}, which cannot be turned into RGB")
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _decoder(source: Parsed) -> Any:
    from pydicom.pixels import get_decoder

    try:
        decoder = get_decoder(source.transfer_syntax)
    except NotImplementedError as error:
        raise ImagingError(
            source.path, f"the transfer syntax {source.transfer_syntax} is not one whose images can be decoded"
        ) from error
    if not decoder.is_available:
        raise ImagingError(source.path, f"its compression ({decoder.UID.name}) needs a decoder: {INSTALL}")
    return decoder


def _options(source: Parsed, header: PixelHeader, element: PixelElement) -> dict[str, Any]:
    """What pydicom's decoder must know: our checked header, never its own second reading of the data set."""
    options: dict[str, Any] = {
        "rows": header.rows,
        "columns": header.columns,
        "number_of_frames": header.frames,
        "samples_per_pixel": header.samples,
        "bits_allocated": header.bits_allocated,
        "bits_stored": header.bits_stored,
        "photometric_interpretation": header.photometric,
        "pixel_keyword": header.keyword,
        "pixel_representation": int(header.signed),
        "planar_configuration": header.planar,
        "pixel_vr": element.vr or "OW",
        "allow_excess_frames": False,
    }
    offsets = [source.header.get(name) for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    if all(isinstance(one, bytes) for one in offsets):
        options["extended_offsets"] = tuple(offsets)
    return options


def _check_frames(source: Parsed, header: PixelHeader, element: PixelElement, options: dict[str, Any]) -> None:
    """Every compressed frame is there, none besides, and each says the size that the header says."""
    from pydicom.encaps import generate_frames

    count = 0
    try:
        frames = generate_frames(
            element.value, number_of_frames=header.frames, extended_offsets=options.get("extended_offsets")
        )
        for count, frame in enumerate(frames, start=1):
            check_frame(source.path, source.transfer_syntax, frame, count - 1, header)
    except ImagingError:
        raise
    except Exception as error:  # see elements.value_of
        raise ImagingError(source.path, f"the compressed frames cannot be told apart ({brief(error)})") from error
    if count != header.frames:
        raise ImagingError(source.path, f"the pixel data hold {count} frames, but the header says {header.frames}")


def _shifted(pixels: np.ndarray, header: PixelHeader) -> np.ndarray:
    """The stored value out of its place in the word: up to drop the bits above High Bit, down to drop those below."""
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=True)
    native <<= header.bits_allocated - 1 - header.high_bit
    native >>= header.bits_allocated - header.bits_stored
    return native
