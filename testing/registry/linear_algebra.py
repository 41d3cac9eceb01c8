"""Matrix products."""

from __future__ import annotations

import numpy as np

from .entries import Entry, error, kink, sample
from .values import normal

_SHAPES = [
    ((2, 3), (3, 2)),
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 2, 3), (3, 2)),
    ((2, 2, 3), (2, 3, 1)),
    ((2, 1, 1, 3), (3, 3, 2)),
    ((3,), (2, 3, 2)),
    ((2, 0), (0, 3)),
]

ENTRIES = [
    Entry(
        "matmul",
        samples=(
            *[sample("matmul(x, y)", x=normal(*x), y=normal(*y), linear="x y") for x, y in _SHAPES],
            sample("x.T @ y.T", x=normal(3, 2), y=normal(2, 3), linear="x y"),
        ),
        errors=(
            error("matmul(ROWS, ROWS)", ValueError, "matmul: .* 3 columns on the left, 2 rows on the right"),
            error("matmul(1.0, ROWS)", ValueError, "each factor needs at least one dimension"),
        ),
    ),
    Entry(
        "dense",
        samples=(
            sample(
                "dense(x, weight, bias)",
                x=normal(2, 3),
                weight=normal(3, 4),
                bias=normal(4),
                linear="x weight bias",
            ),
            sample("dense(x, weight, bias)", x=normal(3), weight=normal(3, 2), bias=normal(2), linear="x weight bias"),
            sample("dense(x, weight, activation='tanh')", x=normal(2, 2, 3), weight=normal(3, 2)),
            sample("dense(x, weight, bias, activation='relu')", x=normal(4, 3), weight=normal(3, 2), bias=normal(2)),
        ),
        errors=(
            error(
                "dense(ROWS, ROWS[:, :2])",
                ValueError,
                r"dense: weight has shape \(2, 2\), x has shape \(2, 3\): expected \(C_in, C_out\) and \(…, C_in\)",
            ),
            error("dense(ROWS, ROWS.T, ROWS)", ValueError, r"bias has shape \(2, 3\), expected \(2,\)"),
            error("dense(ROWS, np.zeros((3, 4)))", TypeError, "dense: weight is float64 but x is float32"),
            error("dense(ROWS, ROWS.T, activation='rule')", ValueError, "activation = 'rule': expected a function"),
        ),
        kinks=(
            kink(
                "a fused relu passes nothing at 0",
                "dense(x, weight, bias, activation='relu')",
                x=[[1, -1, 0]],
                weight=[[2, 3], [2, 3], [5, 7]],
                bias=[0, 0],
                value=[[0, 0]],
                cotangent=[[2, 3]],
                gradients=[np.zeros((1, 3)), np.zeros((3, 2)), [0, 0]],
            ),
        ),
    ),
    Entry(
        "channel_sum",
        samples=(sample("channel_sum(x)", x=normal(2, 3, 2), linear="x"),),
        errors=(error("channel_sum(LABELS)", TypeError, "channel_sum: x must be float32 or float64, not int64"),),
    ),
    Entry(
        "einsum",
        samples=(
            sample("einsum('ij,jk->ik', a, b)", a=normal(2, 3), b=normal(3, 2), linear="a b"),
            sample("einsum('bij,bkj->bik', a, b)", a=normal(2, 2, 3), b=normal(2, 1, 3), linear="a b"),
            sample("einsum('i,j,k->', a, b, c)", a=normal(2), b=normal(3), c=normal(2), linear="a b c"),
            sample("einsum('ijk->kj', a)", a=normal(2, 3, 2), linear="a"),
            sample("einsum('ij->ji', a)", a=normal(2, 3), linear="a"),
            sample("einsum('i,->i', a, b)", a=normal(3), b=normal(), linear="a b"),
        ),
        errors=(
            error("einsum('ij,jk', ROWS, ROWS)", ValueError, "einsum: subscripts = 'ij,jk'"),
            error("einsum('ii->i', ROWS)", ValueError, "expected plain labels"),
            error("einsum('i1->i', ROWS)", ValueError, "expected plain labels"),
            error("einsum('éj->é', ROWS)", ValueError, "expected plain labels"),
            error("einsum('ij->ik', ROWS)", ValueError, "expected plain labels"),
            error("einsum('ij,jk->ik', ROWS)", ValueError, "names 2 factors, 1 were given"),
            error("einsum('ij,jk->ik', ROWS, ROWS)", ValueError, "label 'j' stands for sizes 3 and 2"),
            error("einsum('i->i', ROWS)", ValueError, "'i' names 1 axes"),
        ),
    ),
]
