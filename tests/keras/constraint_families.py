"""What Keras makes of constraints, regularizers and constant initializers, and of training with all of them.

constraints, regularizers: each with its defaults, then each argument at another value; a regularizer's gradient too.
constrained_training: weights and losses along some steps of SGD, of a model with constraints and penalties everywhere.
"""

from __future__ import annotations

from typing import Any

import keras
import torch
from keras_family import KerasFamily


def constraints() -> KerasFamily:
    family = KerasFamily("constraints", seed=111)
    matrix, filters = family.normal(5, 4), family.normal(3, 2, 2, 3)
    for cls, config, w in (
        ("MaxNorm", {}, matrix * 1.5),
        ("MaxNorm", {"max_value": 0.7}, matrix),
        ("MaxNorm", {"max_value": 1.1, "axis": 1}, matrix),
        ("MaxNorm", {"max_value": 1.6, "axis": [0, 1, 2]}, filters),
        ("NonNeg", {}, matrix),
        ("UnitNorm", {}, matrix),
        ("UnitNorm", {"axis": [0, 1, 2]}, filters),
        ("MinMaxNorm", {}, matrix),
        ("MinMaxNorm", {"min_value": 1.9, "max_value": 2.1}, matrix),
        ("MinMaxNorm", {"min_value": 2.0, "max_value": 2.2, "rate": 0.3}, matrix),
        ("MinMaxNorm", {"min_value": 1.5, "axis": 1, "max_value": 1.7}, matrix),
    ):
        y = getattr(keras.constraints, cls)(**config)(w)
        family.keep(_name(cls, config), {"w": w, "y": y}, cls=cls, config=config)
    return family


def regularizers() -> KerasFamily:
    family = KerasFamily("regularizers", seed=112)
    for cls, config in (
        ("L1", {}),
        ("L1", {"l1": 0.3}),
        ("L2", {}),
        ("L2", {"l2": 0.2}),
        ("L1L2", {}),
        ("L1L2", {"l1": 0.1, "l2": 0.4}),
        ("OrthogonalRegularizer", {}),
        ("OrthogonalRegularizer", {"factor": 0.7, "mode": "columns"}),
    ):
        w = family.normal(4, 3).requires_grad_()
        y = getattr(keras.regularizers, cls)(**config)(w)
        gradient = torch.autograd.grad(y, w)[0] if y.requires_grad else torch.zeros_like(w)
        family.keep(_name(cls, config), {"w": w, "y": y, "d_w": gradient}, cls=cls, config=config)
    return family


STACKS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "dense": [
        ("Dense", {"units": 4, "kernel_constraint": ["MaxNorm", {"max_value": 0.6}], "activation": "tanh",
                   "activity_regularizer": ["L2", {"l2": 0.3}]}),
        ("Dense", {"units": 2, "bias_constraint": ["NonNeg", {}], "kernel_regularizer": ["L1", {"l1": 0.02}],
                   "kernel_constraint": ["UnitNorm", {}]}),
    ],
    "convolution": [
        ("Conv2D", {"filters": 2, "kernel_size": 2, "kernel_constraint": ["MaxNorm", {"max_value": 0.5,
                    "axis": [0, 1, 2]}], "activity_regularizer": ["L1", {"l1": 0.1}]}),
        ("DepthwiseConv2D", {"kernel_size": 2, "depthwise_constraint": ["NonNeg", {}],
                             "bias_constraint": ["MinMaxNorm", {"min_value": 0.2, "max_value": 0.4, "rate": 0.5}]}),
        ("BatchNormalization", {"gamma_constraint": ["NonNeg", {}],
                                "beta_constraint": ["MaxNorm", {"max_value": 0.1}]}),
        ("ActivityRegularization", {"l1": 0.05, "l2": 0.02}),
        ("PReLU", {"alpha_constraint": ["MaxNorm", {"max_value": 0.1}], "alpha_initializer": "ones"}),
    ],
}  # fmt: skip


def constrained_training() -> KerasFamily:
    family = KerasFamily("constrained_training", seed=113)
    for name, x, stack in (
        ("dense", family.normal(4, 3), STACKS["dense"]),
        ("convolution", family.normal(2, 4, 4, 1), STACKS["convolution"]),
    ):
        model = keras.Sequential([keras.Input(x.shape[1:]), *(_made(cls, config) for cls, config in stack)])
        before = family._random_weights(model.weights)
        y = family.normal(*model.output_shape[1:]).expand(len(x), *model.output_shape[1:])
        model.compile(keras.optimizers.SGD(0.5), "mse")
        losses = [model.train_on_batch(x.numpy(), y.numpy()) for _ in range(4)]
        after = [weight.value.detach() for weight in model.weights]
        named = {"x": x, "y": y, "losses": torch.tensor(losses, dtype=torch.float64)}
        named |= {f"w{i}": w for i, w in enumerate(before)} | {f"w{i}_after": w for i, w in enumerate(after)}
        family.keep(name, named, layers=[[cls, config] for cls, config in stack], steps=len(losses))
    return family


def _made(cls: str, config: dict[str, Any]) -> Any:
    """The layer, with what stands as [class, arguments] in its configuration made as well."""
    modules = {"constraint": keras.constraints, "regularizer": keras.regularizers}
    made = {
        key: getattr(modules[key.split("_")[-1]], value[0])(**value[1]) if key.split("_")[-1] in modules else value
        for key, value in config.items()
    }
    return getattr(keras.layers, cls)(**made, dtype="float64")


def _name(cls: str, config: dict[str, Any]) -> str:
    return " ".join([cls, *(f"{key}={value}" for key, value in config.items())])


FAMILIES = [constraints, regularizers, constrained_training]
