"""Where our arguments differ from Keras's on purpose, with the reason; and examples of arguments that must be given.

The tests allow these differences and no other, and docs/keras.md is made from them.
"""

from __future__ import annotations

from typing import Any

# (subject, name) → argument, or "order", → why
DIFFERENT: dict[tuple[str, str], dict[str, str]] = {}

# Values for arguments that must be given, wherever they stand.
EXAMPLES: dict[str, Any] = {
    "activation": "relu",
    "dims": (1,),
    "filters": 2,
    "input_dim": 3,
    "kernel_size": 3,
    "noise_shape": None,
    "output_dim": 2,
    "pool_size": 2,
    "rate": 0.5,
    "scale": 1.0,
    "stddev": 1.0,
    "target_shape": (1,),
    "units": 2,
}
