"""Event files, which TensorBoard reads: records of protocol buffers with checksums, written here byte by byte.

A record is its length (8 bytes, little endian), the masked CRC-32C of these 8 bytes, the data, and the data's masked
CRC-32C. Each record's data is one `Event` message. The messages and their field numbers are those of TensorBoard's
event.proto, summary.proto, tensor.proto, tensor_shape.proto and types.proto; the wire format is described at
https://protobuf.dev/programming-guides/encoding/. Scalars, histograms and strings are tensors with the name of the
plugin that shows them, as TensorFlow 2 writes them.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

FLOAT, DOUBLE, STRING = 1, 2, 7  # DataType
SCALAR, TENSOR, BLOBS = 1, 2, 3  # DataClass
BUCKETS = 30


# ------------------------------------------------------------------------------------------------------------- records


def record(data: bytes) -> bytes:
    """`data` as a record of the file."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def masked_crc(data: bytes) -> int:
    """CRC-32C (Castagnoli), turned right by 15 bits, plus a constant: a checksum of data that hold checksums."""
    crc = 0xFFFFFFFF
    table = _crc_table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc_table() -> list[int]:
    table = []
    for entry in range(256):
        for _ in range(8):
            entry = entry >> 1 ^ (0x82F63B78 if entry & 1 else 0)
        table.append(entry)
    return table


# ---------------------------------------------------------------------------------------------- fields of a message


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF  # negative numbers are written as 64 bits
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    """A string, bytes or message within the message."""
    return _varint(field << 3 | 2) + _varint(len(value)) + value


# ------------------------------------------------------------------------------------------------------------ messages


def first_event(wall_time: float) -> bytes:
    """The event that every file begins with: the format's version."""
    return _double(1, wall_time) + _bytes(3, b"brain.Event:2")


def event(wall_time: float, step: int, values: Iterable[bytes]) -> bytes:
    """An event with summaries' values, of a step."""
    summary = b"".join(_bytes(1, value) for value in values)
    return _double(1, wall_time) + _integer(2, step) + _bytes(5, summary)


def scalar(tag: str, value: float) -> bytes:
    """One number, in float32 as TensorBoard keeps it."""
    with np.errstate(over="ignore"):
        number = np.float32(value)
    return _value(tag, "scalars", SCALAR, _tensor(FLOAT, (), content=struct.pack("<f", number)))


def histogram(tag: str, data: np.ndarray) -> bytes:
    """How many of the numbers in `data` lie in each of 30 equal parts of their range; those that are not finite are in
    none. Equal numbers all stand in the last part, which like the others has no width; no numbers have no parts."""
    numbers = np.ravel(data).astype(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    rows = np.zeros((BUCKETS if numbers.size else 0, 3))
    if numbers.size:
        low, high = numbers.min() / 2, numbers.max() / 2  # halves: their difference is finite
        parts = np.full(numbers.shape, BUCKETS - 1)
        if high > low:
            parts = np.minimum((numbers / 2 - low) / (high - low) * BUCKETS, BUCKETS - 1).astype(np.int64)
        edges = np.linspace(low, high, BUCKETS + 1) * 2
        edges[0], edges[-1] = numbers.min(), numbers.max()
        rows = np.stack([edges[:-1], edges[1:], np.bincount(parts, minlength=BUCKETS)], axis=1)
    tensor = _tensor(DOUBLE, rows.shape, content=np.ascontiguousarray(rows, "<f8").tobytes())
    return _value(tag, "histograms", TENSOR, tensor)


def image(tag: str, pixels: np.ndarray) -> bytes:
    """A grey picture, (height, width) of uint8."""
    height, width = pixels.shape
    strings = [str(width).encode(), str(height).encode(), png(pixels)]
    return _value(tag, "images", BLOBS, _tensor(STRING, (3,), strings=strings))


def png(pixels: np.ndarray) -> bytes:
    """(height, width) of uint8 as a PNG file: https://www.w3.org/TR/png-3/"""
    height, width = pixels.shape
    rows = np.zeros((height, 1 + width), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = pixels
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes())),
        (b"IEND", b""),
    )
    parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
             for kind, data in chunks]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def text(tag: str, plugin: str, content: bytes, value: str) -> bytes:
    """A string for the plugin of this name."""
    return _value(tag, plugin, BLOBS, _tensor(STRING, (), strings=[value.encode()]), content)


def _value(tag: str, plugin: str, data_class: int, tensor: bytes, content: bytes = b"") -> bytes:
    """Summary.Value: 1 tag, 8 tensor, 9 metadata (1 plugin's data (1 name, 2 content), 4 class of data)."""
    plugin_data = _bytes(1, plugin.encode()) + (_bytes(2, content) if content else b"")
    metadata = _bytes(1, plugin_data) + _integer(4, data_class)
    return _bytes(1, tag.encode()) + _bytes(8, tensor) + _bytes(9, metadata)


def _tensor(kind: int, shape: Sequence[int], content: bytes | None = None, strings: Sequence[bytes] = ()) -> bytes:
    """TensorProto: 1 type, 2 shape (2 dimension (1 size)), 4 content or 8 strings."""
    sizes = b"".join(_bytes(2, _integer(1, size)) for size in shape)
    tensor = _integer(1, kind) + _bytes(2, sizes)
    tensor += _bytes(4, content) if content is not None else b""
    return tensor + b"".join(_bytes(8, string) for string in strings)


# ---------------------------------------------------------------------------------------------------- a model's graph


def keras_graph(model: Any) -> dict[str, Any] | None:
    """The layers and what each takes, in the form in which Keras writes a model and TensorBoard draws it; None for a
    model whose calls are not known (a subclass)."""
    from ..sequential import Sequential

    if isinstance(model, Sequential):
        layers = [_layer(layer, layer.name, None) for layer in model.layers]
        return {"class_name": "Sequential", "config": {"name": model.name, "layers": layers}}
    graph = getattr(model, "_graph", None)
    if graph is None:
        return None
    made: dict[Any, tuple[str, int]] = {}  # which symbol is what output of which call
    layers, taken = [], set[str]()
    for node in dict.fromkeys([symbol.node for symbol in model.inputs] + graph.nodes):
        name = node.layer.name
        while name in taken:  # called more than once
            name += "'"
        taken.add(name)
        made |= {symbol: (name, index) for index, symbol in enumerate(node.output_symbols())}
        layers.append(_layer(node.layer, name, [made[symbol] for symbol in node.input_symbols()]))
    ends = {
        "input_layers": [[made[symbol][0], 0, made[symbol][1]] for symbol in model.inputs],
        "output_layers": [[made[symbol][0], 0, made[symbol][1]] for symbol in model.outputs],
    }
    return {"class_name": "Functional", "config": {"name": model.name, "layers": layers, **ends}}


def _layer(layer: Any, name: str, inputs: list[tuple[str, int]] | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"class_name": type(layer).__name__, "config": {"name": name, "dtype": str(layer.dtype)}}
    if inputs is not None:
        histories = [{"config": {"keras_history": [maker, 0, index]}} for maker, index in inputs]
        entry["inbound_nodes"] = [{"args": histories}] if histories else []
    return entry
