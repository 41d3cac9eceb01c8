"""`Study`: images with their masks or labels, in memory, and how they are split into training, validation and test."""

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tomograd import imaging
from tomograd.failures import UserError

TASKS = {"segment": "segmentation", "classify": "classification"}
PARTS = ("train", "validation", "test")
FRACTIONS = (0.64, 0.16, 0.20)
"""Of the patients, for each part, where the data bring no split."""
HELD_OUT = 0.1
"""Share of the training patients held out for validation where the data bring a training and a test part only."""
MEMORY = 8 * 2**30
LISTED_GROUPS = 40


@dataclass
class Study:
    """images: (H, W, C) float32 each, in the units of their files. targets: masks (H, W) of class numbers, or labels.

    groups: the patient of each image, or its name where no patient is known; `unit` says which. parts: "train",
    "validation" or "test" for each image, where the data themselves are so divided, else None. spacing: mm along rows
    and columns, or None.
    """

    path: str
    kind: str
    task: str
    classes: list[str]
    images: list[np.ndarray]
    targets: Any
    names: list[str]
    groups: list[str]
    unit: str
    parts: list[str | None]
    spacing: list[tuple[float, float] | None]
    units: str | None
    value_range: tuple[float, float] | None
    invert_masks: bool = False

    @property
    def label(self) -> str:
        """A short name for titles."""
        return Path(self.path).resolve().name

    @property
    def channels(self) -> int:
        return int(self.images[0].shape[-1])

    def digest(self) -> str:
        """Identifies the images by their names, shapes and a few of their pixels."""
        found = hashlib.sha256()
        for name, image in zip(self.names, self.images, strict=True):
            found.update(f"{name} {image.shape}".encode())
            found.update(np.ascontiguousarray(image.reshape(-1)[:: max(1, image.size // 16)]).tobytes())
        return found.hexdigest()[:32]

    def mean_spacing(self, indices: Iterable[int]) -> tuple[float, float] | None:
        known = [spacing for i in indices if (spacing := self.spacing[i]) is not None]
        return (float(np.mean([s[0] for s in known])), float(np.mean([s[1] for s in known]))) if known else None

    def shares(self, indices: Iterable[int]) -> np.ndarray:
        """(K,) the share of each class among the pixels (or images) of `indices`."""
        counts = np.zeros(len(self.classes), np.int64)
        for index in indices:
            counts += np.bincount(np.asarray(self.targets[index]).ravel(), minlength=len(self.classes))
        return counts / max(counts.sum(), 1)

    def summary(self, parts: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """What a report says of the data and their split."""
        used = np.concatenate(list(parts.values()))
        sizes = sorted({self.images[i].shape[:2] for i in used})
        spacing = self.mean_spacing(used)
        shares = self.shares(used)
        return {
            "source": self.path,
            "kind": self.kind,
            "images": len(used),
            "size": " or ".join(f"{h} × {w}" for h, w in sizes[:3])
            + (" or others" if len(sizes) > 3 else "")
            + " pixels",
            "pixel": None if spacing is None else f"{spacing[0]:.3g} × {spacing[1]:.3g} mm",
            "values": self.units,
            "classes": [f"{name} ({100 * share:.3g}%)" for name, share in zip(self.classes, shares, strict=True)],
            "unit": self.unit,
            "split": {name: self._part(indices) for name, indices in parts.items() if len(indices)},
        }

    def _part(self, indices: np.ndarray) -> dict[str, Any]:
        groups = list(dict.fromkeys(self.groups[i] for i in indices))
        listed = groups if len(groups) <= LISTED_GROUPS else [*groups[:3], "…", groups[-1]]
        return {"images": len(indices), "group_count": len(groups), "groups": listed}


def load(
    path: Path,
    task: str | None = None,
    invert_masks: bool = False,
    class_names: Sequence[str] | None = None,
    classes: int | None = None,
) -> Study:
    """Read a data set whole; see `tomograd.imaging.open_dataset` for what is known. Volumes become their slices.

    Raises ImagingError for what cannot be read, UserError for images with different numbers of channels, for labels
    with images of different sizes, and for more than fits into MEMORY.
    """
    data = imaging.open_dataset(
        path,
        task=None if task is None else TASKS[task],
        invert_masks=invert_masks,
        class_names=class_names,
        classes=classes,
    )
    task = {name: key for key, name in TASKS.items()}[data.task]
    study = Study(str(path), data.kind, task, list(data.class_names), [], [], [], [], "image", [], [], None, None)
    study.invert_masks = invert_masks
    patients: list[str | None] = []
    taken = 0
    for index in range(len(data)):
        sample = data.sample(index)
        taken += sample.image.nbytes
        if taken > MEMORY:
            raise UserError(path, f"is too large: the images read so far take {taken / 2**30:.0f} GiB of memory")
        if index == 0:
            study.units, study.value_range = sample.units, sample.value_range
        if (sample.units, sample.value_range) != (study.units, study.value_range):
            study.value_range = None
            study.units = study.units if sample.units == study.units else None
        _append(study, sample, data.part_of(index), patients)
    if task == "classify":
        study.targets = np.asarray(study.targets, np.int64)
    _check_alike(study)
    if all(patient is not None for patient in patients):
        study.unit, study.groups = "patient", [str(patient) for patient in patients]
    return study


def _append(study: Study, sample: Any, part: str | None, patients: list[str | None]) -> None:
    """Add a sample; of a volume, each slice."""
    volume = sample.image.ndim == 4
    slices = sample.image if volume else [sample.image]
    in_plane: list[float | None] = list(sample.spacing or ())[-2:]
    spacing = (float(in_plane[0] or 0), float(in_plane[1] or 0)) if len(in_plane) == 2 and all(in_plane) else None
    for number, image in enumerate(slices):
        name = f"{sample.name}[{number}]" if volume else sample.name
        if study.task == "segment":
            mask = sample.target[number] if volume else sample.target
            study.targets.append(np.ascontiguousarray(mask[..., 0], np.uint8))
        else:
            study.targets.append(sample.target)
        study.images.append(image)
        study.names.append(name)
        study.groups.append(name)
        study.parts.append(part)
        study.spacing.append(spacing)
        patients.append(sample.patient)


def _check_alike(study: Study) -> None:
    first = study.images[0].shape
    for name, image in zip(study.names, study.images, strict=True):
        if image.shape[-1] != first[-1]:
            raise UserError(
                study.path, f"{name} has {image.shape[-1]} channels a pixel, but {study.names[0]} has {first[-1]}"
            )
        if study.task == "classify" and image.shape != first:
            raise UserError(
                study.path,
                f"{name} is {image.shape[0]} × {image.shape[1]} pixels, {study.names[0]} is {first[0]} × {first[1]}; "
                "a classifier needs images of one size",
            )


# --- splits


def split(
    study: Study, train: list[int] | None = None, test: list[int] | None = None, seed: int = 0
) -> dict[str, np.ndarray]:
    """Indices of "train", "validation" (may be empty) and "test".

    train, test: chosen by the user, or None. Where neither is given: the parts that the data bring, else by patient,
    and where no patient is known by class or at random. Raises UserError where a part would be empty, or a patient
    would be in two parts.
    """
    if train is not None or test is not None:
        parts = _chosen(study, train, test)
    elif "train" in study.parts and "test" in study.parts:
        parts = {name: _indices(part == name for part in study.parts) for name in PARTS}
        if not len(parts["validation"]) and len({study.groups[i] for i in parts["train"]}) > 1:
            parts["train"], parts["validation"] = _divided(study, parts["train"], (1 - HELD_OUT, HELD_OUT), seed)
    else:
        drawn = _divided(study, np.arange(len(study.images)), FRACTIONS, seed)
        parts = dict(zip(PARTS, drawn, strict=True))
    for name in ("train", "test"):
        if not len(parts[name]):
            raise UserError(study.path, f"the {name} part would be empty: too few {study.unit}s")
    _check_disjoint(study, parts)
    return parts


def _divided(study: Study, indices: np.ndarray, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """`indices` in parts of these fractions: whole patients; of images without patient each class alike."""
    try:
        if study.unit == "patient":
            places = imaging.split_by_patient([study.groups[i] for i in indices], fractions, seed)
        elif study.task == "classify":
            places = imaging.split_stratified(np.asarray(study.targets)[indices], fractions, seed)
        else:
            places = imaging.split_at_random(len(indices), fractions, seed)
    except imaging.ImagingError as error:
        raise UserError(study.path, error.reason) from error
    return [indices[place] for place in places]


def _chosen(study: Study, train: list[int] | None, test: list[int] | None) -> dict[str, np.ndarray]:
    """The parts of --select-train and --select-test; where one is not given, it is all that is left."""
    total = len(study.images)
    for option, numbers in (("--select-train", train), ("--select-test", test)):
        beyond = [number for number in numbers or [] if number >= total]
        if beyond:
            raise UserError(study.path, f"{option} names image {beyond[0]}, but there are {total}, numbered from 0")
    both = sorted(set(train or []) & set(test or []))
    if both:
        raise UserError(study.path, f"--select-train and --select-test both name image {both[0]}")
    used = {study.groups[i] for i in (train if train is not None else test) or []}
    rest = [i for i in range(total) if study.groups[i] not in used]
    return {
        "train": np.asarray(train if train is not None else rest, np.int64),
        "validation": np.zeros(0, np.int64),
        "test": np.asarray(test if test is not None else rest, np.int64),
    }


def _indices(chosen: Iterable[bool]) -> np.ndarray:
    return np.flatnonzero(np.fromiter(chosen, bool))


def _check_disjoint(study: Study, parts: Mapping[str, np.ndarray]) -> None:
    owner: dict[str, str] = {}
    for name, indices in parts.items():
        for index in indices:
            other = owner.setdefault(study.groups[index], name)
            if other != name:
                raise UserError(
                    study.path, f"{study.unit} {study.groups[index]} is in the {other} and in the {name} part"
                )


def identity(study: Study, parts: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the model file remembers of the data: enough to know them again, and who was trained on."""
    seen = [*parts["train"], *parts.get("validation", [])]
    groups = sorted({study.groups[i] for i in seen}) if study.unit == "patient" else []
    return {
        "source": study.label,
        "images": len(seen),
        "identity": {
            "digest": study.digest(),
            "train": ranges(parts["train"]),
            "test": ranges(parts["test"]),
            "patients": groups,
        },
    }


def for_evaluation(
    study: Study, known: Mapping[str, Any], test: list[int] | None, everything: bool
) -> dict[str, np.ndarray]:
    """The images to judge a model on ("test"), and those that a baseline may be fitted on ("train"), if any.

    known: the `identity` that the model file remembers. test: chosen by the user, or None. everything: all images,
    also of patients that the model was trained on. Raises UserError where no image is left.
    """
    before = known.get("identity", {})
    same = before.get("digest") == study.digest()
    own = {name: _indices(part == name for part in study.parts) for name in ("train", "test")}
    train = np.asarray(expand(before["train"]), np.int64) if same else own["train"]
    if test is not None:
        chosen = _chosen(study, None, test)["test"]
    elif everything:
        chosen = np.arange(len(study.images))
    elif same:
        chosen = np.asarray(expand(before["test"]), np.int64)
    else:
        chosen = own["test"] if len(own["test"]) else np.arange(len(study.images))
    seen = set(before.get("patients", [])) if study.unit == "patient" and not everything else set()
    kept = np.array([i for i in chosen if study.groups[i] not in seen], np.int64)
    if not len(kept):
        raise UserError(
            study.path, "holds only images of patients that the model was trained on; --all judges on them all the same"
        )
    if len(kept) < len(chosen):
        print(
            f"tomograd: note: {len(chosen) - len(kept)} images are left out: the model was trained on their patients",
            file=sys.stderr,
        )
    train = np.array([i for i in train if i not in set(kept.tolist())], np.int64)
    return {"train": train, "test": kept} if len(train) else {"test": kept}


def ranges(indices: Iterable[int]) -> str:
    """[0, 1, 2, 7] → "0-2,7"."""
    found: list[list[int]] = []
    for index in sorted(int(i) for i in indices):
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def expand(text: str) -> list[int]:
    """The reverse of `ranges`."""
    pairs = [part.split("-") for part in text.split(",") if part]
    return [i for pair in pairs for i in range(int(pair[0]), int(pair[-1]) + 1)]


def counted(number: int, what: str) -> str:
    """ "1 patient", "2,000 patients"."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def announcement(study: Study, parts: Mapping[str, np.ndarray]) -> str:
    """The data and their split, in a few lines."""
    lines = [f"{study.path}: {counted(len(study.images), 'image')}, {study.kind}, to {study.task}"]
    for name, indices in parts.items():
        if len(indices):
            groups = len({study.groups[i] for i in indices})
            of = f" of {counted(groups, 'patient')}" if study.unit == "patient" else ""
            lines.append(f"  {name:<10} {len(indices):>6,} images{of}")
    return "\n".join(lines)
