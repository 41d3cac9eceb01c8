"""A folder of slices becomes one volume in the order of the patient, or an error that says what is wrong with it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tomograd.imaging import ImagingError, read, read_series

AXIAL = [1, 0, 0, 0, 1, 0]
CORONAL_TURNED, OBLIQUE, STEEP = [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0.990960, 0.134158], [0.6, 0.8, 0, 0, 0, -1]


@pytest.fixture
def make_series(make_dicom):
    """`make(heights, …)` writes one slice for each height; slice n holds the value n. Returns the folder."""

    def make(heights, folder="series", orientation=AXIAL, prefix="s", series="1.2.3", shape=(3, 4), **elements):
        row, column = np.array(orientation[:3]), np.array(orientation[3:])
        normal = np.cross(row, column)
        for number, height in enumerate(heights):
            name = f"{folder}/{prefix}{number:03d}.dcm"
            values = {
                "ImagePositionPatient": [f"{v:.4f}" for v in np.array([5.0, -7.0, 2.0]) + height * normal],
                "ImageOrientationPatient": [f"{v:.6f}" for v in orientation],
                "PixelSpacing": [0.5, 0.75],
                "InstanceNumber": 100 - number,
                "SliceThickness": 99,
                "SeriesInstanceUID": series,
                **elements,
            }
            path = make_dicom(name, np.full(shape, number, np.uint16), **values)
        return path.parent

    return make


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(
    order=st.permutations(range(6)),
    gap=st.sampled_from([0.5, 1.25, 4.0]),
    orientation=st.sampled_from([AXIAL, CORONAL_TURNED, OBLIQUE, STEEP]),
    folder=st.uuids(),
)
def test_slices_are_ordered_by_position(make_series, order, gap, orientation, folder):
    volume = read_series(make_series([gap * place for place in order], str(folder), orientation))
    assert volume.pixels.shape == (6, 3, 4)
    assert volume.pixels[:, 0, 0].tolist() == np.argsort(order).tolist()
    assert volume.spacing == pytest.approx((gap, 0.5, 0.75), abs=1e-3)
    normal = np.cross(orientation[:3], orientation[3:])
    assert volume.affine[:3, 0] == pytest.approx(gap * normal, abs=1e-3)
    assert volume.affine[:3, 1] == pytest.approx(0.5 * np.array(orientation[3:]), abs=1e-3)
    assert volume.affine[:3, 2] == pytest.approx(0.75 * np.array(orientation[:3]), abs=1e-3)
    assert volume.origin == pytest.approx((5.0, -7.0, 2.0), abs=1e-3)


def test_a_folder_is_read_like_a_file(make_series):
    folder = make_series([0, 2, 4])
    assert np.array_equal(read(folder).pixels, read_series(folder).pixels)


def test_other_files_in_the_folder_are_passed_over(make_series):
    folder = make_series([0, 2, 4])
    (folder / "README.md").write_text("about this series")
    (folder / "mask.png").write_bytes(b"\x89PNG")
    assert read_series(folder).pixels.shape == (3, 3, 4)


def test_a_tilted_gantry_keeps_its_oblique_step(make_series, make_dicom):
    for number in range(4):
        position = [5.0, -7.0 + 0.4 * number, 2.0 + 3 * number]
        path = make_dicom(
            f"tilt/{number}.dcm",
            np.zeros((2, 2), np.uint8),
            ImagePositionPatient=position,
            ImageOrientationPatient=AXIAL,
            PixelSpacing=[1, 1],
        )
    volume = read_series(path.parent)
    assert volume.spacing[0] == pytest.approx(3.0)
    assert volume.affine[:3, 0] == pytest.approx([0, 0.4, 3])


@pytest.mark.parametrize(
    ("heights", "reason"),
    [
        ([0, 2, 4, 8, 10], r"s002\.dcm and s003\.dcm are 4 mm apart where others are 2 mm"),
        ([0, 2, 4, 4], r"s002\.dcm and s003\.dcm lie at the same place"),
        ([0, 2, 4, 6.5], r"are 2\.5 mm apart where others are 2 mm"),
    ],
)
def test_gaps_and_duplicates(make_series, heights, reason):
    with pytest.raises(ImagingError, match=reason):
        read_series(make_series(heights))


def test_positions_to_a_tenth_of_a_millimetre_are_regular_enough(make_series):
    volume = read_series(make_series([round(3.33 * n, 1) for n in range(8)]))
    assert volume.spacing[0] == pytest.approx(3.33, abs=0.02)


def test_slices_that_do_not_fit_together(make_series):
    make_series([0, 2], "sizes")
    with pytest.raises(ImagingError, match="differ in size"):
        read_series(make_series([4], "sizes", prefix="t", shape=(3, 5)))
    make_series([0, 2], "orientations")
    with pytest.raises(ImagingError, match="differ in orientation"):
        read_series(make_series([4], "orientations", [0, 1, 0, 0, 0, -1], prefix="t"))
    make_series([0, 2], "spacings")
    with pytest.raises(ImagingError, match="differ in pixel spacing"):
        read_series(make_series([4], "spacings", prefix="t", PixelSpacing=[0.5, 0.5]))
    make_series([0, 2], "units", Modality="CT", RescaleSlope=1, RescaleIntercept=0)
    with pytest.raises(ImagingError, match="differ in kind"):
        read_series(make_series([4], "units", prefix="t"))


def test_several_series_are_listed_and_can_be_chosen(make_series):
    make_series([0, 2, 4], "two", series="1.2.3", Modality="CT", SeriesDescription="lung")
    folder = make_series([0, 5], "two", prefix="t", series="9.8.7", Modality="MR")
    with pytest.raises(ImagingError, match=r"2 series.*1\.2\.3 \(CT lung, 3 slices\); 9\.8\.7 \(MR, 2 slices\)"):
        read_series(folder)
    assert read_series(folder, series="9.8.7").spacing[0] == pytest.approx(5)
    with pytest.raises(ImagingError, match=r"holds no series 5\.5"):
        read_series(folder, series="5.5")


def test_a_damaged_slice_is_never_left_out(make_series):
    folder = make_series([0, 2, 4, 6])
    last = folder / "s003.dcm"
    last.write_bytes(last.read_bytes()[:300])
    with pytest.raises(ImagingError, match=r"s003\.dcm"):
        read_series(folder)


def test_slices_without_a_position(make_series):
    with pytest.raises(ImagingError, match="has no ImagePositionPatient"):
        read_series(make_series([0, 2], ImagePositionPatient=None))
    with pytest.raises(ImagingError, match="no usable ImageOrientationPatient"):
        read_series(make_series([0, 2], "flat", ImageOrientationPatient=[1, 0, 0, 1, 0, 0]))


def test_empty_and_missing_folders(tmp_path):
    with pytest.raises(ImagingError, match="holds no DICOM images"):
        read_series(tmp_path)
    with pytest.raises(ImagingError, match="no such file or folder"):
        read_series(tmp_path / "missing")


def test_one_slice_has_no_known_thickness(make_series):
    volume = read_series(make_series([3]))
    assert volume.pixels.shape == (1, 3, 4)
    assert volume.spacing == (None, 0.5, 0.75)


def test_the_whole_volume_stays_within_its_budget(make_series):
    folder = make_series([0, 2, 4])
    assert read_series(folder, budget=3 * 3 * 4 * 4).pixels.shape == (3, 3, 4)
    with pytest.raises(ImagingError, match="budget"):
        read_series(folder, budget=3 * 3 * 4 * 4 - 1)
