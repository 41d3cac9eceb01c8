"""Data sets of every kind, whole and broken."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomograd.imaging import (
    ImagingError,
    Percentile,
    UnitRange,
    mask_classes,
    open_dataset,
    read_mask,
    write_npz,
    write_png,
)

GENERATOR = np.random.default_rng(2)


def image(size=(6, 5)):
    return GENERATOR.integers(0, 256, size, np.uint8)


def mask(size=(6, 5), values=(0, 255)):
    return GENERATOR.choice(np.array(values, np.uint8), size)


def put(folder, name, pixels):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, pixels)
    return path


def put_pairs(folder, names, images="images/{}.png", masks="masks/{}.png", values=(0, 255)):
    kept = {}
    for name in names:
        kept[name] = image(), mask(values=values)
        put(folder, images.format(name), kept[name][0])
        put(folder, masks.format(name), kept[name][1])
    return kept


# --- images and masks


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images/{}.png", "masks/{}.png"),
        ("image/{}.png", "label/{}.png"),
        ("Images/{}.png", "Labels/{}.png"),
        ("{}.png", "masks/{}.png"),
        ("images/{}.png", "masks/{}_mask.png"),
        ("imgs/{}.png", "masks/{}-seg.png"),
    ],
)
def test_masks_are_paired_by_name(tmp_path, images, masks):
    kept = put_pairs(tmp_path, ["2", "10", "1"], images, masks)
    data = open_dataset(tmp_path)
    assert data.task == "segmentation"
    assert data.names == ["1", "2", "10"]  # as a person counts
    assert data.patients == [None] * 3
    for sample in data:
        assert np.array_equal(sample.image[..., 0], kept[sample.name][0])
        assert np.array_equal(sample.target[..., 0], kept[sample.name][1] == 255)
        assert sample.image.dtype == np.float32
        assert sample.value_range == (0, 255)
    assert data.suggested_scaling() == UnitRange(0, 255)


@pytest.mark.parametrize("pattern", ["{kind}/{patient}/{name}.png", "{patient}/{kind}/{name}.png"])
def test_patients_are_folders(tmp_path, pattern):
    for patient in ("anna", "bob"):
        for name in ("1", "2"):
            put(tmp_path, pattern.format(kind="images", patient=patient, name=name), image())
            put(tmp_path, pattern.format(kind="masks", patient=patient, name=name), mask())
    data = open_dataset(tmp_path)
    assert data.patients == ["anna", "anna", "bob", "bob"]
    assert data.names == ["anna/1", "anna/2", "bob/1", "bob/2"]


def test_parts_are_folders(tmp_path):
    for part in ("train", "val", "test"):
        put_pairs(tmp_path, ["1", "2"], f"{part}/images/{{}}.png", f"{part}/masks/{{}}.png")
    data = open_dataset(tmp_path)
    assert {name: len(part) for name, part in data.parts().items()} == {"train": 2, "validation": 2, "test": 2}
    assert open_dataset(tmp_path, part="validation").names == ["validation/1", "validation/2"]
    with pytest.raises(ImagingError, match="has no part 'dev': it has train, validation, test"):
        data.part("dev")


def test_masks_and_images_that_lack_each_other(tmp_path):
    put_pairs(tmp_path, [str(n) for n in range(9)])
    for name in range(7):
        (tmp_path / "masks" / f"{name}.png").unlink()
    put(tmp_path, "masks/extra.png", mask())
    with pytest.raises(ImagingError) as caught:
        open_dataset(tmp_path)
    assert "7 images have no mask (0, 1, 2, 3, 4 and 2 more) and 1 masks have no image (extra)" in str(caught.value)


def test_a_mask_of_another_size(tmp_path):
    put_pairs(tmp_path, ["a", "b"])
    put(tmp_path, "masks/b.png", mask((5, 5)))
    data = open_dataset(tmp_path)
    data.sample(0)
    with pytest.raises(ImagingError, match=r"masks/b\.png: is a mask of 5 × 5, but its image .*b\.png is 6 × 5"):
        data.sample(1)


def test_two_files_of_one_name(tmp_path):
    put_pairs(tmp_path, ["a"])
    put(tmp_path, "images/a.tif.png", image()).rename(tmp_path / "images" / "a.bmp")
    with pytest.raises(ImagingError, match="two files of one name"):
        open_dataset(tmp_path)


def test_class_numbers_and_their_range(tmp_path):
    put_pairs(tmp_path, ["a"], values=(0, 1, 2, 3))
    put(tmp_path, "masks/a.png", np.arange(30, dtype=np.uint8).reshape(6, 5) % 4)
    data = open_dataset(tmp_path, classes=4)
    assert data.classes == 4
    assert set(np.unique(data[0].target)) == {0, 1, 2, 3}
    with pytest.raises(ImagingError, match=r"holds the class number 3, but there are 3 classes \(0 to 2\)"):
        open_dataset(tmp_path, class_names=["none", "liver", "spleen"]).sample(0)
    with pytest.raises(ImagingError, match="but there are 2 classes"):
        open_dataset(tmp_path).sample(0)


def test_the_foreground_can_be_the_dark_part(tmp_path):
    kept = put_pairs(tmp_path, ["a"])
    assert np.array_equal(open_dataset(tmp_path, invert_masks=True)[0].target[..., 0], kept["a"][1] == 0)
    with pytest.raises(ImagingError, match="cannot be inverted"):
        open_dataset(tmp_path, invert_masks=True, classes=3).sample(0)


def test_dicom_images_with_masks_and_patients(tmp_path, make_dicom):
    for patient, name in (("P1", "a"), ("P1", "b"), ("P2", "a")):
        stored = GENERATOR.integers(0, 2000, (6, 5), np.int16)
        elements = {"PatientID": f"ID-{patient}", "Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024}
        make_dicom(f"study/images/{patient}/{name}.dcm", stored, PixelSpacing=[0.7, 0.8], **elements)
        (tmp_path / "study" / "masks" / patient).mkdir(parents=True, exist_ok=True)
        write_npz(tmp_path / "study" / "masks" / patient / f"{name}.npz", {"mask": mask(values=(0, 1))})
    data = open_dataset(tmp_path / "study")
    assert data.patients == ["ID-P1", "ID-P1", "ID-P2"]
    assert data[0].units == "HU"
    assert data[0].spacing == (0.7, 0.8)
    assert data[2].patient == "ID-P2"
    assert data.suggested_scaling() == UnitRange(-1000, 600)


def test_volumes_with_volume_masks(tmp_path, make_dicom):
    make_dicom("study/images/a.dcm", GENERATOR.integers(0, 99, (3, 6, 5), np.uint16))
    (tmp_path / "study" / "masks").mkdir()
    volume = mask((3, 6, 5), (0, 1))
    np.save(tmp_path / "study" / "masks" / "a.npy", volume)
    sample = open_dataset(tmp_path / "study")[0]
    assert sample.image.shape == (3, 6, 5, 1)
    assert np.array_equal(sample.target[..., 0], volume)
    assert open_dataset(tmp_path / "study").suggested_scaling() == Percentile()


# --- what a mask may hold


@given(values=hnp.arrays(np.uint8, (3, 4), elements=st.integers(0, 1)), form=st.sampled_from(["01", "0255", "bool"]))
def test_the_three_ways_to_write_a_binary_mask(values, form):
    written = {"01": values, "0255": values * 255, "bool": values.astype(bool)}[form]
    assert np.array_equal(mask_classes(written), values)
    assert np.array_equal(mask_classes(written[..., np.newaxis]), values)
    assert np.array_equal(mask_classes(written, invert=True), 1 - values)


@pytest.mark.parametrize(
    "values",
    [[0, 2], [0, 254], [0, 1, 255], [0, 128, 255], [-1, 0], [0, 0.5], [0, np.nan], [0, np.inf], ["a", "b"]],
    ids=str,
)
def test_masks_that_are_none(values):
    with pytest.raises(ImagingError):
        mask_classes(np.array([values]))


def test_a_palette_mask_holds_its_indices(tmp_path):
    from PIL import Image as Picture

    numbers = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    picture = Picture.fromarray(numbers)
    picture.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10])
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png", classes=3), numbers)


def test_colours_are_a_mask_only_if_they_are_grey(tmp_path):
    grey = mask()
    put(tmp_path, "grey.png", np.stack([grey] * 3, -1))
    assert np.array_equal(read_mask(tmp_path / "grey.png"), grey == 255)
    put(tmp_path, "red.png", np.stack([grey, grey * 0, grey * 0], -1))
    with pytest.raises(ImagingError, match="is a mask in colours"):
        read_mask(tmp_path / "red.png")


# --- classes


def test_folders_are_classes(tmp_path):
    for label, name in (("cat", "1"), ("cat", "2"), ("dog", "1")):
        put(tmp_path, f"{label}/{name}.png", image())
    data = open_dataset(tmp_path)
    assert data.task == "classification"
    assert data.class_names == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 1]
    assert data[2].target == 1
    assert open_dataset(tmp_path, class_names=["dog", "mouse", "cat"]).labels.tolist() == [2, 2, 0]
    with pytest.raises(ImagingError, match="has the folders cat, but the classes are dog, mouse"):
        open_dataset(tmp_path, class_names=["dog", "mouse"])


def test_folders_of_parts_and_classes_and_patients(tmp_path):
    for part in ("train", "test"):
        for label in ("ill", "well"):
            for patient in ("p1", "p2"):
                put(tmp_path, f"{part}/{label}/{patient}/x.png", image())
    data = open_dataset(tmp_path)
    assert data.class_names == ("ill", "well")
    assert set(data.patients) == {"p1", "p2"}
    assert data.part("train").labels.tolist() == [0, 0, 1, 1]


def test_images_beside_class_folders(tmp_path):
    put(tmp_path, "cat/1.png", image())
    put(tmp_path, "loose.png", image())
    with pytest.raises(ImagingError, match=r"1 images lie in no class folder \(loose\)"):
        open_dataset(tmp_path)


# --- npz


def test_npz_with_masks_labels_and_a_split(tmp_path):
    path = tmp_path / "a.npz"
    images, masks = image((5, 6, 7)), mask((5, 6, 7), (0, 1))
    labels = np.array([0, 2, 1, 0, 2])
    write_npz(path, {"images": images, "masks": masks, "labels": labels, "split": np.array([0, 0, 1, 2, 0]),
                     "names": np.array(list("abcde")), "group": np.array(list("xxyzz"))})  # fmt: skip
    data = open_dataset(path)
    assert (data.task, data.classes, data.names) == ("segmentation", 2, list("abcde"))
    assert data.patients == list("xxyzz")
    assert np.array_equal(data[3].image[..., 0], images[3])
    assert np.array_equal(data[3].target[..., 0], masks[3])
    assert {name: part.names for name, part in data.parts().items()} == {
        "train": ["a", "b", "e"],
        "validation": ["c"],
        "test": ["d"],
    }
    labelled = open_dataset(path, task="classification", part="train")
    assert labelled.labels.tolist() == [0, 2, 2]
    assert labelled.classes == 3
    assert open_dataset(tmp_path).names == data.names  # the folder that holds it


@pytest.mark.parametrize("pattern", ["{part}_{kind}", "{short}_{part}"])
def test_npz_in_parts(tmp_path, pattern):
    arrays = {}
    for part, count in (("train", 4), ("test", 2)):
        arrays[pattern.format(part=part, kind="images", short="x")] = image((count, 6, 7, 3))
        arrays[pattern.format(part=part, kind="labels", short="y")] = np.arange(count)[:, np.newaxis] % 2
    write_npz(tmp_path / "a.npz", arrays)
    data = open_dataset(tmp_path / "a.npz")
    labels = {name: part.labels.tolist() for name, part in data.parts().items()}
    assert labels == {"train": [0, 1, 0, 1], "test": [0, 1]}
    assert data[0].image.shape == (6, 7, 3)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"images": image((3, 6, 7))}, "expected images with masks or labels"),
        ({"images": image((3, 6, 7)), "labels": np.arange(2)}, "labels has shape"),
        ({"images": image((3, 6, 7)), "labels": np.array([0, 1, 7]), "class_names": np.array(["a", "b"])},
         "sample 2 has the class number 7, but there are 2 classes"),
        ({"images": image((3, 6, 7)), "labels": np.array([0, -1, 1])}, "class number -1"),
        ({"images": image((3, 6, 7)), "labels": np.array([0.5, 1, 1])}, "expected one class number each"),
        ({"images": image((3, 6)), "labels": np.arange(3)}, "expected"),
        ({"images": image((3, 6, 7)), "labels": np.arange(3), "split": np.array([0, 1])}, "split has 2 entries"),
        ({"images": image((3, 6, 7)), "labels": np.arange(3), "split": np.array([0, 1, 3])}, "other codes than"),
        ({"images": image((0, 6, 7)), "labels": np.arange(0)}, "holds no samples"),
    ],
)  # fmt: skip
def test_npz_that_do_not_fit(tmp_path, arrays, reason):
    write_npz(tmp_path / "a.npz", arrays)
    with pytest.raises(ImagingError) as caught:
        open_dataset(tmp_path / "a.npz")
    assert reason in str(caught.value)


def test_npz_samples_that_do_not_fit(tmp_path):
    images = GENERATOR.random((3, 6, 7)).astype(np.float32)
    images[1, 2, 3] = np.nan
    masks = mask((3, 6, 7), (0, 1))
    masks[2, 0, 0] = 9
    write_npz(tmp_path / "a.npz", {"images": images, "masks": masks})
    data = open_dataset(tmp_path / "a.npz")
    data.sample(0)
    with pytest.raises(ImagingError, match=r"a\.npz\[1\]: 1 of 42 pixels are NaN"):
        data.sample(1)
    with pytest.raises(ImagingError, match=r"a\.npz\[2\]: holds the class number 9"):
        data.sample(2)
    write_npz(tmp_path / "b.npz", {"images": images, "masks": masks[:, :5]})
    with pytest.raises(ImagingError, match=r"has a mask of shape \(5, 7\), but an image of \(6, 7\)"):
        open_dataset(tmp_path / "b.npz").sample(0)


# --- idx


def write_idx(path, array):
    data = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def test_idx_files(tmp_path):
    kept = {}
    for part, name in (("train", "train"), ("test", "t10k")):
        kept[part] = image((4, 6, 7)), np.array([3, 1, 0, 2], np.uint8)
        write_idx(tmp_path / f"{name}-images-idx3-ubyte.gz", kept[part][0])
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", kept[part][1])
    data = open_dataset(tmp_path)
    assert list(data.parts()) == ["train", "test"]
    assert data.classes == 4
    test = open_dataset(tmp_path, part="test")
    assert test.labels.tolist() == [3, 1, 0, 2]
    assert np.array_equal(test[1].image[..., 0], kept["test"][0][1])
    with pytest.raises(ImagingError, match="class number 3, but there are 3 classes"):
        open_dataset(tmp_path, classes=3)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(5, np.uint8))
    with pytest.raises(ImagingError, match=r"has 5 labels, but train-images-idx3-ubyte\.gz 4 images"):
        open_dataset(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(ImagingError, match="has no file of labels beside it"):
        open_dataset(tmp_path)


# --- no data set


def test_paths_that_are_no_data_set(tmp_path):
    with pytest.raises(ImagingError, match="no such file or folder"):
        open_dataset(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImagingError, match="is an empty folder"):
        open_dataset(tmp_path / "empty")
    put(tmp_path, "images/a.png", image())
    with pytest.raises(ImagingError, match="no masks and no folders of classes; known are a folder of images"):
        open_dataset(tmp_path)
    with pytest.raises(ImagingError, match="is not a data set; known are"):
        open_dataset(tmp_path / "images" / "a.png")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("nothing")
    with pytest.raises(ImagingError, match="holds no images; known are"):
        open_dataset(tmp_path / "text")


def test_arguments_that_do_not_fit(tmp_path):
    put_pairs(tmp_path, ["a"])
    with pytest.raises(ImagingError, match="expected 'segmentation' or 'classification'"):
        open_dataset(tmp_path, task="detection")
    with pytest.raises(ImagingError, match="classes is 1"):
        open_dataset(tmp_path, classes=1)
    with pytest.raises(ImagingError, match="classes is 3, but 2 class names"):
        open_dataset(tmp_path, classes=3, class_names=["a", "b"])
    with pytest.raises(ImagingError, match="targets are masks, not labels"):
        _ = open_dataset(tmp_path).labels


# --- choosing


def test_select(tmp_path):
    put_pairs(tmp_path, [str(n) for n in range(12)])
    data = open_dataset(tmp_path)
    assert data.select("0-2,7,10-11").names == ["0", "1", "2", "7", "10", "11"]
    assert data.select([5, -1]).names == ["5", "11"]
    assert data.select("4-9").select("1-2").names == ["5", "6"]
    for wrong in ("5-12", "2-1", "a", "", "1-"):
        with pytest.raises(ImagingError):
            data.select(wrong)
    with pytest.raises(ImagingError, match="has no sample 12"):
        data.select([12])
    with pytest.raises(ImagingError, match="none of its samples"):
        data.select([])
    assert len(list(data)) == 12
    with pytest.raises(IndexError):
        data[12]


def test_in_memory_reads_once(tmp_path):
    put_pairs(tmp_path, ["a", "b"])
    data = open_dataset(tmp_path).in_memory()
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    assert data[1].name == "b"
    assert data.names == ["a", "b"]
    with pytest.raises(ImagingError, match="takes more than 10 bytes"):
        data.in_memory(budget=10)


@pytest.mark.parametrize(
    ("name", "count", "task", "parts"),
    [
        ("fashion-mnist", 70000, "classification", {"train": 60000, "test": 10000}),
        ("pneumoniamnist", 5856, "classification", {"train": 4708, "validation": 524, "test": 624}),
        ("ddti_thyroid", 630, "segmentation", {"train": 510, "test": 120}),
        ("herlev_cervical", 917, "classification", {"train": 716, "test": 201}),
        ("covid_ct", 746, "classification", {"train": 428, "validation": 121, "test": 197}),
    ],
)
def test_real_data_sets(data_folder, name, count, task, parts):
    data = open_dataset(data_folder / name)
    assert (len(data), data.task) == (count, task)
    assert {part: len(members) for part, members in data.parts().items()} == parts


def test_isbi_membranes_are_the_dark_part(data_folder):
    data = open_dataset(data_folder / "isbi2012", invert_masks=True)
    assert data.names == [str(number) for number in range(30)]
    training, held_out = data.select("0-23"), data.select("24-29")
    assert (len(training), len(held_out)) == (24, 6)
    assert np.mean([sample.target.mean() for sample in held_out]) == pytest.approx(0.20, abs=0.01)
    sample = training[0]
    membrane = sample.target > 0
    assert sample.image[membrane].mean() < sample.image[~membrane].mean()
