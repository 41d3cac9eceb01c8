"""Folders of images: beside a folder of masks (segmentation), or one folder for each class (classification)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..dicom import read_header
from ..dicom.elements import text
from ..dicom.series import has_mark
from ..errors import ImagingError
from ..reading import IMAGE_SUFFIXES, read
from .dataset import CLASSIFICATION, SEGMENTATION, DataSet, Sample, listed, natural
from .masks import MASK_SUFFIXES, read_mask

IMAGE_FOLDERS = {"image", "images", "img", "imgs", "scan", "scans"}
MASK_FOLDERS = {
    "mask", "masks", "label", "labels", "segmentation", "segmentations", "annotation", "annotations", "gt",
    "groundtruth", "ground_truth",
}  # fmt: skip
PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
MASK_ENDINGS = re.compile(r"[-_. ](mask|seg|segmentation|label|gt)$", re.IGNORECASE)
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima", "")


@dataclass(frozen=True)
class Found:
    """A file in a data set's folder, and what the names of the folders around it say."""

    path: str
    role: str | None  # "image" or "mask" by a folder's name, else None
    part: str | None  # "train", "validation", "test" by a folder's name
    folders: tuple[str, ...]  # the other folders, outermost first
    stem: str

    @property
    def key(self) -> str:
        """What an image and its mask share."""
        return "/".join((*((self.part,) if self.part else ()), *self.folders, self.stem))


class FolderDataSet(DataSet):
    """Image files, each with a mask file or the number of a class."""

    def __init__(
        self,
        path: str,
        kind: str,
        images: Sequence[Found],
        targets: Sequence[str | int],
        class_names: Sequence[str],
        patients: Sequence[str | None],
        invert_masks: bool = False,
        budget: int | None = None,
    ) -> None:
        self.path, self.kind, self.class_names = path, kind, tuple(class_names)
        self.task = CLASSIFICATION if targets and isinstance(targets[0], int) else SEGMENTATION
        self.images, self.targets, self.invert_masks, self.budget = list(images), list(targets), invert_masks, budget
        self._patients = list(patients)
        self._asked: dict[int, str | None] = {}

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return self.images[index].key

    def part_of(self, index: int) -> str | None:
        return self.images[index].part

    def patient(self, index: int) -> str | None:
        """The PatientID of a DICOM image; else the folder that the image lies in, if there is one beyond its role."""
        if index not in self._asked:
            path = self.images[index].path
            is_dicom = Path(path).suffix.lower() in DICOM_SUFFIXES
            identifier = text(read_header(path), "PatientID") if is_dicom else None
            self._asked[index] = identifier or self._patients[index]
        return self._asked[index]

    def label(self, index: int) -> int:
        target = self.targets[index]
        if not isinstance(target, int):
            raise ImagingError(self.path, "its targets are masks, not labels")
        return target

    def sample(self, index: int) -> Sample:
        index = self._place(index)
        image = read(self.images[index].path, self.budget)
        target = self.targets[index]
        return Sample(
            image=image.channels_last(),
            target=target if isinstance(target, int) else self._mask(target, image.path, image.spatial_shape),
            name=self.name(index),
            patient=image.patient_id or self._patients[index],
            spacing=image.spacing,
            units=image.units,
            value_range=image.value_range,
        )

    def _mask(self, path: str, image_path: str, shape: tuple[int, ...]) -> np.ndarray:
        mask = read_mask(path, self.classes, self.invert_masks, self.budget)
        if mask.shape != shape:
            raise ImagingError(path, f"is a mask of {_size(mask.shape)}, but its image {image_path} is {_size(shape)}")
        return mask[..., np.newaxis]


def find_files(folder: str) -> list[Found]:
    """The images and masks under `folder`, in natural order of their names (slice 2 before slice 10)."""
    found = []
    for path in Path(folder).rglob("*"):
        relative = path.relative_to(folder)
        if any(piece.startswith(".") for piece in relative.parts) or not path.is_file():
            continue
        suffix = path.suffix.lower()
        known = suffix in IMAGE_SUFFIXES or suffix in MASK_SUFFIXES
        if not known and not (has_mark(path) and path.name != "DICOMDIR"):
            continue
        found.append(_found(path, relative, known))
    return sorted(found, key=lambda one: natural(one.key))


