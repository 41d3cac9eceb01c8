"""`open_dataset`: what kind of data set a path is, told by what lies there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import ImagingError
from ..reading import kind_of
from .arrays import idx_pairs, open_idx, open_npz
from .dataset import CLASSIFICATION, SEGMENTATION, DataSet
from .folders import find_files, open_classes, open_masks

KINDS = (
    "a folder of images beside a folder of masks with the same names (images/ and masks/, image/ and label/); "
    "a folder with one sub-folder of images for each class; an npz file with images and masks or labels; "
    "a folder of idx files (train-images-idx3-ubyte.gz with train-labels-idx1-ubyte.gz)"
)


def open_dataset(
    path: str | os.PathLike[str],
    part: str | None = None,
    *,
    task: str | None = None,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    invert_masks: bool = False,
    budget: int | None = None,
) -> DataSet:
    """Open the data set at `path`; images are read when they are asked for.

    Known are: images with masks in folders (PNG, TIFF, JPEG, BMP or DICOM images; masks also as npz or npy; patients in
    sub-folders, DICOM's PatientID; folders train, val, test are parts), folders for classes, npz files, idx files.

    part: "train", "validation" or "test", where the data are divided. task: "segmentation" or "classification", where
    they could serve both. classes or class_names: how many classes there are, or what they are called; without them
    two for masks (see imaging.datasets.masks for what a mask may hold), for labels as many as there are. invert_masks:
    the object is 0 in the masks. budget: bytes that one file may unpack to (see imaging.budget).

    Raises ImagingError for a path that is missing or empty or none of these, images without masks, masks without
    images, labels out of range; and when a sample is read, for whatever is wrong with its files.
    """
    path = os.fspath(path)
    if task not in (None, SEGMENTATION, CLASSIFICATION):
        raise ImagingError(path, f"task {task!r}: expected {SEGMENTATION!r} or {CLASSIFICATION!r}")
    names = _class_names(path, classes, class_names)
    if os.path.isdir(path):
        data = _open_folder(path, task, names, invert_masks, budget)
    elif not os.path.exists(path):
        raise ImagingError(path, "no such file or folder")
    elif kind_of(path) == "npz":
        data = open_npz(path, task, names, invert_masks, budget)
    else:
        raise ImagingError(path, f"is not a data set; known are {KINDS}")
    if task is not None and data.task != task:
        raise ImagingError(path, f"is a {data.kind} for {data.task}, not for {task}")
    if invert_masks and data.task != SEGMENTATION:
        raise ImagingError(path, f"is a {data.kind} without masks, so none can be inverted")
    return data if part is None else data.part(part)


def _open_folder(
    path: str, task: str | None, names: Sequence[str] | None, invert_masks: bool, budget: int | None
) -> DataSet:
    if idx_pairs(path):
        return open_idx(path, names, budget)
    files = find_files(path)
    archives = [one.path for one in files if Path(one.path).suffix.lower() == ".npz"]
    if not files:
        there = any(Path(path).iterdir())
        raise ImagingError(path, f"holds no images; known are {KINDS}" if there else "is an empty folder")
    if len(archives) == len(files) == 1:
        return open_npz(archives[0], task, names, invert_masks, budget)
    if task != CLASSIFICATION and any(one.role == "mask" for one in files):
        return open_masks(path, files, names or ("background", "foreground"), invert_masks, budget)
    if task != SEGMENTATION and len({one.folders[:1] for one in files if one.role is None}) > 1:
        return open_classes(path, files, names, budget)
    raise ImagingError(path, f"holds {len(files)} images, but no masks and no folders of classes; known are {KINDS}")


def _class_names(path: str, classes: int | None, class_names: Sequence[str] | None) -> Sequence[str] | None:
    """The names of the classes, made up from their number where only that is given."""
    if class_names is not None:
        if classes is not None and classes != len(class_names):
            raise ImagingError(path, f"classes is {classes}, but {len(class_names)} class names are given")
        if len(set(class_names)) != len(class_names) or len(class_names) < 2:
            raise ImagingError(path, f"class names {list(class_names)}: expected two or more different ones")
        return list(class_names)
    if classes is None:
        return None
    if classes < 2:
        raise ImagingError(path, f"classes is {classes}, expected 2 or more (for masks with the background)")
    return ["background", "foreground"] if classes == 2 else [str(number) for number in range(classes)]
