"""The activation functions' cases: each with its defaults, then each argument at another value."""

from __future__ import annotations

import keras
import torch
from keras_family import KerasFamily

OPTIONS = {
    "celu": {"alpha": 0.5},
    "elu": {"alpha": 0.3},
    "gelu": {"approximate": True},
    "glu": {"axis": 1},
    "hard_shrink": {"threshold": 1.5},
    "leaky_relu": {"negative_slope": 0.5},
    "log_softmax": {"axis": 1},
    "relu": {"negative_slope": 0.1, "max_value": 1.5, "threshold": 0.25},
    "soft_shrink": {"threshold": 1.5},
    "softmax": {"axis": 1},
    "squareplus": {"b": 0.5},
    "threshold": {"threshold": 0.25, "default_value": -2.0},
}
OTHERS = ("deserialize", "get", "serialize")  # compute nothing
# Wrong in Keras 3.15 on PyTorch: it takes the sum of all partial sums for the sum of the k largest numbers.
WRONG = ("sparsemax",)
ROUNDED = ("hard_sigmoid",)  # 1/6 as float32 has it, in float64 too


def activation() -> KerasFamily:
    family = KerasFamily("activation", seed=100)
    names = [name for name in dir(keras.activations) if not name.startswith("_") and name not in (*OTHERS, *WRONG)]
    for name in names:
        function = getattr(keras.activations, name)
        if name != "threshold":
            _case(family, name, function, {})
        if name in OPTIONS:
            _case(family, name, function, OPTIONS[name])
    return family


def _case(family: KerasFamily, name: str, function: object, options: dict[str, object]) -> None:
    x = family.normal(3, 4, 6, scale=2.0).requires_grad_()
    y = function(x, **options)
    dy = family.normal(*y.shape)
    (dx,) = torch.autograd.grad(y, x, dy)
    words = ", ".join([name, *[f"{key} {value}" for key, value in options.items()]])
    family.keep(words, {"x": x, "y": y, "dy": dy, "dx": dx}, function=name, options=options, rounded=name in ROUNDED)


FAMILIES = [activation]
