"""Data sets in npz files (MedMNIST's keys and Keras's among others) and in pairs of idx files (MNIST's)."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..arrays import NpzFile, read_idx
from ..errors import ImagingError, brief
from ..image import check_finite
from .dataset import CLASSIFICATION, PARTS, SEGMENTATION, DataSet, Sample
from .masks import mask_classes

PART_NAMES = {"train": "train", "val": "validation", "validation": "validation", "test": "test", "t10k": "test"}
IMAGE_KEYS = ("images", "x", "X", "image")
MASK_KEYS = ("masks", "mask", "segmentations")
LABEL_KEYS = ("labels", "label", "y", "targets")
PATIENT_KEYS = ("patients", "patient", "patient_ids", "patient_id", "groups", "group")
IDX_IMAGES = re.compile(r"(?P<before>.*?)(?P<what>[-_.]?images)[-.]idx3-ubyte(\.gz)?$")


@dataclass(frozen=True)
class Block:
    """A run of samples: rows of an array of images and of one of targets, each loaded when first needed."""

    part: str | None
    length: int
    images: Callable[[], np.ndarray]
    targets: Callable[[], np.ndarray]
    names: np.ndarray | None = None
    patients: np.ndarray | None = None
    parts: tuple[str | None, ...] | None = None  # of each row, where it has no one part


class ArrayDataSet(DataSet):
    """Samples that are rows of arrays."""

    def __init__(
        self,
        path: str,
        kind: str,
        task: str,
        blocks: Sequence[Block],
        class_names: Sequence[str] | None,
        invert_masks: bool = False,
    ) -> None:
        self.path, self.kind, self.task = path, kind, task
        self.blocks, self.invert_masks = list(blocks), invert_masks
        self.places = [(block, row) for block in self.blocks for row in range(block.length)]
        if not self.places:
            raise ImagingError(path, "holds no samples")
        self.class_names = tuple(class_names) if class_names is not None else self._counted_classes()
        if task == CLASSIFICATION:
            self._check_labels()

    def __len__(self) -> int:
        return len(self.places)

    def name(self, index: int) -> str:
        block, row = self.places[index]
        if block.names is not None:
            return str(block.names[row])
        return f"{block.part}-{row}" if block.part else str(row)

    def patient(self, index: int) -> str | None:
        block, row = self.places[index]
        return None if block.patients is None else str(block.patients[row])

    def part_of(self, index: int) -> str | None:
        block, row = self.places[index]
        return block.parts[row] if block.parts is not None else block.part

    def label(self, index: int) -> int:
        if self.task != CLASSIFICATION:
            raise ImagingError(self.path, "its targets are masks, not labels")
        block, row = self.places[index]
        return int(block.targets()[row])

    def sample(self, index: int) -> Sample:
        index = self._place(index)
        block, row = self.places[index]
        stored = block.images()[row]
        where = f"{self.path}[{self.name(index)}]"
        check_finite(where, stored)
        largest = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(stored.dtype)
        return Sample(
            image=_with_channels(stored).astype(np.float32),
            target=self.label(index) if self.task == CLASSIFICATION else self._mask(block, row, where, stored),
            name=self.name(index),
            patient=self.patient(index),
            value_range=None if largest is None else (0.0, largest),
        )

    def _mask(self, block: Block, row: int, where: str, stored: np.ndarray) -> np.ndarray:
        mask = mask_classes(block.targets()[row], self.classes, self.invert_masks, where)
        shape = _with_channels(stored).shape[:-1]
        if mask.shape != shape:
            raise ImagingError(where, f"has a mask of shape {mask.shape}, but an image of {shape}")
        return mask[..., np.newaxis]

    def _counted_classes(self) -> tuple[str, ...]:
        """Without names: two classes of pixels, or as many classes of images as the largest label says."""
        if self.task == SEGMENTATION:
            return ("background", "foreground")
        largest = max(int(block.targets().max()) for block in self.blocks if block.length)
        return tuple(str(number) for number in range(max(largest + 1, 2)))

    def _check_labels(self) -> None:
        for block in self.blocks:
            labels = block.targets()
            wrong = np.flatnonzero((labels < 0) | (labels >= self.classes))
            if len(wrong):
                raise ImagingError(
                    self.path,
                    f"sample {wrong[0]} has the class number {labels[wrong[0]]}, but there are {self.classes} classes "
                    f"(0 to {self.classes - 1})",
                )


def open_npz(
    path: str,
    task: str | None,
    class_names: Sequence[str] | None,
    invert_masks: bool,
    budget: int | None,
) -> ArrayDataSet:
    """An npz file with images and masks, or images and labels, whole or in parts.

    Keys: images + masks | labels, x + y; each with a part before it (train_images, val_images …) or behind (x_train);
    beside them `split` (0 train, then validation if there is a 2, test; or the parts' names), names, patients (or
    group), class_names. Where there are masks and labels, `task` chooses; masks are the default.
    """
    file = NpzFile(path, budget)
    groups = _groups(file)
    if not groups:
        raise ImagingError(
            path, f"holds the arrays {', '.join(file.names)}, expected images with masks or labels (or x with y)"
        )
    if task is None:
        task = SEGMENTATION if all("masks" in keys for keys in groups.values()) else CLASSIFICATION
    wanted = "masks" if task == SEGMENTATION else "labels"
    lacking = [keys["images"] for keys in groups.values() if wanted not in keys]
    if lacking:
        raise ImagingError(path, f"has no {wanted} for {', '.join(lacking)}")
    if class_names is None and "class_names" in file:
        class_names = [str(name) for name in file.read("class_names")]
    blocks = [_block(file, part, keys, wanted) for part, keys in groups.items()]
    return ArrayDataSet(path, "npz file", task, blocks, class_names, invert_masks)


def open_idx(folder: str, class_names: Sequence[str] | None, budget: int | None) -> ArrayDataSet:
    """A folder of pairs of idx files: train-images-idx3-ubyte(.gz) with train-labels-idx1-ubyte(.gz), and so on."""
    blocks = []
    for images, labels, part in idx_pairs(folder):
        targets = _labels(labels, read_idx(labels, budget))
        count = _idx_count(images)
        if count != len(targets):
            raise ImagingError(labels, f"has {len(targets)} labels, but {os.path.basename(images)} {count} images")
        blocks.append(Block(part, count, _once(partial(read_idx, images, budget)), partial(np.asarray, targets)))
    return ArrayDataSet(folder, "folder of idx files", CLASSIFICATION, blocks, class_names)


def idx_pairs(folder: str) -> list[tuple[str, str, str | None]]:
    """Paths of the images and labels, and the part, of each pair of idx files in `folder`; a lone one is an error."""
    pairs: dict[str, tuple[str, str, str | None]] = {}
    for path in sorted(Path(folder).iterdir()):
        match = IDX_IMAGES.match(path.name)
        if match is None:
            continue
        before = match["before"]
        wanted = path.name[: match.start("what")] + match["what"].replace("images", "labels") + "-idx1-ubyte"
        found = [path.with_name(name) for name in (wanted, f"{wanted}.gz", wanted.replace("-idx1", ".idx1"))]
        labels = next((str(one) for one in found if one.exists()), None)
        if labels is None:
            raise ImagingError(path, f"has no file of labels beside it ({wanted})")
        word = re.split(r"[-_.]", before)[-1].lower()
        pairs.setdefault(before, (str(path), labels, PART_NAMES.get(word)))
    order = {part: place for place, part in enumerate((*PARTS, None))}
    return sorted(pairs.values(), key=lambda pair: order[pair[2]])


def _groups(file: NpzFile) -> dict[str | None, dict[str, str]]:
    """For each part (None: the file as a whole) the keys of its images, masks, labels, names and patients."""
    groups: dict[str | None, dict[str, str]] = {}
    for before, behind, part in [("", "", None), *_affixes()]:
        kinds = {"images": IMAGE_KEYS, "masks": MASK_KEYS, "labels": LABEL_KEYS, "patients": PATIENT_KEYS}
        kinds["names"] = ("names",)
        keys = {}
        for kind, candidates in kinds.items():
            there = [key for one in candidates if (key := f"{before}{one}{behind}") in file]
            if there:
                keys[kind] = there[0]
        if "images" in keys and ("masks" in keys or "labels" in keys):
            groups.setdefault(part, keys)
    return groups


def _affixes() -> list[tuple[str, str, str]]:
    """What may stand before or behind a key for a part: train_images, x_train."""
    return [(f"{word}_", "", part) for word, part in PART_NAMES.items()] + [
        ("", f"_{word}", part) for word, part in PART_NAMES.items()
    ]


def _block(file: NpzFile, part: str | None, keys: dict[str, str], wanted: str) -> Block:
    images, targets = keys["images"], keys[wanted]
    shape = file.shapes[images]
    if len(shape) < 3 or file.dtypes[images].kind not in "biuf":
        raise ImagingError(file.path, f"{images} is {file.dtypes[images]} of shape {shape}, expected (n, H, W, …)")
    count = shape[0]
    for kind in (wanted, "names", "patients"):
        if kind in keys and file.shapes[keys[kind]][:1] != (count,):
            raise ImagingError(
                file.path, f"{keys[kind]} has shape {file.shapes[keys[kind]]}, but there are {count} {images}"
            )
    if wanted == "labels":
        labels = _labels(f"{file.path}[{targets}]", file.read(targets))
        load_targets: Callable[[], np.ndarray] = partial(np.asarray, labels)
    else:
        load_targets = _once(partial(file.read, targets))
    return Block(
        part,
        count,
        _once(partial(file.read, images)),
        load_targets,
        names=file.read(keys["names"]) if "names" in keys else None,
        patients=file.read(keys["patients"]) if "patients" in keys else None,
        parts=_split(file, count) if part is None and "split" in file else None,
    )


def _split(file: NpzFile, count: int) -> tuple[str | None, ...]:
    """The part of each sample from the array `split`: codes 0, 1 (train, test) or 0, 1, 2, or the parts' names."""
    split = file.read("split").reshape(-1)
    if len(split) != count:
        raise ImagingError(file.path, f"split has {len(split)} entries, but there are {count} images")
    if split.dtype.kind in "US":
        return tuple(PART_NAMES.get(str(one).lower()) for one in split)
    codes = ("train", "test") if split.max(initial=0) < 2 else ("train", "validation", "test")
    if split.dtype.kind not in "biu" or split.min(initial=0) < 0 or split.max(initial=0) > 2:
        raise ImagingError(file.path, "split holds other codes than 0, 1 and 2")
    return tuple(codes[int(code)] for code in split)


