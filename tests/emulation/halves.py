"""Arrays of 16-bit floating numbers, and what a kernel that sums them in float32 may be wrong by."""

from __future__ import annotations

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
HALVES = [np.dtype(np.float16), BFLOAT16]


def require_one_rounding(actual: np.ndarray, expected: np.ndarray, size: np.ndarray, dtype: np.dtype, terms: int):
    """`expected`, in float64 of arguments that are halves already, was summed in float32 and rounded once, to nearest:
    half a unit in the last place of the result, and float32's errors of so many terms, `size` the sum of their absolute
    values. Raises AssertionError."""
    assert actual.dtype == dtype and actual.shape == expected.shape and actual.flags.c_contiguous
    half_a_unit = float(ml_dtypes.finfo(dtype).eps) / 2
    smallest = float(ml_dtypes.finfo(dtype).smallest_subnormal) / 2
    error = np.abs(actual.astype(np.float64) - expected)
    # the tensor cores cut float32's sums off where others round them: a whole unit a term
    bound = half_a_unit * np.abs(expected) + smallest + terms * 2.0**-23 * size
    assert (error <= bound).all(), f"off by {(error / bound).max():.3g} times what one rounding may take"
