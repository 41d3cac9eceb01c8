"""Every real DICOM file of the collection: read as the reference reader reads it, or refused in one sentence."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tomograd.imaging import ImagingError, read, read_series, read_stored

DATA = Path(os.environ.get("TOMOGRAD_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
MANIFEST = DATA / "dicom" / "manifest.json"
ENTRIES = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else []


def entries(*expectations):
    chosen = [entry for entry in ENTRIES if entry["expect"] in expectations]
    return [pytest.param(entry, id=entry["file"]) for entry in chosen]


def assert_is_reference(stored, reference):
    assert list(stored.shape) == reference["shape"]
    assert stored.dtype == reference["dtype"]
    assert stored.min() == pytest.approx(reference["min"], abs=1e-6)
    assert stored.max() == pytest.approx(reference["max"], abs=1e-6)
    assert stored.mean(dtype=np.float64) == pytest.approx(reference["mean"], rel=1e-5, abs=1e-3)
    if not reference["lossy"]:
        little_endian = np.ascontiguousarray(stored, stored.dtype.newbyteorder("<"))
        assert hashlib.sha256(little_endian.tobytes()).hexdigest() == reference["sha256_pixels_le"]


def assert_one_sentence(error, path):
    assert str(error).startswith(f"{path}: ")
    assert "\n" not in str(error)
    assert 10 < len(error.reason) < 400


def test_the_collection_is_there():
    if not MANIFEST.exists():
        pytest.skip(f"no real DICOM files at {MANIFEST.parent} (set TOMOGRAD_DATA)")
    assert len(ENTRIES) == 85


@pytest.mark.parametrize("entry", entries("decode"))
def test_decodes_as_the_reference(entry):
    path = MANIFEST.parent / entry["file"]
    assert_is_reference(read_stored(path), entry["reference"])
    image = read(path)
    assert image.pixels.dtype == np.float32
    assert np.isfinite(image.pixels).all()


@pytest.mark.parametrize("entry", entries("tolerate_or_clean_error"))
def test_tolerates_or_says_why_not(entry):
    path = MANIFEST.parent / entry["file"]
    try:
        stored = read_stored(path)
        read(path)
    except ImagingError as error:
        assert_one_sentence(error, path)
    else:
        if "sha256_pixels_le" in entry["reference"]:
            assert_is_reference(stored, entry["reference"])


@pytest.mark.parametrize("entry", entries("clean_error"))
@pytest.mark.parametrize("reader", [read, read_stored])
def test_refuses_in_one_sentence(entry, reader):
    path = MANIFEST.parent / entry["file"]
    with pytest.raises(ImagingError) as caught:
        reader(path)
    assert_one_sentence(caught.value, path)


def test_a_slope_that_is_no_number_is_refused(dicom_folder):
    with pytest.raises(ImagingError, match="RescaleSlope is 'abc'"):
        read(dicom_folder / "malformed" / "m12_rescale_slope_not_a_number.dcm")


def test_a_file_without_preamble_gives_the_same_picture(dicom_folder):
    proper = read(dicom_folder / "xray" / "cr_mono1_chest.dcm")
    bare = read(dicom_folder / "malformed" / "acr_nema_no_preamble.dcm")
    assert np.array_equal(proper.pixels, bare.pixels)


def test_the_eight_lossless_encodings_give_equal_hounsfield_units(dicom_folder):
    names = ["explicit_le", "explicit_be", "deflated", "j2k_lossless", "jpegls_lossless", "jpeg_lossless_sv1"]
    names += ["jpeg_lossless_p14", "rle"]
    images = [read(dicom_folder / "transfer_syntaxes" / f"ct_{name}.dcm") for name in names]
    assert all(np.array_equal(image.pixels, images[0].pixels) for image in images)
    assert {image.units for image in images} == {"HU"}
    assert images[0].spacing == (0.675781, 0.675781)


def test_the_lossy_encodings_are_near(dicom_folder):
    """JPEG baseline and extended were windowed to 8 and 12 bits before; their rescale brings Hounsfield units back."""
    exact = read(dicom_folder / "transfer_syntaxes" / "ct_explicit_le.dcm").pixels
    body = exact > -1100  # outside of the scanner's circle the converter wrote something else
    for name, tolerance in {"j2k_lossy": 3, "jpegls_lossy": 3, "jpeg_extended": 12, "jpeg_baseline": 40}.items():
        lossy = read(dicom_folder / "transfer_syntaxes" / f"ct_{name}.dcm").pixels
        assert np.abs(lossy - exact)[body].mean() < tolerance, name


def test_a_monochrome1_film_is_turned(dicom_folder):
    path = dicom_folder / "xray" / "cr_mono1_chest.dcm"
    image, stored = read(path), read_stored(path)
    assert image.inverted
    assert np.array_equal(image.pixels, 1023 - stored.astype(np.float32))


def test_overlays_are_not_burned_in(dicom_folder):
    path = dicom_folder / "misc" / "MR-SIEMENS-DICOM-WithOverlays.dcm"
    assert np.array_equal(read(path).pixels, read_stored(path))


def test_palettes_become_colours(dicom_folder):
    image = read(dicom_folder / "multiframe" / "OBXXXX1A_rle_2frame.dcm")
    assert image.color
    assert image.pixels.shape == (2, 600, 800, 3)


def test_a_modality_table_is_applied(dicom_folder):
    import pydicom

    path = dicom_folder / "misc" / "mlut_18.dcm"
    item = pydicom.dcmread(path).ModalityLUTSequence[0]
    stored = read_stored(path)
    first = item.LUTDescriptor[1]
    first = first - 65536 if first >= 32768 else first
    table = np.frombuffer(item.LUTData, "<u2") if isinstance(item.LUTData, bytes) else np.array(item.LUTData)
    expected = table[np.clip(stored.astype(int) - first, 0, len(table) - 1)]
    assert np.array_equal(read(path).pixels, expected)


def test_the_chest_series_is_one_volume_with_its_true_spacing(dicom_folder):
    volume = read_series(dicom_folder / "ct_chest_series")
    assert volume.pixels.shape == (14, 512, 512)
    assert volume.spacing == pytest.approx((4.0, 0.759765625, 0.759765625))
    assert volume.units == "HU"
    assert volume.affine[:3, 0] == pytest.approx([0, 0, 4])
    heights = volume.affine[2, 3] + 4.0 * np.arange(14)
    for name in ("1-046", "1-070", "1-098"):
        single = read(dicom_folder / "ct_chest_series" / f"{name}.dcm")
        index = int(np.argmin(np.abs(heights - single.origin[2])))
        assert heights[index] == pytest.approx(single.origin[2])
        assert np.array_equal(volume.pixels[index], single.pixels)


def test_the_oblique_mr_series_has_no_window_and_is_still_shown(dicom_folder):
    from tomograd.imaging import display

    volume = read_series(dicom_folder / "mr_brain_series")
    assert volume.pixels.shape == (12, 256, 256)
    assert volume.spacing[0] == pytest.approx(7.0, abs=0.01)  # SpacingBetweenSlices says 2
    assert volume.windows == ()
    shown = display(volume)
    assert shown.min() == 0
    assert shown.max() == 1
    assert 0.05 < shown.mean() < 0.6


def test_a_folder_of_several_series_lists_them(dicom_folder):
    with pytest.raises(ImagingError, match=r"holds 3 series, choose one by its UID: .*CT.*US.*MR"):
        read_series(dicom_folder / "multiframe")
