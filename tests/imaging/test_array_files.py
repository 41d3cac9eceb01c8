"""npz, npy and idx: round trips, and headers that are not believed."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomograd.imaging import ImagingError, NpzFile, is_idx, read, read_idx, read_npy, read_npz, write_npz

ARRAYS = hnp.arrays(
    dtype=st.sampled_from(["u1", "i2", "<i8", ">f4", "f8", "?", "U5"]),
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


def idx(array, code, packed=True):
    data = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    return gzip.compress(data) if packed else data


@given(array=ARRAYS, compress=st.booleans(), fortran=st.booleans())
def test_npz_round_trip(tmp_path_factory, array, compress, fortran):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    array = np.asfortranarray(array) if fortran else array
    write_npz(path, {"first": array, "second": np.arange(3)}, compress=compress)
    arrays = read_npz(path)
    assert list(arrays) == ["first", "second"]
    assert arrays["first"].dtype == array.dtype
    assert arrays["first"].shape == array.shape
    assert arrays["first"].tobytes() == array.tobytes()
    assert NpzFile(path).shapes["first"] == array.shape


@given(array=ARRAYS)
def test_npy_round_trip(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, array)
    assert read_npy(path).tobytes() == array.tobytes()


@pytest.mark.parametrize(("code", "kind"), [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_of_every_type(tmp_path, code, kind, packed):
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    (tmp_path / "a").write_bytes(idx(array, code, packed))
    found = read_idx(tmp_path / "a")
    assert np.array_equal(found, array)
    assert found.dtype.isnative


def test_objects_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ImagingError, match="Python objects"):
        write_npz(tmp_path / "a.npz", {"x": np.array([{}, None])})
    np.savez(tmp_path / "a.npz", x=np.array([{}, None]))
    with pytest.raises(ImagingError, match="never Python objects"):
        read_npz(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", np.array([print]), allow_pickle=True)
    with pytest.raises(ImagingError, match="never Python objects"):
        read_npy(tmp_path / "a.npy")


@given(share=st.floats(0, 1, exclude_max=True), kind=st.sampled_from(["npz", "npy", "idx", "idx.gz"]))
def test_truncated_anywhere(tmp_path_factory, share, kind):
    array = np.random.default_rng(0).integers(0, 255, (6, 7, 8), np.uint8)
    file = io.BytesIO()
    if kind == "npz":
        np.savez_compressed(file, x=array)
    elif kind == "npy":
        np.save(file, array)
    else:
        file.write(idx(array, 8, packed=kind == "idx.gz"))
    content = file.getvalue()
    path = tmp_path_factory.mktemp("cut") / f"a.{kind}"
    path.write_bytes(content[: int(share * len(content))])
    reader = {"npz": read_npz, "npy": read_npy}.get(kind, read_idx)
    with pytest.raises(ImagingError):
        reader(path)


def test_an_idx_file_that_goes_on(tmp_path):
    (tmp_path / "a").write_bytes(idx(np.zeros((2, 3), np.uint8), 8, packed=False) + b"\0")
    with pytest.raises(ImagingError, match="goes on after the 6 bytes"):
        read_idx(tmp_path / "a")


def npz_of_zeros(path, claimed, real):
    """An npz whose member says that it has `claimed` bytes of numbers and really unpacks to `real` zeros."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({claimed},), }}".encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        member.write(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)
        for _ in range(real // 2**20):
            member.write(bytes(2**20))


def test_a_small_file_that_unpacks_to_much_is_refused_before(tmp_path):
    npz_of_zeros(tmp_path / "bomb.npz", 400 * 2**20, 400 * 2**20)
    assert (tmp_path / "bomb.npz").stat().st_size < 2**20
    with pytest.raises(ImagingError, match=r"would take 400\.0 MiB of memory.*budget of 256\.0 MiB"):
        read_npz(tmp_path / "bomb.npz")
    claim = bytes([0, 0, 8, 2]) + struct.pack(">2I", 70000, 70000)
    (tmp_path / "bomb.idx").write_bytes(gzip.compress(claim + bytes(99)))
    with pytest.raises(ImagingError, match="budget"):
        read_idx(tmp_path / "bomb.idx")


def test_a_header_that_claims_more_or_less_than_there_is(tmp_path):
    npz_of_zeros(tmp_path / "more.npz", 10**15, 2**20)
    with pytest.raises(ImagingError, match="header asks for"):
        NpzFile(tmp_path / "more.npz")
    npz_of_zeros(tmp_path / "less.npz", 5, 2**20)
    with pytest.raises(ImagingError, match="header asks for"):
        NpzFile(tmp_path / "less.npz")
    np.save(tmp_path / "a.npy", np.zeros(5))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(5,)", b"(9,)"))
    with pytest.raises(ImagingError, match="header asks for"):
        read_npy(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "header",
    [
        "(",
        "[" * 5000,
        "{'descr': '|u1'}",
        "{'descr': '|u1', 'fortran_order': 0, 'shape': (1,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': 'zz', 'fortran_order': False, 'shape': ()}",
    ],
)
def test_damaged_npy_headers(tmp_path, header):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + b"\0")
    with pytest.raises(ImagingError):
        read_npy(tmp_path / "a.npy")


def test_a_missing_array_names_those_there_are(tmp_path):
    write_npz(tmp_path / "a.npz", {"x": np.zeros(2), "y": np.zeros(2)})
    with pytest.raises(ImagingError, match="holds no array z, but x, y"):
        NpzFile(tmp_path / "a.npz").read("z")


def test_a_lone_array_reads_as_an_image(tmp_path):
    for shape, color in (((4, 5), False), ((3, 4, 5), False), ((4, 5, 3), True), ((2, 4, 5, 3), True)):
        array = np.random.default_rng(0).integers(0, 99, shape, np.uint16)
        write_npz(tmp_path / "a.npz", {"scan": array})
        image = read(tmp_path / "a.npz")
        assert np.array_equal(image.pixels, array)
        assert image.color == color
    write_npz(tmp_path / "nan.npz", {"scan": np.array([[np.nan]])})
    with pytest.raises(ImagingError, match="NaN"):
        read(tmp_path / "nan.npz")
    write_npz(tmp_path / "two.npz", {"a": array, "b": array})
    with pytest.raises(ImagingError, match="holds 2 arrays"):
        read(tmp_path / "two.npz")
    write_npz(tmp_path / "flat.npz", {"a": np.zeros(3)})
    with pytest.raises(ImagingError, match="which is no image"):
        read(tmp_path / "flat.npz")


def test_what_begins_as_an_idx_file(tmp_path):
    header = b"\0\0\x08\x01\0\0\0\x02"
    for name, data, known in (
        ("plain", header + b"\1\2", True),
        ("packed", gzip.compress(header + b"\1\2"), True),
        ("text", b"notes", False),
        ("packed text", gzip.compress(b"notes"), False),
        ("broken gzip", b"\x1f\x8b\x08\0\0", False),
        ("empty", b"", False),
    ):
        (tmp_path / name).write_bytes(data)
        assert is_idx(tmp_path / name) is known, name
    assert not is_idx(tmp_path / "missing")
