"""`DataSet`: samples by number, each an image with its mask or label, with names, patients and parts."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..budget import DEFAULT_BUDGET, readable
from ..errors import ImagingError
from ..transforms import Percentile, UnitRange

SEGMENTATION = "segmentation"
CLASSIFICATION = "classification"
CHEST_RANGE = (-1000.0, 600.0)  # HU, air to bone: what `suggested_scaling` shows of a CT
PARTS = ("train", "validation", "test")
MOST_NAMED = 5  # names in one error message


@dataclass(frozen=True, eq=False)
class Sample:
    """One image and what is to be learned of it.

    image: float32 (H, W, C) or (D, H, W, C), C 1 or 3, in the values of its file (`units` says which, None if none).
    target: a mask of class numbers, int32 (H, W, 1) or (D, H, W, 1); or the number of a class.
    value_range: smallest and largest value that the file's number type can hold, None for floats.
    """

    image: np.ndarray
    target: np.ndarray | int
    name: str
    patient: str | None = None
    spacing: tuple[float | None, ...] | None = None
    units: str | None = None
    value_range: tuple[float, float] | None = None


class DataSet(ABC):
    """Samples by number. `len(data)`, `data[i]` or `data.sample(i)`, `data.select("0-23")`, `data.part("test")`.

    task: "segmentation" (targets are masks) or "classification" (targets are labels). classes: number of classes,
    the background counted. kind: what was found, in words. Reading a sample may raise ImagingError at any time.
    """

    path: str
    kind: str
    task: str
    class_names: tuple[str, ...]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def sample(self, index: int) -> Sample:
        """Sample `index`, read now."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What sample `index` is called, unique in the data set."""

    @abstractmethod
    def patient(self, index: int) -> str | None:
        """The patient of sample `index`, None if not known. May read a header."""

    @abstractmethod
    def part_of(self, index: int) -> str | None:
        """ "train", "validation" or "test" where the data set itself is so divided, else None."""

    @abstractmethod
    def label(self, index: int) -> int:
        """The class of sample `index` without its image; an ImagingError if the targets are masks."""

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def names(self) -> list[str]:
        """The names of all samples."""
        return [self.name(index) for index in range(len(self))]

    @property
    def patients(self) -> list[str | None]:
        """The patients of all samples."""
        return [self.patient(index) for index in range(len(self))]

    @property
    def labels(self) -> np.ndarray:
        """The classes of all samples, (n,) int64; an ImagingError if the targets are masks."""
        return np.array([self.label(index) for index in range(len(self))], np.int64)

    def __getitem__(self, index: int) -> Sample:
        return self.sample(self._place(index))

    def __iter__(self) -> Iterator[Sample]:
        return (self.sample(index) for index in range(len(self)))

    def select(self, indices: str | Iterable[int]) -> DataSet:
        """The samples of these numbers, in this order: integers, or a text such as "0-23" or "0-4,7,9-11"."""
        chosen = parse_indices(indices) if isinstance(indices, str) else [int(index) for index in indices]
        for index in chosen:
            if not -len(self) <= index < len(self):
                raise ImagingError(self.path, f"has no sample {index}: it has {len(self)}, counted from 0")
        if not chosen:
            raise ImagingError(self.path, "none of its samples was selected")
        return Subset(self, [index % len(self) for index in chosen])

    def parts(self) -> dict[str, DataSet]:
        """The parts that the data set itself is divided into, by name; empty if it is not divided."""
        members: dict[str | None, list[int]] = {}
        for index in range(len(self)):
            members.setdefault(self.part_of(index), []).append(index)
        return {part: Subset(self, members[part]) for part in PARTS if part in members}

    def part(self, name: str) -> DataSet:
        """The part called `name`; an ImagingError says which there are."""
        parts = self.parts()
        if name not in parts:
            there = f"it has {', '.join(parts)}" if parts else "it is not divided into parts"
            raise ImagingError(self.path, f"has no part {name!r}: {there}")
        return parts[name]

    def in_memory(self, budget: int = DEFAULT_BUDGET) -> DataSet:
        """The same data set with all samples read now; ImagingError if they take more than `budget` bytes."""
        return InMemory(self, budget)

    def suggested_scaling(self) -> UnitRange | Percentile:
        """A transform to [0, 1] that suits the first sample and is then the same for all.

        CT: −1000 to 600 HU. 8-bit images: 0 to 255. All else (MR, 16-bit, floats): each image's 1st to 99th percentile.
        """
        first = self.sample(0)
        if first.units == "HU":
            return UnitRange(*CHEST_RANGE)
        if first.value_range == (0.0, 255.0):
            return UnitRange(0.0, 255.0)
        return Percentile()

    def _place(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")  # IndexError ends a for loop, as in a list
        return index % len(self)


class Subset(DataSet):
    """Some samples of another data set."""

    def __init__(self, base: DataSet, indices: list[int]) -> None:
        self.base, self.indices = base, indices
        self.path, self.kind, self.task, self.class_names = base.path, base.kind, base.task, base.class_names

    def __len__(self) -> int:
        return len(self.indices)

    def sample(self, index: int) -> Sample:
        return self.base.sample(self.indices[self._place(index)])

    def name(self, index: int) -> str:
        return self.base.name(self.indices[index])

    def patient(self, index: int) -> str | None:
        return self.base.patient(self.indices[index])

    def part_of(self, index: int) -> str | None:
        return self.base.part_of(self.indices[index])

    def label(self, index: int) -> int:
        return self.base.label(self.indices[index])


class InMemory(Subset):
    """All samples of another data set, read once."""

    def __init__(self, base: DataSet, budget: int) -> None:
        super().__init__(base, list(range(len(base))))
        self.samples: list[Sample] = []
        taken = 0
        for index in range(len(base)):
            sample = base.sample(index)
            taken += sample.image.nbytes + (sample.target.nbytes if isinstance(sample.target, np.ndarray) else 0)
            if taken > budget:
                raise ImagingError(base.path, f"takes more than {readable(budget)} of memory when it is read at once")
            self.samples.append(sample)

    def sample(self, index: int) -> Sample:
        return self.samples[self._place(index)]

    def patient(self, index: int) -> str | None:
        return self.samples[index].patient


def parse_indices(text: str) -> list[int]:
    """The numbers of "0-23" or "0-4,7,9-11", both ends of a range included."""
    found: list[int] = []
    for piece in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", piece)
        if match is None:
            raise ImagingError(None, f"{text!r} does not name samples, expected numbers and ranges such as 0-23,25")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            raise ImagingError(None, f"{text!r} has a range that runs backwards")
        if last - first > 10**8:
            raise ImagingError(None, f"{text!r} names too many samples")
        found.extend(range(first, last + 1))
    return found


def listed(names: Iterable[str]) -> str:
    """Names for a message: the first few, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def natural(text: str) -> list[tuple[int, int | str]]:
    """A sort key by which slice 2 comes before slice 10."""
    return [(0, int(piece)) if piece.isdigit() else (1, piece) for piece in re.findall(r"\d+|\D+", text)]
