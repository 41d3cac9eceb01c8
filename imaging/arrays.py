"""npz, npy and idx files: arrays in and out, no pickle ever, headers believed only as far as the bytes go.

Formats: numpy.lib.format (npy), zip of npy (npz), and idx of LeCun's MNIST page: two zero bytes, a type, the number
of dimensions, the dimensions as big-endian uint32, then the numbers, big-endian; each may be gzipped.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from .budget import check_budget
from .errors import ImagingError, brief
from .files import opened, written

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_START = b"\x1f\x8b"
CHUNK = 2**24
LARGEST_HEADER = 10_000  # bytes of a npy header, as in NumPy: it is parsed as a Python literal


class NpzFile:
    """The arrays of an npz file: names, shapes and types at once, each array when it is asked for.

    `shapes` and `dtypes` by name. Arrays of Python objects are refused: they would be unpickled.
    """

    def __init__(self, path: str | os.PathLike[str], budget: int | None = None) -> None:
        self.path = os.fspath(path)
        self.budget = budget
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, np.dtype] = {}
        with self._archive() as (archive, _):
            for entry in archive.infolist():
                if not entry.filename.endswith(".npy"):
                    continue
                name = entry.filename.removesuffix(".npy")
                with archive.open(entry) as member:
                    header = _npy_header(f"{self.path}[{name}]", member)
                size = header.nbytes + header.length
                if size != entry.file_size:
                    raise ImagingError(
                        self.path, f"array {name} is {entry.file_size} bytes long where its header asks for {size}"
                    )
                self.shapes[name], self.dtypes[name] = header.shape, header.dtype
        if not self.shapes:
            raise ImagingError(self.path, "holds no arrays")

    @property
    def names(self) -> list[str]:
        """Names of the arrays, in the order of the file."""
        return list(self.shapes)

    def __contains__(self, name: str) -> bool:
        return name in self.shapes

    def read(self, name: str) -> np.ndarray:
        """The array called `name`. Raises ImagingError if there is none, it is damaged, or it passes its budget."""
        if name not in self.shapes:
            raise ImagingError(self.path, f"holds no array {name}, but {', '.join(self.names)}")
        with self._archive() as (archive, file_size), archive.open(f"{name}.npy") as member:
            where = f"{self.path}[{name}]"
            header = _npy_header(where, member)
            check_budget(where, header.nbytes, file_size, self.budget)
            return _npy_array(where, header, member)

    @contextmanager
    def _archive(self) -> Any:
        """The opened zip file and its size; whatever is wrong with it is an ImagingError."""
        with opened(self.path) as file:
            try:
                with zipfile.ZipFile(file) as archive:
                    yield archive, file.size
            except ImagingError:
                raise
            except Exception as error:  # zipfile raises its own and many builtin kinds on damaged files
                raise ImagingError(self.path, f"is not a readable npz file ({brief(error)})") from error


def read_npz(path: str | os.PathLike[str], budget: int | None = None) -> dict[str, np.ndarray]:
    """All arrays of an npz file by name. Raises ImagingError as `NpzFile`."""
    file = NpzFile(path, budget)
    total = sum(math.prod(file.shapes[name]) * file.dtypes[name].itemsize for name in file.names)
    check_budget(path, total, os.path.getsize(path), budget)
    return {name: file.read(name) for name in file.names}


def read_npy(path: str | os.PathLike[str], budget: int | None = None) -> np.ndarray:
    """The array of a npy file. Raises ImagingError if it is damaged, holds objects, or passes its budget."""
    path = os.fspath(path)
    with opened(path) as file:
        header = _npy_header(path, file)
        if header.nbytes + header.length != file.size:
            raise ImagingError(
                path, f"is {file.size} bytes long where its header asks for {header.nbytes + header.length}"
            )
        check_budget(path, header.nbytes, file.size, budget)
        return _npy_array(path, header, file)


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], compress: bool = True) -> None:
    """Write arrays under their names as an npz file; whole or not at all (see imaging.files). Objects are refused."""
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise ImagingError(path, f"array {name} holds Python objects, which would be pickled")
    with written(path) as file:
        save: Any = np.savez_compressed if compress else np.savez
        save(file, **dict(arrays))


def read_idx(path: str | os.PathLike[str], budget: int | None = None) -> np.ndarray:
    """The array of an idx file, gzipped or not, in native byte order.

    Raises ImagingError for another kind of file, one that is cut off or goes on after its numbers, or a budget passed.
    """
    path = os.fspath(path)
    with opened(path) as file:
        packed = file.read(2) == GZIP_START
        file.seek(0)
        try:
            stream: Any = gzip.GzipFile(fileobj=file) if packed else file
            dtype, shape = _idx_header(path, stream)
            needed = math.prod(shape) * dtype.itemsize
            check_budget(path, needed, file.size, budget)
            array = np.empty(shape, dtype)
            _fill(path, array, stream)
            if stream.read(1):
                raise ImagingError(path, f"goes on after the {needed} bytes that its header asks for")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ImagingError(path, f"its gzip data are cut off or damaged ({brief(error)})") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def is_idx(path: str | os.PathLike[str]) -> bool:
    """Whether a file, gzipped or not, begins as an idx file does."""
    try:
        with opened(os.fspath(path)) as file:
            packed = file.read(2) == GZIP_START
            file.seek(0)
            stream: Any = gzip.GzipFile(fileobj=file) if packed else file
            _idx_header(os.fspath(path), stream)
    except (ImagingError, EOFError, OSError, zlib.error):
        return False
    return True


class _Header:
    """A npy header: shape, type, order, and its own length in bytes."""

    def __init__(self, shape: tuple[int, ...], fortran: bool, dtype: np.dtype, length: int) -> None:
        self.shape, self.fortran, self.dtype, self.length = shape, fortran, dtype, length
        self.nbytes = math.prod(shape) * dtype.itemsize  # Python's integers: it cannot overflow


def _npy_header(path: str, stream: Any) -> _Header:
    """Read a npy header and nothing more (numpy.lib.format, versions 1 and 2)."""
    start = stream.read(8)
    if len(start) < 8 or start[:6] != b"\x93NUMPY":
        raise ImagingError(path, "is not a NumPy array")
    if start[6] not in (1, 2):
        raise ImagingError(path, f"is a NumPy array of format version {start[6]}, known are 1 and 2")
    size_format = "<H" if start[6] == 1 else "<I"
    size_bytes = stream.read(struct.calcsize(size_format))
    if len(size_bytes) < struct.calcsize(size_format):
        raise ImagingError(path, "is cut off in its header")
    (size,) = struct.unpack(size_format, size_bytes)
    if size > LARGEST_HEADER:
        raise ImagingError(path, f"has a header of {size} bytes, expected at most {LARGEST_HEADER}")
    text = stream.read(size)
    if len(text) < size:
        raise ImagingError(path, "is cut off in its header")
    shape, fortran, dtype = _parsed_header(path, text)
    return _Header(shape, fortran, dtype, len(start) + len(size_bytes) + size)


def _parsed_header(path: str, text: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    import ast

    try:
        fields = ast.literal_eval(text.decode("latin1").strip())
        shape, fortran, descr = fields["shape"], fields["fortran_order"], fields["descr"]
        dtype = np.dtype(descr)
        good = isinstance(shape, tuple) and all(type(one) is int and one >= 0 for one in shape)
        if not good or not isinstance(fortran, bool):
            raise ValueError("shape or order")
    except Exception as error:  # whatever a damaged literal makes Python raise, MemoryError and RecursionError too
        raise ImagingError(path, f"has a damaged header ({brief(error)})") from error
    if dtype.hasobject or dtype.kind not in "biufcSU":
        raise ImagingError(path, f"holds values of type {dtype}, expected numbers or text, never Python objects")
    return shape, fortran, dtype


def _npy_array(path: str, header: _Header, stream: BinaryIO | Any) -> np.ndarray:
    array = np.empty(header.shape, header.dtype, order="F" if header.fortran else "C")
    _fill(path, array.T if header.fortran else array, stream)
    return array


def _fill(path: str, array: np.ndarray, stream: Any) -> None:
    """Read a C-contiguous array's bytes, in pieces; ImagingError if the stream ends before."""
    if array.nbytes == 0:
        return
    flat: Any = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    at = 0
    while at < len(flat):
        piece = stream.read(min(CHUNK, len(flat) - at))
        if not piece:
            raise ImagingError(path, f"is cut off: {at} of {len(flat)} bytes of numbers")
        flat[at : at + len(piece)] = piece
        at += len(piece)


def _idx_header(path: str, stream: Any) -> tuple[np.dtype, tuple[int, ...]]:
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in IDX_TYPES or not 1 <= start[3] <= 8:
        raise ImagingError(path, "is not an idx file")
    sizes = stream.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise ImagingError(path, "is cut off in its header")
    return np.dtype(IDX_TYPES[start[2]]), struct.unpack(f">{start[3]}I", sizes)
