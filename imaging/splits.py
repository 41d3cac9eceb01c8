"""Dividing samples into training, validation and test parts: by patient, by class, or at random, fixed by a seed.

Slices of one patient look alike: with some in training and some in the test, the test measures memory. So wherever
patients are known, a patient's samples stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .datasets.dataset import CLASSIFICATION, DataSet
from .errors import ImagingError


def split_by_patient(
    patients: DataSet | Sequence[str | None], fractions: Sequence[float], seed: int = 0
) -> list[np.ndarray]:
    """Indices of the samples of each part, sorted, no patient in two parts.

    patients: of each sample, or a data set that knows them. fractions: of the patients, one for each part, sum 1.
    Raises ImagingError if a sample's patient is unknown, or there are fewer patients than parts.
    """
    known = patients.patients if isinstance(patients, DataSet) else list(patients)
    unknown = [index for index, patient in enumerate(known) if patient is None]
    if unknown:
        raise ImagingError(_path(patients), f"the patient of {len(unknown)} samples is unknown (sample {unknown[0]})")
    distinct = sorted({str(patient) for patient in known})
    parts = _dealt(len(distinct), fractions, seed, _path(patients), "patients")
    part_of = {distinct[number]: part for part, chosen in enumerate(parts) for number in chosen}
    return [
        np.array([index for index, patient in enumerate(known) if part_of[str(patient)] == part], np.int64)
        for part in range(len(parts))
    ]


def split_stratified(labels: Sequence[int] | np.ndarray, fractions: Sequence[float], seed: int = 0) -> list[np.ndarray]:
    """Indices of the samples of each part, sorted, every class divided in the same proportions.

    Each part's share of a class is within one sample of its fraction of it. Raises ImagingError if a part would stay
    empty.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ImagingError(None, f"labels of shape {labels.shape}: expected one for each sample")
    shares = _checked(fractions, None)
    generator = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[] for _ in shares]
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        # Classes begin to be cut at different places, lest many small ones all round the same way.
        edges = np.floor(np.cumsum([0.0, *shares]) * len(members) + generator.random()).astype(int)
        edges[0], edges[-1] = 0, len(members)
        for part, (start, stop) in enumerate(pairwise(edges)):
            parts[part].append(members[start:stop])
    result = [np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64) for chosen in parts]
    if any(len(part) == 0 for part in result):
        raise ImagingError(None, f"{len(labels)} samples are too few for {len(shares)} parts of {tuple(fractions)}")
    return result


def split_at_random(count: int, fractions: Sequence[float], seed: int = 0) -> list[np.ndarray]:
    """Indices 0 to count − 1 dealt into parts, each sorted and none empty; ImagingError if there are too few."""
    return [np.array(sorted(part), np.int64) for part in _dealt(count, fractions, seed, None, "samples")]


def split(data: DataSet, fractions: Sequence[float], seed: int = 0) -> tuple[list[np.ndarray], str]:
    """The split that suits the data: by patient where all are known and enough, else by class, else at random.

    Returns the indices of each part and how they were divided: "patient", "class" or "sample".
    """
    patients = data.patients
    if None not in patients and len(set(patients)) >= len(fractions) and len(set(patients)) > 1:
        return split_by_patient(patients, fractions, seed), "patient"
    if data.task == CLASSIFICATION:
        return split_stratified(data.labels, fractions, seed), "class"
    return split_at_random(len(data), fractions, seed), "sample"


def _dealt(count: int, fractions: Sequence[float], seed: int, path: str | None, what: str) -> list[list[int]]:
    """0 to count − 1 in random order, cut into parts of about `fractions`, each of one at least."""
    shares = _checked(fractions, path)
    if count < len(shares):
        raise ImagingError(path, f"{count} {what} cannot be divided into {len(shares)} parts, none of them empty")
    sizes = np.maximum(np.floor(np.array(shares) * count).astype(int), 1)
    while sizes.sum() != count:  # rounding, and the parts that were raised to one
        wanted = np.array(shares) * count
        change = 1 if sizes.sum() < count else -1
        gain = change * (wanted - sizes) - np.where((sizes == 1) & (change < 0), np.inf, 0)
        sizes[int(np.argmax(gain))] += change
    order = np.random.default_rng(seed).permutation(count)
    return [part.tolist() for part in np.split(order, np.cumsum(sizes)[:-1])]


def _checked(fractions: Sequence[float], path: str | None) -> list[float]:
    shares = [float(fraction) for fraction in fractions]
    if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ImagingError(path, f"fractions {tuple(fractions)}: expected positive numbers of sum 1")
    return shares


def _path(patients: DataSet | Sequence[str | None]) -> str | None:
    return patients.path if isinstance(patients, DataSet) else None
