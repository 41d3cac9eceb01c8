"""Rows added into repeated rows on the GPU: the reference's bits, in whatever order threads and blocks run."""

import numpy as np
from hypothesis import given, settings
from row_sums import cases, require_the_references_sums, require_what_is_not_finite_in_its_row
from same_bits import require_the_same_bits

from tomograd.kernels import reference


@settings(max_examples=30)
@given(case=cases)
def test_sums_of_rows(cuda, case):
    require_the_references_sums(cuda, case)


def test_what_is_not_finite_stays_in_its_row(cuda):
    require_what_is_not_finite_in_its_row(cuda)


def test_rows_of_several_blocks_and_more_tiles_than_blocks(cuda):
    rng = np.random.default_rng(0)
    for count, columns, n in ((3, 300 * 64 + 5, 4), (1200, 1, 2000), (513, 2, 600)):
        x, rows = rng.standard_normal((n, columns)).astype(np.float32), rng.integers(0, count, n)
        np.testing.assert_array_equal(cuda.add_rows(x, rows, count), reference.add_rows(x, rows, count))


def test_the_same_bits_in_every_order(cuda, on_gpu):
    rng = np.random.default_rng(0)
    x, rows = rng.standard_normal((600, 3)).astype(np.float32), rng.integers(0, 300, 600)
    require_the_same_bits(lambda: (cuda.add_rows(x, rows, 300),), on_gpu)
