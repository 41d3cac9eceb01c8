"""Rows added into repeated rows on the CPU: the reference's bits, with any number of threads."""

import numpy as np
import pytest
from hypothesis import given
from row_sums import cases, require_the_references_sums, require_what_is_not_finite_in_its_row

from tomograd.kernels import cpu, reference
from tomograd.kernels.cpu import row_sums
from tomograd.kernels.cpu.launch import using_threads


@pytest.mark.parametrize("grain", [1, row_sums.GRAIN])
@given(case=cases)
def test_sums_of_rows(grain, case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_sums, "GRAIN", grain)  # with 1: parts that begin within a row
        require_the_references_sums(cpu, case)


def test_what_is_not_finite_stays_in_its_row():
    require_what_is_not_finite_in_its_row(cpu)
    require_what_is_not_finite_in_its_row(reference)


@pytest.mark.parametrize(("count", "columns"), [(3, 5000), (50_000, 3)])
def test_any_number_of_threads_gives_the_same_bits(count, columns):
    rng = np.random.default_rng(0)
    x, rows = rng.standard_normal((90, columns)).astype(np.float32), rng.integers(0, count, 90)
    expected = reference.add_rows(x, rows, count)
    np.testing.assert_array_equal(cpu.add_rows(x, rows, count), expected)
    with using_threads(1):
        np.testing.assert_array_equal(cpu.add_rows(x, rows, count), expected)


def test_numbers_in_another_order_of_bytes():
    x, rows = np.arange(6, dtype=">f4").reshape(3, 2), np.array([1, 1, 0])
    y = cpu.add_rows(x, rows, 2)
    np.testing.assert_array_equal(y, [[4, 5], [2, 4]])
    assert y.dtype == np.float32 and y.dtype.isnative


def test_types_without_a_kernel_are_numpys():
    x = np.arange(6, dtype=np.float16).reshape(3, 2)
    np.testing.assert_array_equal(cpu.add_rows(x, np.array([1, 1, 0]), 2), np.array([[4, 5], [2, 4]], np.float16))
