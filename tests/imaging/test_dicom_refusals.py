"""What a DICOM reader must not swallow: every one of these ends in an ImagingError, soon and with little memory."""

import gzip
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from tomograd.imaging import ImagingError, read, read_dicom, read_stored

STORED = np.random.default_rng(3).integers(0, 4000, (16, 12), np.uint16)


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Rows": None}, "the header has no Rows"),
        ({"Rows": 0}, "Rows is 0"),
        ({"Columns": None}, "the header has no Columns"),
        ({"BitsStored": 20}, "BitsStored is 20, expected 1 to BitsAllocated"),
        ({"BitsAllocated": 12}, "BitsAllocated is 12"),
        ({"HighBit": 3}, "HighBit is 3"),
        ({"HighBit": 16}, "HighBit is 16"),
        ({"PixelRepresentation": 2}, "PixelRepresentation is 2"),
        ({"PixelRepresentation": None}, "the header has no PixelRepresentation"),
        ({"SamplesPerPixel": 3}, "SamplesPerPixel is 3, but MONOCHROME2 has 1"),
        ({"PhotometricInterpretation": None}, "PhotometricInterpretation"),
        ({"PhotometricInterpretation": "HSV"}, "PhotometricInterpretation is 'HSV'"),
        ({"NumberOfFrames": 0}, "NumberOfFrames is 0"),
        ({"NumberOfFrames": 2}, "cut off: 384 bytes where the header asks for 768"),
        ({"Rows": 17}, "cut off: 384 bytes where the header asks for 408"),
        ({"Rows": 8}, "enough for 2 frames, but the header says 1"),
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, "RescaleSlope is 0"),
        ({"PixelSpacing": [1, 2, 3]}, "PixelSpacing has 3 values, expected 2"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "no RedPaletteColorLookupTableDescriptor"),
    ],
)
def test_headers_that_contradict_themselves(make_dicom, elements, reason):
    path = make_dicom("bad.dcm", STORED, **elements)
    with pytest.raises(ImagingError) as caught:
        read(path)
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_off_anywhere_is_refused(make_dicom, share):
    path = make_dicom("cut.dcm", STORED, RescaleSlope=1, RescaleIntercept=-1024)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ImagingError):
        read_dicom(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_a_damaged_header_is_read_or_refused_but_never_anything_else(make_dicom, data):
    path = make_dicom("damaged.dcm", STORED)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(128, len(content) - STORED.nbytes - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        image = read_dicom(path)
    except ImagingError as error:
        assert "\n" not in str(error)
    else:
        assert image.pixels.size


@given(content=st.binary(max_size=400))
def test_random_bytes_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("random") / "random.dcm"
    path.write_bytes(content)
    with pytest.raises(ImagingError):
        read(path)


@pytest.mark.parametrize("reader", [read, read_dicom, read_stored])
def test_missing_empty_and_foreign_files(tmp_path, reader):
    with pytest.raises(ImagingError, match="no such file"):
        reader(tmp_path / "missing.dcm")
    (tmp_path / "empty.dcm").write_bytes(b"")
    with pytest.raises(ImagingError, match="is empty"):
        reader(tmp_path / "empty.dcm")
    (tmp_path / "text.dcm").write_text("Dear patient, " * 30)
    with pytest.raises(ImagingError, match="is not a DICOM file"):
        reader(tmp_path / "text.dcm")


def test_no_pixel_data(make_dicom):
    with pytest.raises(ImagingError, match="has no pixel data"):
        read(make_dicom("none.dcm", STORED, pixels=b""))


def test_an_unknown_transfer_syntax(make_dicom):
    path = make_dicom("odd.dcm", STORED)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0"))
    with pytest.raises(ImagingError, match=r"1\.2\.840\.10008\.9\.9\.9"):
        read(path)


# --- small files that claim to be large


def peak_memory(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused(path, match, budget=None):
    def action():
        with pytest.raises(ImagingError, match=match):
            read_dicom(path, budget=budget)

    assert peak_memory(action) < 30 * 2**20


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGBaseline8Bit])
def test_a_small_compressed_file_that_claims_gigabytes(make_dicom, syntax):
    elements = {"Rows": 65535, "Columns": 65535, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    refused(make_dicom("bomb.dcm", STORED, syntax=syntax, pixels=encapsulate([b"\0" * 2000]), **elements), "budget")


def test_a_small_native_file_that_claims_gigabytes(make_dicom):
    refused(make_dicom("bomb.dcm", STORED, Rows=60000, Columns=60000), "budget")


def test_a_length_field_of_gigabytes_takes_no_memory(make_dicom):
    path = make_dicom("length.dcm", STORED)
    content = path.read_bytes()
    at = content.rindex(b"\xe0\x7f\x10\x00OW") + 8
    path.write_bytes(content[:at] + struct.pack("<I", 0xFFFFFFF0) + content[at + 4 : -100])
    refused(path, "cut off")


def test_frames_of_another_size_than_the_header_says(make_dicom):
    """The decoder would allocate what the codestream asks for, not what the header promises."""
    codestream = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + struct.pack(">8I", 60000, 60000, 0, 0, 60000, 60000, 0, 0)
    codestream += struct.pack(">HBBB", 1, 7, 1, 1) + b"\xff\xd9"
    path = make_dicom("j2k.dcm", STORED, syntax=JPEG2000Lossless, pixels=encapsulate([codestream]))
    refused(path, "holds an image of 60000 × 60000 with 1 sample.* the header says 16 × 12")
    jpeg = b"\xff\xd8\xff\xc0\x00\x0b\x08" + struct.pack(">HHB", 65000, 65000, 1) + b"\x01\x11\x00\xff\xd9"
    path = make_dicom("jpeg.dcm", STORED, syntax=JPEGBaseline8Bit, pixels=encapsulate([jpeg]))
    refused(path, "holds an image of 65000 × 65000")


def test_a_deflated_file_that_inflates_without_end(make_dicom):
    path = make_dicom("deflated.dcm", STORED, syntax=DeflatedExplicitVRLittleEndian)
    assert np.array_equal(read_stored(path), STORED)
    content = path.read_bytes()
    meta_length = struct.unpack("<I", content[140:144])[0]
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    path.write_bytes(content[: 144 + meta_length] + bomb)
    with pytest.raises(ImagingError, match="would inflate to more than its budget"):
        read_dicom(path, budget=2**20)
    path.write_bytes(content[:-7])
    with pytest.raises(ImagingError, match=r"cut off|damaged"):
        read_dicom(path)


def test_the_budget_is_the_callers_to_set(make_dicom):
    path = make_dicom("b.dcm", STORED)
    needed = STORED.size * 4  # as float32
    assert read_dicom(path, budget=needed).pixels.shape == STORED.shape
    with pytest.raises(ImagingError, match="budget"):
        read_dicom(path, budget=needed - 1)


# --- compressed frames


def test_fewer_and_more_frames_than_the_header_says(make_dicom):
    from pydicom.pixels import get_encoder

    small = STORED.astype(np.uint8)
    options = {"rows": 16, "columns": 12, "samples_per_pixel": 1, "bits_allocated": 8, "bits_stored": 8}
    options |= {"pixel_representation": 0, "photometric_interpretation": "MONOCHROME2", "number_of_frames": 1}
    frame = get_encoder(RLELossless).encode(small, encoding_plugin="pydicom", **options)
    two = encapsulate([frame, frame])
    read(make_dicom("right.dcm", np.stack([small] * 2), syntax=RLELossless, pixels=two))
    for frames in (1, 3):
        path = make_dicom("wrong.dcm", small, syntax=RLELossless, pixels=two, NumberOfFrames=frames)
        with pytest.raises(ImagingError):
            read(path)
    broken = encapsulate([frame, frame[: len(frame) // 2]])
    with pytest.raises(ImagingError):
        read(make_dicom("broken.dcm", np.stack([small] * 2), syntax=RLELossless, pixels=broken))


@pytest.mark.parametrize("name", ["j2k_lossless", "jpegls_lossless", "jpeg_lossless_sv1", "jpeg_baseline", "rle"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_frame_cut_short_is_not_filled_up(dicom_folder, tmp_path, name, share):
    """The file is whole, its only frame is not: decoders differ in what they make of that; none of it is an image."""
    import pydicom
    from pydicom.encaps import generate_frames

    dataset = pydicom.dcmread(dicom_folder / "transfer_syntaxes" / f"ct_{name}.dcm")
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    cut = frame[: int(len(frame) * share) // 2 * 2]
    dataset.PixelData = encapsulate([cut])
    dataset.save_as(tmp_path / "cut.dcm")
    with pytest.raises(ImagingError):
        read_dicom(tmp_path / "cut.dcm")


def test_other_compressed_files_are_not_dicom(tmp_path):
    path = tmp_path / "scan.dcm"
    path.write_bytes(gzip.compress(os.urandom(1000)))
    with pytest.raises(ImagingError, match="is not a DICOM file"):
        read(path)
