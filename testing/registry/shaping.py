"""Other shapes for the same elements; joining, cutting, borders."""

from __future__ import annotations

from .entries import Entry, error, sample
from .values import normal

_OUT_OF_RANGE = "out of range for 2 dimensions"

ENTRIES = [
    Entry(
        "reshape",
        samples=(sample("reshape(x, (3, -1))", x=normal(2, 3), linear="x"),),
        errors=(
            error("reshape(ROWS, (4, 2))", ValueError, r"shape \(2, 3\) of 6 elements does not fit into \(4, 2\)"),
            error("reshape(ROWS, (-1, -1))", ValueError, "does not fit into"),
            error("reshape(ROWS, (-2, -3))", ValueError, "does not fit into"),
            error("reshape(ROWS[:, :2], (-2, -2))", ValueError, "does not fit into"),
            error("reshape(ROWS[:0], (-1, 0))", ValueError, "does not fit into"),
        ),
    ),
    Entry(
        "transpose",
        samples=(
            sample("transpose(x)", x=normal(2, 3), linear="x"),
            sample("transpose(x, (1, 2, 0))", x=normal(2, 3, 2), linear="x"),
        ),
        errors=(error("transpose(ROWS, (0,))", ValueError, "must name each of the 2 axes once"),),
    ),
    Entry(
        "swapaxes",
        samples=(sample("swapaxes(x, 0, -1)", x=normal(2, 3, 2), linear="x"),),
        errors=(error("swapaxes(ROWS, 0, 2)", ValueError, f"axis2 = 2 is {_OUT_OF_RANGE}"),),
    ),
    Entry(
        "moveaxis",
        samples=(sample("moveaxis(x, (0, 1), (-1, 0))", x=normal(2, 3, 2), linear="x"),),
        errors=(error("moveaxis(ROWS, (0, 1), 0)", ValueError, "differ in length"),),
    ),
    Entry(
        "expand_dims",
        samples=(sample("expand_dims(x, (0, -1))", x=normal(2), linear="x"),),
        errors=(error("expand_dims(ROWS, 3)", ValueError, "axis = 3 is out of range for 3 dimensions"),),
    ),
    Entry(
        "squeeze",
        samples=(
            sample("squeeze(x)", x=normal(2, 1, 1), linear="x"),
            sample("squeeze(x, 1)", x=normal(2, 1, 1), linear="x"),
        ),
        errors=(
            error("squeeze(ROWS, 0)", ValueError, "has a size other than 1"),
            error("squeeze(ROWS[:1], (0, 1))", ValueError, "has a size other than 1"),
        ),
    ),
    Entry(
        "astype",
        samples=(sample("astype(x, np.float64)", x=normal(3), linear="x"),),
        errors=(error("astype(ROWS, np.complex64)", TypeError, "astype: a tensor holds .* numbers, not complex64"),),
    ),
    Entry(
        "concatenate",
        samples=(sample("concatenate([x, y, x], 1)", x=normal(2, 1), y=normal(2, 3), linear="x y"),),
        errors=(
            error("concatenate([])", ValueError, "there is nothing to join"),
            error("concatenate([ROWS, ROWS[:, :2]])", ValueError, r"tensors\[1\] has shape \(2, 2\), tensors\[0\] has"),
        ),
    ),
    Entry(
        "stack",
        samples=(sample("stack([x, y], -1)", x=normal(2, 3), y=normal(2, 3), linear="x y"),),
        errors=(error("stack([ROWS, ROWS[0]])", ValueError, r"tensors\[1\] has shape \(3,\)"),),
    ),
    Entry(
        "split",
        samples=(
            sample("split(x, 3, 1)[1]", x=normal(2, 6), linear="x"),
            sample("split(x, [1, 4])[1] * split(x, [1, 4])[1]", x=normal(5)),
        ),
        errors=(
            error("split(ROWS, 2, 1)", ValueError, "axis 1 of size 3 cannot be cut into 2 equal parts"),
            error("split(ROWS, 0)", ValueError, "axis 0 of size 2 cannot be cut into 0 equal parts"),
        ),
    ),
    Entry(
        "flip",
        samples=(
            sample("flip(x)", x=normal(2, 3), linear="x"),
            sample("flip(x, 1)", x=normal(2, 3), linear="x"),
        ),
        errors=(error("flip(ROWS, 2)", ValueError, f"axis = 2 is {_OUT_OF_RANGE}"),),
    ),
    Entry(
        "pad",
        samples=(
            sample("pad(x, ((1, 0), (2, 3)), constant_values=2.0)", x=normal(2, 3), linear="x"),
            *[
                sample(f"pad(x, ((1, 2), (0, 1)), '{mode}')", x=normal(3, 4), linear="x")
                for mode in ("edge", "reflect", "symmetric", "wrap")
            ],
        ),
        errors=(
            error("pad(ROWS, -1)", ValueError, "expected non-negative integers"),
            error("pad(ROWS, (1, -1))", ValueError, "expected non-negative integers"),
            error("pad(ROWS, (1, 2, 3))", ValueError, "expected an int, a pair, or a pair for each of 2 axes"),
            error("pad(ROWS, 1, 'mirror')", ValueError, "mode = 'mirror': expected"),
            error("pad(ROWS[:0], 1, 'edge')", ValueError, "axis 0 is empty"),
        ),
    ),
    Entry(
        "to_device",
        samples=(sample("to_device(x, 'cpu')", x=normal(3), linear="x"),),
        errors=(error("to_device(ROWS, 'tpu')", ValueError, 'device = \'tpu\': expected "cpu", "cuda" or "cuda:N"'),),
    ),
]
