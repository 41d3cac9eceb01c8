"""What must find the bugs of the CPU's kernels. A program: `cpu_checks.py NAME [TIMES]` runs one check, for it needs a
process of its own: kernels are compiled once in a process, from the sources that were there.

It prints what the check has to say, and ends with 3 if that found a bug.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from checking import FOUND, Checks

from tomograd.engine import functional as F

CPU_CHECKS = Checks("cpu", "reference")
BUG_FOUND = 3  # how the program ends

_rng = np.random.default_rng(20261122)


def normal(*shape: int) -> np.ndarray:
    return _rng.standard_normal(shape)


def fractions(*shape: int) -> np.ndarray:
    return _rng.uniform(0.2, 0.8, shape)


def _conv(**options) -> Callable:
    return lambda x, w, *b: F.conv(x, w, *b, **options)


first, compared, compared_in_place = CPU_CHECKS.first, CPU_CHECKS.compared, CPU_CHECKS.compared_in_place

# ---- convolution -----------------------------------------------------------------------------------------------------

NONE, ONE = ((0, 0), (0, 0)), ((1, 1), (1, 1))
PLAIN = (1, 1), NONE, (1, 1), 1  # strides, padding, dilation, groups
first("conv with strides", _conv(strides=(2, 1), padding=1), normal(1, 7, 6, 16), normal(3, 3, 16, 8), normal(8),
      linear=(0, 1, 2))  # fmt: skip
first("conv of few channels", _conv(strides=(2, 1), padding=1), normal(1, 7, 6, 2), normal(3, 3, 2, 5), normal(5),
      linear=(0, 1, 2))  # fmt: skip
compared("conv without padding", "conv", normal(1, 9, 40, 16), normal(3, 3, 16, 8), normal(8), *PLAIN, terms=145)
compared("conv with padding", "conv", normal(1, 9, 40, 16), normal(3, 3, 16, 8), normal(8), (1, 1), ONE, (1, 1), 1,
         terms=145)  # fmt: skip
compared("conv, many pixels", "conv", normal(6, 40, 40, 16), normal(2, 2, 16, 8), normal(8), *PLAIN, terms=65)
compared("conv, odd channels", "conv", normal(1, 9, 20, 3), normal(3, 3, 3, 5), normal(5), *PLAIN, terms=28)
compared("conv, each channel by itself", "conv", normal(2, 9, 13, 20), normal(3, 3, 1, 20), normal(20), (1, 1), ONE,
         (1, 1), 20, terms=10)  # fmt: skip
WINOGRAD = (normal(2, 30, 30, 64), normal(3, 3, 64, 64), normal(64), (1, 1), ONE, (1, 1), 1)
compared("Winograd's convolution", "conv", *WINOGRAD, terms=577, factor=4)
compared("Winograd's convolution with large work", "conv", normal(4, 60, 60, 64), *WINOGRAD[1:], terms=577, factor=4)
compared("Winograd's convolution of many channels", "conv", normal(1, 12, 12, 600), normal(3, 3, 600, 64),
         *WINOGRAD[2:], terms=5401, factor=4)  # fmt: skip
compared("Winograd's weight gradient", "conv_weight_gradient", normal(4, 60, 60, 64), normal(4, 60, 60, 64), (3, 3),
         (1, 1), ONE, (1, 1), 1, terms=14400, factor=4)  # fmt: skip
# As if it were added up in double precision: with a bound for one rounding.
compared("channel_sum of many", "channel_sum", (normal(12_000, 600) + 1000).astype(np.float32), terms=1)
compared("channel_sum", "channel_sum", normal(40_000, 5), terms=40_000)

# ---- pooling, resizing, copying --------------------------------------------------------------------------------------

ties = _rng.integers(-2, 3, (2, 9, 11, 3)).astype(np.float64)
compared("max_pool of ties", "max_pool", ties, (2, 2), (1, 1), NONE, (1, 1))
compared("max_pool of padded windows", "max_pool", -fractions(2, 9, 11, 3), (3, 3), (2, 2), ONE, (1, 1))
compared("max_pool of many pixels", "max_pool", normal(2, 200, 250, 1), (2, 2), (2, 2), NONE, (1, 1))
compared("max_pool of a transposed array", "max_pool", normal(2, 12, 12, 3).transpose(0, 2, 1, 3), (2, 2), (2, 2), NONE,
         (1, 1))  # fmt: skip
first("max_pool of large windows", lambda x: F.max_pool(x, 4, strides=2, padding=1), normal(1, 9, 8, 3))
first("average_pool over all", lambda x: F.average_pool(x, (5, 7)), normal(3, 5, 7, 20), linear=(0,))
first("average_pool, padded", lambda x: F.average_pool(x, 3, 2, 1), normal(1, 7, 8, 3), linear=(0,))
first("resize", lambda x: F.resize(x, (9, 5)), normal(1, 4, 7, 3), linear=(0,))
compared("concatenate", "concatenate", [normal(70, 60, 3), normal(70, 60, 5)], 2)

# ---- elementwise, normalisation, losses, optimizers ------------------------------------------------------------------

compared("sigmoid", "activation", normal(1003), "sigmoid", terms=8)
compared("sigmoid in float32", "activation", (normal(1003) * 10).astype(np.float32), "sigmoid", terms=8)
first("silu", F.silu, normal(13))
first("squared errors summed row by row", lambda p, t: F.squared_error(p, t).sum(1), normal(3, 5), normal(3, 5))
compared("exp in softplus", "activation", normal(1003) * 20, "softplus", terms=8, magnitude=lambda x, *_: 1 + np.abs(x))
first("softmax", F.softmax, normal(5, 11))
first("batch_norm", F.batch_norm, normal(6, 9, 3), normal(3), normal(3))
first("group_norm", lambda x, g, b: F.group_norm(x, 2, g, b), normal(3, 5, 6), normal(6), normal(6))
first("layer_norm", F.layer_norm, normal(7, 13), normal(13), normal(13))
LABELS = _rng.integers(0, 5, 9)
first("sparse_cross_entropy", lambda z: F.sparse_cross_entropy(z, LABELS), normal(9, 5))
first("cross_entropy", F.cross_entropy, normal(9, 5), fractions(9, 5))
first("squared_error", F.squared_error, normal(3, 5), normal(3, 5))
first("dice", lambda p, t: F.dice(p, t, smooth=1.0), fractions(2, 30, 3), fractions(2, 30, 3))
first("binary_cross_entropy from probabilities, some clipped",
      lambda p: F.binary_cross_entropy(p, [0.0, 1.0, 0.3, 0.6], from_logits=False, epsilon=0.1),
      np.array([0.04, 0.3, 0.96, 0.7]))  # fmt: skip
compared_in_place("an Adam step of many", "adam_step", [normal(70_000), normal(70_000), normal(70_000),
                  fractions(70_000)], 3, 0.01, 0.9, 0.999, 1e-3, 0.1, terms=64)  # fmt: skip
compared_in_place("an SGD step of many", "sgd_step", [normal(70_000), normal(70_000), normal(70_000)], 0.1, 0.9, True,
                  0.01, terms=64)  # fmt: skip
first("dense", F.dense, normal(9, 33), normal(33, 17), normal(17), linear=(0, 1, 2))
first("gru", F.gru, normal(2, 3, 5), normal(5, 15), normal(5, 15), normal(2, 15))
first("gru, reset before the product", lambda x, w, u: F.gru(x, w, u, reset_after=False), normal(2, 3, 5),
      normal(5, 15), normal(5, 15))  # fmt: skip


def main(name: str, times: str = "1") -> int:
    """One check, so many times unless it finds something before; those of all that have no bug if the name is "all"."""
    for each in [*CPU_CHECKS] if name == "all" else [name] * int(times):
        try:
            CPU_CHECKS.run(each)
        except FOUND as found:
            print(f"{each}: {found}")
            return BUG_FOUND
        print(f"{each}: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
