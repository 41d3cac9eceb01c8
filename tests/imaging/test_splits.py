"""Splits: nobody on two sides, nothing lost, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.imaging import ImagingError, split, split_at_random, split_by_patient, split_stratified

FRACTIONS = st.sampled_from([(0.8, 0.2), (0.5, 0.5), (0.7, 0.15, 0.15), (1.0,), (0.98, 0.01, 0.01)])
SEEDS = st.integers(0, 1000)


def assert_partition(parts, count):
    assert all(len(part) for part in parts)
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))


@given(patients=st.lists(st.sampled_from("abcdefghij"), min_size=10, max_size=60), fractions=FRACTIONS, seed=SEEDS)
def test_no_patient_is_in_two_parts(patients, fractions, seed):
    if len(set(patients)) < len(fractions):
        with pytest.raises(ImagingError, match="cannot be divided"):
            split_by_patient(patients, fractions, seed)
        return
    parts = split_by_patient(patients, fractions, seed)
    assert_partition(parts, len(patients))
    members = [{patients[index] for index in part} for part in parts]
    assert sum(map(len, members)) == len(set(patients))
    again = split_by_patient(patients, fractions, seed)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))


def test_patients_are_divided_in_proportion():
    parts = split_by_patient([f"p{n}" for n in range(100)], (0.7, 0.2, 0.1), seed=3)
    assert [len(part) for part in parts] == [70, 20, 10]


def test_the_order_of_the_samples_does_not_move_a_patient():
    patients = list("aabbccddeeff")
    train, _ = split_by_patient(patients, (0.5, 0.5), seed=1)
    turned, _ = split_by_patient(patients[::-1], (0.5, 0.5), seed=1)
    assert {patients[index] for index in train} == {patients[::-1][index] for index in turned}


def test_another_seed_divides_otherwise():
    patients = [str(n) for n in range(20)]
    first = split_by_patient(patients, (0.5, 0.5), seed=0)[0].tolist()
    assert any(split_by_patient(patients, (0.5, 0.5), seed=seed)[0].tolist() != first for seed in (1, 2))


def test_an_unknown_patient():
    with pytest.raises(ImagingError, match=r"the patient of 1 samples is unknown \(sample 2\)"):
        split_by_patient(["a", "b", None], (0.5, 0.5))


@given(
    counts=st.lists(st.integers(5, 40), min_size=1, max_size=6),
    fractions=st.sampled_from([(0.8, 0.2), (0.6, 0.2, 0.2)]),
    seed=SEEDS,
)
def test_every_class_is_divided_alike(counts, fractions, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = split_stratified(labels, fractions, seed)
    assert_partition(parts, len(labels))
    for part, fraction in zip(parts, fractions, strict=True):
        for label, count in enumerate(counts):
            assert abs((labels[part] == label).sum() - fraction * count) <= 1


@given(count=st.integers(1, 50), fractions=FRACTIONS, seed=SEEDS)
def test_at_random(count, fractions, seed):
    if count < len(fractions):
        with pytest.raises(ImagingError):
            split_at_random(count, fractions, seed)
    else:
        parts = split_at_random(count, fractions, seed)
        assert_partition(parts, count)
        for part, fraction in zip(parts, fractions, strict=True):
            assert abs(len(part) - fraction * count) <= len(fractions)


@pytest.mark.parametrize("fractions", [(), (0.5,), (0.8, 0.3), (1.2, -0.2), (1.0, 0.0)])
def test_fractions_that_are_none(fractions):
    for divide in (lambda: split_by_patient(["a", "b"], fractions), lambda: split_stratified([0, 1], fractions)):
        with pytest.raises(ImagingError, match="expected positive numbers of sum 1"):
            divide()


def test_too_few_samples_for_the_parts():
    with pytest.raises(ImagingError, match="too few"):
        split_stratified([0], (0.5, 0.5))


class Listed:
    """As much of a data set as a split looks at."""

    path, task = "list", "classification"

    def __init__(self, patients, labels):
        self.patients, self.labels = patients, np.array(labels)

    def __len__(self):
        return len(self.patients)


@pytest.mark.parametrize(
    ("patients", "task", "expected"),
    [
        (list("aabbccdd"), "classification", "patient"),
        ([*"aabbccd", None], "classification", "class"),
        (["same"] * 8, "classification", "class"),
        ([None] * 8, "segmentation", "sample"),
    ],
)
def test_the_split_that_suits(patients, task, expected):
    data = Listed(patients, [0, 1] * 4)
    data.task = task
    parts, how = split(data, (0.5, 0.5), seed=0)
    assert how == expected
    assert_partition(parts, 8)
