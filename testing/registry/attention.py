"""Attention."""

from __future__ import annotations

from .entries import Entry, error, sample
from .values import normal

ENTRIES = [
    Entry(
        "masked_softmax",
        samples=(
            sample("masked_softmax(x)", x=normal(2, 3)),
            sample("masked_softmax(x, MASK)", x=normal(2, 3)),
            sample("masked_softmax(x, MASK, axis=0)", x=normal(2, 3)),
            sample("masked_softmax(x, MASK, axis=(0, 1))", x=normal(2, 3)),
            sample("masked_softmax(x, x[:, :1] > 9)", x=normal(2, 3)),
        ),
        errors=(
            error("masked_softmax(LABELS)", TypeError, "masked_softmax: x must be float32 or float64, not int64"),
            error("masked_softmax(ROWS, LABELS[:3])", TypeError, "masked_softmax: mask must hold booleans, not int64"),
            error(
                "masked_softmax(ROWS, MASK[:, :2])",
                ValueError,
                r"mask has shape \(2, 2\), which does not broadcast to \(2, 3\)",
            ),
            error("masked_softmax(ROWS, np.ones((3, 3)) > 0)", ValueError, r"mask has shape \(3, 3\), which does not"),
            error("masked_softmax(ROWS, MASK, axis=2)", ValueError, "axis = 2 is out of range for 2 dimensions"),
        ),
    ),
    Entry(
        "attention_weights",
        samples=(
            sample("attention_weights(query, key)", query=normal(2, 3), key=normal(4, 3)),
            sample("attention_weights(query, key, MASK)", query=normal(2, 2, 2), key=normal(2, 3, 2)),
            sample("attention_weights(query, key, is_causal=True, scale=2)", query=normal(2, 3, 1), key=normal(3, 1)),
            sample("attention_weights(query, key, MASK, is_causal=True)", query=normal(2, 4), key=normal(3, 4)),
        ),
        errors=(
            error(
                "attention_weights(ROWS, ROWS.T)",
                ValueError,
                r"query has shape \(2, 3\), key has shape \(3, 2\): expected \(…, T, D\) and \(…, S, D\)",
            ),
            error(
                "attention_weights(ROWS[0], ROWS)",
                ValueError,
                r"query has shape \(3,\), key has shape \(2, 3\): expected",
            ),
            error(
                "attention_weights(ROWS, ROWS[0])",
                ValueError,
                r"query has shape \(2, 3\), key has shape \(3,\): expected",
            ),
            error("attention_weights(ROWS, np.zeros((2, 3)))", TypeError, "key is float64 but query is float32"),
            error("attention_weights(ROWS, ROWS, MASK)", ValueError, r"does not broadcast to \(2, 2\)"),
        ),
    ),
    Entry(
        "scaled_dot_product_attention",
        samples=(
            sample(
                "scaled_dot_product_attention(query, key, value)",
                query=normal(2, 3),
                key=normal(4, 3),
                value=normal(4, 2),
                linear="value",
            ),
            sample(
                "scaled_dot_product_attention(query, key, value, MASK, is_causal=True, scale=0.3)",
                query=normal(2, 2, 2),
                key=normal(1, 3, 2),
                value=normal(2, 3, 2),
                linear="value",
            ),
        ),
        errors=(
            error(
                "scaled_dot_product_attention(ROWS, ROWS, ROWS.T)",
                ValueError,
                r"value has shape \(3, 2\), key has shape \(2, 3\): expected \(…, S, E\) and \(…, S, D\)",
            ),
            error("scaled_dot_product_attention(ROWS, ROWS, ROWS[0])", ValueError, r"value has shape \(3,\), key has"),
            error("scaled_dot_product_attention(ROWS, ROWS[0], ROWS)", ValueError, r"key has shape \(3,\): expected"),
        ),
    ),
]
