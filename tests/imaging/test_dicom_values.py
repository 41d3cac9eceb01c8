"""From stored to physical values, on files made to order."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian

from tomograd.imaging import ImagingError, VOIWindow, read, read_stored

GENERATOR = np.random.default_rng(5)


def item(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.sampled_from([(1, 1), (3, 5), (7, 2), (2, 3, 5), (4, 3, 3), (5, 4, 3)]),
    kind=st.sampled_from(["uint8", "uint16", "int16", "int32", "uint32"]),
    slope=st.floats(0.01, 100),
    intercept=st.floats(-2000, 2000),
    seed=st.integers(0, 99),
)
def test_rescale_round_trip(make_dicom, shape, kind, slope, intercept, seed):
    limits = np.iinfo(kind)
    stored = np.random.default_rng(seed).integers(limits.min, limits.max, shape, kind, endpoint=True)
    slope, intercept = float(f"{slope:.6g}"), float(f"{intercept:.6g}")  # what a DICOM decimal string can hold
    colors = {"RescaleSlope": None} if shape[-1] == 3 else {"RescaleSlope": slope, "RescaleIntercept": intercept}
    path = make_dicom("one.dcm", stored, **colors)
    assert np.array_equal(read_stored(path), stored)
    expected = stored if shape[-1] == 3 else stored.astype(np.float64) * slope + intercept
    np.testing.assert_allclose(read(path).pixels, expected, rtol=1e-6)


def test_ct_without_a_stated_unit_is_in_hounsfield_units(make_dicom):
    stored = np.array([[0, 24], [1024, 2048]], np.int16)
    image = read(make_dicom("ct.dcm", stored, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024))
    assert image.units == "HU"
    assert np.array_equal(image.pixels, stored - 1024.0)
    assert image.value_range == (-32768 - 1024, 32767 - 1024)
    assert read(make_dicom("raw.dcm", stored, Modality="CT")).units is None
    unspecified = {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US"}
    assert read(make_dicom("us.dcm", stored, **unspecified)).units is None


def test_each_frame_has_its_own_rescale_and_plane(make_dicom):
    stored = GENERATOR.integers(0, 100, (3, 4, 5), np.uint16)
    groups = [
        item(
            PixelValueTransformationSequence=Sequence([item(RescaleSlope=s, RescaleIntercept=i, RescaleType="HU")]),
            PlanePositionSequence=Sequence([item(ImagePositionPatient=[0, 0, 2.5 * n])]),
        )
        for n, (s, i) in enumerate([(1, 0), (2, -5), (0.5, 7)])
    ]
    shared = item(
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
        PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.5, 0.25])]),
    )
    path = make_dicom(
        "enhanced.dcm",
        stored,
        PerFrameFunctionalGroupsSequence=Sequence(groups),
        SharedFunctionalGroupsSequence=Sequence([shared]),
    )
    image = read(path)
    expected = stored * np.array([1, 2, 0.5])[:, None, None] + np.array([0, -5, 7])[:, None, None]
    np.testing.assert_allclose(image.pixels, expected)
    assert image.spacing == (2.5, 0.5, 0.25)
    assert image.units == "HU"
    assert image.affine @ [2, 1, 3, 1] == pytest.approx([0.75, 0.5, 5.0, 1])


@pytest.mark.parametrize("signed", [False, True])
def test_monochrome1_is_turned_over_its_range(make_dicom, signed):
    """The same picture stored as MONOCHROME2, and turned as MONOCHROME1, reads the same, and so do its windows."""
    low, high = (-2048, 2047) if signed else (0, 4095)
    stored = GENERATOR.integers(low, high, (6, 5), np.int16 if signed else np.uint16)
    elements = {"BitsStored": 12, "HighBit": 11, "RescaleSlope": 2, "RescaleIntercept": -100}
    window = {"WindowCenter": 300.0, "WindowWidth": 150.0}
    upright = read(make_dicom("m2.dcm", stored, **elements, **window))
    center = 2 * (low + high) - 200 - 300.0 + 1  # a linear window is symmetric about center − 0.5
    turned = read(
        make_dicom(
            "m1.dcm",
            (low + high - stored).astype(stored.dtype),
            PhotometricInterpretation="MONOCHROME1",
            **elements,
            **{**window, "WindowCenter": center},
        )
    )
    assert turned.inverted
    assert turned.units is None
    assert np.array_equal(turned.pixels, upright.pixels)
    assert turned.windows == upright.windows == (VOIWindow(300.0, 150.0),)


def test_monochrome1_can_keep_its_measured_values(make_dicom):
    from tomograd.imaging import display, read_dicom

    stored = np.array([[0, 10], [20, 200]], np.uint8)
    path = make_dicom("pet.dcm", stored, PhotometricInterpretation="MONOCHROME1", Modality="PT", RescaleSlope=3,
                      RescaleIntercept=0, RescaleType="BQML")  # fmt: skip
    kept = read_dicom(path, invert=False)
    assert kept.units == "BQML"
    assert np.array_equal(kept.pixels, stored * 3.0)
    assert display(kept)[0, 0] == 1  # shown as the header asks: the smallest is white
    assert display(kept)[1, 1] == 0


def test_planar_colours_and_their_palette(make_dicom):
    stored = GENERATOR.integers(0, 255, (4, 6, 3), np.uint8)
    planes = np.ascontiguousarray(np.moveaxis(stored, -1, 0)).tobytes()
    image = read(make_dicom("planar.dcm", stored, PlanarConfiguration=1, pixels=planes))
    assert image.color
    assert np.array_equal(image.pixels, stored)


def test_a_segmented_palette_unfolds(make_dicom):
    """Discrete 10 20 30, linear to 60 in three steps, then the discrete segment once more (PS3.3 C.7.9.2)."""
    words = np.array([0, 3, 10, 20, 30, 1, 3, 60, 2, 1, 0, 0], "<u2").tobytes()
    elements = {}
    for color in ("Red", "Green", "Blue"):
        elements[f"{color}PaletteColorLookupTableDescriptor"] = [9, 2, 16]
        elements[f"Segmented{color}PaletteColorLookupTableData"] = words
    stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = read(make_dicom("p.dcm", stored, PhotometricInterpretation="PALETTE COLOR", **elements))
    expected = [10, 10, 10, 20, 30, 40, 50, 60, 10, 20, 30, 30]  # inputs begin at 2; beyond an end its value
    assert image.pixels[..., 0].ravel().tolist() == expected
    assert image.value_range == (0, 65535)


def test_a_palette_that_repeats_itself_without_end_is_refused(make_dicom):
    words = np.array([0, 1, 5, 2, 60000, 0, 0], "<u2").tobytes()
    elements = {}
    for color in ("Red", "Green", "Blue"):
        elements[f"{color}PaletteColorLookupTableDescriptor"] = [0, 0, 16]
        elements[f"Segmented{color}PaletteColorLookupTableData"] = words
    path = make_dicom("p.dcm", np.zeros((2, 2), np.uint8), PhotometricInterpretation="PALETTE COLOR", **elements)
    with pytest.raises(ImagingError, match="palette"):
        read(path)


@pytest.mark.parametrize("high_bit", [11, 13, 15])
def test_values_are_taken_from_below_the_high_bit(make_dicom, high_bit):
    """The bits above hold an old overlay, those below are noise: PS3.5 8.1.1."""
    values = GENERATOR.integers(0, 4096, (5, 7)).astype(np.uint16)
    word = (values << (high_bit - 11)) | (GENERATOR.integers(0, 2, (5, 7)) << (high_bit + 1)).astype(np.uint16)
    path = make_dicom("high.dcm", word.astype(np.uint16), BitsStored=12, HighBit=high_bit)
    assert np.array_equal(read_stored(path), values)


def test_signed_values_are_extended_from_their_bits(make_dicom):
    values = np.array([[-2048, -1], [0, 2047]], np.int16)
    path = make_dicom("signed.dcm", values & 0x0FFF, BitsStored=12, HighBit=11)
    assert np.array_equal(read_stored(path), values)


def test_big_endian(make_dicom):
    stored = GENERATOR.integers(-3000, 3000, (4, 5), np.int16)
    path = make_dicom("big.dcm", stored, syntax=ExplicitVRBigEndian, pixels=stored.astype(">i2").tobytes())
    assert np.array_equal(read(path).pixels, stored)


def test_one_bit_frames_are_unpacked(make_dicom):
    stored = GENERATOR.integers(0, 2, (3, 5, 7), np.uint8)  # 35 bits a frame: frames begin within a byte
    packed = np.packbits(stored.ravel(), bitorder="little").tobytes()
    path = make_dicom("seg.dcm", stored, BitsAllocated=1, BitsStored=1, HighBit=0, pixels=packed)
    assert np.array_equal(read(path).pixels, stored)


def test_float_pixels(make_dicom):
    stored = GENERATOR.standard_normal((3, 4)).astype(np.float32)
    elements = dict.fromkeys(("BitsStored", "HighBit", "PixelRepresentation"))
    image = read(make_dicom("float.dcm", stored, **elements))
    assert np.array_equal(image.pixels, stored)
    assert image.value_range is None
    stored[1, 2] = np.nan
    with pytest.raises(ImagingError, match=r"1 of 12 pixels are NaN or infinite, the first at \(1, 2\)"):
        read(make_dicom("nan.dcm", stored, **elements))


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"WindowCenter": [40, -600], "WindowWidth": [400, 1500]}, ((40, 400), (-600, 1500))),
        ({"WindowCenter": 0, "WindowWidth": 0}, ()),
        ({"WindowCenter": [10, 20], "WindowWidth": [0, 5]}, ((20, 5),)),
        ({"WindowCenter": 1, "WindowWidth": 0.5, "VOILUTFunction": "LINEAR_EXACT"}, ((1, 0.5),)),
        ({"WindowCenter": 1, "WindowWidth": 0.5}, ()),
        ({"WindowCenter": 40}, ()),
    ],
)
def test_windows_that_can_be_used(make_dicom, elements, expected):
    image = read(make_dicom("w.dcm", np.zeros((2, 2), np.uint8), **elements))
    assert tuple((window.center, window.width) for window in image.windows) == expected


def test_spacing_of_rows_comes_first(make_dicom):
    stored = np.zeros((2, 3), np.uint8)
    image = read(make_dicom("s.dcm", stored, PixelSpacing=[2.0, 0.5]))
    assert image.spacing == (2.0, 0.5)
    assert read(make_dicom("none.dcm", stored)).spacing is None
    assert read(make_dicom("zero.dcm", stored, PixelSpacing=[0, 0])).spacing is None
    assert read(make_dicom("film.dcm", stored, ImagerPixelSpacing=[0.2, 0.2])).spacing == (0.2, 0.2)
