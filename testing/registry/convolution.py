"""Convolution and transposed convolution."""

from __future__ import annotations

import numpy as np

from .entries import Entry, error, kink, sample
from .values import normal

ENTRIES = [
    Entry(
        "conv",
        samples=(
            sample(
                "conv(x, weight, bias)",
                x=normal(2, 5, 2),
                weight=normal(3, 2, 3),
                bias=normal(3),
                linear="x weight bias",
            ),
            sample(
                "conv(x, weight, bias, strides=2, padding='same', activation='relu')",
                x=normal(1, 4, 5, 2),
                weight=normal(3, 2, 2, 2),
                bias=normal(2),
            ),
            sample(
                "conv(x, weight, dilation_rate=(2, 1), groups=2, padding=((1, 0), (0, 2)))",
                x=normal(1, 5, 3, 4),
                weight=normal(2, 2, 2, 2),
                linear="x weight",
            ),
            sample(
                "conv(x, weight, padding=1, activation='sigmoid')",
                x=normal(1, 2, 3, 2, 1),
                weight=normal(2, 2, 2, 1, 2),
            ),
        ),
        errors=(
            error("conv(ROWS, KERNEL)", ValueError, r"conv: x has shape \(2, 3\): expected \(N, \*spatial, C\)"),
            error("conv(IMAGE[..., None, None], KERNEL)", ValueError, r"conv: x has .* expected \(N, \*spatial, C\)"),
            error(
                "conv(IMAGE, KERNEL[0])", ValueError, r"conv: weight has shape \(3, 2, 5\).* expected a weight of 4 dim"
            ),
            error(
                "conv(IMAGE, KERNEL[:, :, :1])", ValueError, r"weight has shape \(3, 3, 1, 5\), but x has 2 channels"
            ),
            error("conv(IMAGE, KERNEL[:0])", ValueError, "its kernel is empty"),
            error(
                "conv(IMAGE, KERNEL, np.zeros(4, np.float32))", ValueError, r"bias has shape \(4,\), expected \(5,\)"
            ),
            error("conv(IMAGE, KERNEL, groups=2)", ValueError, "groups = 2 does not divide the 5 output channels"),
            error("conv(IMAGE, KERNEL, groups=3)", ValueError, "groups = 3 does not divide the 2 input channels"),
            error("conv(IMAGE, KERNEL, groups=0)", ValueError, "groups = 0: expected a positive integer"),
            error("conv(IMAGE, KERNEL, groups=1.0)", ValueError, r"groups = 1\.0: expected a positive integer"),
            error("conv(IMAGE, KERNEL, padding='full')", ValueError, "padding = 'full'"),
            error("conv(IMAGE, KERNEL, padding=-1)", ValueError, "padding = -1"),
            error("conv(IMAGE, KERNEL, strides=0)", ValueError, "strides = 0"),
            error("conv(IMAGE, KERNEL, strides=(1, 1, 1))", ValueError, "strides"),
            error("conv(IMAGE, KERNEL, dilation_rate=1.5)", TypeError, "dilation_rate"),
            error(
                "conv(IMAGE, KERNEL, dilation_rate=2)",
                ValueError,
                r"window of size \(3, 3\).* is larger than the padded",
            ),
            error(
                "conv(IMAGE, KERNEL, activation='rule')",
                ValueError,
                "activation = 'rule': expected a function, None or",
            ),
            error("conv(IMAGE, KERNEL.astype(np.float64))", TypeError, "conv: weight is float64 but x is float32"),
            error("conv(IMAGE.astype(np.uint8), KERNEL)", TypeError, "conv: x must be float32 or float64, not uint8"),
            error("conv(IMAGE.astype(np.float16), KERNEL)", TypeError, "not float16"),
        ),
        kinks=(
            kink(
                "a fused relu passes nothing at 0",
                "conv(x, weight, activation='relu')",
                x=np.zeros((1, 3, 1)),
                weight=[[[2, 3]]],
                value=np.zeros((1, 3, 2)),
                cotangent=[[[2, 3], [5, 7], [11, 13]]],
                gradients=[np.zeros((1, 3, 1)), np.zeros((1, 1, 2))],
            ),
        ),
    ),
    Entry(
        "conv_transpose",
        samples=(
            sample(
                "conv_transpose(x, weight, bias)",
                x=normal(2, 3, 2),
                weight=normal(3, 3, 2),
                bias=normal(3),
                linear="x weight bias",
            ),
            sample(
                "conv_transpose(x, weight, strides=2, padding='same', groups=2)",
                x=normal(1, 2, 3, 4),
                weight=normal(3, 3, 1, 4),
                linear="x weight",
            ),
            sample(
                "conv_transpose(x, weight, strides=2, padding=1, output_padding=1, dilation_rate=2)",
                x=normal(1, 3, 2),
                weight=normal(2, 2, 2),
                linear="x weight",
            ),
            sample(
                "conv_transpose(x, weight)",
                x=normal(1, 2, 1, 2, 2),
                weight=normal(2, 1, 2, 1, 2),
                linear="x weight",
            ),
        ),
        errors=(
            error("conv_transpose(IMAGE, KERNEL)", ValueError, r"expected \(\*kernel, C_out/groups, 2\)"),
            error(
                "conv_transpose(IMAGE, KERNEL.swapaxes(2, 3), np.zeros(2, np.float32))",
                ValueError,
                r"conv_transpose: bias has shape \(2,\), expected \(5,\)",
            ),
            error(
                "conv_transpose(IMAGE, KERNEL, groups=3)", ValueError, "groups = 3 does not divide the 2 input channels"
            ),
            error(
                "conv_transpose(IMAGE, KERNEL, groups=True)", ValueError, "groups = True: expected a positive integer"
            ),
            error("conv_transpose(IMAGE, KERNEL.swapaxes(2, 3), output_padding=1)", ValueError, "output_padding"),
        ),
    ),
]
