"""The three kinds of table in a header: modality LUT, VOI LUT (PS3.3 C.11.1, C.11.2) and colour palettes (C.7.9)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ImagingError, brief
from ..image import LookupTable
from .elements import numbers, value_of

COLORS = ("Red", "Green", "Blue")
DISCRETE, LINEAR, INDIRECT = 0, 1, 2  # kinds of segments, PS3.3 C.7.9.2


def lookup_table(item: Any, path: str, signed: bool, little_endian: bool) -> LookupTable:
    """The table of a Modality or VOI LUT Sequence item; `signed`: whether its input values are."""
    entries, first, bits = _descriptor(item, "LUTDescriptor", path, signed)
    values = _entries(value_of(item, "LUTData", path), entries, bits, little_endian, path, "LUTData")
    return LookupTable(first, values.astype(np.float32))


def apply_palette(stored: np.ndarray, dataset: Any, path: str, signed: bool, little_endian: bool) -> np.ndarray:
    """The colours of palette indices: (…, 3) float32, 0 to 255 or to 65535 as the palette has 8 or 16 bits."""
    channels = []
    for color in COLORS:
        name = f"{color}PaletteColorLookupTable"
        entries, first, bits = _descriptor(dataset, f"{name}Descriptor", path, signed)
        data = value_of(dataset, f"{name}Data", path)
        if data is not None:
            table = _entries(data, entries, bits, little_endian, path, f"{name}Data")
        else:
            segments = value_of(dataset, f"Segmented{name}Data", path)
            table = _expanded(_words(segments, bits, little_endian, path, name), entries, bits, path)
        channels.append(LookupTable(first, table.astype(np.float32))(stored))
    return np.stack(channels, axis=-1)


def palette_maximum(dataset: Any, path: str) -> int:
    """The largest value of the palette's colours: 255 or 65535."""
    return 2 ** _descriptor(dataset, "RedPaletteColorLookupTableDescriptor", path, False)[2] - 1


def _descriptor(dataset: Any, keyword: str, path: str, signed: bool) -> tuple[int, int, int]:
    """Number of entries (0 means 65536), first input value, bits of an entry."""
    found = numbers(dataset, keyword, path, count=3)
    if found is None:
        raise ImagingError(path, f"the header has no {keyword}")
    entries, first, bits = (int(one) for one in found)
    entries = entries % 2**16 or 2**16
    if signed and first >= 2**15:  # written as unsigned, meant as signed
        first -= 2**16
    if not 1 <= bits <= 16:
        raise ImagingError(path, f"{keyword} says {bits} bits an entry, expected 8 to 16")
    return entries, first, 8 if bits <= 8 else 16


def _entries(data: Any, entries: int, bits: int, little_endian: bool, path: str, name: str) -> np.ndarray:
    """A plain table of `entries` values; 8-bit ones may have been written as a word each."""
    if isinstance(data, bytes) and bits == 8 and len(data) >= 2 * entries:
        bits = 16
    values = _words(data, bits, little_endian, path, name)
    if len(values) < entries:
        raise ImagingError(path, f"{name} has {len(values)} entries, but its descriptor says {entries}")
    return values[:entries]


def _words(data: Any, bits: int, little_endian: bool, path: str, name: str) -> np.ndarray:
    """Table data as numbers, from bytes (VR OW) or from numbers already (VR US)."""
    if data is None:
        raise ImagingError(path, f"the header has no {name}")
    if isinstance(data, bytes):
        size = bits // 8
        kind = np.dtype(f"u{size}").newbyteorder("<" if little_endian else ">")
        return np.frombuffer(data[: len(data) // size * size], dtype=kind).astype(np.int64)
    try:
        return np.asarray(data, dtype=np.int64).reshape(-1) & 0xFFFF
    except (TypeError, ValueError) as error:
        raise ImagingError(path, f"{name} does not hold numbers") from error


def _expanded(words: np.ndarray, entries: int, bits: int, path: str) -> np.ndarray:
    """A segmented palette written out, never longer than its descriptor says (PS3.3 C.7.9.2).

    Discrete segments list values; linear ones run from the last value to a new one; indirect ones repeat segments
    from an earlier place, and may not themselves be repeated, so that a short table cannot unfold without end.
    """
    values: list[float] = []
    try:
        _expand(words.tolist(), 0, None, values, entries, bits, nested=False)
    except (IndexError, ValueError) as error:
        raise ImagingError(path, f"its segmented colour palette is damaged ({brief(error)})") from error
    if len(values) < entries:
        raise ImagingError(path, f"its segmented colour palette has {len(values)} of {entries} entries")
    return np.asarray(values[:entries], dtype=np.float64)


def _expand(
    words: list[int], at: int, segments: int | None, values: list[float], entries: int, bits: int, nested: bool
) -> None:
    """Append the values of segments from `at` on: `segments` of them, or until the table is full or the data end."""
    while (segments is None or segments > 0) and at + 1 < len(words) and len(values) < entries:
        kind, length = words[at], words[at + 1]
        at += 2
        if length == 0:
            raise ValueError("a segment of no entries")
        if kind == DISCRETE:
            values.extend(words[at : at + length])
            at += length
        elif kind == LINEAR and values:
            values.extend(np.rint(np.linspace(values[-1], words[at], length + 1)[1:]).tolist())
            at += 1
        elif kind == INDIRECT and not nested:
            offset, used = _indirect_offset(words, at, bits)
            _expand(words, offset, length, values, entries, bits, nested=True)
            at += used
        else:
            raise ValueError(f"segment type {kind} cannot stand there")
        if segments is not None:
            segments -= 1


def _indirect_offset(words: list[int], at: int, bits: int) -> tuple[int, int]:
    """Where an indirect segment points to (in entries), and how many entries it takes up itself.

    Two words, the less significant first; in an 8-bit table these are four bytes.
    """
    if bits == 16:
        return (words[at + 1] << 16 | words[at]) // 2, 2
    return words[at + 3] << 24 | words[at + 2] << 16 | words[at + 1] << 8 | words[at], 4