def _found(path: Path, relative: Path, known: bool) -> Found:
    role = part = None
    folders = []
    for folder in relative.parts[:-1]:
        lower = folder.lower()
        if role is None and lower in IMAGE_FOLDERS:
            role = "image"
        elif role is None and lower in MASK_FOLDERS:
            role = "mask"
        elif part is None and lower in PARTS:
            part = PARTS[lower]
        else:
            folders.append(folder)
    stem = path.name[: -len(path.suffix)] if known else path.name
    return Found(str(path), role, part, tuple(folders), stem)


def open_masks(
    folder: str,
    files: Sequence[Found],
    class_names: Sequence[str],
    invert_masks: bool,
    budget: int | None,
) -> FolderDataSet:
    """Images with masks, paired by name: folder images/ beside masks/ at any depth, or masks/ within the images.

    Raises ImagingError naming the images without a mask and the masks without an image, and two files of one name.
    """
    masks = _by_key(folder, [one for one in files if one.role == "mask" and _suffix(one) in MASK_SUFFIXES])
    marked = [one for one in files if one.role == "image"]
    candidates = marked or [one for one in files if one.role is None]
    images = _by_key(folder, [one for one in candidates if _suffix(one) not in (".npz", ".npy")])
    if not images:
        raise ImagingError(folder, "holds masks but no images")
    masks = {_shortened(key, images): mask for key, mask in masks.items()}
    missing = [key for key in images if key not in masks]
    extra = [key for key in masks if key not in images]
    if missing or extra:
        reasons = [f"{len(missing)} images have no mask ({listed(missing)})"] if missing else []
        reasons += [f"{len(extra)} masks have no image ({listed(extra)})"] if extra else []
        raise ImagingError(folder, " and ".join(reasons))
    return FolderDataSet(
        folder,
        "folder of images and masks",
        list(images.values()),
        [masks[key].path for key in images],
        class_names,
        ["/".join(one.folders) or None for one in images.values()],
        invert_masks,
        budget,
    )


def open_classes(
    folder: str, files: Sequence[Found], class_names: Sequence[str] | None, budget: int | None
) -> FolderDataSet:
    """One folder of images for each class, named by it; further folders within are patients.

    Raises ImagingError for images outside of any class, fewer than two classes, and other classes than `class_names`.
    """
    images = [one for one in files if _suffix(one) not in (".npz", ".npy")]
    loose = [one.key for one in images if not one.folders]
    if loose:
        raise ImagingError(folder, f"{len(loose)} images lie in no class folder ({listed(loose)})")
    there = sorted({one.folders[0] for one in images}, key=natural)
    names = list(class_names) if class_names is not None else there
    unknown = [name for name in there if name not in names]
    if unknown:
        raise ImagingError(folder, f"has the folders {listed(unknown)}, but the classes are {listed(names)}")
    if len(names) < 2:
        raise ImagingError(folder, f"has one class only ({names[0]}), expected a folder for each of two or more")
    _by_key(folder, images)
    return FolderDataSet(
        folder,
        "folder with one sub-folder for each class",
        images,
        [names.index(one.folders[0]) for one in images],
        names,
        ["/".join(one.folders[1:]) or None for one in images],
        budget=budget,
    )


def _by_key(folder: str, files: Iterable[Found]) -> dict[str, Found]:
    result: dict[str, Found] = {}
    for one in files:
        other = result.setdefault(one.key, one)
        if other is not one:
            names = f"{os.path.relpath(other.path, folder)} and {os.path.relpath(one.path, folder)}"
            raise ImagingError(folder, f"has two files of one name: {names}")
    return result


def _shortened(key: str, images: dict[str, Found]) -> str:
    """A mask called like its image with _mask, _seg … at the end belongs to that image."""
    short = MASK_ENDINGS.sub("", key)
    return short if key not in images and short in images else key


def _suffix(one: Found) -> str:
    return Path(one.path).suffix.lower()


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
