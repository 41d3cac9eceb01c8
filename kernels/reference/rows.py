"""Rows added into rows that may be named several times: the gradient of looking rows up."""

from __future__ import annotations

import numpy as np


def add_rows(x: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """x (n, k), rows (n,) int64 in 0 … count − 1 → y (count, k): the sum of the rows of x that are sent to each row

        y[j] = Σ x[i]  over all i with rows[i] = j,

    begun with 0 and added up one after the other, in the order of i: the same bits from every backend.
    """
    y = np.zeros((count, x.shape[1]), x.dtype)
    np.add.at(y, rows, x)
    return y
