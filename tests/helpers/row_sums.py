"""Rows that are added into rows named several times: what every backend must give."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tomograd.kernels import reference
from tomograd.testing.strategies import LAYOUTS, laid_out

cases = st.fixed_dictionaries(
    {
        "n": st.sampled_from([0, 1, 2, 31, 256, 257, 700]),
        "columns": st.sampled_from([0, 1, 2, 3, 31, 64, 257]),
        "count": st.sampled_from([1, 2, 5, 255, 256, 700]),
        "dtype": st.sampled_from([np.float32, np.float64]),
        "layout": st.sampled_from(LAYOUTS),
        "kind": st.sampled_from(["random", "one", "rising", "falling"]),
        "seed": st.integers(0, 99),
    }
)


def require_the_references_sums(backend: Any, case: dict[str, Any]) -> None:
    """The very bits of the reference, which adds one row after the other."""
    rng = np.random.default_rng(case["seed"])
    n, count = case["n"], case["count"]
    rows = {
        "random": rng.integers(0, count, n),
        "one": np.full(n, count - 1),
        "rising": np.sort(rng.integers(0, count, n)),
        "falling": np.sort(rng.integers(0, count, n))[::-1],
    }[case["kind"]].astype(np.int64)
    x = laid_out(rng.standard_normal((n, case["columns"])).astype(case["dtype"]), case["layout"])
    y = backend.add_rows(x, rows, count)
    assert y.shape == (count, case["columns"]) and y.dtype == case["dtype"] and y.flags.c_contiguous
    np.testing.assert_array_equal(y, reference.add_rows(x, rows, count))


def require_what_is_not_finite_in_its_row(backend: Any) -> None:
    x = np.array([[np.nan, 1.0], [np.inf, -0.0], [-np.inf, 2.0], [3.0, 4.0]], np.float32)
    with np.errstate(invalid="ignore"):
        y = backend.add_rows(x, np.array([2, 0, 0, 4]), 5)
    np.testing.assert_array_equal(y, [[np.nan, 2], [0, 0], [np.nan, 1], [0, 0], [3, 4]])
