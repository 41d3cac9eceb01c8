"""Steps of every optimizer, with its defaults and then with each argument at another value, and learning rates.

optimizers: w0, w1, … the weights before (named "kernel", "bias", "scale"), g0, g1, … their gradients at each call
(calls, *shape), y0, y1, … the weights after each call; with use_ema z0, z1, … what finalize_variable_values leaves.
schedules: steps, and y, the learning rate of each.

Not ScheduleFreeAdamW: Keras 3.15 on PyTorch keeps no copy of the iterate before it changes it in place, and so averages
wrong ones.
"""

from __future__ import annotations

from typing import Any

import keras
import torch
from keras_family import KerasFamily

SHAPES = {"kernel": (2, 2), "bias": (3,), "scale": ()}
CALLS = 5

BETAS: list[dict[str, Any]] = [{}, {"learning_rate": 0.1}, {"beta_1": 0.5}, {"beta_2": 0.7}, {"epsilon": 0.1}]
OWN: dict[str, list[dict[str, Any]]] = {
    "SGD": [{}, {"learning_rate": 0.1}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}],
    "Adam": [*BETAS, {"amsgrad": True, "beta_2": 0.6}],
    "AdamW": [*BETAS, {"amsgrad": True, "beta_2": 0.6}, {"weight_decay": 0.1, "learning_rate": 0.1}],
    "Adamax": [*BETAS, {"weight_decay": 0.2}],
    "Nadam": [*BETAS, {"weight_decay": 0.2}],
    "Lamb": [*BETAS, {"weight_decay": 0.2}],
    "Adagrad": [{}, {"learning_rate": 0.1}, {"initial_accumulator_value": 0.5}, {"epsilon": 0.1}],
    "Adadelta": [{}, {"learning_rate": 0.1}, {"rho": 0.5}, {"epsilon": 0.1}, {"weight_decay": 0.2}],
    "RMSprop": [{}, {"learning_rate": 0.1}, {"rho": 0.5}, {"momentum": 0.8}, {"epsilon": 0.1}, {"centered": True},
                {"centered": True, "momentum": 0.8}],
    "Lion": [{}, {"learning_rate": 0.1}, {"beta_1": 0.3}, {"beta_2": 0.5}, {"weight_decay": 0.2}],
    "Ftrl": [{}, {"learning_rate": 0.1}, {"learning_rate_power": -0.8}, {"learning_rate_power": 0.0},
             {"initial_accumulator_value": 0.5}, {"l1_regularization_strength": 0.5},
             {"l2_regularization_strength": 0.5}, {"l2_shrinkage_regularization_strength": 0.5}, {"beta": 0.3},
             {"weight_decay": 0.2}],
}  # fmt: skip
SHARED: list[dict[str, Any]] = [
    {"weight_decay": 0.3},
    {"clipnorm": 0.5},
    {"clipvalue": 0.3},
    {"global_clipnorm": 0.7},
    {"use_ema": True},
    {"use_ema": True, "ema_momentum": 0.6},
    {"use_ema": True, "ema_momentum": 0.6, "ema_overwrite_frequency": 2},
    {"loss_scale_factor": 16.0},
    {"gradient_accumulation_steps": 2},
    {"gradient_accumulation_steps": 2, "global_clipnorm": 0.5, "weight_decay": 0.3},
]
SCHEDULE = {"initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5}  # an ExponentialDecay
SPARED = {"weight_decay": 0.3}, ["bi"]

RATES: dict[str, list[dict[str, Any]]] = {
    "ExponentialDecay": [SCHEDULE, SCHEDULE | {"staircase": True}],
    "InverseTimeDecay": [SCHEDULE, SCHEDULE | {"staircase": True}],
    "CosineDecay": [
        {"initial_learning_rate": 0.1, "decay_steps": 20},
        {"initial_learning_rate": 0.1, "decay_steps": 20, "alpha": 0.2},
        {"initial_learning_rate": 0.01, "decay_steps": 20, "warmup_target": 0.1, "warmup_steps": 7},
        {"initial_learning_rate": 0.01, "decay_steps": 20, "warmup_target": 0.1},
    ],
    "CosineDecayRestarts": [
        {"initial_learning_rate": 0.1, "first_decay_steps": 5},
        {"initial_learning_rate": 0.1, "first_decay_steps": 5, "t_mul": 1.0},
        {"initial_learning_rate": 0.1, "first_decay_steps": 5, "t_mul": 1.5, "m_mul": 0.8, "alpha": 0.1},
    ],
    "PolynomialDecay": [
        {"initial_learning_rate": 0.1, "decay_steps": 9},
        {"initial_learning_rate": 0.1, "decay_steps": 9, "end_learning_rate": 0.02, "power": 2.5},
        {"initial_learning_rate": 0.1, "decay_steps": 9, "cycle": True},
    ],
    "PiecewiseConstantDecay": [{"boundaries": [3, 17], "values": [0.1, 0.05, 0.01]}],
}


def optimizers() -> KerasFamily:
    family = KerasFamily("optimizers", seed=121)
    for cls, choices in OWN.items():
        for options in choices:
            _steps(family, cls, options)
    for cls in ("SGD", "Adam"):
        for options in SHARED:
            _steps(family, cls, options | {"learning_rate": 0.1})
    _steps(family, "SGD", {"gradient_accumulation_steps": 2}, schedule=SCHEDULE)
    options, names = SPARED
    for cls in ("AdamW", "SGD"):
        _steps(family, cls, options | {"learning_rate": 0.1}, spared=names)
    return family


def _steps(
    family: KerasFamily,
    cls: str,
    options: dict[str, Any],
    schedule: dict[str, Any] | None = None,
    spared: list[str] | None = None,
) -> None:
    rate = {} if schedule is None else {"learning_rate": keras.optimizers.schedules.ExponentialDecay(**schedule)}
    optimizer = getattr(keras.optimizers, cls)(**options, **rate)
    if spared:
        optimizer.exclude_from_weight_decay(var_names=spared)
    before = [family.normal(*shape) for shape in SHAPES.values()]
    weights = [keras.Variable(w.clone(), name=name, dtype="float64") for name, w in zip(SHAPES, before, strict=True)]
    gradients = [family.normal(CALLS, *shape) for shape in SHAPES.values()]
    after: list[list[torch.Tensor]] = [[] for _ in weights]
    for call in range(CALLS):
        optimizer.apply([gradient[call] for gradient in gradients], weights)
        for values, weight in zip(after, weights, strict=True):
            values.append(weight.value.detach().clone())
    named = {f"w{i}": w for i, w in enumerate(before)} | {f"g{i}": g for i, g in enumerate(gradients)}
    named |= {f"y{i}": torch.stack(values) for i, values in enumerate(after)}
    if optimizer.use_ema:
        optimizer.finalize_variable_values(weights)
        named |= {f"z{i}": weight.value.detach().clone() for i, weight in enumerate(weights)}
    words = [cls, *[f"{key} {value}" for key, value in options.items()], *(["schedule"] if schedule else []),
             *([f"spared {spared}"] if spared else [])]  # fmt: skip
    family.keep(", ".join(words), named, cls=cls, options=options, schedule=schedule, spared=spared)


def schedules() -> KerasFamily:
    family = KerasFamily("schedules", seed=122)
    steps = torch.arange(48)
    for cls, choices in RATES.items():
        for number, config in enumerate(choices):
            schedule = getattr(keras.optimizers.schedules, cls)(**config)
            rates = [float(schedule(int(step))) for step in steps]
            named = {"steps": steps, "y": torch.tensor(rates, dtype=torch.float64)}
            family.keep(f"{cls} {number}", named, cls=cls, config=config)
    return family


FAMILIES = [optimizers, schedules]
