"""Reads event files from their specification alone: nothing of the writer under test is used here.

Records as https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/lib/io/record_writer.h describes them,
CRC-32C by bits as RFC 3720, appendix B.4, defines it, protocol buffers as protobuf.dev/programming-guides/encoding.
"""

import struct

import numpy as np


def crc32c(data):
    """Bit by bit: the polynomial 0x1EDC6F41, reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF


def unmasked(masked):
    rotated = (masked - 0xA282EAD8) % 2**32
    return (rotated << 15 | rotated >> 17) % 2**32


def records(raw):
    """The data of each record; an AssertionError for a torn or damaged one."""
    at = 0
    while at < len(raw):
        length, of_length = struct.unpack_from("<QI", raw, at)
        assert unmasked(of_length) == crc32c(raw[at : at + 8]), f"record at {at}: length"
        data = raw[at + 12 : at + 12 + length]
        (of_data,) = struct.unpack_from("<I", raw, at + 12 + length)
        assert unmasked(of_data) == crc32c(data), f"record at {at}: data"
        yield data
        at += 16 + length


def _varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """{field: [values]} of a message: integers, 8 or 4 bytes as they are, or what is between lengths."""
    found, at = {}, 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            size = {1: 8, 5: 4}[kind]
            value, at = data[at : at + size], at + size
        assert at <= len(data)
        found.setdefault(key >> 3, []).append(value)
    return found


def tensor(data):
    message = fields(data)
    sizes = [fields(dimension).get(1, [0])[0] for dimension in fields(message[2][0]).get(2, [])]
    (kind,) = message[1]
    if kind == 7:
        return message[8] if sizes else message[8][0].decode()
    content = np.frombuffer(message[4][0], {1: "<f4", 2: "<f8"}[kind])
    return content.reshape(sizes)


def events(path):
    """[(step, tag, plugin, class of data, value)] of a file; the first event must say the version."""
    (first, *rest) = [fields(data) for data in records(path.read_bytes())]
    assert first[3] == [b"brain.Event:2"]
    assert struct.unpack("<d", first[1][0])[0] > 1e9
    found = []
    for event in rest:
        assert struct.unpack("<d", event[1][0])[0] > 1e9
        for value in fields(event[5][0])[1]:
            message = fields(value)
            metadata = fields(message[9][0])
            plugin = fields(metadata[1][0])[1][0].decode()
            found.append((event.get(2, [0])[0], message[1][0].decode(), plugin, metadata[4][0], tensor(message[8][0])))
    return found
