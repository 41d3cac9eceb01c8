"""The synthetic study is real DICOM, the same for the same seed, and not to be solved by brightness."""

import numpy as np
import pydicom
import pytest
from scipy import ndimage

from tomograd.imaging import ImagingError, open_dataset, read, read_series, split, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("studies") / "study", patients=6, slices=10, size=96, seed=0)


def test_files_and_folders(study):
    assert len(study.images) == len(study.masks) == 60
    assert study.images[0].relative_to(study.folder).as_posix() == "images/SYNTHETIC-0001/slice-000.dcm"
    assert study.masks[-1].relative_to(study.folder).as_posix() == "masks/SYNTHETIC-0006/slice-009.png"
    assert all(path.exists() for path in (*study.images, *study.masks))
    assert sorted(path.name for path in study.folder.iterdir()) == ["images", "masks"]
    assert sorted(path.name for path in study.folder.parent.iterdir()) == ["study"]


def test_it_reads_as_a_data_set(study):
    data = open_dataset(study.folder)
    assert len(data) == 60
    assert sorted(set(data.patients)) == [f"SYNTHETIC-{n:04d}" for n in range(1, 7)]
    sample = data[3]
    assert sample.image.shape == sample.target.shape == (96, 96, 1)
    assert sample.units == "HU"
    assert sample.spacing == pytest.approx((330 / 96, 330 / 96))
    (train, test), how = split(data, (0.8, 0.2))
    assert how == "patient"
    assert not {data.patients[i] for i in train} & {data.patients[i] for i in test}


def test_a_patient_is_a_series_with_true_spacing(study):
    volume = read_series(study.images[0].parent)
    assert volume.pixels.shape == (10, 96, 96)
    assert volume.spacing == pytest.approx((5.0, 330 / 96, 330 / 96), abs=1e-5)
    assert volume.patient_id == "SYNTHETIC-0001"


def test_the_headers_are_plainly_synthetic_and_complete(study):
    dataset = pydicom.dcmread(study.images[0])
    assert str(dataset.PatientName) == "Synthetic^Patient0001"
    assert dataset.PatientIdentityRemoved == "YES"
    assert "not an image of a patient" in dataset.DerivationDescription
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert (dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType) == (1, -1024, "HU")
    assert dataset.pixel_array.dtype == np.int16
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SliceThickness", "PatientSex"):
        assert keyword in dataset
    assert len({pydicom.dcmread(path).SOPInstanceUID for path in study.images}) == 60
    assert read(study.images[0]).windows[0][:2] == (-600, 1500)


def test_the_same_seed_gives_the_same_bytes(study, tmp_path):
    again = write_study(tmp_path / "again", patients=2, slices=10, size=96, seed=0)
    other = write_study(tmp_path / "other", patients=1, slices=10, size=96, seed=1)
    for path, first in zip((*again.images, *again.masks), (*study.images[:20], *study.masks[:20]), strict=True):
        assert path.read_bytes() == first.read_bytes()
    assert not np.array_equal(read(other.images[0]).pixels, read(study.images[0]).pixels)


def test_it_looks_like_a_chest(study):
    """Air around, dark lungs on both sides of a bright middle, bone; in Hounsfield units."""
    pixels = np.stack([read(path).pixels for path in study.images])
    assert np.median(pixels[:, :8]) == pytest.approx(-1000, abs=40)
    assert np.median(pixels[:, 44:52, 20:32]) < -700
    assert np.median(pixels[:, 44:52, 64:76]) < -500
    assert np.median(pixels[:, 56:60, 46:50]) > -100
    assert pixels.max() > 400


def test_nodules_are_discs_of_five_pixels_and_more(study):
    masks = np.stack([open_dataset(study.folder)[index].target[..., 0] for index in range(60)])
    present = masks.any(axis=(1, 2))
    assert 0.5 < present.mean() < 0.98
    sizes = []
    for one in masks[present]:
        labels, count = ndimage.label(one)
        sizes += [int((labels == number + 1).sum()) for number in range(count)]
    whole = [size for size in sizes if size > 3]  # a pixel cut off by the border of the lung is no nodule
    assert np.percentile(whole, 5) >= 14
    assert max(whole) > 3 * min(whole)


def test_brightness_alone_does_not_find_them(study):
    data = open_dataset(study.folder)
    pixels = np.stack([sample.image for sample in data])
    truth = np.stack([sample.target for sample in data]) > 0

    def dice(found):
        return 2 * (found & truth).sum() / (found.sum() + truth.sum())

    assert max(dice(pixels > limit) for limit in range(-900, 600, 50)) < 0.1
    bands = [(low, low + width) for low in range(-900, 300, 100) for width in (100, 200, 400)]
    assert max(dice((pixels > low) & (pixels < high)) for low, high in bands) < 0.4
    inside = truth & (pixels > -600)
    assert inside.sum() > 0.6 * truth.sum()  # yet they can be seen


@pytest.mark.parametrize("size", [48, 64, 128])
def test_other_sizes(tmp_path, size):
    study = write_study(tmp_path / "s", patients=1, slices=6, size=size, seed=2)
    volume = read_series(study.images[0].parent)
    assert volume.pixels.shape == (6, size, size)
    assert any(read(path).pixels.any() for path in study.masks)


@pytest.mark.parametrize("settings", [{"patients": 0}, {"slices": 0}, {"size": 8}, {"size": 5000}, {"seed": -1}])
def test_settings_out_of_range(tmp_path, settings):
    with pytest.raises(ImagingError, match="expected"):
        write_study(tmp_path / "s", **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(ImagingError, match="is not an empty folder"):
        write_study(tmp_path, patients=1, slices=1, size=48)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    from tomograd.imaging import synthetic

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "png_bytes", stop)
    with pytest.raises(KeyboardInterrupt):
        write_study(tmp_path / "s", patients=1, slices=2, size=48)
    assert list(tmp_path.iterdir()) == []