def _labels(path: str, labels: np.ndarray) -> np.ndarray:
    """Labels as (n,) int64, from (n,) or (n, 1) whole numbers."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    whole = labels.dtype.kind in "biu" or (labels.dtype.kind == "f" and (labels == np.rint(labels)).all())
    if labels.ndim != 1 or not whole:
        raise ImagingError(path, f"labels are {labels.dtype} of shape {labels.shape}, expected one class number each")
    return labels.astype(np.int64)


def _idx_count(path: str) -> int:
    """The number of images in an idx file, from its header."""
    import gzip
    import struct

    from ..files import opened

    with opened(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            start = (gzip.GzipFile(fileobj=file) if packed else file).read(16)
        except (OSError, EOFError) as error:
            raise ImagingError(path, f"is not a readable idx file ({brief(error)})") from error
    if len(start) < 16 or start[:2] != b"\0\0" or start[3] != 3:
        raise ImagingError(path, "is not an idx file of images")
    return int(struct.unpack(">I", start[4:8])[0])


def _with_channels(image: np.ndarray) -> np.ndarray:
    """(H, W) and (D, H, W) get an axis of one channel; a last axis of 1, 3 or 4 of three is one already."""
    if image.ndim == 2 or (image.ndim == 3 and image.shape[-1] not in (1, 3, 4)):
        return image[..., np.newaxis]
    return image


def _once(load: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    """`load`, called when first needed and never again, from any thread."""
    lock = threading.Lock()
    kept: list[np.ndarray] = []

    def loaded() -> np.ndarray:
        with lock:
            if not kept:
                kept.append(load())
        return kept[0]

    return loaded
