"""The layers' cases: each with its defaults, then each argument at another value."""

from __future__ import annotations

from keras_family import KerasFamily


def core() -> KerasFamily:
    family = KerasFamily("core", seed=101)
    x = family.normal(4, 5)
    family.layer("Dense", "Dense", {"units": 3}, x)
    family.layer("Dense without bias, relu", "Dense", {"units": 3, "use_bias": False, "activation": "relu"}, x)
    family.layer("Dense over rows", "Dense", {"units": 2}, family.normal(2, 3, 4))
    family.layer("Flatten", "Flatten", {}, family.normal(2, 3, 4))
    return family


FAMILIES = [core]
