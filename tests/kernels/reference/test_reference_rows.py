"""The reference's sums of rows against a loop over Python's exact fractions."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tomograd.kernels.reference import add_rows


@given(
    rows=st.lists(st.integers(0, 4), max_size=12),
    columns=st.integers(0, 3),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    data=st.data(),
)
def test_sums_of_rows_exactly(rows, columns, dtype, data):
    halves = st.integers(-8, 8).map(lambda n: n / 2)
    x = np.array([[data.draw(halves) for _ in range(columns)] for _ in rows], dtype).reshape(len(rows), columns)
    y = add_rows(x, np.array(rows, np.int64), 5)
    assert y.shape == (5, columns) and y.dtype == dtype
    for row in range(5):
        for column in range(columns):
            own = [Fraction(float(x[i, column])) for i, place in enumerate(rows) if place == row]
            assert y[row, column] == sum(own)
